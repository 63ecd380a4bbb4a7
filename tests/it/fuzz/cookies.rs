//! Cookies and query parameters against lists of pairs.

use http::header::COOKIE;
use http::{HeaderValue, Method};
use pointsman::testing::message::Headers;
use pointsman::testing::table::key::OWN_COOKIE;
use pointsman::testing::table::spec::KeySource;
use pointsman::testing::table::{BearerClaims, RequestView};
use proptest::collection::vec;
use proptest::prelude::*;

use super::mutate::mutated;
use super::{Bytes, run};

const SEEDS: [&str; 6] = [
    "a=b; uid=7",
    "uid=\"quoted; not really\"; uid=2",
    "uid; b=c",
    "UID=1;uid==x=y;\tuid = z ",
    "pointsman_id=0123456789abcdef0123456789abcdef; uid=",
    "a=b&uid=7&uid=8",
];

const TOKENS: &[&str] =
    &["uid", "=", ";", "&", " ", "\t", "uid=", "; uid=9", "é", "\"", ",", "pointsman_id=", "u", "%3d"];

fn lines() -> impl Strategy<Value = Vec<Bytes>> {
    let pair = "(uid|UID|u|uidx|pointsman_id|[!-~]{0,4})( ?= ?[ -~]{0,5}|[0-9a-f]{31,33})?";
    let built = vec(pair, 0..5).prop_map(|pairs| Bytes(pairs.join("; ").into()));
    let legal =
        |bytes: Bytes| Bytes(bytes.0.into_iter().filter(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f)).collect());
    vec(prop_oneof![built, mutated(SEEDS, TOKENS, 5).prop_map(legal)], 0..4)
}

/// The values of the pairs with this name: all lines in a row, split, trimmed, split again.
fn naive(list: &[u8], separator: u8, trim: bool, name: &str) -> Vec<Vec<u8>> {
    let trimmed = |pair: &[u8]| match trim {
        true => {
            let blank = |b: &u8| matches!(b, b' ' | b'\t');
            let start = pair.iter().position(|b| !blank(b)).unwrap_or(pair.len());
            let end = pair.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
            pair[start..end].to_vec()
        }
        false => pair.to_vec(),
    };
    let pairs = list.split(|b| *b == separator).map(trimmed);
    let split = pairs.map(|pair| match pair.iter().position(|b| *b == b'=') {
        Some(at) => (pair[..at].to_vec(), pair[at + 1..].to_vec()),
        None => (pair, Vec::new()),
    });
    split.filter(|(found, _)| found == name.as_bytes()).map(|(_, value)| value).collect()
}

#[test]
fn the_first_pair_of_a_name_is_its_value() {
    run("cookies and queries", 3000, &(lines(), "(uid(=[0-9]?)?|[!-~&&[^#]]{0,4}|&)*"), |(lines, query)| {
        let line = |line: &Bytes| (COOKIE, HeaderValue::from_bytes(&line.0).unwrap());
        let headers: Headers = lines.iter().map(line).collect();
        let (method, client) = (&Method::GET, [192, 0, 2, 1].into());
        let request = RequestView {
            method,
            host: "h",
            path: b"/",
            query: Some(query.as_bytes()),
            headers: &headers,
            client,
            claims: BearerClaims::AS_THEY_STAND,
        };
        let list = lines.iter().map(|line| line.0.as_slice()).collect::<Vec<_>>().join(&b";"[..]);
        for name in ["uid", "u", OWN_COOKIE] {
            let cookie = naive(&list, b';', true, name).into_iter().next();
            prop_assert_eq!(request.cookie(name).map(<[u8]>::to_vec), cookie.clone(), "{}", name);
            let key = KeySource::Cookie(name.into()).with_key(&request, <[u8]>::to_vec);
            prop_assert_eq!(key, cookie.clone().filter(|value| !value.is_empty()));
            let parameter = naive(query.as_bytes(), b'&', false, name).into_iter().next();
            prop_assert_eq!(request.query_value(name).map(<[u8]>::to_vec), parameter, "{}", name);
        }
        let digits = |value: &Vec<u8>| value.len() == 32 && value.iter().all(|b| b"0123456789abcdef".contains(b));
        let own = naive(&list, b';', true, OWN_COOKIE).into_iter().find(digits);
        prop_assert_eq!(KeySource::OwnCookie.with_key(&request, <[u8]>::to_vec), own);
        Ok(())
    });
}
