//! What a machine gets with the binary: a first config, completions of shells, pages of the manual, a unit of systemd,
//! and the probe of containers.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::external_tools::installed;
use crate::support::process::Process;
use crate::support::{Origin, client, get};

/// The highest exposure that `systemd-analyze security` may find in our unit.
const EXPOSURE_MAX: f64 = 1.6;

/// Runs the binary to its end; its exit code, standard output and standard error.
fn pointsman(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    ran(&mut command)
}

fn ran(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

#[test]
fn a_first_config_is_written_once_and_its_next_command_works() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("hello");
    let v1 = origin.address().to_string();
    let arguments = [
        "init",
        "--service",
        "shop",
        "--v1",
        &v1,
        "--v2",
        "127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let (code, said, errors) = pointsman(folder.path(), &arguments);
    assert_eq!(code, 0, "{errors}");
    let wanted = "wrote pointsman.toml\nnext:\n  pointsman run --config pointsman.toml\nand then, beside it:\n  \
                  pointsman --admin http://127.0.0.1:0 shift shop v1=90 v2=10\n";
    assert_eq!(said, wanted);
    let path = folder.path().join("pointsman.toml");
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(pointsman(folder.path(), &["check", "--config", "pointsman.toml"]).0, 0, "{written}");
    let process = Process::start(&path);
    assert_eq!(client::send(process.listener, get("/")).text(), "hello");

    let (code, said, errors) = pointsman(folder.path(), &arguments);
    assert!(
        code == 64 && said.is_empty() && errors.contains("found pointsman.toml, which is never written over"),
        "{errors}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
}

#[test]
fn a_first_config_that_would_be_wrong_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["init"][..], "found no --v1, want where the version listens"),
        (&["init", "--v1", "127.0.0.1"], "add a port: \"127.0.0.1:8080\""),
        (&["init", "--v1", "127.0.0.1:1", "--admin", "0.0.0.0:9900"], "admin"),
        (&["init", "--v1", "127.0.0.1:1", "--service", "a b"], "a b"),
        (&["init", "no/such/folder.toml", "--v1", "127.0.0.1:1"], "no such folder"),
    ] {
        let (code, said, errors) = pointsman(folder.path(), arguments);
        assert!(code == 64 && said.is_empty() && errors.contains(wanted), "{arguments:?}: {code} {errors}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
    // Without --v2 there is one version, and the next command is to run it.
    let (code, said, errors) = pointsman(folder.path(), &["init", "x.toml", "--v1", "127.0.0.1:1,127.0.0.1:2"]);
    assert!(code == 0 && said.ends_with("next:\n  pointsman run --config x.toml\n"), "{said}{errors}");
}

#[test]
fn a_probe_says_by_its_exit_code_whether_requests_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("hello");
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, crate::support::process::config(origin.address(), origin.address(), "")).unwrap();
    let mut process = Process::start(&path);
    let admin = format!("http://{}", process.admin_address);
    let (code, said, errors) = pointsman(folder.path(), &["probe", "--admin", &admin]);
    assert_eq!((code, &*said), (0, "ready\n"), "{errors}");
    process.end();
    let (code, said, errors) = pointsman(folder.path(), &["probe", "--admin", &admin]);
    assert!(code == 1 && said.is_empty() && errors.contains("cannot reach the admin API"), "{errors}");
}

/// Gives a script to a shell that only reads it.
fn reads(shell: &str, arguments: &[&str], script: &str) {
    let mut command = Command::new(shell);
    let mut child =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn shells_read_their_completions_and_offer_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let completions = |shell: &str| {
        let (code, script, errors) = pointsman(folder.path(), &["completions", shell]);
        assert!(code == 0 && errors.is_empty(), "{errors}");
        script
    };
    let bash = completions("bash");
    reads("bash", &["-n"], &bash);
    // As bash itself asks: the words so far, and which of them is being written.
    let ask = "\nCOMP_WORDS=(pointsman rollout st); COMP_CWORD=2; _pointsman pointsman st rollout; echo \"${COMPREPLY[@]}\"\n\
               COMP_WORDS=(pointsman init --v); COMP_CWORD=2; _pointsman pointsman --v init; echo \"${COMPREPLY[@]}\"\n";
    let path = folder.path().join("ask");
    std::fs::write(&path, bash + ask).unwrap();
    let (_, said, errors) = ran(Command::new("bash").arg(&path));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("start") && lines[1].contains("--v1 --v2"), "{said}{errors}");
    for (shell, arguments) in [("zsh", &["-n"][..]), ("fish", &["--no-execute"])] {
        let script = completions(shell);
        assert!(script.contains("rollout") && script.contains("completions"), "{shell}");
        // Shells that a machine need not have.
        if Command::new(shell).arg("--version").output().is_ok() {
            reads(shell, arguments, &script);
        }
    }
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let (code, page, _) = pointsman(folder.path(), &["man"]);
    assert!(code == 0 && page.contains(".TH pointsman 1") && page.contains("pointsman\\-rollout(1)"), "{page}");
    let (code, said, errors) = pointsman(folder.path(), &["man", "."]);
    assert_eq!(code, 0, "{errors}");
    let mut pages: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert_eq!(said, format!("wrote {} pages to .\n", pages.len()));
    for name in ["pointsman.1", "pointsman-run.1", "pointsman-rollout-start.1", "pointsman-flag-import.1"] {
        assert!(pages.contains(&folder.path().join(name)), "{name} of {pages:?}");
    }
    if installed("mandoc", "pages of the manual") {
        let mut command = Command::new("mandoc");
        let (_, said, errors) = ran(command.args(["-T", "lint", "-W", "warning"]).args(&pages));
        assert!(said.is_empty(), "{said}{errors}");
    }
    let (code, ..) = pointsman(folder.path(), &["man", "a/new/folder"]);
    assert!(code == 0 && folder.path().join("a/new/folder/pointsman.1").is_file());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (code, _, errors) = pointsman(folder.path(), &["man", "file/in"]);
    assert!(code == 1 && errors.contains("cannot make file/in: "), "{errors}");
}

#[test]
fn the_unit_of_systemd_is_as_shut_as_is_promised() {
    if !installed("systemd-analyze", "the unit of systemd") {
        return;
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pointsman.service");
    let mut command = Command::new("systemd-analyze");
    let (_, said, errors) = ran(command.args(["security", "--offline=true", "--no-pager"]).arg(&unit));
    let last = said.lines().last().unwrap_or_default();
    let level = last.split_once("exposure level for pointsman.service: ").expect(&errors).1;
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE_MAX, "{said}");
    // What it says in a comment.
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&format!("`systemd-analyze security pointsman` says {level}.")), "{level}");
    for folder in
        ["StateDirectory=pointsman", "RuntimeDirectory=pointsman", "Type=notify", "RestartPreventExitStatus=64"]
    {
        assert!(text.contains(folder), "{folder}");
    }
}
