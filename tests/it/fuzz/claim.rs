//! The claim of a bearer token against a JSON library: where the library reads the payload, both find the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use pointsman::testing::message::Headers;
use pointsman::testing::table::spec::KeySource;
use pointsman::testing::table::{BearerClaims, RequestView};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::mutate::mutated;
use super::{Bytes, Verdict, run};

/// The longest claim that is a key, and the longest payload that is searched.
const CLAIM_BYTES_MAX: usize = 256;
const PAYLOAD_BYTES_MAX: usize = 4096;

const SEEDS: [&str; 9] = [
    r#"{"iss":"x","sub":"user-1","exp":1700000000}"#,
    r#"{"sub":"a","sub":"b"}"#,
    r#"{"sub":"caf\u00e9 \ud83d\ude80 \"q\" \\ \/ \b\f\n\r\t"}"#,
    r#"{"s\u0075b":18446744073709551615}"#,
    r#"{"a":{"sub":"no"},"b":[{"sub":1}],"sub":-7}"#,
    r#"{ "sub" : 0 , "z" : [ ] }"#,
    r#"{"sub":1.5e3,"x":null,"y":true}"#,
    r#"{"sub":["x"],"sub":{"sub":"x"}}"#,
    r#"{"":"sub","su":"b","subs":"x","sub":"x"}"#,
];

const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"sub\"",
    "\"sub\":",
    "\"sub\":\"x\",",
    "\\u0073",
    "\\ud83d",
    "\\udc00",
    "-",
    "0",
    "1e5",
    ".5",
    "null",
    "\n",
    " ",
    "\u{1}",
    "é",
    "18446744073709551616",
    "9223372036854775808",
    "true",
    "\\u0000",
    "\u{feff}",
];

fn found(payload: &[u8]) -> Option<String> {
    let token = format!("Bearer e30.{}.sig", URL_SAFE_NO_PAD.encode(payload));
    let headers = Headers::from_iter([(AUTHORIZATION, HeaderValue::from_str(&token).unwrap())]);
    let (method, client) = (&Method::GET, [192, 0, 2, 1].into());
    let request = RequestView {
        method,
        host: "h",
        path: b"/",
        query: None,
        headers: &headers,
        client,
        claims: BearerClaims::AS_THEY_STAND,
    };
    KeySource::Jwt("sub".into()).with_key(&request, |key| String::from_utf8(key.to_vec()).unwrap())
}

/// What the library makes of it; the outer `None` means that it is no JSON.
fn expected(payload: &[u8]) -> Option<Option<String>> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let claim = value.as_object().and_then(|members| members.get("sub"));
    Some(match claim {
        Some(Value::String(text)) if (1..=CLAIM_BYTES_MAX).contains(&text.len()) => Some(text.clone()),
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    })
}

fn check(payload: &[u8]) -> Verdict {
    let found = found(payload);
    match expected(payload) {
        Some(expected) if payload.len() <= PAYLOAD_BYTES_MAX => prop_assert_eq!(found, expected),
        Some(_) => prop_assert_eq!(found, None),
        // What is skipped is not judged, so a key may come out of a payload that is no JSON; it has its bounds.
        None => prop_assert!(found.is_none_or(|key| (1..=CLAIM_BYTES_MAX).contains(&key.len()))),
    }
    Ok(())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\u{1}\u{e9}\u{1f680}]{0,12}".prop_map(Value::from),
        "x{254,258}".prop_map(Value::from),
    ];
    let key = || prop_oneof![Just("sub".to_owned()), "[a-z\"\\\\]{0,4}"];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

#[test]
fn a_json_library_finds_the_same_claim() {
    let inputs = (value(), value(), any::<bool>(), prop_oneof![4 => Just(0), 1 => 3900..4200_usize]);
    run("JWT claim", 1500, &inputs, |(subject, more, pretty, padding)| {
        let payload = json!({ "a": more, "sub": subject, "z": [more], "pad": "p".repeat(padding) });
        let text = if pretty { format!("{payload:#}") } else { payload.to_string() };
        check(text.as_bytes())?;
        check(text.replace("\"sub\"", "\"\\u0073u\\u0062\"").as_bytes())
    });
}

#[test]
fn no_broken_payload_yields_what_a_json_library_would_not() {
    run("JWT payload, mutated", 4000, &mutated(SEEDS, TOKENS, 5), |Bytes(payload)| check(&payload));
}
