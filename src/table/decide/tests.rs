//! Decisions on small tables: shifts and rollbacks by user, rules before the split, and the sources of keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderValue, Method};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::message::Headers;
use crate::stats::Registry;
use crate::table::fixture::{USER, first_traffic, rule, shared, spec, table, weights};
use crate::table::spec::{Condition, KeySource, Pattern, ServiceSpec};
use crate::table::{BearerClaims, SLOTS, Traffic};

/// Seed of every draw below: a run that fails fails again.
const SEED: u64 = 0x0070_0173;

fn headers(list: &[(&'static str, &str)]) -> Headers {
    let pairs = list.iter().map(|(name, value)| {
        (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
    });
    pairs.collect()
}

fn request(headers: &Headers) -> RequestView<'_> {
    RequestView {
        method: &Method::GET,
        host: "shop.example",
        path: b"/cart",
        query: Some(b"uid=from-query"),
        headers,
        client: "192.0.2.7".parse().expect("an address"),
        claims: BearerClaims::AS_THEY_STAND,
    }
}

fn user(number: u32) -> Headers {
    headers(&[("x-user", &format!("user-{number}"))])
}

/// The name of the version that responds, with every version usable.
fn version<'t>(table: &'t Table, headers: &Headers, chance: u128) -> &'t str {
    decide(table, &request(headers), chance, |_| true).expect("a service for any host").version().name.as_str()
}

fn versions(table: &Table, users: std::ops::Range<u32>) -> Vec<&str> {
    users.map(|number| version(table, &user(number), 0)).collect()
}

fn share(versions: &[&str], of: &str) -> f64 {
    let count = u32::try_from(versions.iter().filter(|v| **v == of).count()).expect("few");
    100.0 * f64::from(count) / f64::from(u32::try_from(versions.len()).expect("few"))
}

/// `service`, shifted through `splits`: a table for each.
fn shifts(service: ServiceSpec, splits: &[&str]) -> Vec<Table> {
    let registry = Registry::new(1);
    let (name, specs) = (service.name.clone(), shared([service]));
    let mut table = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    let mut tables = Vec::new();
    for split in splits {
        let traffic = &table.service(0).traffic;
        let shifted = Arc::new(traffic.shifted(&weights(split), || "shop-2".into()));
        table = table.with_traffic(2, [(&name, &shifted)], &registry).expect("the traffic fits");
        tables.push(table.with_traffic(2, [], &registry).expect("nothing changes"));
    }
    tables
}

#[test]
fn four_thousand_users_shift_without_going_back() {
    let tables = shifts(spec("shop", "v1=100 v2=0"), &["v1=90 v2=10", "v1=70 v2=30"]);
    let (at_10, at_30) = (versions(&tables[0], 0..4_000), versions(&tables[1], 0..4_000));
    assert!((share(&at_10, "v2") - 10.0).abs() <= 1.5, "{} % at 10 %", share(&at_10, "v2"));
    let changes: Vec<_> = at_10.iter().zip(&at_30).filter(|(before, after)| before != after).collect();
    assert!(changes.iter().all(|change| *change == (&"v1", &"v2")), "nobody goes back");
    let moved = 100.0 * f64::from(u32::try_from(changes.len()).expect("few")) / 4_000.0;
    assert!((moved - 20.0).abs() <= 1.5, "{moved} % moved, 20 % of the slots did");
}

#[test]
fn a_rollback_restores_every_user() {
    let tables = shifts(
        spec("shop", "v1=100 v2=0 v3=0"),
        &["v1=60 v2=30 v3=10", "v1=10 v2=50 v3=40", "v1=100 v2=0 v3=0", "v1=50 v2=50 v3=0"],
    );
    let then: &Traffic = &tables[0].service(0).traffic;
    let restored = Arc::new(tables[3].service(0).traffic.restored(then));
    let name = &tables[0].service(0).spec.name;
    let back = tables[3].with_traffic(6, [(name, &restored)], &Registry::new(1)).expect("the traffic fits");
    assert_ne!(versions(&tables[3], 0..1_000), versions(&tables[0], 0..1_000));
    assert_eq!(versions(&back, 0..1_000), versions(&tables[0], 0..1_000));
}

#[test]
fn rules_come_before_the_split_and_the_first_wins() {
    let header = |value: &str| Condition {
        headers: vec![(http::HeaderName::from_static("x-canary"), Pattern::Exact(value.into()))],
        ..Condition::default()
    };
    let mut service = spec("shop", "v1=100 v2=0 v3=0");
    service.rules = vec![rule("testers", header("always"), "v2"), rule("late", header("always"), "v3")];
    service.rules.push(rule("other", header("other"), "v3"));
    let table = table([service]);
    let found = |list: &[(&'static str, &str)]| {
        let headers = headers(list);
        let decision = decide(&table, &request(&headers), 7, |_| true).expect("decided");
        (decision.version().name.to_string(), decision.cause, decision.slot.is_some(), decision.new_key.is_some())
    };
    let by_rule = |version: &str, index| (version.to_owned(), Cause::Rule(index), false, false);
    assert_eq!(found(&[("x-canary", "always"), ("x-user", "user-1")]), by_rule("v2", 0));
    assert_eq!(found(&[("x-canary", "other")]), by_rule("v3", 2));
    assert_eq!(found(&[("x-canary", "no"), ("x-user", "u")]), ("v1".to_owned(), Cause::Key(0), true, false));
}

#[test]
fn weight_zero_is_reached_by_a_rule_only() {
    let mut service = spec("shop", "v1=100 v2=0");
    let posts = Condition { methods: vec![Method::POST], ..Condition::default() };
    service.rules = vec![rule("posts", posts, "v2")];
    let table = table([service]);
    assert!(versions(&table, 0..2_000).iter().all(|version| *version == "v1"));
    let none = Headers::default();
    let all_chances = (0..u128::from(u32::MAX)).step_by(1 << 20).chain([u128::from(u32::MAX), u128::MAX]);
    assert!(all_chances.into_iter().all(|chance| version(&table, &none, chance) == "v1"));
    let post = RequestView { method: &Method::POST, ..request(&none) };
    assert_eq!(decide(&table, &post, 0, |_| true).expect("decided").version().name.as_str(), "v2");
    // Nor is it a refuge: without v1 there is nothing to pass to.
    let refused = decide(&table, &request(&none), 0, |version| version.name.as_str() == "v2");
    assert!(matches!(refused, Err(RouteError::NoVersion { service, .. }) if service.spec.name.as_str() == "shop"));
}

#[test]
fn the_first_source_that_is_present_wins() {
    let mut service = spec("shop", "v1=50 v2=50");
    service.sticky = vec![
        KeySource::Header(USER),
        KeySource::Cookie("uid".into()),
        KeySource::Jwt("sub".into()),
        KeySource::Query("uid".into()),
        KeySource::Ip,
    ];
    let table = table([service]);
    // The payload is {"sub":"from-token"}.
    let token = ("authorization", "Bearer e30.eyJzdWIiOiJmcm9tLXRva2VuIn0.x");
    let cookie = ("cookie", "uid=from-cookie");
    let salt = &table.service(0).salt;
    for (list, index, key) in [
        (&[("x-user", "from-header"), cookie, token][..], 0, "from-header"),
        (&[("x-user", ""), cookie, token], 1, "from-cookie"),
        (&[("cookie", "uid="), token], 2, "from-token"),
        (&[("authorization", "Basic Zm9v")], 3, "from-query"),
    ] {
        let headers = headers(list);
        let decision = decide(&table, &request(&headers), 9, |_| true).expect("decided");
        assert_eq!((decision.cause, decision.slot), (Cause::Key(index), Some(salt.slot(key.as_bytes()))), "{key}");
    }
    let none = Headers::default();
    let bare = RequestView { query: None, ..request(&none) };
    let decision = decide(&table, &bare, 9, |_| true).expect("decided");
    assert_eq!((decision.cause, decision.slot), (Cause::Key(4), Some(salt.slot(b"192.0.2.7"))));
}

#[test]
fn our_own_cookie_is_set_once_and_keeps_its_user() {
    let mut service = spec("shop", "v1=50 v2=50");
    service.sticky.push(KeySource::OwnCookie);
    let table = table([service]);
    let mut rng = StdRng::seed_from_u64(SEED);
    for _ in 0..500 {
        let none = Headers::default();
        let first = decide(&table, &request(&none), rng.random(), |_| true).expect("decided");
        let key = first.new_key.expect("there was no key");
        let value = std::str::from_utf8(key.as_bytes()).expect("digits");
        let cookie = headers(&[("cookie", &format!("theme=dark; pointsman_id={value}"))]);
        let next = decide(&table, &request(&cookie), rng.random(), |_| true).expect("decided");
        assert_eq!((next.cause, next.new_key), (Cause::Key(1), None), "seed {SEED}");
        assert_eq!((next.slot, next.version), (first.slot, first.version), "seed {SEED}");
    }
    let known = decide(&table, &request(&user(1)), 1, |_| true).expect("decided").new_key;
    assert_eq!(known, None, "a user with another key needs no cookie");
    let forged = headers(&[("cookie", "pointsman_id=../../etc")]);
    assert!(decide(&table, &request(&forged), 1, |_| true).expect("decided").new_key.is_some());
}

#[test]
fn equal_inputs_give_equal_decisions() {
    // A second table of the same traffic stands for another worker, another replica, or the process after a restart.
    let build = || {
        let mut service = spec("shop", "v1=40 v2=35 v3=25");
        service.sticky.push(KeySource::OwnCookie);
        table([service])
    };
    let (here, there) = (build(), build());
    let mut rng = StdRng::seed_from_u64(SEED);
    for number in 0..2_000 {
        let (chance, down) = (rng.random(), rng.random_range(0..4_u16));
        let headers = if number % 2 == 0 { user(number) } else { Headers::default() };
        let view = |table: &Table| {
            let usable = |version: &Candidate<'_>| version.name.as_str() != format!("v{down}");
            let decision = decide(table, &request(&headers), chance, usable).expect("two versions are usable");
            (decision.version, decision.assigned, decision.cause, decision.slot, decision.new_key)
        };
        assert_eq!(view(&here), view(&there), "seed {SEED}, user {number}");
    }
}

#[test]
fn requests_without_a_key_follow_the_weights() {
    let mut service = spec("shop", "v1=70 v2=25 v3=5");
    service.sticky.clear();
    let table = table([service]);
    let (none, mut rng) = (Headers::default(), StdRng::seed_from_u64(SEED));
    let drawn: Vec<_> = (0..40_000).map(|_| version(&table, &none, rng.random())).collect();
    for (version, percent) in [("v1", 70.0), ("v2", 25.0), ("v3", 5.0)] {
        // Four standard deviations of 40,000 draws at 50 % are one point.
        assert!((share(&drawn, version) - percent).abs() < 1.0, "seed {SEED}: {version} {}", share(&drawn, version));
    }
    let decision = decide(&table, &request(&none), 1 << 31, |_| true).expect("decided");
    assert_eq!((decision.cause, decision.slot, decision.new_key), (Cause::Chance, Some(SLOTS / 2), None));
}

#[test]
fn an_unusable_version_passes_its_users_on_in_proportion() {
    let table = table([spec("shop", "v1=50 v2=30 v3=20")]);
    let without_v1 = |version: &Candidate<'_>| version.name.as_str() != "v1";
    let mut passed_to = Vec::new();
    for number in 0..8_000 {
        let headers = user(number);
        let decision = decide(&table, &request(&headers), 0, without_v1).expect("decided");
        let again = decide(&table, &request(&headers), u128::from(number) << 5, without_v1).expect("decided");
        assert_eq!(decision.version, again.version, "a user stays with one version, whatever chance says");
        assert_eq!(decision.failed_over(), decision.assigned == 0);
        let healthy = decide(&table, &request(&headers), 0, |_| true).expect("decided");
        assert_eq!((healthy.version, healthy.failed_over()), (decision.assigned, false));
        if decision.failed_over() {
            passed_to.push(decision.version().name.as_str());
        }
    }
    assert!((share(&passed_to, "v2") - 60.0).abs() < 3.0, "{} of {}", share(&passed_to, "v2"), passed_to.len());
    let none_usable = decide(&table, &request(&user(1)), 0, |_| false);
    assert!(matches!(none_usable, Err(RouteError::NoVersion { .. })));
}

#[test]
fn a_version_that_blinks_is_taken_over_within_bounds() {
    let in_hundred = |split: &str, out: &[&str], takeover: Takeover| {
        let table = table([spec("shop", split)]);
        let available = |version: &Candidate<'_>| match out.contains(&version.name.as_str()) {
            true => Availability::Out(takeover),
            false => Availability::Ready,
        };
        let mut taken = BTreeMap::<String, f64>::new();
        for number in 0..20_000 {
            let headers = user(number);
            if let Ok(decision) = decide(&table, &request(&headers), 0, available) {
                *taken.entry(decision.version().name.to_string()).or_default() += 100.0 / 20_000.0;
                let again = decide(&table, &request(&headers), u128::from(number) << 9, available).expect("decided");
                assert_eq!(decision.version, again.version, "a user stays with one version");
            }
        }
        taken
    };
    for (split, out, wanted) in [
        ("v1=99 v2=1", &["v1"][..], &[("v2", 2.0)][..]),
        ("v1=90 v2=10", &["v1"], &[("v2", 20.0)]),
        ("v1=90 v2=10", &["v2"], &[("v1", 100.0)]),
        ("v1=50 v2=50", &["v1"], &[("v2", 100.0)]),
        ("v1=60 v2=30 v3=10", &["v1"], &[("v2", 60.0), ("v3", 20.0)]),
        ("v1=60 v2=30 v3=10", &["v1", "v2"], &[("v3", 20.0)]),
    ] {
        let taken = in_hundred(split, out, Takeover::Bounded);
        assert_eq!(taken.len(), wanted.len(), "{split} without {out:?}: {taken:?}");
        for (version, share) in wanted {
            let got = taken[*version];
            assert!(
                (got - share).abs() < 1.0 + share / 50.0,
                "{split} without {out:?}: {version} has {got}, not {share}"
            );
        }
        let full: f64 = in_hundred(split, out, Takeover::Full).values().sum();
        assert!((full - 100.0).abs() < 1e-6, "{split} without {out:?}: {full}");
    }
}

#[test]
fn the_last_resort_is_tried_before_a_bounded_takeover_and_after_a_full_one() {
    let table = table([spec("shop", "v1=50 v2=50"), {
        let mut alone = spec("alone", "v1=100 v2=0");
        alone.paths = vec![crate::table::spec::PathPrefix::new("/alone").expect("a path")];
        alone
    }]);
    let decided = |path: &'static str, v1: Availability| {
        let available = |version: &Candidate<'_>| match version.name.as_str() {
            "v1" => v1,
            _ => Availability::Ready,
        };
        let of_v1 = (0..).map(user).find(|headers| version(&table, headers, 0) == "v1").expect("a user of v1");
        let request = RequestView { path: path.as_bytes(), ..request(&of_v1) };
        decide(&table, &request, 0, available).map(|decision| decision.version().name.to_string()).ok()
    };
    let [bounded, full] = [Takeover::Bounded, Takeover::Full];
    assert_eq!(decided("/", Availability::LastResort(bounded)).as_deref(), Some("v1"));
    assert_eq!(decided("/", Availability::Out(bounded)).as_deref(), Some("v2"));
    assert_eq!(decided("/", Availability::LastResort(full)).as_deref(), Some("v2"), "nobody waits for it");
    assert_eq!(decided("/alone", Availability::LastResort(full)).as_deref(), Some("v1"), "there is no other");
    assert_eq!(decided("/alone", Availability::Out(full)), None);
}

#[test]
fn a_rule_to_an_unusable_version_is_passed_on_too() {
    let mut service = spec("shop", "v1=60 v2=40 v3=0");
    service.rules = vec![rule("everybody", Condition::default(), "v3")];
    let table = table([service]);
    let (none, mut rng) = (Headers::default(), StdRng::seed_from_u64(SEED));
    let mut drawn = Vec::new();
    for _ in 0..8_000 {
        let decision = decide(&table, &request(&none), rng.random(), |version| version.name.as_str() != "v3");
        let decision = decision.expect("decided");
        assert_eq!((decision.cause, decision.assigned, decision.failed_over()), (Cause::Rule(0), 2, true));
        drawn.push(decision.version().name.as_str());
    }
    assert!((share(&drawn, "v1") - 60.0).abs() < 3.0, "seed {SEED}: {}", share(&drawn, "v1"));
}

#[test]
fn a_service_may_refuse_instead_of_passing_on() {
    let mut service = spec("shop", "v1=50 v2=50");
    service.policy.on_unhealthy = OnUnhealthy::Refuse;
    let table = table([service]);
    let without_v1 = |version: &Candidate<'_>| version.name.as_str() != "v1";
    for number in 0..200 {
        let headers = user(number);
        let decision = decide(&table, &request(&headers), 0, without_v1);
        match version(&table, &headers, 0) {
            "v1" => assert!(matches!(decision, Err(RouteError::NoVersion { .. })), "user {number}"),
            _ => assert!(!decision.expect("v2 is usable").failed_over(), "user {number}"),
        }
    }
}

#[test]
fn no_service_is_said() {
    let mut service = spec("shop", "v1=100");
    service.paths = vec![crate::table::spec::PathPrefix::new("/api").expect("a path")];
    let (table, none) = (table([service]), Headers::default());
    assert!(matches!(decide(&table, &request(&none), 0, |_| true), Err(RouteError::NoService)));
    assert!(matches!(decide(&Table::empty(), &request(&none), 0, |_| true), Err(RouteError::NoService)));
}

#[test]
fn a_candidate_is_as_usable_as_its_version() {
    let registry = Registry::new(1);
    let mut shop = spec("shop", "v1=50 v2=50");
    shop.versions[0].endpoints.push(([10, 0, 0, 9], 80).into());
    let mut specs = shared([shop, spec("other", "v1=100")]);
    Arc::make_mut(&mut specs[1]).paths = vec![crate::table::spec::PathPrefix::new("/other").expect("a path")];
    let traffic = first_traffic(&specs);
    let table = Table::compile(1, &specs, &traffic, &registry).expect("the traffic fits");
    let shop = table.service(0);
    let check = |table: &Table, all_healthy: bool| {
        assert_eq!(table.all_healthy(table.entry(0)), all_healthy);
        assert!(table.all_healthy(table.entry(1)), "another service's endpoints are not its concern");
        for now_ms in [0, 100, 10_000] {
            let asked = std::cell::Cell::new(0);
            let available = |version: &Candidate<'_>| {
                asked.set(asked.get() + 1);
                let (quick, slow) = (version.availability(now_ms), Version::availability(version, now_ms));
                assert_eq!(quick, slow, "{} at {now_ms}", version.name);
                quick
            };
            for number in 0..20 {
                let _ = decide(table, &request(&user(number)), 0, available);
            }
            assert!(asked.get() >= 20);
        }
    };
    check(&table, true);
    let [first, second] = &*shop.versions[0].endpoints else { panic!("two endpoints") };
    first.stats.health.refused(0, String::new);
    first.stats.health.refused(10, String::new);
    check(&table, false);
    second.stats.health.refused(10, String::new);
    shop.versions[1].endpoints[0].stats.health.refused(10, String::new);
    check(&table, false);
    first.stats.health.connected(20);
    first.stats.health.connected(20);
    second.stats.health.connected(20);
    check(&table, false);
    shop.versions[1].endpoints[0].stats.health.connected(20);
    check(&table, true);
    // A version all of whose endpoints are drained is never taken for granted.
    let mut drained = Traffic::clone(&shop.traffic);
    drained.drained.insert((shop.versions[0].name.clone(), first.address.into()));
    let with = |drained: &Traffic| {
        table.with_traffic(2, [(&shop.spec.name, &Arc::new(drained.clone()))], &registry).expect("the traffic fits")
    };
    check(&with(&drained), true);
    drained.drained.insert((shop.versions[0].name.clone(), second.address.into()));
    check(&with(&drained), false);
}

#[test]
fn every_rule_and_source_of_many_is_reached() {
    let header = |name: String| http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
    let when = |n: u32| Condition {
        headers: vec![(header(format!("x-group-{}", n % 2)), Pattern::Exact(format!("group-{n}").into()))],
        ..Condition::default()
    };
    let mut service = spec("shop", "v1=50 v2=50");
    service.rules = (0..30).map(|n| rule(&format!("r{n}"), when(n), "v2")).collect();
    service.sticky = (0..8).map(|n| KeySource::Header(header(format!("x-user-{n}")))).collect();
    let table = table([service]);
    let cause = |name: String, value: &str| {
        let headers: Headers = [(header(name), value.parse().expect("a value"))].into_iter().collect();
        decide(&table, &request(&headers), 0, |_| true).expect("decided").cause
    };
    for n in 0..30_u16 {
        let value = format!("group-{n}");
        assert_eq!(cause(format!("x-group-{}", n % 2), &value), Cause::Rule(n));
        assert_eq!(cause(format!("x-group-{}", (n + 1) % 2), &value), Cause::Chance);
    }
    for n in 0..8_u16 {
        assert_eq!(cause(format!("x-user-{n}"), "u"), Cause::Key(n));
    }
}
