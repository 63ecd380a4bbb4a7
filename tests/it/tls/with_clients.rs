//! TLS with clients: certificates by name, versions and protocols, tickets, client certificates, handshakes that fail,
//! renewal, and the redirect to it. curl and openssl are the clients wherever they can say what is asked.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::support::pki::{Ca, Files, Holds, Ran, replace, run};
use crate::support::tls::{TlsClient, ends};
use crate::support::{Origin, Proxy, Setup, client, eventually, eventually_within, fault, get};

/// A proxy with TLS for `site.example`, and `more` in its table of keys.
fn proxy(origin: &Origin, ca: &Ca, more: &str) -> Proxy {
    let site = ca.issue("site", "site", &["site.example", "127.0.0.1"]);
    Setup::to(&[origin]).listener(&format!("tls = {{ {}{more} }}", site.toml())).start()
}

/// curl as `host` at `address`, with its own arguments.
fn curl(ca: &Ca, address: SocketAddr, host: &str, arguments: &[&str]) -> Ran {
    let resolve = format!("{host}:{}:127.0.0.1", address.port());
    let url = format!("https://{host}:{}/", address.port());
    let ca = ca.file();
    let mut all = vec!["-sS", "--max-time", "10", "--resolve", &resolve, "--cacert", ca.to_str().unwrap()];
    all.extend(arguments);
    all.push(&url);
    run("curl", &all)
}

/// The common name of the certificate that a client gets which asks for `host`.
fn shown(address: SocketAddr, host: Option<&str>) -> String {
    let connect = address.to_string();
    let mut arguments = vec!["s_client", "-connect", &connect];
    match host {
        Some(host) => arguments.extend(["-servername", host]),
        None => arguments.push("-noservername"),
    }
    let ran = run("openssl", &arguments);
    let subject = ran.out.lines().find_map(|line| line.strip_prefix("subject="));
    let subject = subject.unwrap_or_else(|| panic!("no certificate: {ran:?}"));
    subject.rsplit_once("CN = ").map_or(subject, |(_, name)| name).to_owned()
}

#[test]
fn the_name_chooses_the_certificate() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let wild = ca.issue("wild", "wild", &["*.shop.example"]);
    let exact = ca.issue("exact", "exact", &["a.shop.example"]);
    let proxy = proxy(&origin, &ca, &format!(", certificates = [{{ {} }}, {{ {} }}]", wild.toml(), exact.toml()));
    for (host, wanted) in [
        (Some("site.example"), "site"),
        (Some("a.shop.example"), "exact"),
        (Some("A.Shop.Example"), "exact"),
        (Some("b.shop.example"), "wild"),
        (Some("x.b.shop.example"), "site"),
        (Some("shop.example"), "site"),
        (Some("unknown.example"), "site"),
        (None, "site"),
    ] {
        assert_eq!(shown(proxy.address, host), wanted, "{host:?}");
    }
    let good = curl(&ca, proxy.address, "b.shop.example", &[]);
    assert_eq!((good.good, good.out.as_str()), (true, "hello"), "{good:?}");
    let unknown = curl(&ca, proxy.address, "unknown.example", &[]);
    assert!(!unknown.good && unknown.err.contains("unknown.example"), "{unknown:?}");
}

#[test]
fn a_connection_of_http2_is_for_the_hosts_of_its_certificate() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let (two, bank) = (
        ca.issue("two", "two", &["a.example", "*.b.example"]),
        ca.issue("bank", "bank", &["bank.example", "www.b.example"]),
    );
    let certificates = format!(", certificates = [{{ {} }}, {{ {} }}]", two.toml(), bank.toml());
    let listener = |trusted: &str| {
        let site = ca.issue("site", "site", &["site.example"]);
        let tls = format!("tls = {{ {}{certificates} }}\n{trusted}", site.toml());
        Setup::to(&[&origin]).listener(&tls).start()
    };
    let proxy = listener("");
    let ask = |proxy: &Proxy, protocol: &str, name: &str, host: &str| {
        let host = format!("Host: {host}");
        let ran =
            curl(&ca, proxy.address, name, &[protocol, "-k", "-H", &host, "-o", "/dev/null", "-w", "%{http_code}"]);
        ran.out.parse::<u16>().unwrap_or_else(|_| panic!("{ran:?}"))
    };
    for (name, host, status) in [
        ("a.example", "a.example", 200),
        ("a.example", "A.Example:443", 200),
        ("a.example", "x.b.example", 200),
        ("x.b.example", "a.example", 200),
        // The certificate of the bank is for that host, too, and this one is as well.
        ("a.example", "www.b.example", 200),
        ("www.b.example", "bank.example", 200),
        ("www.b.example", "a.example", 421),
        ("a.example", "bank.example", 421),
        ("a.example", "x.y.b.example", 421),
        ("bank.example", "a.example", 421),
        ("a.example", "127.0.0.1", 421),
        // No certificate by that name: the listener's first one was shown.
        ("unknown.example", "unknown.example", 200),
        ("unknown.example", "site.example", 200),
        ("unknown.example", "bank.example", 421),
    ] {
        assert_eq!(ask(&proxy, "--http2", name, host), status, "{name}, then {host}");
    }
    assert_eq!(ask(&proxy, "--http1.1", "a.example", "bank.example"), 200, "HTTP/1.1 opens a connection for each host");
    let trusted = listener("trusted_proxies = [\"127.0.0.0/8\"]");
    assert_eq!(ask(&trusted, "--http2", "a.example", "bank.example"), 200, "a proxy names us in its handshake");
    proxy.await_metric("pointsman_refusals_total", &["reason=\"misdirected\""], 6.0);
}

#[test]
fn versions_and_protocols_are_agreed_on() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let both = proxy(&origin, &ca, "");
    let format = "%{http_version}";
    for (arguments, wanted) in [
        (&["--http1.1"][..], "1.1"),
        (&["--http2"], "2"),
        (&["--no-alpn"], "1.1"),
        (&["--tls-max", "1.2", "--http2"], "2"),
        (&["--tlsv1.3"], "2"),
    ] {
        let ran = curl(&ca, both.address, "site.example", &[arguments, &["-w", format]].concat());
        assert_eq!(ran.out, format!("hello{wanted}"), "{arguments:?}: {ran:?}");
    }
    let strict = proxy(&origin, &ca, ", min_version = \"1.3\", alpn = [\"http/1.1\"]");
    let ran = curl(&ca, strict.address, "site.example", &["--http2", "-w", format]);
    assert_eq!(ran.out, "hello1.1", "{ran:?}");
    let old = curl(&ca, strict.address, "site.example", &["--tls-max", "1.2"]);
    assert!(!old.good, "{old:?}");
    strict.await_metric("pointsman_refusals_total", &["tls_handshake_failed"], 1.0);
}

#[test]
fn the_upstream_and_our_cookie_know_that_it_is_https() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let site = ca.issue("site", "site", &["site.example"]);
    let setup = Setup::to(&[&origin]).listener(&format!("tls = {{ {} }}", site.toml()));
    let proxy = setup.service("sticky = [\"cookie\"]").start();
    let client = TlsClient::new(&ca, None, &[&TLS13]);
    let (answer, _) = client.ask(proxy.address, "site.example", "Forwarded: for=6.6.6.6\r\n").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("SameSite=Lax; Secure"), "{answer}");
    let seen = origin.only();
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("host")), (Some("https"), Some("site.example")));
    // On h2 as well, and a port that is the default one is no other host.
    let ran = curl(&ca, proxy.address, "site.example", &["--http2", "-H", "Host: site.example:443"]);
    assert_eq!(ran.out, "hello", "{ran:?}");
    assert_eq!(origin.last().header("x-forwarded-proto"), Some("https"));
}

/// Every ticket is opened by whichever worker the kernel picks.
#[test]
fn sessions_are_resumed_on_every_worker() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let site = ca.issue("site", "site", &["site.example"]);
    let setup = Setup::to(&[&origin]).listener(&format!("tls = {{ {} }}", site.toml()));
    let proxy = setup.bottom("[proxy]\nworkers = 4\n").start();
    for (version, wanted) in [(&TLS12, 23.0), (&TLS13, 46.0)] {
        let client = TlsClient::new(&ca, None, &[version]);
        let kinds: Vec<_> = (0..24).map(|_| client.ask(proxy.address, "site.example", "").unwrap().1).collect();
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{version:?}: {kinds:?}");
        proxy.await_metric("pointsman_tls_handshakes_total", &["resumed"], wanted);
    }
    proxy.await_metric("pointsman_tls_handshakes_total", &["full"], 2.0);
    // And by the client that everybody has.
    let session = ca.folder().join("session");
    let (connect, session) = (proxy.address.to_string(), session.to_str().unwrap().to_owned());
    let base = ["s_client", "-connect", &connect, "-servername", "site.example", "-tls1_2"];
    let first = run("openssl", &[&base[..], &["-sess_out", &session]].concat());
    assert!(first.out.contains("New, TLSv1.2"), "{first:?}");
    let second = run("openssl", &[&base[..], &["-sess_in", &session]].concat());
    assert!(second.out.contains("Reused, TLSv1.2"), "{second:?}");
}

#[test]
fn handshakes_that_do_not_end_are_cut_and_counted() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let proxy = proxy(&origin, &ca, ", handshake_timeout = \"3s\"");
    let mut silent = fault::connect(proxy.address);
    let mut begun = fault::connect(proxy.address);
    // A record that says it has 512 bytes, and 4 of them.
    begun.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).unwrap();
    assert!(ends(&mut silent) && ends(&mut begun));
    proxy.await_metric("pointsman_refusals_total", &["tls_handshake_timeout"], 2.0);
    // Plain HTTP gets an alert, not an answer; it is counted as a failure.
    let mut plain = fault::connect(proxy.address);
    plain.write_all(get("/").as_bytes()).unwrap();
    assert!(ends(&mut plain));
    proxy.await_metric("pointsman_refusals_total", &["tls_handshake_failed"], 1.0);
    proxy.await_metric("pointsman_connections", &["side=\"client\""], 0.0);
    assert_eq!(curl(&ca, proxy.address, "site.example", &[]).out, "hello");
}

#[test]
fn client_certificates_are_required_or_requested() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let (clients, strangers) = (Ca::new("clients"), Ca::new("strangers"));
    let good = clients.issue("good", "good", &[]);
    let expired = clients.issue_for("expired", "expired", &[], Holds::Past);
    let stranger = strangers.issue("stranger", "stranger", &[]);
    let tls = format!(", client_ca = \"{}\"", clients.file().display());
    let required = proxy(&origin, &ca, &tls);
    let requested = proxy(&origin, &ca, &format!("{tls}, client_auth = \"request\""));
    for (name, files, of_required, of_requested) in [
        ("good", Some(&good), true, true),
        ("none", None, false, true),
        ("expired", Some(&expired), false, false),
        ("stranger", Some(&stranger), false, false),
    ] {
        let arguments = |files: &Files| {
            ["--cert", files.cert.to_str().unwrap(), "--key", files.key.to_str().unwrap()].map(str::to_owned)
        };
        let arguments: Vec<String> = files.iter().flat_map(|files| arguments(files)).collect();
        for version in ["1.2", "1.3"] {
            let mut all: Vec<&str> = arguments.iter().map(String::as_str).collect();
            all.extend(["--tls-max", version]);
            for (proxy, wanted) in [(&required, of_required), (&requested, of_requested)] {
                let ran = curl(&ca, proxy.address, "site.example", &all);
                assert_eq!(ran.good && ran.out == "hello", wanted, "{name}, TLS {version}: {ran:?}");
            }
        }
    }
    required.await_metric("pointsman_refusals_total", &["tls_handshake_failed"], 6.0);
    requested.await_metric("pointsman_refusals_total", &["tls_handshake_failed"], 4.0);
    assert_eq!(origin.seen().len(), 6);
}

/// A client that was let in by authorities that have gone cannot come back with a ticket.
#[test]
fn tickets_end_with_the_client_authorities() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let authorities = ca.folder().join("clients.pem");
    std::fs::copy(old.file(), &authorities).unwrap();
    let proxy = proxy(&origin, &ca, &format!(", client_ca = \"{}\"", authorities.display()));
    let client = TlsClient::new(&ca, Some(&old.issue("a", "a", &[])), &[&TLS12]);
    let ask = || client.ask(proxy.address, "site.example", "");
    assert_eq!(ask().unwrap().1, HandshakeKind::Full);
    assert_eq!(ask().unwrap().1, HandshakeKind::Resumed);
    // Another server certificate changes nothing for them.
    let before = certificate_of(&proxy);
    ca.issue("site", "site", &["site.example"]);
    eventually("the new certificate is in use", || certificate_of(&proxy) != before);
    assert_eq!(ask().unwrap().1, HandshakeKind::Resumed);
    replace(&authorities, &std::fs::read_to_string(new.file()).unwrap());
    eventually("the old authorities are gone", || ask().is_err());
}

/// A client whose certificate has expired cannot come back with a ticket.
#[test]
fn tickets_end_with_the_certificate_of_their_client() {
    let (origin, ca, clients) = (Origin::saying("hello"), Ca::new("ca"), Ca::new("clients"));
    let proxy = proxy(&origin, &ca, &format!(", client_ca = \"{}\"", clients.file().display()));
    for version in [&TLS12, &TLS13] {
        let own = clients.issue_for("a", "a", &[], Holds::Shortly);
        let client = TlsClient::new(&ca, Some(&own), &[version]);
        let ask = || client.ask(proxy.address, "site.example", "");
        assert_eq!(ask().unwrap().1, HandshakeKind::Full);
        assert_eq!(ask().unwrap().1, HandshakeKind::Resumed);
        eventually_within(Duration::from_secs(60), "it is let in no more", || ask().is_err());
    }
}

/// The certificate that clients get, as PEM.
fn certificate_of(proxy: &Proxy) -> String {
    let connect = proxy.address.to_string();
    let ran = run("openssl", &["s_client", "-connect", &connect, "-servername", "site.example"]);
    let begin = ran.out.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no certificate: {ran:?}"));
    ran.out[begin..][..ran.out[begin..].find("-----END").unwrap()].to_owned()
}

/// `good` in the status of the listener's TLS, and its problems.
fn tls_status(proxy: &Proxy) -> (bool, String) {
    let request = format!("GET /v1/status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.admin);
    let status: serde_json::Value = serde_json::from_str(&client::send(proxy.admin, request).text()).unwrap();
    let tls = &status["tls"][0];
    assert_eq!(tls["place"], "listeners.public.tls");
    (tls["good"].as_bool().unwrap(), tls["problems"].to_string())
}

#[test]
fn new_files_are_used_under_load_and_bad_ones_are_not() {
    let (origin, ca) = (Origin::forgetful(|_| crate::support::Reply::ok("hello")), Ca::new("ca"));
    let proxy = proxy(&origin, &ca, "");
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (stop, asked, address) = (Arc::clone(&stop), Arc::clone(&asked), proxy.address);
            let fresh = TlsClient::new(&ca, None, &[&TLS13, &TLS12]);
            std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    // The first session is a handshake with a certificate, the second one a ticket's.
                    let client = fresh.again();
                    for _ in 0..2 {
                        let (answer, _) = client.ask(address, "site.example", "").expect("no request fails");
                        assert!(answer.ends_with("hello"), "{answer}");
                        asked.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    let good = |wanted: f64| {
        proxy.await_metric("pointsman_tls_last_reload_successful", &["listeners.public.tls"], wanted);
    };
    let mut before = certificate_of(&proxy);
    for round in 0..3 {
        ca.issue("site", "site", &["site.example"]);
        eventually("the new certificate is in use", || certificate_of(&proxy) != before);
        before = certificate_of(&proxy);
        good(1.0);
        // A key of another certificate, half a file, nothing, no file.
        let other = ca.sign("site", &["site.example"], Holds::Now);
        let (cert, key) = (ca.folder().join("site.pem"), ca.folder().join("site.key"));
        let word = match round {
            0 => {
                replace(&key, &other.1);
                "does not belong"
            }
            1 => {
                replace(&cert, &other.0[..other.0.len() / 2]);
                "broken PEM"
            }
            _ => {
                replace(&cert, "");
                std::fs::remove_file(&key).unwrap();
                "empty file"
            }
        };
        eventually("the bad files are told", || tls_status(&proxy).1.contains(word));
        good(0.0);
        assert_eq!(certificate_of(&proxy), before, "the old one stays");
    }
    ca.issue("site", "site", &["site.example"]);
    eventually("good files end it", || tls_status(&proxy) == (true, "[]".to_owned()));
    stop.store(true, Ordering::SeqCst);
    asking.into_iter().for_each(|thread| thread.join().expect("no request fails"));
    assert!(asked.load(Ordering::SeqCst) > 20, "only {asked:?} requests");
    let ends =
        proxy.metric("pointsman_certificate_expiry_timestamp_seconds", &["listeners.public.tls", "name=\"site\""]);
    assert!(ends > 2e9, "{ends}");
}

/// Kubernetes mounts `tls.crt -> ..data/tls.crt` and swaps `..data`, twice here: the second swap is in a folder that
/// did not exist when the proxy began to watch.
#[test]
fn a_swap_of_symlinks_is_a_change() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    let mount = tempfile::tempdir().unwrap();
    let fill = |name: &str, common: &str| {
        let (cert, key) = ca.sign(common, &["site.example"], Holds::Now);
        let folder = mount.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), cert).unwrap();
        std::fs::write(folder.join("tls.key"), key).unwrap();
    };
    let swap = |to: &str| {
        symlink(to, mount.path().join("..new")).unwrap();
        std::fs::rename(mount.path().join("..new"), mount.path().join("..data")).unwrap();
    };
    fill("..1", "one");
    swap("..1");
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), mount.path().join(file)).unwrap();
    }
    let files = Files { cert: mount.path().join("tls.crt"), key: mount.path().join("tls.key") };
    let proxy = Setup::to(&[&origin]).listener(&format!("tls = {{ {} }}", files.toml())).start();
    assert_eq!(shown(proxy.address, None), "one");
    for (folder, name) in [("..2", "two"), ("..3", "three")] {
        fill(folder, name);
        swap(folder);
        eventually("the swap is seen", || shown(proxy.address, None) == name);
    }
}

#[test]
fn a_plain_listener_redirects_to_https() {
    let origin = Origin::saying("hello");
    let lines = "redirect_https = { port = 8443 }\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let proxy = Setup::to(&[&origin]).listener(lines).start();
    for (request, location) in [
        ("GET /a%20b/?q=1&r HTTP/1.1\r\nHost: Shop.example:8080\r\n\r\n", "https://Shop.example:8443/a%20b/?q=1&r"),
        ("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "https://[::1]:8443/"),
        ("GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n", "https://a.example:8443/x"),
        ("POST //evil.example HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "https://a:8443//evil.example"),
    ] {
        let answer = client::send(proxy.address, request);
        assert_eq!((answer.status, answer.header("location")), (308, Some(location)), "{request}");
    }
    proxy.await_metric("pointsman_refusals_total", &["redirected_to_https"], 4.0);
    for bad in [
        "GET / HTTP/1.1\r\nHost: evil.example/@a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let answer = client::send(proxy.address, bad);
        assert_eq!((answer.status, answer.header("location")), (400, None), "{bad}");
    }
    assert!(origin.seen().is_empty());
    // What a proxy in front took over https would go round in a circle.
    let answer = client::send(proxy.address, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(answer.status, 200);
    let plain = Setup::to(&[&origin]).listener("redirect_https = true").start();
    let answer = client::send(plain.address, "GET /x HTTP/1.1\r\nHost: a:80\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://a/x")));
}

/// What a scanner of TLS finds: old protocols, weak ciphers. It takes most of a minute, so `make testssl` asks for it.
#[test]
fn testssl_finds_nothing_old() {
    let (origin, ca) = (Origin::saying("hello"), Ca::new("ca"));
    if std::env::var_os("TESTSSL").is_none() {
        println!("skipped: `make testssl` runs it");
        return;
    }
    let proxy = proxy(&origin, &ca, "");
    let report = ca.folder().join("report.json");
    let arguments = ["--quiet", "--color", "0", "--warnings", "batch", "--protocols", "--std", "--jsonfile"];
    let address = proxy.address.to_string();
    let mut all = vec!["300", "testssl"];
    all.extend(arguments);
    all.extend([report.to_str().unwrap(), &address]);
    let ran = run("timeout", &all);
    let report = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let found: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
    let finding = |id: &str| found.iter().find(|entry| entry["id"] == id).map(|entry| entry["finding"].to_string());
    for (id, wanted) in [
        ("SSLv3", "not offered"),
        ("TLS1", "not offered"),
        ("TLS1_1", "not offered"),
        ("TLS1_2", "offered"),
        ("TLS1_3", "offered"),
    ] {
        let finding = finding(id).unwrap_or_else(|| panic!("no {id}: {ran:?}"));
        assert!(finding.trim_matches('"').starts_with(wanted), "{id}: {finding}");
    }
    // What it says of itself is no finding.
    let own = ["engine_problem", "scanTime"];
    let other = found.iter().filter(|entry| !own.contains(&entry["id"].as_str().unwrap()));
    let bad: Vec<_> = other.filter(|entry| !["OK", "INFO"].contains(&entry["severity"].as_str().unwrap())).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
