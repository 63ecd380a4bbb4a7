//! A decision does not allocate: the promise of `decide`, kept by counting.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method};
use pointsman::testing::experiment::PerArm;
use pointsman::testing::flags::RequestUser;
use pointsman::testing::message::Headers;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::spec::experiment::{AssignmentSpec, CountedRequests, ExperimentSubject};
use pointsman::testing::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, Variant};
use pointsman::testing::table::spec::{
    Attribute, Condition, HostPattern, KeySource, PathPrefix, Pattern, Policy, RuleSpec, Segment, VersionRange,
    VersionSpec,
};
use pointsman::testing::table::{
    BearerClaims, Cause, Decision, ExperimentRun, Name, RequestView, SLOTS, ServiceSpec, SlotRanges, Table, Traffic,
    Weight, Weights, decide,
};

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// A table with one service that is found by the longest way: a wildcard host and a deep path.
fn table(sticky: Vec<KeySource>, rules: Vec<RuleSpec>) -> Table {
    let weight = |percent| Weight::from_percent(percent).expect("a good weight");
    let split = Weights::new(BTreeMap::from([(name("v1"), weight(60.0)), (name("v2"), weight(40.0))]));
    let version = |version| VersionSpec::new(name(version), vec![([127, 0, 0, 1], 80).into()]);
    let spec = Arc::new(ServiceSpec {
        name: name("shop"),
        hosts: vec![HostPattern::Below("example.com".into())],
        paths: vec![PathPrefix::new("/cart/v2/items").expect("a path")],
        sticky,
        salt: None,
        split: split.expect("a sum of 100"),
        versions: vec![version("v1"), version("v2")],
        rules,
        mirror: None,
        policy: Policy::default(),
        slo: None,
        edge: None,
    });
    let traffic = BTreeMap::from([(name("shop"), Arc::new(Traffic::first("shop-1".into(), &spec.split)))]);
    Table::compile(1, &[spec], &traffic, &Registry::new(1)).expect("the traffic fits")
}

/// Decides twice (the first time warms the caches of regular expressions) and checks the second time.
#[track_caller]
fn decide_without_allocating(table: &Table, headers: &[(&'static str, &str)], check: impl Fn(&Decision<'_>) -> bool) {
    let headers: Headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
        .collect();
    let request = RequestView {
        method: &Method::GET,
        host: "WWW.eu.Example.com",
        path: b"/cart/v2/items/7",
        query: Some(b"debug&uid=from-query"),
        headers: &headers,
        client: "2001:db8::1".parse().expect("an address"),
        claims: BearerClaims::AS_THEY_STAND,
    };
    for usable in [true, false] {
        // The second round has its first version down, so that passing on is counted too.
        let usable = |version: &pointsman::testing::table::Candidate<'_>| usable || version.name.as_str() == "v1";
        let go = || decide(table, &request, u128::MAX / 3, usable).expect("the service answers, and one version is up");
        assert!(check(&go()), "{:?}", go().cause);
        let counted = allocation_counter::measure(|| {
            std::hint::black_box(go());
        });
        assert_eq!(counted.count_total, 0, "{} bytes allocated: {headers:?}", counted.bytes_total);
    }
}

fn bearer(payload: &str) -> String {
    format!("Bearer {}.{}.c2ln", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(vec![1_u8; 100]);
    });
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
}

#[test]
fn no_key_source_allocates() {
    let sources = [
        (KeySource::Header(HeaderName::from_static("x-user")), ("x-user", "user-1".to_owned())),
        (KeySource::Cookie("uid".into()), ("cookie", "a=b; theme=dark; uid=user-1".to_owned())),
        (KeySource::Query("uid".into()), ("accept", "*/*".to_owned())),
        (KeySource::Ip, ("accept", "*/*".to_owned())),
        (KeySource::OwnCookie, ("cookie", format!("pointsman_id={}", "0123456789abcdef".repeat(2)))),
    ];
    for (source, (header, value)) in sources {
        let table = table(vec![source], Vec::new());
        decide_without_allocating(&table, &[(header, &value)], |d| d.cause == Cause::Key(0) && d.new_key.is_none());
    }
}

#[test]
fn neither_a_new_cookie_nor_chance_allocates() {
    let own = table(vec![KeySource::OwnCookie], Vec::new());
    decide_without_allocating(&own, &[("cookie", "pointsman_id=forged")], |d| d.new_key.is_some());
    let keyless = table(vec![KeySource::Header(HeaderName::from_static("x-user"))], Vec::new());
    decide_without_allocating(&keyless, &[], |d| d.cause == Cause::Chance);
}

#[test]
fn a_claim_of_a_token_does_not_allocate() {
    let table = table(vec![KeySource::Jwt("sub".into())], Vec::new());
    for payload in [
        r#"{"sub":"user-1"}"#,
        r#"{"sub":4200000000}"#,
        r#"{"iss":"https://id.example.com/","aud":["shop","cart"],"exp":1799999999,"admin":false,"sub":"user-1"}"#,
        r#"{"email":"zo\u00eb@example.com","address":{"city":"Bern"},"sub":"user-1"}"#,
        // What identity providers send beside it: objects in objects, escapes in the claim itself.
        r#"{"realm_access":{"roles":["a","b"]},"resource_access":{"shop":{"roles":["c"]}},"sub":"user-1"}"#,
        r#"{"sub":"zo\u00eb \"z\" \ud83d\ude80"}"#,
        r#"{"\u0073ub":"user-1"}"#,
    ] {
        decide_without_allocating(&table, &[("authorization", &bearer(payload))], |d| d.cause == Cause::Key(0));
    }
}

#[test]
fn a_token_without_the_claim_does_not_allocate_either() {
    let table = table(vec![KeySource::Jwt("sub".into())], Vec::new());
    for payload in ["", "{", "[]", r#"{"sub":null}"#, r#"{"sub":1.5}"#, r#"{"sub":{"a":[1]}}"#, r#"{"sub":"x"#] {
        decide_without_allocating(&table, &[("authorization", &bearer(payload))], |d| d.cause == Cause::Chance);
    }
    for value in ["Basic Zm9vOmJhcg==", "Bearer", "Bearer x", "Bearer e30.***.x"] {
        decide_without_allocating(&table, &[("authorization", value)], |d| d.cause == Cause::Chance);
    }
}

#[test]
fn no_rule_allocates() {
    let regex = |text: &str| Pattern::Regex(regex::Regex::new(text).expect("a regex"));
    let segment = Condition { clients: vec!["2001:db8::/32".parse().expect("a block")], ..Condition::default() };
    let when = Condition {
        headers: vec![(HeaderName::from_static("user-agent"), regex("(?i)^mozilla/[0-9.]+ .*(firefox|safari)/[0-9]+"))],
        cookies: vec![("group".into(), Pattern::Prefix("beta-".into()))],
        query: vec![("debug".into(), Pattern::Present)],
        methods: vec![Method::POST, Method::GET],
        path: Some(regex(r"^/cart/v\d+/items/[^/]+$")),
        clients: Vec::new(),
        attributes: Vec::new(),
        segments: vec![Arc::new(Segment { name: name("lab"), when: segment })],
        any: vec![Condition { methods: vec![Method::GET], ..Condition::default() }],
        not: Some(Box::new(Condition { methods: vec![Method::PUT], ..Condition::default() })),
    };
    let misses = Condition { path: Some(Pattern::Exact("/nowhere".into())), ..Condition::default() };
    let rule = |rule, when| RuleSpec::to_version(name(rule), when, name("v2"));
    let table = table(Vec::new(), vec![rule("misses", misses), rule("testers", when)]);
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let tester = [("user-agent", agent), ("cookie", "a=1; group=beta-7")];
    decide_without_allocating(&table, &tester, |d| d.cause == Cause::Rule(1));
    decide_without_allocating(&table, &[("user-agent", agent)], |d| d.cause == Cause::Chance);
}

#[test]
fn no_attribute_allocates() {
    let attribute =
        |attribute, sources: &[KeySource]| Arc::new(Attribute { name: name(attribute), sources: sources.to_vec() });
    let claim = |claim: &str| KeySource::Jwt(claim.into());
    let number = Pattern::Number(18.0..=99.0);
    let version = Pattern::SemVer(VersionRange::parse(">=2.1, <3").expect("a range"));
    let plan = Pattern::OneOf(["team", "pro"].map(Box::from).into());
    let staff = Pattern::Suffix("@example.com".into());
    let header = KeySource::Header(HeaderName::from_static("x-plan"));
    let staff = Condition { attributes: vec![(attribute("email", &[claim("email")]), staff)], ..Condition::default() };
    let when = Condition {
        attributes: vec![
            (attribute("plan", &[header, KeySource::Cookie("plan".into()), claim("plan")]), plan),
            (attribute("app", &[KeySource::Cookie("app".into())]), version),
            (attribute("age", &[KeySource::Query("age".into()), claim("age")]), number),
        ],
        segments: vec![Arc::new(Segment { name: name("staff"), when: staff })],
        ..Condition::default()
    };
    let table = table(Vec::new(), vec![RuleSpec::to_version(name("all"), when, name("v2"))]);
    let token = bearer(r#"{"email":"ann@example.com","plan":"pro","age":42}"#);
    let cookie = "app=v2.4.0-a.very.long.prerelease.with.many.parts+and.build";
    let headers = [("authorization", token.as_str()), ("cookie", cookie)];
    decide_without_allocating(&table, &headers, |d| d.cause == Cause::Rule(0));
    decide_without_allocating(&table, &headers[..1], |d| d.cause == Cause::Chance);
}

/// Flags of every kind, told to the one service.
fn flags() -> FlagSpecs {
    let percent = |percent| Weight::from_percent(percent).expect("a good weight");
    let serve = |on: f64| {
        let weights = BTreeMap::from([(name("on"), percent(on)), (name("off"), percent(100.0 - on))]);
        Weights::new(weights).expect("a sum of 100")
    };
    let email = Attribute { name: name("email"), sources: vec![KeySource::Jwt("email".into())] };
    let staff = Condition {
        attributes: vec![(Arc::new(email), Pattern::Suffix("@example.com".into()))],
        ..Condition::default()
    };
    let staff = Segment { name: name("staff"), when: staff };
    let dogfood = Condition { segments: vec![Arc::new(staff)], ..Condition::default() };
    let rules = || {
        let rule = |rule, when, serve| FlagRuleSpec { name: name(rule), when, serve };
        vec![rule("dogfood", Some(Arc::new(dogfood.clone())), serve(100.0)), rule("launch", None, serve(50.0))]
    };
    let flag = |flag: &str, source| {
        let variant = |(variant, json): (&str, &str)| Variant { name: name(variant), json: json.into() };
        let variants = [("off", "false"), ("on", "true")].map(variant).into();
        Arc::new(FlagSpec { name: name(flag), variants, default: 0, enabled: true, source })
    };
    let (own, shop) = (DrawSpec::Salt("own".into()), DrawSpec::Service(name("shop")));
    let follow = || vec![(name("v2"), 1)];
    let flags = vec![
        flag("chain", FlagSource::Flag(name("theme"), vec![(name("on"), 1)])),
        flag("own", FlagSource::Rules { draw: own, rules: rules() }),
        flag("shop", FlagSource::Rules { draw: shop, rules: rules() }),
        flag("theme", FlagSource::Service(name("shop"), follow())),
    ];
    let told = flags.iter().map(|flag| flag.name.clone()).collect();
    FlagSpecs { flags, told: BTreeMap::from([(name("shop"), told)]) }
}

#[test]
fn no_flag_allocates() {
    let (user, cookie) = (KeySource::Header(HeaderName::from_static("x-user")), KeySource::OwnCookie);
    let token = bearer(r#"{"email":"ann@example.com"}"#);
    for sticky in [vec![user.clone()], vec![user, cookie], vec![KeySource::Jwt("email".into())]] {
        for lines in [&[][..], &[("x-user", "user-1")], &[("authorization", token.as_str())]] {
            let table = table(sticky.clone(), Vec::new()).with_flags(1, &flags(), &BTreeMap::new());
            let line = |(name, value): &(&'static str, &str)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
            };
            let headers: Headers = lines.iter().map(line).collect();
            let view = RequestView {
                method: &Method::GET,
                host: "www.example.com",
                path: b"/cart/v2/items/7",
                query: None,
                headers: &headers,
                client: [192, 0, 2, 1].into(),
                claims: BearerClaims::AS_THEY_STAND,
            };
            let Decision { version, slot, new_key, .. } = decide(&table, &view, 7, |_| true).expect("a service");
            let user = RequestUser { table: &table, view: &view, service: 0, version, slot, new_key, clock: || 0 };
            let ask = || table.flags().told_flags(0).filter_map(|flag| user.variant(flag)).sum::<u16>();
            assert!(ask() <= 4, "a sum of variants");
            let counted = allocation_counter::measure(|| {
                std::hint::black_box(ask());
            });
            assert_eq!(counted.count_total, 0, "{} bytes allocated: {headers:?}", counted.bytes_total);
        }
    }
}

/// The table with an experiment under way on `subject`, for all users of whom an attribute of the token is known.
fn with_experiment(table: &Table, subject: ExperimentSubject, arms: [&str; 2]) -> Table {
    let email = Attribute { name: name("email"), sources: vec![KeySource::Jwt("email".into())] };
    let known = Condition { attributes: vec![(Arc::new(email), Pattern::Present)], ..Condition::default() };
    let segment = Segment { name: name("known"), when: known };
    let spec = AssignmentSpec {
        name: name("button"),
        subject,
        arms: PerArm { control: name(arms[0]), treatment: name(arms[1]) },
        share: Weight::FULL,
        segment: Some(Arc::new(Condition { segments: vec![Arc::new(segment)], ..Condition::default() })),
        layer: None,
        requests: CountedRequests::default(),
    };
    let slots = SlotRanges::default().grown(SLOTS, &SlotRanges::default()).expect("room");
    let text = format!("on;since=1;share=100;of=0000000000000000;slots={slots}");
    let run = ExperimentRun::parse(&text).expect("a run");
    table.with_experiments(2, &[Arc::new(spec)], &BTreeMap::from([(name("button"), Arc::new(run))]))
}

#[test]
fn no_experiment_allocates() {
    let token = bearer(r#"{"email":"ann@example.com"}"#);
    for sticky in [vec![KeySource::Header(HeaderName::from_static("x-user"))], vec![KeySource::OwnCookie]] {
        let plain = table(sticky, Vec::new());
        let of_versions = with_experiment(&plain, ExperimentSubject::Service(name("shop")), ["v1", "v2"]);
        let lines = [("x-user", "user-1"), ("authorization", token.as_str())];
        decide_without_allocating(&of_versions, &lines, |d| d.cause == Cause::Experiment(0));
        decide_without_allocating(&of_versions, &lines[..1], |d| d.cause == Cause::Key(0));
        let flagged = plain.with_flags(1, &flags(), &BTreeMap::new());
        let of_variants = with_experiment(&flagged, ExperimentSubject::Flag(name("own")), ["off", "on"]);
        decide_without_allocating(&of_variants, &lines, |d| ask_without_allocating(&of_variants, d, &lines));
    }
}

/// Asks for all flags, with a count of what is allocated; whether an experiment decided on one.
fn ask_without_allocating(table: &Table, decision: &Decision<'_>, lines: &[(&'static str, &str)]) -> bool {
    let line = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    let headers: Headers = lines.iter().map(line).collect();
    let (method, client, claims) = (&Method::GET, [192, 0, 2, 1].into(), BearerClaims::AS_THEY_STAND);
    let view = RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
    let Decision { version, slot, new_key, .. } = *decision;
    let user = RequestUser { table, view: &view, service: 0, version, slot, new_key, clock: || 0 };
    let ask = || table.flags().told_flags(0).filter_map(|flag| user.variant(flag)).sum::<u16>();
    ask();
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(ask());
    });
    assert_eq!(counted.count_total, 0, "{} bytes allocated", counted.bytes_total);
    table.experiments().running().len() == 1
}
