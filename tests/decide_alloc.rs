//! A decision does not allocate: the promise of `decide`, kept by counting. A binary of its own, because the counter
//! replaces the global allocator; it counts by thread, so the tests do not disturb each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method};
use pointsman::testing::message::Headers;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::spec::{
    Attribute, Condition, HostPattern, KeySource, PathPrefix, Pattern, Policy, RuleSpec, Segment, VersionRange,
    VersionSpec,
};
use pointsman::testing::table::{
    BearerClaims, Cause, Decision, Name, RequestView, ServiceSpec, Table, Traffic, Weight, Weights, decide,
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
        policy: Policy::default(),
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
    };
    let misses = Condition { path: Some(Pattern::Exact("/nowhere".into())), ..Condition::default() };
    let rule = |rule, when| RuleSpec { name: name(rule), when: Arc::new(when), version: name("v2") };
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
    let table = table(Vec::new(), vec![RuleSpec { name: name("all"), when: Arc::new(when), version: name("v2") }]);
    let token = bearer(r#"{"email":"ann@example.com","plan":"pro","age":42}"#);
    let cookie = "app=v2.4.0-a.very.long.prerelease.with.many.parts+and.build";
    let headers = [("authorization", token.as_str()), ("cookie", cookie)];
    decide_without_allocating(&table, &headers, |d| d.cause == Cause::Rule(0));
    decide_without_allocating(&table, &headers[..1], |d| d.cause == Cause::Chance);
}
