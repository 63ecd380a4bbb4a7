use std::collections::HashMap;

use http::{HeaderName, HeaderValue, Method};

use super::*;
use crate::message::Headers;
use crate::table::fixture::{first_traffic, name, shared, spec};
use crate::table::spec::{Condition, KeySource, Pattern, Segment, ServiceSpec};
use crate::table::{BearerClaims, Table, Weight};

fn target(share: f64) -> FaultTarget {
    let share = Weight::from_percent(share).expect("a share");
    FaultTarget { service: name("shop"), version: None, endpoint: None, zone: None, segment: None, share }
}

fn fault(run: u64, target: FaultTarget) -> Arc<FaultInForce> {
    let stats = Arc::new(FaultStats::new(target.share.slots(), true, 1));
    let (kind, until_ms) = (FaultKind::Reset, u64::MAX);
    Arc::new(FaultInForce { run, experiment: name("try"), target, kind, until_ms, injecting: true, stats })
}

fn shop() -> ServiceSpec {
    let mut shop = spec("shop", "v1=50 v2=50");
    shop.sticky = vec![KeySource::Header(HeaderName::from_static("x-user"))];
    shop.versions[0].zones = [(shop.versions[0].endpoints[0].into(), name("a"))].into();
    shop
}

fn table(shop: ServiceSpec, fault: Arc<FaultInForce>) -> Table {
    let (specs, registry) = (shared([shop]), Registry::new(1));
    let table = Table::compile(1, &specs, &first_traffic(&specs), &registry).expect("the traffic fits");
    table.with_faults(&[fault], &registry)
}

fn headers(lines: &[(&'static str, &str)]) -> Headers {
    let line = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    };
    lines.iter().map(line).collect()
}

fn draw(table: &Table, version: usize, lines: &[(&'static str, &str)], chance: u32) -> Option<FaultDraw> {
    let headers = headers(lines);
    let (method, client, claims) = (&Method::GET, [192, 0, 2, 1].into(), BearerClaims::AS_THEY_STAND);
    let request = &RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
    let service = table.service(0);
    let version = &service.versions[version];
    table.faults().of(0)?.draw(&FaultQuery { request, service, version, new_key: None, chance })
}

#[test]
fn both_slices_have_the_share_and_no_user_is_in_two() {
    let table = table(shop(), fault(7, target(5.0)));
    let mut found: HashMap<_, u32> = HashMap::new();
    for user in 0..20_000 {
        let key = format!("user-{user}");
        let lines = [("x-user", key.as_str())];
        let drawn = draw(&table, 0, &lines, 0);
        assert_eq!(drawn, draw(&table, 1, &lines, u32::MAX), "neither the version nor chance says anything");
        *found.entry(drawn.map(|drawn| drawn.slice)).or_default() += 1;
    }
    for slice in [FaultSlice::Fault, FaultSlice::Control] {
        let users = found[&Some(slice)];
        // Five standard deviations of a binomial draw.
        assert!(users.abs_diff(1_000) < 155, "{users} of 1,000 in {slice:?}");
    }
}

#[test]
fn another_run_draws_other_users_and_the_split_says_nothing() {
    let (one, other) = (table(shop(), fault(7, target(50.0))), table(shop(), fault(8, target(50.0))));
    let (mut both, mut low) = (0_u32, 0_u32);
    for user in 0..4_000 {
        let key = format!("user-{user}");
        let lines = [("x-user", key.as_str())];
        let is_fault = |table| draw(table, 0, &lines, 0).is_some_and(|drawn| drawn.slice == FaultSlice::Fault);
        both += u32::from(is_fault(&one) && is_fault(&other));
        low += u32::from(is_fault(&one) && one.service(0).salt.slot(key.as_bytes()) < crate::table::SLOTS / 2);
    }
    assert!(both.abs_diff(1_000) < 140 && low.abs_diff(1_000) < 140, "{both} and {low} of 4,000, want about 1,000");
}

#[test]
fn a_request_without_a_key_is_drawn_by_chance_and_a_new_key_by_itself() {
    let table = table(shop(), fault(7, target(25.0)));
    let by_chance = |chance| draw(&table, 0, &[], chance).map(|drawn| (drawn.slice, drawn.slot));
    assert_eq!(by_chance(0), Some((FaultSlice::Fault, None)));
    assert_eq!(by_chance(u32::MAX / 4 + 99_999), Some((FaultSlice::Control, None)));
    assert_eq!(by_chance(u32::MAX), None);
    let mut shop = shop();
    shop.sticky = vec![KeySource::OwnCookie];
    let table = self::table(shop, fault(7, target(25.0)));
    let (service, fault) = (table.service(0), table.faults().of(0).expect("a fault"));
    for random in 0..100_u128 {
        let key = OwnKey::from_random(random << 70);
        let cookie = format!("{}={}", crate::table::key::OWN_COOKIE, String::from_utf8_lossy(key.as_bytes()));
        let (headers, method) = (headers(&[]), &Method::GET);
        let (client, claims) = ([192, 0, 2, 1].into(), BearerClaims::AS_THEY_STAND);
        let request = &RequestView { method, host: "h", path: b"/", query: None, headers: &headers, client, claims };
        let version = &service.versions[0];
        let first = fault.draw(&FaultQuery { request, service, version, new_key: Some(key), chance: 0 });
        assert_eq!(first, draw(&table, 0, &[("cookie", &cookie)], u32::MAX), "the cookie that it is given");
    }
}

#[test]
fn a_target_picks_requests_by_version_and_segment_and_attempts_by_endpoint_and_zone() {
    let beta =
        Condition { headers: vec![(HeaderName::from_static("x-beta"), Pattern::Present)], ..Condition::default() };
    let segment = Some(Arc::new(Segment { name: name("beta"), when: beta }));
    let table = |target: FaultTarget| self::table(shop(), fault(7, target));
    let of_beta = table(FaultTarget { segment, version: Some(name("v1")), ..target(50.0) });
    let lines = [("x-user", "1"), ("x-beta", "1")];
    assert!(draw(&of_beta, 0, &lines, 0).is_some());
    assert!(draw(&of_beta, 1, &lines, 0).is_none() && draw(&of_beta, 0, &lines[..1], 0).is_none());
    let aimed = |target: FaultTarget| {
        let table = table(target);
        let (service, fault) = (table.service(0), table.faults().of(0).expect("a fault"));
        let aimed = |version: &Version| {
            version.endpoints.iter().map(|one| fault.is_aimed_at(service, version, one)).collect::<Vec<_>>()
        };
        service.versions.iter().flat_map(aimed).collect::<Vec<_>>()
    };
    let first = shop().versions[0].endpoints[0];
    let all = aimed(target(5.0));
    assert!(all.iter().all(|aimed| *aimed));
    let only_first: Vec<_> = (0..all.len()).map(|index| index == 0).collect();
    assert_eq!(aimed(FaultTarget { endpoint: Some(first.into()), ..target(5.0) }), only_first);
    assert_eq!(aimed(FaultTarget { zone: Some(name("a")), ..target(5.0) }), only_first);
    assert_eq!(aimed(FaultTarget { zone: Some(name("b")), ..target(5.0) }), vec![false; all.len()]);
    let of_v2 = aimed(FaultTarget { version: Some(name("v2")), ..target(5.0) });
    assert!(!of_v2[0] && of_v2[all.len() - 1]);
}

#[test]
fn other_changes_keep_the_fault_and_none_takes_it_away() {
    let registry = Registry::new(1);
    let table = table(shop(), fault(7, target(5.0)));
    let kept = table.with_traffic(2, [], &registry).expect("nothing changes");
    assert_eq!(kept.faults().of(0).map(|fault| fault.run), Some(7));
    let without = kept.with_faults(&[], &registry);
    assert!(without.faults().of(0).is_none() && without.faults().all().next().is_none());
    assert_eq!(without.revision, 2);
    let of_another = fault(9, FaultTarget { service: name("gone"), ..target(5.0) });
    assert!(without.with_faults(&[of_another], &registry).faults().of(0).is_none());
}
