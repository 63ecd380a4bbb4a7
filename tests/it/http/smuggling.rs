//! Attacks that were used against other proxies: whatever the answer, no request reaches an origin that the proxy did
//! not decide on, and no later client gets an answer that was not made for it.

use crate::support::{End, Origin, Reply, Setup, eventually, get};

const TAIL: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Heads that two parsers may frame differently; `TAIL` stands where one of them sees a second request.
fn attacks() -> Vec<String> {
    let length = TAIL.len() + 5;
    let chunked_tail = format!("0\r\n\r\n{TAIL}");
    let head = |lines: &str| format!("POST /attack HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{chunked_tail}");
    vec![
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked")),
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding:\tchunked")),
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked")),
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding : chunked")),
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding:\u{b}chunked")),
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x")),
        head(&format!("Content-Length: {length}\r\nX: y\nTransfer-Encoding: chunked")),
        head(&format!("Content-Length: {length}\r\nX: y\rTransfer-Encoding: chunked")),
        head(&format!("Content-Length: {length}\r\nTransfer-Encoding\r\n: chunked")),
        head(&format!("Content-Length: {length}\r\nTransfer_Encoding: chunked")),
        head(&format!("Content-Length: {length}\r\n Transfer-Encoding: chunked")),
        head(&format!("Content-Length: {length}\r\nConnection: Content-Length")),
        head(&format!("Content-Length: {length}\r\nConnection: Transfer-Encoding, Content-Length")),
        head(&format!("Content-Length: {length}\r\nUpgrade: websocket\r\nConnection: Upgrade")),
        head(&format!(
            "Content-Length: {length}\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings"
        )),
        head(&format!("Content-Length: {length}\r\nExpect: 100-continue")),
        head(&format!("Content-Length: {length}\r\nExpect: y 100-continue")),
        format!("GET /attack HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{TAIL}", TAIL.len()),
        format!("HEAD /attack HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{TAIL}", TAIL.len()),
        format!("OPTIONS /attack HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{TAIL}", TAIL.len()),
        format!(
            "GET /attack HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{TAIL}\r\n0\r\n\r\n",
            TAIL.len()
        ),
        format!(
            "POST /attack HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x};\n{TAIL}\r\n0\r\n\r\n",
            TAIL.len()
        ),
        format!(
            "POST /attack HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\nContent-Length: {}\r\n\r\n",
            TAIL.len()
        ),
        format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: {}\r\n\r\n{TAIL}", TAIL.len()),
        format!(
            "GET /attack HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: {}\r\n\r\n{TAIL}",
            TAIL.len()
        ),
        format!("GET /attack\r\nHost: a\r\n\r\n{TAIL}"),
        format!("GET /attack HTTP/1.1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{TAIL}", TAIL.len()),
        format!(
            "GET /attack%20HTTP/1.1%0d%0aHost:%20b HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{TAIL}",
            TAIL.len()
        ),
    ]
}

#[test]
fn no_attack_reaches_an_origin_as_a_request_of_its_own() {
    let origin = Origin::with(|seen| Reply::ok(seen.target()));
    // One worker: the victims meet the attacker's connections to the origin.
    let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").start();
    for attack in attacks() {
        // The victim's connection exists before, so that the pool holds one that could be poisoned.
        assert_eq!(proxy.client().ask(get("/before")).text(), "/before");
        let mut attacker = proxy.client();
        attacker.write(&attack).finish();
        let end = attacker.read(attack.starts_with("HEAD ")).map(|answer| answer.status);
        // When its connection has ended, all of the attack was read.
        assert_ne!(attacker.end().0, End::Silent, "after {attack:?} -> {end:?}");
        for _ in 0..3 {
            assert_eq!(proxy.client().ask(get("/victim")).text(), "/victim", "after {attack:?} -> {end:?}");
        }
        let (seen, crimes) = origin.forget();
        assert!(crimes.is_empty(), "{attack:?} -> {end:?}: {crimes:?}");
        let smuggled: Vec<_> = seen.iter().filter(|seen| seen.target() == "/smuggled").collect();
        assert!(smuggled.is_empty(), "{attack:?} -> {end:?}: {smuggled:?}");
    }
    // What no victim has met, because its connection was not used again, has been read when all are closed.
    drop(proxy);
    eventually("the origin has read all", || origin.open() == 0);
    assert!(origin.seen().iter().all(|seen| seen.target() != "/smuggled"), "{:?}", origin.seen());
}
