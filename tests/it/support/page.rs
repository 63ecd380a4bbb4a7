//! A page with OpenFeature's SDK and its provider for the web, in Node or in a browser: commands go in as lines of
//! JSON, and facts come out as such.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A page that is open until this is dropped.
pub(crate) struct Page {
    child: Child,
    commands: Option<ChildStdin>,
    facts: BufReader<ChildStdout>,
    /// What the browser keeps on the disk.
    _profile: Option<TempDir>,
}

impl Page {
    /// In Node, with the packages of `folder`; the provider asks at `url`.
    pub(crate) fn in_node(folder: &Path, url: &str) -> Self {
        Self::start("ofrep_web_client.cjs", &[folder.as_os_str(), url.as_ref()])
    }

    /// The page at `url` in a browser.
    pub(crate) fn in_browser(browser: &str, url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut page = Self::start("browser.cjs", &[browser.as_ref(), profile.path().as_os_str(), url.as_ref()]);
        page._profile = Some(profile);
        page
    }

    fn start(script: &str, arguments: &[&OsStr]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let mut command = Command::new("node");
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node runs");
        let facts = BufReader::new(child.stdout.take().expect("piped"));
        Self { commands: child.stdin.take(), child, facts, _profile: None }
    }

    /// What it says next by itself.
    pub(crate) fn fact(&mut self) -> Value {
        let mut line = String::new();
        self.facts.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Does as it is told.
    pub(crate) fn command(&mut self, command: &Value) {
        writeln!(self.commands.as_mut().expect("an open page"), "{command}").expect("it listens");
    }

    /// The same, and what it says then.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        self.command(command);
        self.fact()
    }

    /// Closes it, which must go well.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.command(&json!({ "end": true }));
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A browser ends with the pipe to it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
