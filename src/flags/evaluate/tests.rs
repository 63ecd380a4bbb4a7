use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::{HeaderValue, Method};
use serde_json::{Map, Value, json};

use super::*;
use crate::flagd::flag_file::parse;
use crate::flagd::fractional_version::FractionalVersion;
use crate::flagd::imported_flag::ImportedVariant;
use crate::flags::user::{KnownUser, RequestUser};
use crate::message::Headers;
use crate::stats::Registry;
use crate::table::experiment_run::ExperimentRun;
use crate::table::fixture::{USER, first_traffic, name, rule, shared, spec, weights};
use crate::table::flag_state::FlagState;
use crate::table::key::OwnKey;
use crate::table::slot_ranges::SlotRanges;
use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, ExperimentSubject, PerArm};
use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, ImportedSource, Variant};
use crate::table::spec::{Attribute, Condition, HostPattern, KeySource, Pattern, Segment};
use crate::table::weights::SLOTS;
use crate::table::{BearerClaims, Name, RequestView, ServiceSpec, Traffic, Weight, Weights, decide};

/// Users of the tests of exactness.
const USERS: usize = 20_000;

fn flag(flag: &str, source: FlagSource) -> FlagSpec {
    let variant = |(variant, json): (&str, &str)| Variant { name: name(variant), json: json.into() };
    let variants = [("off", "false"), ("on", "true")].map(variant).to_vec();
    FlagSpec { name: name(flag), variants, default: 0, enabled: true, source }
}

fn launch(draw: DrawSpec, serve: &str) -> FlagSource {
    FlagSource::Rules { draw, rules: vec![FlagRuleSpec { name: name("launch"), when: None, serve: weights(serve) }] }
}

fn as_shop() -> DrawSpec {
    DrawSpec::Service(name("shop"))
}

/// A table of these services and flags.
fn table(services: impl IntoIterator<Item = ServiceSpec>, flags: impl IntoIterator<Item = FlagSpec>) -> Table {
    let specs = FlagSpecs { flags: flags.into_iter().map(Arc::new).collect(), told: BTreeMap::new() };
    crate::table::fixture::table(services).with_flags(1, &specs, &BTreeMap::new())
}

fn known<'t>(table: &'t Table, key: Option<&str>, attributes: &[(&str, &str)]) -> KnownUser<'t> {
    let attribute = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
    KnownUser { table, key: key.map(Box::from), context: attributes.iter().map(attribute).collect(), clock: || 0 }
}

/// Asks for a flag with a request of the user, routed as the data path routes it.
fn by_request(table: &Table, flag: &str, user: Option<&str>) -> (String, Evaluation) {
    let value = user.map(|user| (USER, HeaderValue::from_str(user).expect("a value")));
    let headers: Headers = value.into_iter().collect();
    let (method, client) = (&Method::GET, [192, 0, 2, 1].into());
    let claims = BearerClaims::AS_THEY_STAND;
    let view = RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
    let decision = decide(table, &view, u128::MAX / 3, |_| true).expect("a service");
    let (version, new_key) = (decision.version, decision.new_key);
    let user = RequestUser {
        table,
        view: &view,
        service: decision.service_index,
        version,
        slot: decision.slot,
        new_key,
        clock: || 0,
    };
    let flag = table.flags().named(flag).expect("a flag");
    (decision.version().name.to_string(), evaluate(table, flag, &user))
}

fn users() -> impl Iterator<Item = String> {
    (0..USERS).map(|number| format!("user-{number}"))
}

fn with_the_flag(table: &Table, flag: &str) -> BTreeSet<String> {
    let flag = table.flags().named(flag).expect("a flag");
    users().filter(|user| evaluate(table, flag, &known(table, Some(user), &[])).variant == Some(1)).collect()
}

#[test]
fn a_flag_drawn_as_a_service_has_the_very_users_of_the_version() {
    for percent in [1, 10, 50] {
        let shop = spec("shop", &format!("v1={} v2={percent}", 100 - percent));
        let serve = format!("off={} on={percent}", 100 - percent);
        let table = table([shop], [flag("f", launch(as_shop(), &serve))]);
        let mut on = 0;
        for user in users() {
            let (version, by_request) = by_request(&table, "f", Some(&user));
            let by_key = evaluate(&table, &table.flags().flags[0], &known(&table, Some(&user), &[]));
            assert_eq!(version == "v2", by_request.variant == Some(1), "{user} at {percent} %");
            assert_eq!(by_request, by_key, "{user} at {percent} %");
            on += usize::from(by_request.variant == Some(1));
        }
        let expected = USERS * percent / 100;
        assert!(on.abs_diff(expected) < 5 + expected / 4, "{on} of {USERS} at {percent} %");
    }
}

/// A flag with these variants and one rule that serves `new` to some and the default to the others.
fn renamed(variants: &[&str], default: &str, serve: &Weights) -> FlagSpec {
    let variant = |variant: &&str| Variant { name: name(variant), json: format!("{variant:?}").into() };
    let rules = vec![FlagRuleSpec { name: name("launch"), when: None, serve: serve.clone() }];
    let index = variants.iter().position(|name| *name == default).expect("a variant");
    FlagSpec {
        name: name("f"),
        variants: variants.iter().map(variant).collect(),
        default: u16::try_from(index).expect("a few"),
        enabled: true,
        source: FlagSource::Rules { draw: as_shop(), rules },
    }
}

fn two(one: &str, slots: u32, other: &str) -> Weights {
    let weight = |slots| Weight::from_slots(slots).expect("in range");
    let rest = weight(SLOTS - slots);
    Weights::new([(name(one), weight(slots)), (name(other), rest)].into()).expect("a sum of 100")
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 4, ..Default::default() })]

    /// The promise of `salt = "service:shop"`: the users of the new version and those of the flag are the same ones,
    /// after any series of raisings and lowerings, whatever the variants are called and whichever is the default; and
    /// no step moves a user who does not have to.
    #[test]
    fn a_flag_drawn_as_a_service_keeps_the_very_users_of_the_version(
        steps in proptest::collection::vec(0..=SLOTS, 2..5),
        names in proptest::sample::select(vec![("on", "off"), ("off", "on"), ("blue", "red"), ("zebra", "ant"), ("v2", "v10")]),
    ) {
        let (new, default) = names;
        let mut variants = [name(new), name(default)];
        variants.sort_by(|one, other| crate::shared::name::natural_cmp(one, other));
        let variants: Vec<&str> = variants.iter().map(Name::as_str).collect();
        let first = renamed(&variants, default, &two(new, steps[0], default));
        let mut state = FlagState::first(&first);
        let mut traffic = Traffic::first("shop-1".into(), &two("v2", steps[0], "v1"));
        let (shop, registry) = (shared([spec("shop", "v1=100 v2=0")]), Registry::new(1));
        let specs = FlagSpecs { flags: vec![Arc::new(first.clone())], told: BTreeMap::new() };
        for (revision, slots) in (1..).zip(&steps) {
            let next = state.serving(&first, "launch", &two(new, *slots, default)).expect("a rule");
            let (before, after) = (&state.rules["launch"], &next.rules["launch"]);
            proptest::prop_assert_eq!(before.moved(after), before.count(new).abs_diff(*slots));
            state = next;
            traffic = traffic.shifted(&two("v2", *slots, "v1"), || "shop-1".into());
            let by_service = BTreeMap::from([(name("shop"), Arc::new(traffic.clone()))]);
            let table = Table::compile(revision, &shop, &by_service, &registry).expect("the traffic fits");
            let states = BTreeMap::from([(name("f"), Arc::new(state.clone()))]);
            let table = table.with_flags(revision, &specs, &states);
            for user in users() {
                let on_v2 = table.service(0).versions[usize::from(table.entry(0).owner(table.entry(0).slot(user.as_bytes())))].name.as_str() == "v2";
                let variant = with(&table, "f", &user).variant.expect("a variant");
                let variant = &first.variants[usize::from(variant)].name;
                proptest::prop_assert_eq!(on_v2, variant.as_str() == new, "{} at {} slots", user, slots);
            }
        }
    }
}

#[test]
fn what_requests_are_told_by_version_is_only_what_follows_the_version() {
    let follow = |pairs: &[(&str, u16)]| pairs.iter().map(|(of, variant)| (name(of), *variant)).collect();
    let theme = || flag("theme", FlagSource::Service(name("shop"), follow(&[("v2", 1)])));
    let inner = || flag("inner", FlagSource::Flag(name("theme"), follow(&[("on", 1)])));
    let drawn = flag("drawn", launch(as_shop(), "off=90 on=10"));
    let of_other = flag("of-other", FlagSource::Service(name("cart"), follow(&[("v2", 1)])));
    let off = FlagSpec { enabled: false, ..flag("theme-off", theme().source) };
    let cart = ServiceSpec { hosts: vec![HostPattern::Exact("cart".into())], ..spec("cart", "v1=50 v2=50") };
    let table = table([cart, spec("shop", "v1=50 v2=50")], [drawn, inner(), of_other, theme(), off]);
    let told = |flag: &str, version| {
        let flag = table.flags().named(flag).expect("a flag");
        of_version(&table, flag, 1, version).and_then(|evaluation| evaluation.variant)
    };
    for (flag, by_version) in [
        ("theme", [Some(0), Some(1)]),
        ("inner", [Some(0), Some(1)]),
        ("theme-off", [Some(0), Some(0)]),
        ("drawn", [None, None]),
        ("of-other", [None, None]),
    ] {
        assert_eq!([0, 1].map(|version| told(flag, version)), by_version, "{flag}");
    }
}

#[test]
fn another_salt_is_another_draw() {
    let draw = DrawSpec::Salt("f".into());
    let table = table(
        [spec("shop", "v1=90 v2=10")],
        [flag("f", launch(draw, "off=90 on=10")), flag("g", launch(as_shop(), "off=90 on=10"))],
    );
    let (own, shop) = (with_the_flag(&table, "f"), with_the_flag(&table, "g"));
    let both = own.intersection(&shop).count();
    assert!((120..280).contains(&both), "{both} of {} and {}, want about a hundredth", own.len(), shop.len());
}

#[test]
fn raising_and_lowering_moves_no_user_who_does_not_have_to() {
    let specs =
        |serve: &str| FlagSpecs { flags: vec![Arc::new(flag("f", launch(as_shop(), serve)))], told: BTreeMap::new() };
    let (mut table, mut before) = (table([spec("shop", "v1=100 v2=0")], []), BTreeSet::new());
    let mut state = FlagState::first(&specs("off=100 on=0").flags[0]);
    for percent in [1, 10, 50, 100, 30, 0, 10] {
        let serve = format!("off={} on={percent}", 100 - percent);
        let intent = state.clone();
        state = intent.under_file(&intent, &specs(&serve).flags[0]);
        let states = BTreeMap::from([(name("f"), Arc::new(state.clone()))]);
        table = table.with_flags(table.revision + 1, &specs(&serve), &states);
        let on = with_the_flag(&table, "f");
        assert!(on.is_subset(&before) || before.is_subset(&on), "{percent} %");
        let parsed = FlagState::parse(&state.to_string()).expect("what was written");
        assert_eq!(parsed, state);
        before = on;
    }
}

#[test]
fn rules_hold_in_order_for_requests_and_for_known_users() {
    let email = Arc::new(Attribute { name: name("email"), sources: vec![KeySource::Header(USER)] });
    let of_staff = Condition { attributes: vec![(email, Pattern::Suffix("@us".into()))], ..Condition::default() };
    let staff = Arc::new(Segment { name: name("staff"), when: of_staff });
    let dogfood = Condition { segments: vec![staff], ..Condition::default() };
    let gets = Condition { methods: vec![Method::GET], ..Condition::default() };
    let serve = |rule: &str, when: Option<Condition>, serve: &str| FlagRuleSpec {
        name: name(rule),
        when: when.map(Arc::new),
        serve: weights(serve),
    };
    let rules = vec![serve("dogfood", Some(dogfood), "off=0 on=100"), serve("gets", Some(gets), "off=100 on=0")];
    let source = FlagSource::Rules { draw: DrawSpec::Salt("f".into()), rules };
    let table = table([spec("shop", "v1=100")], [flag("f", source)]);
    let ask =
        |key, attributes: &[(&str, &str)]| evaluate(&table, &table.flags().flags[0], &known(&table, key, attributes));
    let on = Evaluation { variant: Some(1), why: FlagCause::Rule(0) };
    assert_eq!(by_request(&table, "f", Some("ann@us")).1, on);
    assert_eq!(ask(None, &[("email", "ann@us")]), on, "a rule that serves one variant needs no key");
    assert_eq!(by_request(&table, "f", Some("bob@them")).1, Evaluation { variant: Some(0), why: FlagCause::Rule(1) });
    let none = Evaluation { variant: Some(0), why: FlagCause::Default };
    assert_eq!(ask(Some("bob"), &[("email", "bob@them")]), none, "there is no request that could be a GET");
    assert_eq!(ask(Some("bob"), &[("email", "")]), none);
}

#[test]
fn without_a_key_nothing_is_drawn_but_what_the_split_has_drawn() {
    let flags = || {
        [
            flag("own", launch(DrawSpec::Salt("own".into()), "off=0.001 on=99.999")),
            flag("shop", launch(as_shop(), "off=90 on=10")),
        ]
    };
    let table = table([spec("shop", "v1=90 v2=10")], flags());
    assert_eq!(by_request(&table, "own", None).1, Evaluation { variant: Some(0), why: FlagCause::NoKey });
    let (version, drawn) = by_request(&table, "shop", None);
    assert_eq!(version == "v2", drawn.variant == Some(1), "{drawn:?}");
    assert!(matches!(drawn.why, FlagCause::Slot { .. }), "{drawn:?}");
    let unknown = evaluate(&table, &table.flags().flags[1], &known(&table, None, &[]));
    assert_eq!(unknown, Evaluation { variant: Some(0), why: FlagCause::NoKey });
    let cookie = ServiceSpec { sticky: vec![KeySource::OwnCookie], ..spec("shop", "v1=90 v2=10") };
    let cookies = self::table([cookie], flags());
    let (_, first) = by_request(&cookies, "own", None);
    assert!(matches!(first.why, FlagCause::Slot { .. }), "the key that the client is about to get: {first:?}");
    let key = OwnKey::from_random(u128::MAX / 3);
    let key = std::str::from_utf8(key.as_bytes()).expect("digits");
    assert_eq!(first, evaluate(&cookies, &cookies.flags().flags[0], &known(&cookies, Some(key), &[])));
}

#[test]
fn a_flag_that_follows_has_the_variant_of_the_version() {
    let follow = |pairs: &[(&str, u16)]| pairs.iter().map(|(of, variant)| (name(of), *variant)).collect();
    let theme = flag("theme", FlagSource::Service(name("shop"), follow(&[("v2", 1)])));
    let inner = flag("inner", FlagSource::Flag(name("theme"), follow(&[("on", 1)])));
    let when = Condition { methods: vec![Method::GET], ..Condition::default() };
    let ruled = ServiceSpec { rules: vec![rule("all", when, "v2")], ..spec("shop", "v1=100 v2=0") };
    let table = table([spec("shop", "v1=60 v2=40")], [inner.clone(), theme.clone()]);
    for user in users().take(2_000) {
        let (version, theme) = by_request(&table, "theme", Some(&user));
        let inner = by_request(&table, "inner", Some(&user)).1;
        let by_key = with(&table, "theme", &user);
        assert_eq!((version == "v2", version == "v2"), (theme.variant == Some(1), inner.variant == Some(1)), "{user}");
        assert_eq!(theme.variant, by_key.variant, "{user}");
    }
    let by_rule = self::table([ruled], [inner, theme]);
    assert_eq!(by_request(&by_rule, "theme", None).1, Evaluation { variant: Some(1), why: FlagCause::Followed });
    assert_eq!(with(&by_rule, "theme", "user-1").why, FlagCause::Default, "no request, so no rule of requests");
}

fn with(table: &Table, flag: &str, user: &str) -> Evaluation {
    evaluate(table, table.flags().named(flag).expect("a flag"), &known(table, Some(user), &[]))
}

#[test]
fn a_disabled_flag_is_its_default_and_keeps_its_slots() {
    let spec_of = flag("f", launch(as_shop(), "off=10 on=90"));
    let first = FlagState::first(&spec_of);
    let off = FlagState { enabled: false, ..first.clone() };
    let specs = FlagSpecs { flags: vec![Arc::new(spec_of.clone())], told: BTreeMap::new() };
    let table = table([spec("shop", "v1=100")], [spec_of.clone()]);
    let disabled = table.with_flags(2, &specs, &BTreeMap::from([(name("f"), Arc::new(off.clone()))]));
    assert_eq!(with(&disabled, "f", "user-1"), Evaluation { variant: Some(0), why: FlagCause::Disabled });
    assert_eq!(off.under_file(&first, &spec_of), off, "the file still says the same, so the switch stays");
    let silent = FlagSpec { enabled: false, ..spec_of.clone() };
    assert_eq!(off.under_file(&FlagState::first(&silent), &spec_of), first, "the file says on anew");
}

#[test]
fn one_change_of_the_traffic_moves_the_flag_with_it() {
    let shop = shared([spec("shop", "v1=100 v2=0")]);
    let source = FlagSource::Service(name("shop"), vec![(name("v2"), 1)]);
    let specs = FlagSpecs { flags: vec![Arc::new(flag("theme", source))], told: BTreeMap::new() };
    let registry = Registry::new(1);
    let table = Table::compile(1, &shop, &first_traffic(&shop), &registry).expect("the traffic fits");
    let table = table.with_flags(1, &specs, &BTreeMap::new());
    let all_v2: Weights = weights("v1=0 v2=100");
    let next: BTreeMap<Name, Arc<Traffic>> =
        [(name("shop"), Arc::new(Traffic::first("shop-2".into(), &all_v2)))].into();
    let moved = table.with_traffic(2, &next, &registry).expect("the traffic fits");
    assert_eq!((with(&table, "theme", "ann").variant, with(&moved, "theme", "ann").variant), (Some(0), Some(1)));
}

/// A flag of a file in flagd's format.
fn imported(flag: &Value, attributes: Vec<Arc<Attribute>>) -> FlagSpec {
    let file = json!({"flags": {"f": flag}}).to_string();
    let file = parse(&file, FractionalVersion::V3).expect("a good file");
    let flag = Arc::new(file.flags.into_iter().next().expect("a flag"));
    let variant =
        |variant: &ImportedVariant| Variant { name: variant.name.clone(), json: variant.value.to_string().into() };
    FlagSpec {
        name: flag.key.clone(),
        variants: flag.variants.iter().map(variant).collect(),
        default: flag.default.unwrap_or_default(),
        enabled: flag.enabled,
        source: FlagSource::Imported(ImportedSource { flag, attributes }),
    }
}

#[test]
fn an_imported_flag_is_decided_by_its_rule_for_requests_and_for_known_users() {
    let user_id = Arc::new(Attribute { name: name("user"), sources: vec![KeySource::Header(USER)] });
    let rule = json!({"if": [
        {"==": [{"var": "user"}, "ann"]}, "by-attribute",
        {"==": [{"var": "targetingKey"}, "bob"]}, "by-key",
        {"==": [{"var": "age"}, 42]}, "by-context",
        {"==": [{"version_of": "shop"}, "v2"]}, "by-version",
        {"==": [{"var": "targetingKey"}, "odd"]}, {"cat": ["no", "ne"]}
    ]});
    let names = ["by-attribute", "by-key", "by-context", "by-version"];
    let variants: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
    let flag = json!({"state": "ENABLED", "variants": variants, "defaultVariant": null, "targeting": rule});
    let shop = spec("shop", "v1=100 v2=0");
    let table = self::table([shop], [imported(&flag, vec![user_id])]);
    let named = |evaluation: Evaluation| {
        let flag = table.flags().named("f").expect("a flag");
        let variant = evaluation.variant.map(|index| flag.spec.variants[usize::from(index)].name.to_string());
        (variant.unwrap_or_default(), evaluation.why)
    };
    let by_request = |user: &str| named(by_request(&table, "f", Some(user)).1);
    assert_eq!(by_request("ann"), ("by-attribute".to_owned(), FlagCause::Targeting));
    assert_eq!(by_request("bob"), ("by-key".to_owned(), FlagCause::Targeting));
    assert_eq!(by_request("carl"), (String::new(), FlagCause::Default));
    assert_eq!(by_request("odd"), (String::new(), FlagCause::NoVariant));
    let known = |key: &str, context: Value| {
        let Value::Object(context) = context else { unreachable!("an object") };
        let user = KnownUser { table: &table, key: Some(key.into()), context, clock: || 0 };
        named(evaluate(&table, table.flags().named("f").expect("a flag"), &user))
    };
    assert_eq!(known("x", json!({"user": "ann"})).0, "by-attribute");
    assert_eq!(known("bob", json!({})).0, "by-key");
    assert_eq!(known("x", json!({"age": 42})).0, "by-context");
    assert_eq!(known("x", json!({"age": [42, 43]})), (String::new(), FlagCause::Default));
}

#[test]
fn an_imported_flag_follows_versions_and_is_followed() {
    let rule = json!({"if": [{"==": [{"version_of": "shop"}, "v2"]}, "on", "off"]});
    let flag = json!({"state": "ENABLED", "variants": {"on": true, "off": false}, "targeting": rule});
    let follower = self::flag("g", FlagSource::Flag(name("f"), vec![(name("on"), 1)]));
    let table = table([spec("shop", "v1=90 v2=10")], [imported(&flag, Vec::new()), follower]);
    let mut on = 0_usize;
    for user in users().take(2_000) {
        let (version, by_rule) = by_request(&table, "f", Some(&user));
        let by_rule = by_rule.variant.expect("a variant");
        let by_rule = table.flags().flags[0].spec.variants[usize::from(by_rule)].name.as_str() == "on";
        let followed = with(&table, "g", &user);
        assert_eq!((version == "v2", version == "v2"), (by_rule, followed.variant == Some(1)), "{user}");
        on += usize::from(by_rule);
    }
    assert!((100..300).contains(&on), "{on} of 2000");
}

#[test]
fn an_imported_flag_that_is_disabled_has_no_variant() {
    let flag = json!({"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"});
    let table = table([spec("shop", "v1=100")], [imported(&flag, Vec::new())]);
    assert_eq!(by_request(&table, "f", Some("ann")).1, Evaluation { variant: None, why: FlagCause::Disabled });
    let state = FlagState { enabled: true, ..FlagState::first(&table.flags().flags[0].spec) };
    let specs = FlagSpecs { flags: vec![Arc::clone(&table.flags().flags[0].spec)], told: BTreeMap::new() };
    let table = table.with_flags(2, &specs, &BTreeMap::from([(name("f"), Arc::new(state))]));
    let enabled = Evaluation { variant: Some(0), why: FlagCause::Static };
    assert_eq!(by_request(&table, "f", Some("ann")).1, enabled, "a change at run time wins");
}

/// An experiment on a flag, under way with all users.
fn experiment(flag: &str) -> Arc<AssignmentSpec> {
    Arc::new(AssignmentSpec {
        name: name("button"),
        subject: ExperimentSubject::Flag(name(flag)),
        arms: PerArm { control: name("off"), treatment: name("on") },
        share: Weight::FULL,
        segment: None,
        layer: None,
        requests: CountedRequests::default(),
    })
}

fn under_way(table: &Table, spec: &Arc<AssignmentSpec>, percent: f64) -> Table {
    let share = Weight::from_percent(percent).expect("a share");
    let slots = SlotRanges::default().grown(share.slots(), &SlotRanges::default()).expect("room");
    let run = ExperimentRun { share, slots, ..ExperimentRun::of_everybody(1) };
    table.with_experiments(2, &[Arc::clone(spec)], &BTreeMap::from([(spec.name.clone(), Arc::new(run))]))
}

#[test]
fn an_experiment_comes_after_conditions_and_before_what_holds_for_all() {
    let staff =
        Condition { headers: vec![("x-staff".parse().expect("a name"), Pattern::Present)], ..Condition::default() };
    let rule = |rule: &str, when: Option<&Condition>, serve: &str| FlagRuleSpec {
        name: name(rule),
        when: when.map(|when| Arc::new(when.clone())),
        serve: weights(serve),
    };
    let staff_only = vec![rule("dogfood", Some(&staff), "off=0 on=100")];
    let launched = vec![rule("dogfood", Some(&staff), "off=0 on=100"), rule("launch", None, "off=100 on=0")];
    for rules in [staff_only, launched, Vec::new()] {
        let source = FlagSource::Rules { draw: as_shop(), rules };
        let plain = table([spec("shop", "v1=100 v2=0")], [flag("f", source)]);
        let table = under_way(&plain, &experiment("f"), 50.0);
        let (mut taken, mut on) = (0_usize, 0_usize);
        for user in users() {
            let (version, found) = by_request(&table, "f", Some(&user));
            assert_eq!(version, "v1", "no version is given by an experiment on a flag");
            let flag = &table.flags().flags[0];
            assert_eq!(found, evaluate(&table, flag, &known(&table, Some(&user), &[])), "{user}");
            if found.why == FlagCause::Experiment(0) {
                taken += 1;
            } else {
                assert_eq!(found, by_request(&plain, "f", Some(&user)).1, "others have what they had");
            }
            on += usize::from(found.variant == Some(1));
        }
        assert!(taken.abs_diff(USERS / 2) < 300 && on.abs_diff(USERS / 4) < 300, "{taken} taken in, {on} of them on");
        assert!(!matches!(by_request(&table, "f", None).1.why, FlagCause::Experiment(_)), "there is no key");
    }
}

#[test]
fn an_experiment_on_a_disabled_flag_gives_nothing_and_followers_follow() {
    let source = FlagSource::Rules { draw: as_shop(), rules: Vec::new() };
    let follower = flag("g", FlagSource::Flag(name("f"), vec![(name("on"), 1)]));
    let plain = table([spec("shop", "v1=100 v2=0")], [flag("f", source), follower]);
    let table = under_way(&plain, &experiment("f"), 100.0);
    for user in users().take(200) {
        let (_, leader) = by_request(&table, "f", Some(&user));
        let (_, found) = by_request(&table, "g", Some(&user));
        assert_eq!(leader.why, FlagCause::Experiment(0));
        assert_eq!(found.variant == Some(1), leader.variant == Some(1), "{user}");
    }
    let specs = FlagSpecs {
        flags: table.flags().flags.iter().map(|flag| Arc::clone(&flag.spec)).collect(),
        told: BTreeMap::new(),
    };
    let off = FlagState { enabled: false, rules: BTreeMap::new() };
    let disabled = table.with_flags(3, &specs, &BTreeMap::from([(name("f"), Arc::new(off))]));
    let disabled_value = Evaluation { variant: Some(0), why: FlagCause::Disabled };
    assert_eq!(by_request(&disabled, "f", Some("user-1")).1, disabled_value);
    // One that follows is decided elsewhere.
    assert!(under_way(&plain, &experiment("g"), 100.0).experiments().is_empty());
}

/// Who follows a service, or asks for it by a key, gets the version that its experiment gives.
#[test]
fn flags_that_follow_a_service_follow_its_experiment() {
    let follows = flag("theme", FlagSource::Service(name("shop"), vec![(name("v2"), 1)]));
    let cart = ServiceSpec { hosts: vec![HostPattern::Exact("cart".into())], ..spec("cart", "v1=100") };
    let plain = table([cart, spec("shop", "v1=100 v2=0")], [follows]);
    let of_shop = AssignmentSpec {
        subject: ExperimentSubject::Service(name("shop")),
        arms: PerArm { control: name("v1"), treatment: name("v2") },
        ..AssignmentSpec::clone(&experiment("f"))
    };
    let table = under_way(&plain, &Arc::new(of_shop), 100.0);
    let mut on = 0_usize;
    for user in users().take(2_000) {
        let (version, found) = by_request(&table, "theme", Some(&user));
        let by_key = evaluate(&table, &table.flags().flags[0], &known(&table, Some(&user), &[]));
        assert_eq!((found.variant == Some(1), found), (version == "v2", by_key), "{user}");
        on += usize::from(version == "v2");
    }
    assert!(on.abs_diff(1_000) < 100, "{on}");
}
