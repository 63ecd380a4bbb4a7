//! The files that a config names: told with their keys, together with what is wrong in the text, by `check`, `run` and
//! a reload alike; and tokens that are rotated while the proxy runs.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use pointsman::cli::client::{AdminClient, Call, CallError};
use rustix::fs::OFlags;

use crate::support::pki::{Ca, Files, Ran, replace, run};
use crate::support::process::{Process, config};
use crate::support::{eventually, eventually_within};

/// A config that was refused is read again after this, if nothing happens to it.
const REFUSED_AGAIN: Duration = Duration::from_secs(5);

fn text(more: &str) -> String {
    config(([127, 0, 0, 1], 9).into(), ([127, 0, 0, 1], 10).into(), more)
}

/// A folder with a config in it.
fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn pointsman(command: &str, path: &Path) -> Ran {
    run(env!("CARGO_BIN_EXE_pointsman"), &[command, "--config", path.to_str().unwrap()])
}

/// The status of `process`, until `wanted` holds of its config.
fn config_becomes(process: &Process, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
    eventually(what, || wanted(&process.get("/v1/status")["config"]));
}

#[test]
fn a_reload_refuses_what_the_next_start_refuses() {
    let ca = Ca::new("ca");
    let (a, b) = (ca.issue("a", "a", &["a.example"]), ca.issue("b", "b", &["b.example"]));
    let crossed = Files { cert: a.cert.clone(), key: b.key.clone() };
    let (folder, path) = folder(&text(""));
    let process = Process::start(&path);
    let listener = |tls: &str| format!("[listeners.new]\naddress = \"127.0.0.1:0\"\ntls = {{ {tls} }}\n");
    let token = folder.path().join("nope.token");
    for (more, wanted) in [
        (listener(&crossed.toml()), "listeners.new.tls.key: "),
        (listener(&format!("{}, client_ca = \"none.pem\"", a.toml())), "listeners.new.tls.client_ca: "),
        ("[admin.tokens.x]\nrole = \"read\"\nfile = \"nope.token\"\n".to_owned(), "admin.tokens.x.file: "),
    ] {
        // A weight that would be in force at once shows that nothing is.
        replace(&path, &text(&more).replace("v1 = 100, v2 = 0", "v1 = 10, v2 = 90"));
        config_becomes(&process, wanted, |config| config["problems"].to_string().contains(wanted));
        let status = process.get("/v1/status");
        assert_eq!((&status["config"]["good"], &status["revision"]), (&false.into(), &1.into()), "{wanted}: {status}");
        assert!(!pointsman("check", &path).good);
    }
    // The file that was missing comes, and the config is not touched.
    replace(&token, "s3cret");
    eventually_within(3 * REFUSED_AGAIN, "the config is good", || process.get("/v1/status")["config"]["good"] == true);
    let status = process.get("/v1/status");
    assert_eq!(status["config"]["needs_restart"], serde_json::json!(["admin"]));
    assert_eq!(status["revision"], 2);
    replace(&path, &text(&listener(&a.toml())));
    config_becomes(&process, "a good listener", |config| config["needs_restart"] == serde_json::json!(["listeners"]));
    assert!(pointsman("check", &path).good);
}

/// Whether the admin API knows a token.
fn knows(process: &Process, token: &str) -> bool {
    let client = AdminClient::new(&process.admin_address.to_string(), Some(token.to_owned())).unwrap();
    match client.call(Call::get("/v1/status")) {
        Ok(_) => true,
        Err(CallError::Refused { status: StatusCode::UNAUTHORIZED, .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_file_that_does_not_answer_keeps_nobody_but_the_reload_waiting() {
    let (folder, path) = folder(&text(""));
    let process = Process::start(&path);
    let pipe = folder.path().join("ops.token");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    replace(&path, &text("[admin.tokens.ops]\nrole = \"operate\"\nfile = \"ops.token\"\n"));
    let writer = || fs::OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&pipe);
    let mut silent = None;
    // It can be opened as soon as it has a reader.
    eventually("the reload waits for the file", || {
        silent = silent.take().or(writer().ok());
        silent.is_some()
    });
    assert_eq!(process.get("/v1/status")["config"]["good"], true, "it is answered meanwhile");
    drop(silent);
    config_becomes(&process, "the reload goes on", |config| config["problems"].to_string().contains("found nothing"));
}

#[test]
fn tokens_are_rotated_without_a_restart() {
    let (folder, path) = folder(&text("[admin.tokens.ops]\nrole = \"operate\"\nfile = \"ops.token\"\n"));
    let token = folder.path().join("ops.token");
    fs::write(&token, "first\n").unwrap();
    let process = Process::start(&path);
    assert!(knows(&process, "first") && !knows(&process, "second"));
    replace(&token, "second\n");
    eventually("the new token", || knows(&process, "second"));
    assert!(!knows(&process, "first"), "the old one is gone");

    // A bad file changes nothing, and is told.
    let problems = |secret: &str| {
        let client = AdminClient::new(&process.admin_address.to_string(), Some(secret.to_owned())).unwrap();
        client.call(Call::get("/v1/status")).unwrap()["tokens"]["problems"].to_string()
    };
    replace(&token, "two words");
    eventually("the bad token is told", || problems("second").contains("admin.tokens.ops: found spaces"));
    fs::remove_file(&token).unwrap();
    process.signal("HUP");
    eventually("the missing token is told", || problems("second").contains("admin.tokens.ops: cannot read"));
    replace(&token, "third");
    eventually("the third token", || knows(&process, "third"));
    assert!(!knows(&process, "second"));
    assert_eq!(problems("third"), "[]");
}

/// The lines of what was printed, without the path of the config.
fn lines(ran: &Ran, path: &Path) -> Vec<String> {
    let prefix = format!("{}: ", path.display());
    ran.err.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned()).collect()
}

#[test]
fn text_and_files_are_told_in_one_run() {
    let ca = Ca::new("ca");
    let good = ca.issue("good", "good", &["good.example"]);
    let old = ca.issue_for("old", "old", &["old.example"], crate::support::pki::Holds::Past);
    let none = ca.folder().join("none.pem");
    let mut more = String::from("stiky = []\n");
    write!(
        more,
        "[listeners.secure]\naddress = \"127.0.0.1:70000\"\n[listeners.secure.tls]\n{}\nclient_ca = \"{none}\"\n\
         certificates = [{{ {} }}, {{ cert = \"{}\", key = \"{none}\" }}, {{ cert = \"{}\", key = \"{none}\" }}]\n\
         [admin.tokens.a]\nrole = \"read\"\nfile = \"a.token\"\n[admin.tokens.b]\nrole = \"read\"\nfile = \"b.token\"\n",
        good.toml().replace(", ", "\n"),
        old.toml(),
        good.cert.display(),
        good.cert.display(),
        none = none.display(),
    )
    .unwrap();
    let (_folder, path) = folder(&text(&more));
    let checked = pointsman("check", &path);
    let found = lines(&checked, &path);
    for wanted in [
        "services.shop.stiky: found the unknown key",
        "listeners.secure.address: found \"127.0.0.1:70000\"",
        "listeners.secure.tls.client_ca: ",
        "listeners.secure.tls.certificates[2].key: ",
        "listeners.secure.tls.certificates[3].key: ",
        "admin.tokens.a.file: cannot read",
        "admin.tokens.b.file: cannot read",
    ] {
        let times = found.iter().filter(|line| line.starts_with("line ") && line.contains(wanted)).count();
        assert_eq!(times, 1, "{wanted}: {found:#?}");
    }
    assert!(found.contains(&"7 problems".to_owned()), "{found:#?}");
    let warning = "listeners.secure.tls.certificates[1].cert: ";
    assert!(found.iter().any(|line| line.starts_with("warning: line ") && line.contains(warning)), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("the certificate of old expired")), "{found:#?}");
    let started = pointsman("run", &path);
    assert_eq!(started.err, checked.err, "run says what check says");
}

#[test]
fn run_tells_every_bad_token_and_exits_as_check_does() {
    let token = |name: &str| format!("[admin.tokens.{name}]\nrole = \"read\"\nfile = \"{name}.token\"\n");
    let (folder, path) = folder(&text(&(token("a") + &token("b"))));
    fs::write(folder.path().join("a.token"), "two words").unwrap();
    for command in ["check", "run"] {
        let code = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args([command, "--config", path.to_str().unwrap()])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&code.stderr).into_owned();
        assert_eq!(code.status.code(), Some(64), "{command}: {errors}");
        assert!(errors.contains("admin.tokens.a.file: found spaces"), "{command}: {errors}");
        assert!(errors.contains("admin.tokens.b.file: cannot read"), "{command}: {errors}");
    }
}

#[test]
fn certificates_that_nobody_gets_are_warned_of() {
    let ca = Ca::new("ca");
    let (a, nameless) = (ca.issue("a", "a", &["a.example"]), ca.issue("nameless", "nameless.example", &[]));
    let tls = format!(
        "[listeners.secure]\naddress = \"127.0.0.1:0\"\n[listeners.secure.tls]\ncertificates = [{{ {a} }}, {{ {a} }}, {{ {} }}]\n",
        nameless.toml(),
        a = a.toml()
    );
    let (_folder, path) = folder(&text(&tls));
    let ran = pointsman("check", &path);
    assert!(ran.good, "{ran:?}");
    let found = lines(&ran, &path);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("certificates[2].cert: ") && found[0].contains("the same certificate and key as"));
    assert!(found[1].contains("certificates[3].cert: ") && found[1].contains("no host name"));
}

/// What libraries say of broken files, in words.
#[test]
fn broken_files_are_told_in_words() {
    let ca = Ca::new("ca");
    let good = ca.issue("good", "good", &["good.example"]);
    let whole = fs::read_to_string(&good.cert).unwrap();
    let cut = ca.folder().join("cut.pem");
    fs::write(&cut, &whole[..whole.len() - 30]).unwrap();
    let ancient = ca.folder().join("ancient");
    let (cert, key) = (ancient.with_extension("pem"), ancient.with_extension("key"));
    let request = ancient.with_extension("csr");
    let openssl = |arguments: &[&str]| {
        let ran = run("openssl", arguments);
        assert!(ran.good, "{ran:?}");
    };
    let [cert_path, key_path, request] = [&cert, &key, &request].map(|path| path.to_str().unwrap());
    openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ancient", "-keyout", key_path, "-out", request]);
    openssl(&["x509", "-req", "-in", request, "-signkey", key_path, "-out", cert_path]);
    for (tls, wanted) in [
        (
            format!("cert = \"{}\", key = \"{}\"", cut.display(), good.key.display()),
            "found broken PEM: a block without its line -----END CERTIFICATE-----",
        ),
        (
            format!("cert = \"{cert_path}\", key = \"{key_path}\""),
            "found a certificate of X.509 version 1, want version 3",
        ),
    ] {
        let listener = format!("[listeners.secure]\naddress = \"127.0.0.1:0\"\ntls = {{ {tls} }}\n");
        let (_folder, path) = folder(&text(&listener));
        let ran = pointsman("check", &path);
        assert!(!ran.good && ran.err.contains(wanted), "{ran:?}");
        assert!(!ran.err.contains("OtherError") && !ran.err.contains("[67"), "{ran:?}");
    }
}

#[test]
fn what_cannot_be_made_is_a_problem_of_check_too() {
    let more = "[state]\npath = \"none/p.db\"\n[access_log]\nformat = \"json\"\npath = \"none/access.log\"\n";
    let (folder, path) = folder(
        &text(more).replace("[admin]\naddress = \"127.0.0.1:0\"", "[admin]\naddress = \"unix:none/admin.sock\""),
    );
    let wanted = ["state.path: ", "access_log.path: ", "admin.address: "];
    for command in ["check", "run"] {
        let ran = pointsman(command, &path);
        assert!(!ran.good);
        for key in wanted {
            let line = ran.err.lines().find(|line| line.contains(key)).unwrap_or_default();
            assert!(
                line.contains("found no such folder") && line.contains("make the folder"),
                "{command}: {}",
                ran.err
            );
        }
    }
    // A log that is not written takes no folder.
    fs::create_dir(folder.path().join("none")).unwrap();
    assert!(pointsman("check", &path).good);
    fs::write(&path, text("[access_log]\npath = \"nowhere/access.log\"\n")).unwrap();
    assert!(pointsman("check", &path).good);
}

#[test]
fn a_file_in_another_encoding_is_told_with_its_line() {
    let (_folder, path) = folder("");
    fs::write(&path, b"# one\n# caf\xe9\n").unwrap();
    for command in ["check", "run"] {
        let ran = pointsman(command, &path);
        assert!(!ran.good && ran.err.contains("line 2: found the byte 0xe9"), "{}", ran.err);
    }
}

#[test]
fn a_token_that_can_be_guessed_is_warned_of() {
    let (folder, path) = folder(&text("[admin.tokens.ops]\nrole = \"operate\"\nfile = \"ops.token\"\n"));
    let token = folder.path().join("ops.token");
    fs::write(&token, "x").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = pointsman("check", &path);
    assert!(ran.good && ran.err.contains("admin.tokens.ops.file: others can find what is in"), "{}", ran.err);
    fs::write(&token, "0123456789abcdef").unwrap();
    assert!(!pointsman("check", &path).err.contains("warning"));
}
