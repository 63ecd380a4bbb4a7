//! The scripts of `tests/clients`: clients, servers and attackers that are not ours, run by the Python that `.ci/tools`
//! set up under the folder of the build. Every script ends by itself after a minute at the latest.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A Python with the packages of `tests/clients/requirements.txt`, if it is there; otherwise says what is not tested.
pub(crate) fn python(untested: &str) -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python").join("bin/python");
    if python.exists() {
        return Some(python);
    }
    missing(untested, &format!("no {}", python.display()));
    None
}

/// The folder of the packages of `tests/clients/package.json`, if they are there with a Node that runs them; otherwise
/// says what is not tested.
pub(crate) fn node(untested: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("node");
    if !folder.join("node_modules").exists() {
        missing(untested, &format!("no {}", folder.join("node_modules").display()));
        return None;
    }
    installed("node", untested).then_some(folder)
}

/// The names of Chromium: without windows of its own first, which starts soonest. `.ci/tools` looks for the same ones.
const BROWSERS: [&str; 4] = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// A browser, if one is installed; otherwise says what is not tested.
pub(crate) fn browser(untested: &str) -> Option<&'static str> {
    let found = BROWSERS.into_iter().find(|program| runs(program));
    if found.is_none() {
        missing(untested, &format!("none of {BROWSERS:?} is installed"));
    }
    found
}

/// Whether a program is installed; otherwise says what is not tested.
pub(crate) fn installed(program: &str, untested: &str) -> bool {
    let found = runs(program);
    if !found {
        missing(untested, &format!("{program} is not installed"));
    }
    found
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// A person may run the other tests without a tool; continuous integration has to notice that a test does not run.
fn missing(untested: &str, what: &str) {
    assert!(std::env::var_os("CI").is_none(), "not tested: {untested}: {what} (make tools)");
    eprintln!("skipped: {untested}: {what} (make tools)");
}

fn command(python: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    // No compiled files beside the sources.
    command.arg("-B").arg(path).args(arguments).stdin(Stdio::null());
    if let Some(seconds) = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse::<u64>().ok()) {
        command.env("SCRIPT_SECONDS", (seconds + 50).to_string());
    }
    command
}

/// Runs a script to its end, which must be a good one; the lines that it said.
#[track_caller]
pub(crate) fn run(python: &Path, script: &str, arguments: &[&str]) -> Vec<Value> {
    let output = command(python, script, arguments).output().expect("python runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} {arguments:?}: {}\n{out}\n{err}", output.status);
    println!("{script} {}: {}", arguments[0], out.trim().replace('\n', " "));
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// A script that serves until this is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `SCRIPT serve NAME`.
    pub(crate) fn start(python: &Path, script: &str, name: &str) -> Self {
        let mut child = command(python, script, &["serve", name]).stdout(Stdio::piped()).spawn().expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says its port");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{script} said {line:?}: {error}"));
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        Self { child, address: ([127, 0, 0, 1], port).into() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
