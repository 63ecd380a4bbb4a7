//! Active checks as requests are made: over TLS with the version's own settings, and over HTTP/2.

use std::net::SocketAddr;

use crate::support::h2::H2Origin;
use crate::support::pki::{Ca, Files, Holds};
use crate::support::tls::TlsFront;
use crate::support::{Origin, Proxy, Setup, eventually, get};

/// Time enough for a handshake on a busy machine; the first check decides alone, later ones need company to take it
/// out.
const HEALTH: &str =
    "health = { path = \"/healthz?deep\", interval = \"600ms\", timeout = \"590ms\", rise = 1, fall = 5 }";

/// A version at this address, checked, with further lines.
fn proxy(address: SocketAddr, lines: &str) -> Proxy {
    Setup::endpoints(&[&[address]]).version(HEALTH).version(lines).start()
}

fn tls(ca: &Ca, more: &str) -> String {
    format!("tls = {{ ca = \"{}\"{more} }}", ca.file().display())
}

/// `state` and `reason` of the only endpoint.
fn standing(proxy: &Proxy) -> (String, String) {
    let endpoint = &proxy.status()["versions"][0]["endpoints"][0];
    let text = |key: &str| endpoint[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

/// Waits until it is out for this.
fn await_complaint(proxy: &Proxy, wanted: &str) {
    let mut found = (String::new(), String::new());
    eventually(&format!("it is unhealthy: {wanted}"), || {
        let new = standing(proxy);
        if new != found {
            println!("{wanted:?}: {new:?}");
            found = new;
        }
        found.0 == "unhealthy" && found.1.contains(wanted)
    });
}

fn own(ca: &Ca) -> Files {
    ca.issue("own", "own", &["127.0.0.1", "app.internal"])
}

#[test]
fn checks_speak_the_tls_of_their_version() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let front = TlsFront::new(origin.address(), &own(&ca), None);
    for more in ["", ", server_name = \"app.internal\""] {
        let proxy = proxy(front.address, &tls(&ca, more));
        let before = front.connections();
        eventually("it is asked", || front.connections() >= before + 3);
        eventually("it is well", || standing(&proxy) == ("ready".into(), String::new()));
        assert_eq!(origin.last().line(), "GET /healthz?deep HTTP/1.1");
        assert_eq!(origin.last().header("host"), Some(front.address.to_string().as_str()));
        assert_eq!(proxy.client().ask(get("/")).status, 200);
    }
}

#[test]
fn a_check_says_what_is_wrong_with_tls() {
    let (origin, ca, other) = (Origin::saying("hello"), Ca::new("ca"), Ca::new("other"));
    let plain = Origin::saying("a handshake is no request");
    let front = TlsFront::new(origin.address(), &own(&ca), None);
    let expired = ca.issue_for("expired", "expired", &["127.0.0.1"], Holds::Past);
    let expired = TlsFront::new(origin.address(), &expired, None);
    for (address, tls, wanted) in [
        (front.address, tls(&other, ""), "its certificate is not from an authority of tls.ca"),
        (front.address, tls(&ca, ", server_name = \"other.internal\""), "for another name; set tls.server_name"),
        (expired.address, tls(&ca, ""), "its certificate has expired"),
        (plain.address(), tls(&ca, ""), "no answer within 590ms"),
        (front.address, format!("{}\nprotocol = \"h2\"", tls(&ca, "")), "did not agree on it (ALPN)"),
        (front.address, String::new(), "no HTTP answer: "),
    ] {
        await_complaint(&proxy(address, &tls), wanted);
    }
    assert!(origin.seen().is_empty(), "no check got through");
    drop(plain.forget());
}

#[test]
fn checks_show_the_certificate_of_their_version() {
    let (origin, ca, clients) = (Origin::saying("hello"), Ca::new("ca"), Ca::new("clients"));
    let front = TlsFront::new(origin.address(), &own(&ca), Some(&clients));
    let shown = clients.issue("proxy", "proxy", &[]);
    let good = proxy(front.address, &tls(&ca, &format!(", {}", shown.toml())));
    eventually("it is asked", || front.connections() >= 3);
    eventually("it is well", || standing(&good).0 == "ready");
    // In TLS 1.3 the refusal comes after our side of the handshake is over.
    await_complaint(&proxy(front.address, &tls(&ca, "")), "CertificateRequired");
}

#[test]
fn checks_speak_http2_plain_and_in_tls() {
    let (origin, ca) = (H2Origin::saying("hello"), Ca::new("ca"));
    let front = TlsFront::speaking(origin.address(), &own(&ca), None, &["h2"]);
    for (address, lines, scheme) in [
        (origin.address(), "protocol = \"h2\"".to_owned(), "http"),
        (front.address, format!("{}\nprotocol = \"h2\"", tls(&ca, "")), "https"),
    ] {
        drop(origin.forget());
        let proxy = proxy(address, &lines);
        eventually("it is asked", || origin.seen().len() >= 3);
        let check = origin.seen().pop().unwrap();
        assert_eq!((check.method.as_str(), check.uri), ("GET", format!("{scheme}://{address}/healthz?deep")));
        assert!(check.headers["user-agent"].to_str().unwrap().starts_with("pointsman-health/"));
        eventually("it is well", || standing(&proxy).0 == "ready");
        assert_eq!(proxy.client().ask(get("/asked")).text(), "hello");
        let mut seen = origin.seen().into_iter();
        let asked = seen.find(|seen| seen.uri.ends_with("/asked")).unwrap();
        assert_eq!(asked.uri, format!("{scheme}://a/asked"), "as requests are made");
    }
    let one = Origin::saying("HTTP/1.1 only");
    await_complaint(&proxy(one.address(), "protocol = \"h2\""), "no HTTP answer: ");
    drop(one.forget());
}

/// A certificate that has been mended is believed by the next check.
#[test]
fn checks_follow_the_files() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let front = TlsFront::new(origin.address(), &own(&ca), None);
    let (folder, other) = (tempfile::tempdir().unwrap(), Ca::new("other"));
    let file = folder.path().join("trusted.pem");
    std::fs::copy(other.file(), &file).unwrap();
    let proxy = proxy(front.address, &format!("tls = {{ ca = \"{}\" }}", file.display()));
    await_complaint(&proxy, "authority");
    crate::support::pki::replace(&file, &std::fs::read_to_string(ca.file()).unwrap());
    eventually("it is back", || standing(&proxy).0 == "ready");
}
