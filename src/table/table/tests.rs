//! Tables that are built whole and from the one before: what they share, and what they refuse.

use http::HeaderName;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::stats::labels::CodeClass;
use crate::table::fixture::{first_traffic, name, rule, shared, spec, weights};
use crate::table::rules::CompiledTarget;
use crate::table::spec::{Condition, HostPattern, KeySource, Pattern};

fn on_host(service: &str, host: &str) -> ServiceSpec {
    ServiceSpec { hosts: vec![HostPattern::Exact(host.into())], ..spec(service, "v1=90 v2=10") }
}

#[test]
fn a_table_holds_what_it_was_built_of() {
    let mut shop = on_host("shop", "shop.example");
    shop.rules = vec![rule("testers", Condition::default(), "v2")];
    let (specs, registry) = (shared([shop, on_host("cart", "cart.example")]), Registry::new(2));
    let mut traffic = first_traffic(&specs);
    let address = specs[0].versions[1].endpoints[0];
    Arc::make_mut(traffic.get_mut("shop").expect("a service")).drained.insert((name("v2"), address.into()));
    let table = Table::compile(41, &specs, &traffic, &registry).expect("the traffic fits");
    assert_eq!((table.revision, table.services().len()), (41, 2));
    assert_eq!((table.find("shop.example", "/"), table.find("cart.example", "/x")), (Some(0), Some(1)));
    assert_eq!(table.find("other.example", "/"), None);
    let shop = table.service_named("shop").expect("a service");
    let picked = (shop.weights(), shop.salt.as_str(), shop.rules[0].target);
    assert_eq!(picked, (weights("v1=90 v2=10"), "shop-1", CompiledTarget::Version(1)));
    let v2 = shop.version_named("v2").expect("a version");
    assert_eq!((v2.weight.percent(), v2.endpoints[0].address, v2.endpoints[0].drained), (10.0, address, true));
    assert!(!v2.usable(0), "its only endpoint is drained");
    assert!(shop.version_named("v1").expect("a version").usable(0));
    assert!(shop.version_named("v3").is_none() && table.service_named("none").is_none());
}

#[test]
fn the_table_owns_slots_as_the_traffic_does() {
    let specs = shared([spec("shop", "v1=50 v2=20 v9=20 v10=10")]);
    let mut traffic = first_traffic(&specs);
    let shop = Arc::make_mut(traffic.get_mut("shop").expect("a service"));
    for split in ["v1=10 v2=60 v9=0 v10=30", "v1=40 v2=10 v9=45.5 v10=4.5"] {
        shop.slots = shop.slots.relaid(&weights(split));
    }
    let table = Table::compile(1, &specs, &traffic, &Registry::new(1)).expect("the traffic fits");
    let (service, slots) = (table.service(0), &traffic["shop"].slots);
    for slot in 0..crate::table::SLOTS {
        assert_eq!(service.versions[usize::from(service.owner(slot))].name, *slots.owner(slot), "slot {slot}");
    }
    assert_eq!(service.weights(), weights("v1=40 v2=10 v9=45.5 v10=4.5"));
}

#[test]
fn a_shift_builds_only_what_changed() {
    let (specs, registry) =
        (shared([on_host("shop", "a"), on_host("cart", "b"), on_host("pay", "c")]), Registry::new(1));
    let before = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    let flipped = |service: &str| {
        let traffic = &before.service_named(service).expect("a service").traffic;
        Arc::new(traffic.shifted(&weights("v1=0 v2=100"), || "new".into()))
    };
    let changed = [(name("shop"), flipped("shop")), (name("pay"), flipped("pay"))];
    let after = before.with_traffic(2, changed.iter().map(|(n, t)| (n, t)), &registry).expect("the traffic fits");
    assert_eq!((before.revision, after.revision), (1, 2));
    assert!(Arc::ptr_eq(&before.index, &after.index), "the router is shared");
    let shared = |index| Arc::ptr_eq(&before.entry(index).service, &after.entry(index).service);
    let same = [shared(0), shared(1), shared(2)];
    assert_eq!(same, [false, true, false]);
    for service in ["shop", "pay"] {
        let (old, new) = (before.service_named(service), after.service_named(service));
        assert_eq!(old.expect("a service").weights(), weights("v1=90 v2=10"), "requests in flight keep their snapshot");
        assert_eq!(new.expect("a service").weights(), weights("v1=0 v2=100"));
    }
}

#[test]
fn counters_outlive_generations() {
    let (specs, registry) = (shared([spec("shop", "v1=90 v2=10")]), Registry::new(1));
    let first = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    first.service(0).versions[1].stats.cell(0).answered(CodeClass::Success, 10);
    first.service(0).versions[1].endpoints[0].stats.health.refused(0, String::new);
    let second = Table::compile(2, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    let v2 = &second.service(0).versions[1];
    assert_eq!(v2.stats.totals().requests(), 1);
    assert!(!v2.usable(0), "an endpoint that is down stays down over a swap");
    assert_ne!(v2.endpoints[0].stats.id, second.service(0).versions[0].endpoints[0].stats.id);
}

#[test]
fn of_two_services_at_one_address_the_first_serves() {
    let specs = shared([on_host("shop", "a"), on_host("copy", "a")]);
    let table = Table::compile(1, &specs, &first_traffic(&specs), &Registry::new(1)).expect("the traffic fits");
    assert_eq!(table.find("a", "/"), Some(0));
}

#[test]
fn traffic_that_does_not_fit_is_refused() {
    let (specs, registry) = (shared([spec("shop", "v1=90 v2=10")]), Registry::new(1));
    let error = |traffic: &BTreeMap<_, _>| Table::compile(1, &specs, traffic, &registry).expect_err("a misfit");
    assert_eq!(error(&BTreeMap::new()), CompileError::WithoutTraffic(name("shop")));
    let foreign = Arc::new(Traffic::first("s".into(), &weights("v1=90 v3=10")));
    let missing = CompileError::UnknownVersion { service: name("shop"), version: name("v3") };
    assert_eq!(error(&BTreeMap::from([(name("shop"), Arc::clone(&foreign))])), missing);
    let table = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    assert_eq!(table.with_traffic(2, [(&name("shop"), &foreign)], &registry).expect_err("a misfit"), missing);
    let nobody = table.with_traffic(2, [(&name("cart"), &foreign)], &registry).expect_err("a misfit");
    assert_eq!(nobody, CompileError::UnknownService(name("cart")));
}

#[test]
fn a_shift_in_a_large_table_leaves_the_others_as_they_were() {
    let specs = shared((0..200).map(|n| on_host(&format!("s{n}"), &format!("h{n}"))));
    let registry = Registry::new(1);
    let before = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    let moved = ["s0", "s63", "s64", "s199"].map(|service| {
        let traffic = &before.service_named(service).expect("a service").traffic;
        (name(service), Arc::new(traffic.shifted(&weights("v1=0 v2=100"), || "new".into())))
    });
    let after = before.with_traffic(2, moved.iter().map(|(n, t)| (n, t)), &registry).expect("the traffic fits");
    assert_eq!(after.services().len(), 200);
    for ((index, old), new) in (0..).zip(before.services()).zip(after.services()) {
        let is_moved = [0, 63, 64, 199].contains(&index);
        assert_eq!((after.find(&format!("h{index}"), "/"), &old.spec.name), (Some(index), &new.spec.name));
        assert_eq!(std::ptr::eq(old, new), !is_moved, "{index}");
        assert_eq!(after.entry(index).owner(50_000) == 1, is_moved, "{index}");
    }
    assert!(Arc::ptr_eq(&before.blocks[2], &after.blocks[2]), "a block without a change is shared");
}

/// What a record has of a service is what the service has, also where the record is too small.
#[test]
fn records_agree_with_their_services() {
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..60 {
        let mut service = spec("shop", "v1=30 v2=30 v3=20 v4=20");
        let header = |n: u32| HeaderName::from_bytes(format!("x-{n}").as_bytes()).expect("a name");
        let condition = |n| Condition { headers: vec![(header(n % 5), Pattern::Present)], ..Condition::default() };
        service.rules = (0..round % 16).map(|n| rule(&format!("r{n}"), condition(n), "v2")).collect();
        service.sticky = (0..round % 6).map(|n| KeySource::Header(header(n))).collect();
        let specs = shared([spec("other", "v1=100"), service]);
        let mut traffic = first_traffic(&specs);
        for _ in 0..rng.random_range(0..5) {
            let (a, b, c) = (rng.random_range(0..=40), rng.random_range(0..=30), rng.random_range(0..=30));
            let split = format!("v1={a} v2={b} v3={c} v4={}", 100 - a - b - c);
            let shop = Arc::make_mut(traffic.get_mut("shop").expect("a service"));
            *shop = shop.shifted(&weights(&split), || format!("salt-{split}").into());
        }
        let table = Table::compile(1, &specs, &traffic, &Registry::new(1)).expect("the traffic fits");
        let (entry, service) = (table.entry(1), table.service(1));
        for slot in (0..crate::table::SLOTS).step_by(37).chain(service.runs().iter().map(|(until, _)| until - 1)) {
            assert_eq!(entry.owner(slot), service.owner(slot), "round {round}, slot {slot}");
        }
        assert_eq!(entry.slot(b"user-1"), service.salt.slot(b"user-1"));
        assert!(entry.sources(table.interned()).eq(&service.spec.sticky), "round {round}");
        assert_eq!(entry.prefilters().count(), service.rules.len(), "round {round}");
    }
}
