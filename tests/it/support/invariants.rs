//! What holds for every request that a proxy sends, whatever its client sent: an origin of the harness accuses every
//! one that breaks it.

use super::wire::Head;

/// Trailers that frame, route or authenticate.
pub(super) const FORBIDDEN_TRAILERS: [&str; 13] = [
    "content-length",
    "transfer-encoding",
    "host",
    "authorization",
    "connection",
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
    "trailer",
    "x-forwarded-for",
    "cookie",
];

const HOP_BY_HOP: [&str; 7] = [
    "proxy-connection",
    "keep-alive",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "expect",
    "http2-settings",
];

const EXACTLY_ONE: [&str; 4] = ["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id"];

/// What a request breaks of what holds for every request that a proxy sends.
pub(super) fn lawful(head: &Head) -> Vec<String> {
    let mut crimes = Vec::new();
    let mut check = |holds: bool, crime: &str| {
        if !holds {
            crimes.push(crime.to_owned());
        }
    };
    let words: Vec<_> = head.line.split(' ').collect();
    check(matches!(words[..], [_, target, "HTTP/1.1"] if target.starts_with('/') || target == "*"), "not origin-form");
    let (codings, lengths) = (head.all("transfer-encoding"), head.all("content-length"));
    check(codings.len() + lengths.len() <= 1, "framed more than once");
    check(codings.iter().all(|coding| *coding == "chunked"), "a coding other than chunked");
    check(
        lengths.iter().all(|l| l.parse::<u64>().is_ok_and(|n| n.to_string() == *l)),
        "a length that is no plain number",
    );
    let has_body = matches!(words[0], "POST" | "PUT" | "PATCH");
    check(!has_body || codings.len() + lengths.len() == 1, "a POST, PUT or PATCH without framing");
    // The one thing that may be asked of this hop: a WebSocket, whole.
    let websocket = words[0] == "GET" && head.one("upgrade") == Some("websocket");
    let websocket = websocket && head.one("connection") == Some("upgrade") && head.one("sec-websocket-key").is_some();
    for name in HOP_BY_HOP {
        check(head.all(name).is_empty() || (websocket && name == "upgrade"), &format!("a {name} header"));
    }
    // RFC 9110, 10.1.4: a sender of TE says so in Connection.
    let te_only = head.all("connection").iter().all(|token| token.eq_ignore_ascii_case("te"));
    check(websocket || (te_only && head.all("connection").len() <= head.all("te").len()), "a connection header");
    crimes.extend(lawful_anywhere(head));
    crimes
}

/// The part of it that holds in every protocol.
pub(super) fn lawful_anywhere(head: &Head) -> Vec<String> {
    let mut crimes = Vec::new();
    let mut check = |holds: bool, crime: &str| {
        if !holds {
            crimes.push(crime.to_owned());
        }
    };
    for name in EXACTLY_ONE {
        check(head.one(name).is_some_and(|value| !value.is_empty()), &format!("not exactly one {name}"));
    }
    check(head.all("te").iter().all(|te| *te == "trailers"), "a TE other than trailers");
    check(
        head.all("via").last().is_some_and(|via| via.contains(" pointsman (") && via.ends_with(')')),
        "not by way of us",
    );
    check(head.all("x-forwarded-host").len() <= 1, "more than one x-forwarded-host");
    check(!head.headers.iter().any(|(name, _)| name.contains('_')), "a name with an underscore");
    crimes
}
