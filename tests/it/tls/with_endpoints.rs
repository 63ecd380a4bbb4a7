//! TLS with endpoints: whom we believe, as whom we come, and what a failure looks like.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::pki::{Ca, Files, Holds};
use crate::support::process::{Process, config};
use crate::support::tls::TlsFront;
use crate::support::{Origin, Proxy, client, get};

/// A version `v1` with all the weight, and `v2`, each at an address with TLS settings.
fn proxy(versions: &[(SocketAddr, &str)]) -> Proxy {
    let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\n[services.site]\nsplit = { v1 = 100 }\n".to_owned();
    for ((address, tls), n) in versions.iter().zip(1..) {
        text.push_str(&format!("[services.site.versions.v{n}]\nendpoints = [\"{address}\"]\n{tls}\n"));
    }
    if versions.len() > 1 {
        text.push_str("[[services.site.rules]]\nuse = \"v2\"\nwhen = { path = \"/two\" }\n");
    }
    Proxy::start(&text)
}

fn tls(ca: &Ca, more: &str) -> String {
    format!("tls = {{ ca = \"{}\"{more} }}", ca.file().display())
}

fn status(proxy: &Proxy, path: &str) -> u16 {
    client::send(proxy.address, get(path)).status
}

#[test]
fn upstreams_are_verified() {
    let (origin, ca, other) = (Origin::saying("hello"), Ca::new("ca"), Ca::new("other"));
    let plain = Origin::saying("a handshake is no request");
    let by_name = TlsFront::new(origin.address(), &ca.issue("name", "name", &["app.internal"]), None);
    let by_address = TlsFront::new(origin.address(), &ca.issue("address", "address", &["127.0.0.1"]), None);
    let expired = ca.issue_for("expired", "expired", &["127.0.0.1"], Holds::Past);
    let expired = TlsFront::new(origin.address(), &expired, None);
    for (what, address, tls, wanted) in [
        ("the right name", by_name.address, tls(&ca, ", server_name = \"app.internal\""), 200),
        ("the address", by_address.address, tls(&ca, ""), 200),
        ("another name", by_name.address, tls(&ca, ", server_name = \"other.internal\""), 502),
        ("no name", by_name.address, tls(&ca, ""), 502),
        ("another authority", by_address.address, tls(&other, ""), 502),
        ("the public authorities", by_address.address, "tls = { ca = \"system\" }".to_owned(), 502),
        ("an expired certificate", expired.address, tls(&ca, ""), 502),
        ("no TLS there", plain.address(), tls(&ca, ""), 502),
        ("TLS there and plain here", by_address.address, String::new(), 502),
    ] {
        let proxy = proxy(&[(address, &tls)]);
        let answer = client::send(proxy.address, get("/"));
        assert_eq!(answer.status, wanted, "{what}: {answer:?}");
        if wanted == 502 && !tls.is_empty() {
            answer.assert_refused(502, "connect_failed");
            proxy.await_metric("pointsman_upstream_failures_total", &["connect"], 1.0);
        }
    }
    assert_eq!(origin.seen().len(), 2);
    // What it got is a hello, which is no crime here.
    drop(plain.forget());
}

#[test]
fn connections_are_kept_and_shared_by_no_other_version() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let front = TlsFront::new(origin.address(), &ca.issue("a", "a", &["a.internal", "b.internal"]), None);
    let as_a = tls(&ca, ", server_name = \"a.internal\"");
    let as_b = tls(&ca, ", server_name = \"b.internal\"");
    let proxy = proxy(&[(front.address, &as_a), (front.address, &as_b)]);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(get("/one")).status, 200);
    }
    assert_eq!(front.connections(), 1);
    for _ in 0..3 {
        assert_eq!(client.ask(get("/two")).status, 200);
    }
    assert_eq!(front.connections(), 2);
}

#[test]
fn we_show_our_certificate_to_upstreams_that_ask() {
    let (origin, ca, clients) = (Origin::saying("hello"), Ca::new("ca"), Ca::new("clients"));
    let front = TlsFront::new(origin.address(), &ca.issue("a", "a", &["127.0.0.1"]), Some(&clients));
    let own = clients.issue("own", "proxy", &[]);
    let stranger = ca.issue("stranger", "proxy", &[]);
    let good = proxy(&[(front.address, &tls(&ca, &format!(", {}", own.toml())))]);
    assert_eq!(status(&good, "/"), 200);
    for (what, more) in [("none", String::new()), ("another authority's", format!(", {}", stranger.toml()))] {
        // In TLS 1.3 the refusal comes after our side of the handshake is over: it is the first thing that is read.
        let bad = proxy(&[(front.address, &tls(&ca, &more))]);
        assert_eq!(status(&bad, "/"), 502, "{what}");
        assert!(bad.metric("pointsman_upstream_failures_total", &[]) >= 1.0, "{what}");
    }
    assert_eq!(origin.seen().len(), 1);
}

/// The server that everybody has, with client certificates.
#[test]
fn openssl_is_an_upstream() {
    let (ca, clients) = (Ca::new("ca"), Ca::new("clients"));
    let (server, own) = (ca.issue("server", "server", &["127.0.0.1"]), clients.issue("own", "proxy", &[]));
    let authority = clients.file();
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-Verify", "1", "-verify_return_error", "-CAfile"])
        .arg(&authority)
        .args(["-cert".as_ref(), server.cert.as_os_str(), "-key".as_ref(), server.key.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let proxy = proxy(&[(address.parse().unwrap(), &tls(&ca, &format!(", {}", own.toml())))]);
    let answer = client::send(proxy.address, get("/"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("CN = proxy") || answer.text().contains("CN=proxy"), "{}", answer.text());
}

/// New TLS settings in the file are in force for the next request, also at the same address, and bad ones are not.
#[test]
fn settings_change_with_the_config_file() {
    let (origin, ca, clients) = (Origin::saying("hello"), Ca::new("ca"), Ca::new("clients"));
    let front = TlsFront::new(origin.address(), &ca.issue("a", "a", &["127.0.0.1"]), Some(&clients));
    let own = clients.issue("own", "proxy", &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
    let write = |more: &str| std::fs::write(&path, config(front.address, nowhere, more)).unwrap();
    let with = |own: &Files| format!("versions.v1.tls = {{ ca = \"{}\", {} }}\n", ca.file().display(), own.toml());
    write("");
    let process = Process::start(&path);
    let status = || client::send(process.listener, get("/")).status;
    assert_eq!(status(), 502, "plain");
    write(&with(&own));
    crate::support::eventually("TLS is spoken", || status() == 200);
    write(&with(&Files { cert: "missing.pem".into(), ..own }));
    crate::support::eventually("the bad file is told", || process.get("/v1/status")["config"]["good"] == false);
    let problems = process.get("/v1/status")["config"]["problems"].to_string();
    assert!(problems.contains("services.shop.versions.v1.tls") && problems.contains("missing.pem"), "{problems}");
    assert_eq!(status(), 200, "the old settings stay");
}
