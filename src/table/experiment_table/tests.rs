//! Experiments beside a split: who is in, which arm, and that others are untouched.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::message::Headers;
use crate::stats::Registry;
use crate::table::fixture::{USER, first_traffic, name, rule, shared, spec, table, weights};
use crate::table::slot_ranges::SlotRanges;
use crate::table::spec::experiment::CountedRequests;
use crate::table::spec::flag::FlagSpecs;
use crate::table::spec::{Condition, KeySource, Pattern, Segment};
use crate::table::{Addresses, BearerClaims, Cause, RequestView, Table, Traffic, Weight, decide};

const USERS: u32 = 20_000;

/// An experiment on `shop`, of `v1` and `v2`.
fn experiment(experiment: &str, layer: Option<&str>) -> AssignmentSpec {
    AssignmentSpec {
        name: name(experiment),
        subject: ExperimentSubject::Service(name("shop")),
        arms: PerArm { control: name("v1"), treatment: name("v2") },
        share: Weight::FULL,
        segment: None,
        layer: layer.map(name),
        requests: CountedRequests::default(),
    }
}

/// A run of this share, in the lowest slots of its layer that are free beside `taken`.
fn run(percent: f64, taken: &SlotRanges) -> Arc<ExperimentRun> {
    grown(&SlotRanges::default(), percent, taken)
}

fn grown(slots: &SlotRanges, percent: f64, taken: &SlotRanges) -> Arc<ExperimentRun> {
    let share = Weight::from_percent(percent).expect("a share");
    let slots = slots.grown(share.slots(), taken).expect("room");
    Arc::new(ExperimentRun { share, slots, ..ExperimentRun::of_everybody(7) })
}

/// The table with these experiments under way.
fn with(table: &Table, experiments: &[(AssignmentSpec, Arc<ExperimentRun>)]) -> Table {
    let specs: Vec<_> = experiments.iter().map(|(spec, _)| Arc::new(spec.clone())).collect();
    let runs = experiments.iter().map(|(spec, run)| (spec.name.clone(), Arc::clone(run))).collect();
    table.with_experiments(2, &specs, &runs)
}

/// What becomes of a request with these headers: the version, and why.
fn decided(table: &Table, lines: &[(&str, &str)]) -> (String, Cause) {
    let line = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    };
    let headers: Headers = lines.iter().map(line).collect();
    let (method, client, claims) = (&Method::GET, [192, 0, 2, 1].into(), BearerClaims::AS_THEY_STAND);
    let view = RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
    let decision = decide(table, &view, u128::MAX / 3, |_| true).expect("a service");
    (decision.version().name.to_string(), decision.cause)
}

fn of_user(table: &Table, user: u32) -> (String, Cause) {
    decided(table, &[(USER.as_str(), &format!("user-{user}"))])
}

/// The users of each experiment, with their arms.
fn users_of(table: &Table) -> Vec<BTreeSet<(u32, String)>> {
    let mut users = vec![BTreeSet::new(); table.experiments().running().len()];
    for user in 0..USERS {
        if let (version, Cause::Experiment(index)) = of_user(table, user) {
            users[usize::from(index)].insert((user, version));
        }
    }
    users
}

#[track_caller]
fn about(found: usize, of: usize, ratio: f64) {
    let (of, found) = (of as f64, found as f64);
    let deviation = (of * ratio * (1.0 - ratio)).sqrt();
    assert!((found - of * ratio).abs() < 4.0 * deviation + 1.0, "{found} of {of}, want {ratio}");
}

#[test]
fn experiments_of_a_layer_share_no_user_and_halve_their_own() {
    let plain = table([spec("shop", "v1=80 v2=20")]);
    let first = run(40.0, &SlotRanges::default());
    let second = run(60.0, &first.slots);
    let table = with(
        &plain,
        &[(experiment("button", Some("checkout")), first), (experiment("colour", Some("checkout")), second)],
    );
    let users = users_of(&table);
    let [button, colour] = &users[..] else { panic!("{} experiments", users.len()) };
    assert_eq!(button.len() + colour.len(), USERS as usize, "together they have the whole layer");
    about(button.len(), USERS as usize, 0.4);
    for users in [button, colour] {
        about(users.iter().filter(|(_, version)| version == "v2").count(), users.len(), 0.5);
    }
}

#[test]
fn experiments_of_different_layers_are_independent() {
    let plain = table([spec("shop", "v1=80 v2=20")]);
    let run = || run(50.0, &SlotRanges::default());
    let one = users_of(&with(&plain, &[(experiment("button", Some("one")), run())]));
    let other = users_of(&with(&plain, &[(experiment("button", Some("other")), run())]));
    let both = one[0].intersection(&other[0]).count();
    about(both, USERS as usize, 0.25);
    let alone = users_of(&with(&plain, &[(experiment("button", None), run())]));
    let again = users_of(&with(&plain, &[(experiment("colour", None), run())]));
    let users = |of: &BTreeSet<(u32, String)>| of.iter().map(|(user, _)| *user).collect::<BTreeSet<_>>();
    about(users(&alone[0]).intersection(&users(&again[0])).count(), USERS as usize, 0.25);
}

/// The arm says nothing about the split, the layer's slots, or the arm in another experiment.
#[test]
fn the_arm_is_independent_of_the_split_and_of_the_slots() {
    let plain = table([spec("shop", "v1=50 v2=50")]);
    let all = run(100.0, &SlotRanges::default());
    let table = with(&plain, &[(experiment("button", Some("checkout")), Arc::clone(&all))]);
    let other = with(&plain, &[(experiment("colour", Some("checkout")), all)]);
    let low = Salt::new("layer:checkout");
    let (mut same_as_split, mut same_as_half, mut same_as_other) = (0, 0, 0);
    for user in 0..USERS {
        let (version, _) = of_user(&table, user);
        same_as_split += usize::from(of_user(&plain, user).0 == version);
        same_as_other += usize::from(of_user(&other, user).0 == version);
        let in_low_half = low.slot(format!("user-{user}").as_bytes()) < SLOTS / 2;
        same_as_half += usize::from(in_low_half == (version == "v2"));
    }
    for same in [same_as_split, same_as_half, same_as_other] {
        about(same, USERS as usize, 0.5);
    }
}

proptest! {
    /// A share that grows takes users in and moves none, whatever lies in the layer between.
    #[test]
    fn a_share_that_grows_moves_no_user(
        shares in proptest::collection::vec(1_u32..30_000, 1..4),
        beside in 0_u32..60_000,
    ) {
        let plain = table([spec("shop", "v1=80 v2=20")]);
        let percent = |slots: u32| Weight::from_slots(slots).expect("a share").percent();
        let taken = match beside {
            0 => SlotRanges::default(),
            _ => run(percent(beside), &run(percent(shares[0].div_ceil(2)), &SlotRanges::default()).slots).slots.clone(),
        };
        let mut shares = shares.clone();
        shares.sort_unstable();
        let mut now = SlotRanges::default();
        let mut before: BTreeSet<u32> = BTreeSet::new();
        let mut arms: BTreeMap<u32, String> = BTreeMap::new();
        for share in shares {
            let run = grown(&now, percent(share), &taken);
            now = run.slots.clone();
            let table = with(&plain, &[(experiment("button", Some("checkout")), run)]);
            let mut after = BTreeSet::new();
            for user in 0..1_000 {
                if let (version, Cause::Experiment(_)) = of_user(&table, user) {
                    after.insert(user);
                    prop_assert_eq!(arms.entry(user).or_insert_with(|| version.clone()), &version);
                    let slot = Salt::new("layer:checkout").slot(format!("user-{user}").as_bytes());
                    prop_assert!(!taken.contains(slot));
                }
            }
            prop_assert!(before.is_subset(&after));
            before = after;
        }
    }

    /// Those whom no experiment takes in have what they had.
    #[test]
    fn others_are_untouched(share in 1_u32..100, user in 0_u32..1_000_000) {
        let plain = table([spec("shop", "v1=30 v2=30 v3=40")]);
        let run = run(f64::from(share), &SlotRanges::default());
        let table = with(&plain, &[(experiment("button", None), run)]);
        let (version, cause) = of_user(&table, user);
        if matches!(cause, Cause::Experiment(_)) {
            prop_assert!(version == "v1" || version == "v2");
        } else {
            prop_assert_eq!((version, cause), of_user(&plain, user));
        }
    }
}

fn header(name: &'static str) -> Condition {
    Condition { headers: vec![(HeaderName::from_static(name), Pattern::Present)], ..Condition::default() }
}

#[test]
fn rules_come_first_and_a_segment_is_asked() {
    let beta = Segment { name: name("beta"), when: header("x-beta") };
    let segment = Condition { segments: vec![Arc::new(beta)], ..Condition::default() };
    let shop = ServiceSpec { rules: vec![rule("lab", header("x-lab"), "v3")], ..spec("shop", "v1=0 v2=0 v3=100") };
    let plain = table([shop]);
    let spec = AssignmentSpec { segment: Some(Arc::new(segment)), ..experiment("button", None) };
    let table = with(&plain, &[(spec, run(100.0, &SlotRanges::default()))]);
    let mut arms = BTreeSet::new();
    for user in ["ann", "bob", "carl", "dora", "emil", "fritz", "gerd", "hans"] {
        let cause = |lines: &[(&str, &str)]| decided(&table, &[lines, &[(USER.as_str(), user)]].concat());
        assert_eq!(cause(&[]), ("v3".to_owned(), Cause::Key(0)), "{user} is in no segment");
        assert_eq!(cause(&[("x-beta", "1"), ("x-lab", "1")]), ("v3".to_owned(), Cause::Rule(0)));
        let (version, why) = cause(&[("x-beta", "1")]);
        assert_eq!(why, Cause::Experiment(0));
        arms.insert(version);
    }
    assert_eq!(arms.into_iter().collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(decided(&table, &[("x-beta", "1")]), ("v3".to_owned(), Cause::Chance), "there is no key");
}

#[test]
fn a_user_who_is_just_given_a_key_is_in_by_that_key() {
    let shop = ServiceSpec { sticky: vec![KeySource::OwnCookie], ..spec("shop", "v1=100 v2=0") };
    let table = with(&table([shop]), &[(experiment("button", None), run(100.0, &SlotRanges::default()))]);
    let headers = Headers::default();
    let (method, client, claims) = (&Method::GET, [192, 0, 2, 1].into(), BearerClaims::AS_THEY_STAND);
    let view = RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
    let mut versions = BTreeSet::new();
    for chance in 0..32 {
        let first = decide(&table, &view, chance, |_| true).expect("a service");
        let key = first.new_key.expect("a key");
        let cookie = format!("pointsman_id={}", std::str::from_utf8(key.as_bytes()).expect("digits"));
        assert_eq!(first.cause, Cause::Experiment(0));
        let (version, cause) = decided(&table, &[("cookie", &cookie)]);
        assert_eq!((version.as_str(), cause), (first.version().name.as_str(), Cause::Experiment(0)));
        versions.insert(version);
    }
    assert_eq!(versions.len(), 2);
}

#[test]
fn the_first_experiment_that_takes_a_user_in_decides() {
    let plain = table([spec("shop", "v1=0 v2=0 v3=50 v4=50")]);
    let later = AssignmentSpec {
        arms: PerArm { control: name("v3"), treatment: name("v4") },
        ..experiment("second", Some("other"))
    };
    let half = || run(50.0, &SlotRanges::default());
    let all = || run(100.0, &SlotRanges::default());
    // The order is that of the names, whatever the order of the definitions is.
    let table = with(&plain, &[(later, all()), (experiment("first", Some("one")), half())]);
    let users = users_of(&table);
    about(users[0].len(), USERS as usize, 0.5);
    assert_eq!(users[0].len() + users[1].len(), USERS as usize);
    for (users, treatment) in users.iter().zip(["v2", "v4"]) {
        about(users.iter().filter(|(_, version)| version == treatment).count(), users.len(), 0.5);
    }
}

#[test]
fn only_what_runs_and_has_its_arms_decides() {
    let plain = table([spec("shop", "v1=100 v2=0")]);
    let ended = Arc::new(ExperimentRun::of_everybody(7).ended());
    let gone =
        AssignmentSpec { arms: PerArm { control: name("v1"), treatment: name("v9") }, ..experiment("gone", None) };
    let elsewhere =
        AssignmentSpec { subject: ExperimentSubject::Service(name("cart")), ..experiment("elsewhere", None) };
    let all = || run(100.0, &SlotRanges::default());
    let table = with(&plain, &[(experiment("ended", None), ended), (gone, all()), (elsewhere, all())]);
    assert!(table.experiments().is_empty());
    assert_eq!(of_user(&table, 1).1, Cause::Key(0));
    let none = plain.with_experiments(2, &[Arc::new(experiment("never", None))], &BTreeMap::new());
    assert!(none.experiments().is_empty() && none.flags().told(0).is_none());
}

#[test]
fn a_change_of_anything_else_leaves_experiments_as_they_are() {
    let registry = Registry::new(1);
    let specs = shared([spec("shop", "v1=100 v2=0"), {
        let mut cart = spec("cart", "v1=100 v2=0");
        cart.hosts = vec![crate::table::spec::HostPattern::Exact("cart".into())];
        cart
    }]);
    let plain = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    let table = with(&plain, &[(experiment("button", None), run(50.0, &SlotRanges::default()))]);
    let users = users_of(&table);
    about(users[0].len(), USERS as usize, 0.5);
    let traffic = Arc::new(Traffic::first("shop-2".into(), &weights("v1=0 v2=100")));
    let shifted = table.with_traffic(3, [(&name("shop"), &traffic)], &registry).expect("it fits");
    assert_eq!(users_of(&shifted), users);
    let moved = shifted.with_addresses(&Arc::new(Addresses::default()), &registry).expect("it fits");
    assert_eq!(users_of(&moved), users);
    let flagged = moved.with_flags(4, &FlagSpecs::default(), &BTreeMap::new());
    assert_eq!(users_of(&flagged), users);
    let stopped = flagged.with_experiments(5, &[], &BTreeMap::new());
    assert_eq!(of_user(&stopped, 1), ("v2".to_owned(), Cause::Key(0)));
    assert!(stopped.flags().told(0).is_none(), "nothing is looked at any more");
}

#[test]
fn caches_and_the_look_at_tokens_know_of_experiments() {
    let shop = ServiceSpec {
        sticky: vec![KeySource::Header(USER)],
        rules: vec![rule("lab", header("x-lab"), "v1")],
        ..spec("shop", "v1=100 v2=0")
    };
    let plain = table([shop]);
    assert!(plain.service(0).vary.is_none() && plain.flags().told(0).is_none());
    let plan = crate::table::spec::Attribute { name: name("plan"), sources: vec![KeySource::Jwt("plan".into())] };
    let segment = Condition { attributes: vec![(Arc::new(plan), Pattern::Present)], ..header("x-beta") };
    let spec = AssignmentSpec { segment: Some(Arc::new(segment)), ..experiment("button", None) };
    let table = with(&plain, &[(spec.clone(), run(1.0, &SlotRanges::default()))]);
    let told = table.flags().told(0).expect("something is looked at");
    let vary = told.vary.as_ref().expect("headers decide").names().iter().map(HeaderName::as_str);
    assert_eq!(vary.collect::<BTreeSet<_>>(), BTreeSet::from(["authorization", "x-beta", "x-lab", "x-user"]));
    assert!(told.reads_tokens && table.reads_tokens(0) && !plain.reads_tokens(0));
    let services = shared([ServiceSpec::clone(&table.service(0).spec)]);
    let readers = crate::table::flag_table::token_readers(&services, &FlagSpecs::default(), &[Arc::new(spec)]);
    assert_eq!(readers.len(), 1);
    assert!(crate::table::flag_table::token_readers(&services, &FlagSpecs::default(), &[]).is_empty());
}

#[test]
fn chances_are_what_random_keys_get() {
    let plain = table([spec("shop", "v1=100 v2=0")]);
    let first = run(30.0, &SlotRanges::default());
    let second = run(20.0, &first.slots);
    let third = run(50.0, &SlotRanges::default());
    let table = with(
        &plain,
        &[
            (experiment("a", Some("one")), first),
            (experiment("b", Some("other")), third),
            (experiment("c", Some("one")), second),
        ],
    );
    let headers = Headers::default();
    let (method, client, claims) = (&Method::GET, [192, 0, 2, 1].into(), BearerClaims::AS_THEY_STAND);
    let view = RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
    let chances = table.experiments().chances(0, &view);
    for ((users, (_, chance)), wanted) in users_of(&table).iter().zip(&chances).zip([0.3, 0.35, 0.1]) {
        assert!((chance - wanted).abs() < 1e-9, "{chance}");
        about(users.len(), USERS as usize, wanted);
    }
}
