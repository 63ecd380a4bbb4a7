use http::{HeaderName, Method};

use super::*;
use crate::mirror::seen_body::SeenBody;
use crate::table::spec::mirror::{MirrorCompare, MirrorPointer};
use crate::table::weights::Weight;

fn spec(body: MirrorBody, ignore: &[&str], samples: bool) -> MirrorSpec {
    MirrorSpec {
        to: Name::new("v2").unwrap(),
        share: Weight::FULL,
        methods: vec![Method::GET].into(),
        compare: MirrorCompare {
            status: true,
            headers: vec![HeaderName::from_static("content-type")].into(),
            body,
            ignore: ignore.iter().map(|text| MirrorPointer::new(text).unwrap()).collect(),
            latency: true,
        },
        in_flight_max: 1,
        body_bytes_max: 1_000,
        samples,
    }
}

fn response(status: u16, text: &str) -> MirrorResponse {
    let mut body = SeenBody::new(MirrorBody::Json, 1_000, None);
    body.add(text.as_bytes());
    body.end();
    let headers = vec![Some(b"application/json".to_vec())];
    MirrorResponse { status: Some(status), headers, body: Some(body), ..MirrorResponse::failed(None, 1_000) }
}

fn call() -> MirroredCall {
    let (method, path) = ("GET".into(), "/cart".into());
    MirroredCall { method, path, version: Name::new("v1").unwrap(), at_ms: 7, salt: 1 }
}

/// The kinds and places in which two responses differ.
fn found(spec: &MirrorSpec, user: &MirrorResponse, mirror: &MirrorResponse) -> Vec<(MirrorKind, String)> {
    let pair = compare(spec, &call(), user, mirror);
    pair.differences.into_iter().map(|found| (found.kind, found.place.into())).collect()
}

fn body(place: &str) -> (MirrorKind, String) {
    (MirrorKind::Body, place.to_owned())
}

#[test]
fn a_document_is_the_same_in_any_order_and_without_what_is_ignored() {
    let spec = spec(MirrorBody::Json, &["/generated_at"], false);
    let (user, mirror) = (r#"{"a":1,"generated_at":1,"b":[1,2]}"#, r#"{ "b": [1, 2], "a": 1, "generated_at": 2 }"#);
    assert_eq!(found(&spec, &response(200, user), &response(200, mirror)), []);
    assert_eq!(found(&spec, &response(200, user), &response(200, r#"{"a":2,"b":[1]}"#)), [body("/a"), body("/b/1")]);
    assert_eq!(found(&spec, &response(200, user), &response(200, "<html>")), [body("")], "no document");
    assert_eq!(found(&spec, &response(200, "<html>"), &response(200, "<html>")), []);
}

#[test]
fn bytes_are_compared_as_they_are() {
    let spec = spec(MirrorBody::Exact, &[], false);
    assert_eq!(found(&spec, &response(200, "{}"), &response(200, "{ }")), [body("")]);
    assert_eq!(found(&spec, &response(200, "{}"), &response(200, "{}")), []);
}

#[test]
fn lengths_are_compared_if_they_are_known() {
    let spec = spec(MirrorBody::Length, &[], false);
    let pair = compare(&spec, &call(), &response(200, "abc"), &response(200, "abcd"));
    assert_eq!(pair.differences[0].kind, MirrorKind::Length);
    assert_eq!(pair.differences[0].mirror.sample.as_deref(), Some("4 B"));
    assert_eq!(found(&spec, &response(200, "abc"), &response(200, "xyz")), []);
    let open =
        |declared| MirrorResponse { body: Some(SeenBody::new(MirrorBody::Length, 10, declared)), ..response(200, "") };
    assert!(compare(&spec, &call(), &open(None), &open(Some(3))).body_left_out);
    assert_eq!(found(&spec, &open(Some(3)), &open(Some(4))).len(), 1);
}

#[test]
fn a_failure_is_counted_and_explains_the_rest() {
    let spec = spec(MirrorBody::Json, &[], false);
    let pair = compare(&spec, &call(), &response(200, "{}"), &response(500, "oh"));
    assert_eq!((pair.user_failed, pair.mirror_failed, pair.differences.len()), (false, true, 1));
    assert_eq!((pair.differences[0].kind, pair.times), (MirrorKind::Status, None));
    assert_eq!(pair.differences[0].mirror.sample.as_deref(), Some("500"));
    let none = MirrorResponse::failed(None, 5);
    let pair = compare(&spec, &call(), &response(502, "{}"), &none);
    assert!(pair.user_failed && pair.mirror_failed);
    assert_eq!(pair.differences[0].mirror.sample.as_deref(), Some("no response"));
    let of_call = |status: &str| MirrorResponse { grpc_status: Some(status.as_bytes().into()), ..response(200, "") };
    let pair = compare(&spec, &call(), &of_call("0"), &of_call("14"));
    assert_eq!((pair.mirror_failed, pair.differences.len()), (true, 1));
    assert!(!compare(&spec, &call(), &of_call("0"), &of_call("5")).mirror_failed, "it was not found");
}

#[test]
fn another_status_explains_another_body() {
    let spec = spec(MirrorBody::Json, &[], false);
    assert_eq!(found(&spec, &response(200, "{}"), &response(404, "[]")), [(MirrorKind::Status, String::new())]);
    assert_eq!(found(&spec, &response(304, ""), &response(200, "[]")), [], "the validator was of the other version");
    assert_eq!(found(&spec, &response(304, ""), &response(500, "")).len(), 1);
}

#[test]
fn headers_are_compared_that_are_named() {
    let spec = spec(MirrorBody::Off, &[], true);
    let html = MirrorResponse { headers: vec![Some(b"text/html".to_vec())], ..response(200, "x") };
    let pair = compare(&spec, &call(), &response(200, "y"), &html);
    assert_eq!((pair.differences.len(), &*pair.differences[0].place), (1, "content-type"));
    assert_eq!(pair.differences[0].mirror.sample.as_deref(), Some("text/html"));
    let none = MirrorResponse { headers: vec![None], ..response(200, "x") };
    assert_eq!(compare(&spec, &call(), &none, &html).differences[0].user, MirrorValue { hash: 0, sample: None });
}

#[test]
fn values_are_shown_where_that_is_allowed_and_hashes_say_nothing_of_them() {
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(500));
    let pair = |samples, salt| {
        let spec = spec(MirrorBody::Json, &[], samples);
        compare(&spec, &MirroredCall { salt, ..call() }, &response(200, r#"{"name":"ada"}"#), &response(200, &long))
    };
    let (hidden, other, shown) = (pair(false, 1), pair(false, 2), pair(true, 1));
    assert_eq!((&hidden.differences[0].user.sample, &hidden.differences[0].mirror.sample), (&None, &None));
    assert_eq!(hidden.differences[0].user.hash, shown.differences[0].user.hash);
    assert_ne!(hidden.differences[0].user.hash, other.differences[0].user.hash);
    assert_eq!(shown.differences[0].user.sample.as_deref(), Some("\"ada\""));
    assert_eq!(shown.differences[0].mirror.sample.as_ref().unwrap().len(), SAMPLE_BYTES_MAX + 3);
}

#[test]
fn a_copy_is_late_if_it_takes_far_longer() {
    let spec = spec(MirrorBody::Off, &[], false);
    let taking = |micros| MirrorResponse { micros, ..response(200, "") };
    for (user, mirror, late) in
        [(1_000, 10_000, false), (1_000, 12_000, true), (50_000, 90_000, false), (50_000, 101_000, true)]
    {
        assert_eq!(found(&spec, &taking(user), &taking(mirror)).len(), usize::from(late), "{user} {mirror}");
    }
}
