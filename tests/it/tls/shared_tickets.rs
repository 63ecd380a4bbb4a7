//! Session tickets that several processes open: replicas with one key, a key that is changed, a process and the one
//! that takes over from it. openssl and rustls are the clients.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::support::pki::{Ca, replace, run, set_mode};
use crate::support::process::Process;
use crate::support::tls::TlsClient;
use crate::support::{Origin, eventually};

/// Two keys, as `openssl rand -hex 32` makes them.
const KEYS: [&str; 2] = [
    "6d1f0a7c35e2b98441d0c7f6ab5e93281f0c4d7b6a59e8372615049f8e7d6c5b",
    "c0ffee0123456789abcdef0123456789fedcba9876543210deadbeef00112233",
];

/// What replicas have in common.
struct Site {
    origin: Origin,
    ca: Ca,
}

impl Site {
    fn new() -> Self {
        let site = Self { origin: Origin::saying("hello"), ca: Ca::new("ca") };
        site.ca.issue("site", "site", &["site.example"]);
        site
    }

    /// The file of a replica's keys.
    fn keys(&self, name: &str) -> PathBuf {
        self.ca.folder().join(format!("{name}.tickets"))
    }

    fn write_keys(&self, name: &str, text: &str) {
        replace(&self.keys(name), text);
        set_mode(&self.keys(name), 0o600);
    }

    /// Writes the config of a replica that has a file of keys of its own.
    fn write(&self, name: &str) -> PathBuf {
        let folder = self.ca.folder();
        let (keys, origin) = (self.keys(name), self.origin.address());
        let path = folder.join(format!("{name}.toml"));
        let text = format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ cert = \"site.pem\", key = \"site.key\", ticket_keys = {keys:?} }}\n\
             [admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\n[state]\npath = \"{name}.db\"\n\
             [services.shop]\nsplit = {{ v1 = 100 }}\nversions.v1.endpoints = [\"{origin}\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a replica with these keys.
    fn start(&self, name: &str, keys: &str) -> Process {
        self.write_keys(name, keys);
        Process::start(&self.write(name))
    }

    fn client(&self, version: &'static rustls::SupportedProtocolVersion) -> TlsClient {
        TlsClient::new(&self.ca, None, &[version])
    }
}

/// How the session of a request comes about; the request must be answered whatever that is.
#[track_caller]
fn ask(client: &TlsClient, replica: &Process) -> HandshakeKind {
    let (answer, kind) = client.ask(replica.listener, "site.example", "").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    kind
}

/// How a session that openssl has got from `first` comes about at `second`.
fn by_openssl(site: &Site, version: &str, first: SocketAddr, second: SocketAddr) -> String {
    let session = site.ca.folder().join("session").display().to_string();
    let call = |at: SocketAddr, more: &str| {
        // Until the server hangs up: in TLS 1.3 a ticket comes when it likes.
        let line = format!(
            "printf 'GET / HTTP/1.1\\r\\nHost: site.example\\r\\nConnection: close\\r\\n\\r\\n' | \
             openssl s_client -connect {at} -servername site.example {version} -ign_eof {more}"
        );
        let ran = run("sh", &["-c", &line]);
        assert!(ran.out.contains("hello"), "{ran:?}");
        ran.out
    };
    assert!(call(first, &format!("-sess_out {session}")).contains("New, TLSv1."));
    let out = call(second, &format!("-sess_in {session}"));
    out.lines().find(|line| line.contains(", TLSv1.")).unwrap_or_default().to_owned()
}

#[test]
fn a_ticket_of_one_replica_is_good_at_another_with_the_key_and_after_an_upgrade() {
    let site = Site::new();
    let (mut first, second) = (site.start("first", KEYS[0]), site.start("second", KEYS[0]));
    let stranger = site.start("stranger", KEYS[1]);
    for version in [&TLS12, &TLS13] {
        let client = site.client(version);
        let kinds = [&first, &second, &first, &second].map(|replica| ask(&client, replica));
        assert_eq!(kinds[0], HandshakeKind::Full, "{version:?}");
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{version:?}: {kinds:?}");
        assert_eq!(ask(&client, &stranger), HandshakeKind::Full, "{version:?} with another key");
    }
    for (version, words) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let at_second = by_openssl(&site, version, first.listener, second.listener);
        assert!(at_second.starts_with("Reused") && at_second.contains(words), "{at_second}");
        let at_stranger = by_openssl(&site, version, first.listener, stranger.listener);
        assert!(at_stranger.starts_with("New") && at_stranger.contains(words), "{at_stranger}");
    }
    let clients = [&TLS12, &TLS13].map(|version| site.client(version));
    clients.iter().for_each(|client| assert_eq!(ask(client, &first), HandshakeKind::Full));
    first.upgrade().unwrap();
    clients.iter().for_each(|client| assert_eq!(ask(client, &first), HandshakeKind::Resumed, "the next process"));
}

#[test]
fn keys_are_changed_without_a_full_handshake_and_bad_ones_leave_the_old_in_use() {
    let site = Site::new();
    let [old, new] = KEYS;
    let changing = site.start("changing", old);
    let (of_old, of_new) = (site.start("old", old), site.start("new", new));
    for version in [&TLS12, &TLS13] {
        let client = site.client(version);
        let kind = |first: &Process, second: &Process| {
            let client = client.again();
            ask(&client, first);
            ask(&client, second)
        };
        site.write_keys("changing", old);
        eventually("it has the old key", || kind(&of_old, &changing) == HandshakeKind::Resumed);
        assert_eq!(kind(&of_new, &changing), HandshakeKind::Full);
        site.write_keys("changing", &format!("# the next one\n{old}\n{new}\n"));
        eventually("it opens both", || kind(&of_new, &changing) == HandshakeKind::Resumed);
        assert_eq!(kind(&of_old, &changing), HandshakeKind::Resumed);
        assert_eq!(kind(&changing, &of_old), HandshakeKind::Resumed, "the first key seals");
        site.write_keys("changing", &format!("{new}\n{old}\n"));
        eventually("it seals with the new one", || kind(&changing, &of_new) == HandshakeKind::Resumed);
        assert_eq!(kind(&of_old, &changing), HandshakeKind::Resumed, "who has a ticket of before keeps it");
        site.write_keys("changing", new);
        eventually("the old one is out", || kind(&of_old, &changing) == HandshakeKind::Full);
    }
    site.write_keys("changing", "not a key");
    changing.tells(&["found no key but 9 characters on line 1", "64 hexadecimal digits"]);
    let client = site.client(&TLS13);
    assert_eq!([&of_new, &changing].map(|replica| ask(&client, replica))[1], HandshakeKind::Resumed);
}

#[test]
fn keys_of_tickets_are_looked_at_by_check() {
    let site = Site::new();
    let check = |keys: &str, mode: u32| {
        site.write_keys("one", keys);
        set_mode(&site.keys("one"), mode);
        let path = site.write("one").display().to_string();
        let ran = run(env!("CARGO_BIN_EXE_pointsman"), &["check", "--config", &path]);
        (ran.good, ran.out + &ran.err)
    };
    let (good, said) = check(KEYS[0], 0o600);
    assert!(good && !said.contains("tickets"), "{said}");
    let (good, said) = check(KEYS[0], 0o640);
    assert!(good && said.contains("listeners.public.tls.ticket_keys") && said.contains("mode 0640"), "{said}");
    let (good, said) = check("", 0o600);
    assert!(
        !good && said.contains("line 3: listeners.public.tls.ticket_keys") && said.contains("found no key"),
        "{said}"
    );
    std::fs::remove_file(site.keys("one")).unwrap();
    let path = site.write("one").display().to_string();
    let ran = run(env!("CARGO_BIN_EXE_pointsman"), &["check", "--config", &path]);
    assert!(!ran.good && (ran.out + &ran.err).contains("cannot read it"), "a file that is not there");
}
