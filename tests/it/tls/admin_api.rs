//! TLS of the admin API: client certificates with roles, and the command line that uses them. And what `check` and
//! `run` say of certificates and keys.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::pki::{Ca, Files, Holds, Ran, run, set_mode};
use crate::support::process::Process;
use crate::support::{Proxy, eventually, fault};

const SITE: &str = "[listeners.public]\naddress = \"127.0.0.1:0\"\n[services.site.versions]\n\
                    v1.endpoints = [\"127.0.0.1:9\"]\nv2.endpoints = [\"127.0.0.1:10\"]\n[services.site]\n\
                    split = { v1 = 100 }\n";

fn pointsman(arguments: &[&str]) -> Ran {
    run(env!("CARGO_BIN_EXE_pointsman"), arguments)
}

struct Operators {
    ca: Ca,
    people: Ca,
    proxy: Proxy,
}

impl Operators {
    /// A proxy whose admin API speaks TLS, with `client_auth` and further sections.
    fn new(client_auth: &str, more: &str) -> Self {
        let (ca, people) = (Ca::new("ca"), Ca::new("people"));
        let own = ca.issue("admin", "admin", &["127.0.0.1"]);
        let tls = format!(
            "[admin.tls]\n{}\nclient_ca = \"{}\"\nclient_auth = \"{client_auth}\"\n",
            own.toml().replace(", ", "\n"),
            people.file().display()
        );
        let proxy = Proxy::start(&format!("{SITE}{tls}{more}"));
        Self { ca, people, proxy }
    }

    /// Runs a command as a given user.
    fn command(&self, own: Option<&Files>, arguments: &[&str]) -> Ran {
        let (admin, ca) = (format!("https://{}", self.proxy.admin), self.ca.file());
        let mut all = vec!["--admin", &admin, "--ca", ca.to_str().unwrap()];
        if let Some(Files { cert, key }) = own {
            all.extend(["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        }
        pointsman(&[&all[..], arguments].concat())
    }

    /// Asks with curl and a token, without a certificate.
    fn with_token(&self, token: &str, path: &str) -> String {
        let ca = self.ca.file();
        let (token, url) = (format!("Authorization: Bearer {token}"), format!("https://{}{path}", self.proxy.admin));
        let ran = run(
            "curl",
            &["-sS", "--cacert", ca.to_str().unwrap(), "-H", &token, "-w", "%{http_code}", "-o", "/dev/null", &url],
        );
        format!("{}{}", ran.out, ran.err)
    }
}

#[test]
fn certificates_have_roles_and_are_authors() {
    let clients =
        "[admin.clients.\"Ada Lovelace\"]\nrole = \"operate\"\n[admin.clients.\"board.example\"]\nrole = \"read\"\n";
    let operators = Operators::new("require", clients);
    let ada = operators.people.issue("ada", "Ada Lovelace", &["ada.example"]);
    let board = operators.people.issue("board", "board.example", &[]);
    let mallory = operators.people.issue("mallory", "Mallory", &["board.example"]);
    let stranger = Ca::new("strangers").issue("stranger", "Ada Lovelace", &[]);

    let shift = ["shift", "site", "v1=90", "v2=10"];
    assert!(operators.command(Some(&board), &["status"]).good);
    let refused = operators.command(Some(&board), &shift);
    assert!(!refused.good && refused.err.contains("board.example has the role read"), "{refused:?}");
    let changed = operators.command(Some(&ada), &shift);
    assert!(changed.good, "{changed:?}");
    let history = operators.command(Some(&board), &["history", "--json"]);
    let history: Value = serde_json::from_str(&history.out).unwrap();
    assert_eq!(history["revisions"][0]["author"], json!("Ada Lovelace"));

    let unknown = operators.command(Some(&mallory), &["status"]);
    assert!(!unknown.good && unknown.err.contains("\"Mallory\""), "{unknown:?}");
    for (who, own) in [("nobody", None), ("a stranger", Some(&stranger))] {
        assert!(!operators.command(own, &["status"]).good, "{who}");
    }
    // A client that does not know our authority does not talk to us.
    let (admin, ca) = (format!("https://{}", operators.proxy.admin), Ca::new("other"));
    let ran = pointsman(&["--admin", &admin, "--ca", ca.file().to_str().unwrap(), "status"]);
    assert!(!ran.good && ran.err.contains("is --ca the authority"), "{ran:?}");
}

#[test]
fn tokens_and_certificates_stand_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret").unwrap();
    let mut more = format!("[admin.tokens.ops]\nrole = \"operate\"\nfile = \"{}\"\n", token.display());
    writeln!(more, "[admin.clients.ada]\nrole = \"read\"").unwrap();
    let operators = Operators::new("request", &more);
    assert_eq!(operators.with_token("s3cret", "/v1/status"), "200");
    assert_eq!(operators.with_token("wrong", "/v1/status"), "401");
    assert_eq!(operators.with_token("", "/healthz"), "200");
    let ada = operators.people.issue("ada", "ada", &[]);
    assert!(operators.command(Some(&ada), &["status"]).good);
    assert!(!operators.command(None, &["status"]).good);
    // Plain HTTP gets nothing.
    let plain = pointsman(&["--admin", &format!("http://{}", operators.proxy.admin), "status"]);
    assert!(!plain.good, "{plain:?}");
    drop(fault::connect(operators.proxy.admin));
    assert!(operators.command(Some(&ada), &["status"]).good);
}

/// Checks a config whose listener has this TLS.
fn check(folder: &Path, tls: &str) -> Ran {
    let path = folder.join("pointsman.toml");
    let text = SITE.replace("127.0.0.1:0\"\n", &format!("127.0.0.1:0\"\ntls = {{ {tls} }}\n"));
    std::fs::write(&path, text).unwrap();
    let ran = pointsman(&["check", "--config", path.to_str().unwrap()]);
    if !ran.good {
        // `run` refuses what `check` refuses, in the same words.
        let run = pointsman(&["run", "--config", path.to_str().unwrap()]);
        assert!(!run.good && run.err == ran.err, "{run:?}\n{ran:?}");
    }
    ran
}

#[test]
fn check_reads_certificates_and_keys() {
    let ca = Ca::new("ca");
    let (a, b) = (ca.issue("a", "a", &["a.example"]), ca.issue("b", "b", &["b.example"]));
    let old = ca.issue_for("old", "old", &["old.example"], Holds::Past);
    let at = |name: &str, text: &str| {
        let path = ca.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = at("empty", " \n");
    let text = at("text", "hello\n");
    let encrypted =
        at("encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let missing = ca.folder().join("missing");
    let with = |cert: &Path, key: &Path| format!("cert = \"{}\", key = \"{}\"", cert.display(), key.display());
    for (tls, wanted) in [
        (with(&a.cert, &b.key), "b.key: the key does not belong to the first certificate of"),
        (with(&empty, &a.key), "empty: found an empty file, want a certificate in PEM"),
        (with(&text, &a.key), "text: found no certificate, want one in PEM"),
        (with(&a.cert, &text), "text: found no private key, want one in PEM"),
        (with(&a.cert, &encrypted), "encrypted: found an encrypted private key, want a plain one"),
        (with(&missing, &a.key), "missing: cannot read it; make it exist"),
        (with(&a.key, &a.key), "a.key: found no certificate"),
        (format!("{}, client_ca = \"{}\"", a.toml(), missing.display()), "missing: cannot read it"),
    ] {
        let ran = check(ca.folder(), &tls);
        let line = ran.err.lines().find(|line| line.contains(wanted));
        let line = line.unwrap_or_else(|| panic!("want {wanted:?}: {ran:?}"));
        assert!(line.contains("line 3: listeners.public.tls."), "{line}");
    }
    // All of them in one run.
    let all =
        check(ca.folder(), &format!("{}, certificates = [{{ {} }}]", with(&empty, &missing), with(&a.cert, &b.key)));
    assert!(all.err.contains("3 problems"), "{all:?}");

    let ran = check(ca.folder(), &old.toml());
    assert!(ran.good && ran.err.contains("warning: line 3: listeners.public.tls.cert: "), "{ran:?}");
    assert!(ran.err.contains("the certificate of old expired on 2021-03-04; renew it"), "{ran:?}");
    let ran = check(ca.folder(), &a.toml());
    assert!(ran.good && ran.err.is_empty(), "{ran:?}");
}

/// An admin API that others can reach needs a token or client certificates.
#[test]
fn client_certificates_open_an_address_that_others_can_reach() {
    let (ca, folder) = (Ca::new("ca"), tempfile::tempdir().unwrap());
    let own = ca.issue("admin", "admin", &["127.0.0.1"]);
    let path = folder.path().join("pointsman.toml");
    let tls = format!("[admin]\naddress = \"0.0.0.0:9\"\n[admin.tls]\n{}\n", own.toml().replace(", ", "\n"));
    for (more, good) in [
        (String::new(), false),
        (format!("client_ca = \"{}\"\n[admin.clients.ada]\nrole = \"read\"\n", ca.file().display()), true),
        (format!("client_ca = \"{}\"\n", ca.file().display()), false),
    ] {
        std::fs::write(&path, format!("{SITE}{tls}{more}")).unwrap();
        let ran = pointsman(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(ran.good, good, "{more}: {ran:?}");
    }
}

/// A key that everybody can read is told by `check`, at the start, on a reload and by `status`; one for a group is not.
#[test]
fn keys_and_tokens_that_others_can_read_are_told() {
    let (ca, folder) = (Ca::new("ca"), tempfile::tempdir().unwrap());
    let own = ca.issue("site", "site", &["site.example"]);
    let token = folder.path().join("ops.token");
    std::fs::write(&token, "4f6c1d2e9b7a4c3d8e5f").unwrap();
    let path = folder.path().join("pointsman.toml");
    let tls = own.toml();
    let text = format!(
        "{}[admin]\naddress = \"127.0.0.1:0\"\ntokens.ops = {{ role = \"operate\", file = \"{}\" }}\n",
        SITE.replacen("127.0.0.1:0\"\n", &format!("127.0.0.1:0\"\ntls = {{ {tls} }}\n"), 1),
        token.display()
    );
    std::fs::write(&path, text).unwrap();
    let check = || pointsman(&["check", "--config", path.to_str().unwrap()]);
    let told = |ran: &Ran, file: &str| {
        ran.err.lines().any(|line| line.contains(file) && line.contains("other users can read"))
    };
    set_mode(&token, 0o600);
    set_mode(&own.key, 0o640);
    let ran = check();
    assert!(ran.good && ran.err.is_empty(), "a key may be for a group: {ran:?}");
    set_mode(&own.key, 0o644);
    set_mode(&token, 0o640);
    let ran = check();
    assert!(ran.good && told(&ran, "listeners.public.tls.key") && told(&ran, "admin.tokens.ops.file"), "{ran:?}");

    let process = Process::start(&path);
    assert!(process.told(&["WARN", "site.key", "mode 0644"]) && process.told(&["WARN", "ops.token", "mode 0640"]));
    let admin = process.admin_address.to_string();
    let status = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let output = command
            .args(["--admin", &admin, "status"])
            .env("POINTSMAN_TOKEN", "4f6c1d2e9b7a4c3d8e5f")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = status();
    assert!(shown.contains("key: listeners.public.tls: other users can read"), "{shown}");
    assert!(shown.contains("token: other users can read"), "{shown}");
    // Mended, and broken again: a reload sees both.
    set_mode(&own.key, 0o600);
    set_mode(&token, 0o600);
    process.signal("HUP");
    eventually("nothing is to be told", || !status().contains("other users can read"));
    set_mode(&own.key, 0o604);
    set_mode(&token, 0o604);
    process.signal("HUP");
    eventually("the log tells", || {
        process.told(&["WARN", "site.key", "mode 0604"]) && process.told(&["WARN", "ops.token", "mode 0604"])
    });
    assert!(status().contains("mode 0604"));
}
