//! A browser for all tests of the console, driven by `tests/clients/console.cjs`: it starts once for the whole run, and
//! each test has tabs of its own in it, as separate as those of two people.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::external_tools::{browser, node};

/// A command has its own limit in the script; this one is for a browser that is gone.
const PATIENCE: Duration = Duration::from_secs(60);

type Waiting = Arc<Mutex<HashMap<u64, Sender<Value>>>>;

/// The browser.
pub(crate) struct Browser {
    commands: Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Browser {
    /// The one of this run, if its tools are there; otherwise says what is not tested.
    pub(crate) fn shared(untested: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Browser> = OnceLock::new();
        let (program, folder) = (browser(untested)?, node(untested)?);
        Some(SHARED.get_or_init(|| Self::start(program, &folder)))
    }

    /// It ends with the pipe to it, so with this process.
    fn start(program: &str, folder: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/console.cjs");
        let mut command = Command::new("node");
        command.arg(script).arg(program).env("NODE_PATH", folder.join("node_modules"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let waiting = Waiting::default();
        let asked = Arc::clone(&waiting);
        let commands = Mutex::new(child.stdin.take().expect("piped"));
        std::thread::spawn(move || {
            Self::listen(answers, &asked);
            child.wait()
        });
        Self { commands, waiting, next: AtomicU64::new(1) }
    }

    fn listen(answers: BufReader<ChildStdout>, waiting: &Waiting) {
        for line in answers.lines().map_while(Result::ok) {
            let answer: Value = serde_json::from_str(&line).expect("a line of JSON");
            let id = answer["id"].as_u64().expect("an id");
            let asked = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // A test that has failed meanwhile does not listen any more.
            asked.map(|asked| asked.send(answer));
        }
        waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What comes of a command; why it failed, otherwise.
    pub(crate) fn attempt(&self, mut command: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        command["id"] = id.into();
        let (answer, answered) = channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
        let written = writeln!(self.commands.lock().unwrap_or_else(PoisonError::into_inner), "{command}");
        written.map_err(|error| format!("the browser is gone: {error}"))?;
        let answer = answered.recv_timeout(PATIENCE).map_err(|error| format!("no answer of the browser: {error}"))?;
        match answer["failed"].as_str() {
            Some(failed) => Err(failed.to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }

    /// The same of one that must go well.
    #[track_caller]
    pub(crate) fn ask(&self, command: Value) -> Value {
        let text = command.to_string();
        self.attempt(command).unwrap_or_else(|failed| panic!("{text}: {failed}"))
    }

    /// Checks that this is a valid document. Rules of taste are off, such as that no element is closed that needs not
    /// be.
    #[track_caller]
    pub(crate) fn is_valid(&self, document: &str, what: &str) {
        let rules = json!({
            "doctype-style": "off",
            "void-style": "off",
            "no-trailing-whitespace": "off",
            "attribute-boolean-style": "off",
            "long-title": "off",
            "no-implicit-input-type": "off",
            "no-implicit-button-type": "off",
            // What filters a list does so with each letter.
            "wcag/h32": "off",
            // Set by a script, which the policy allows.
            "no-inline-style": "off",
            // The files are from where the page is from.
            "require-sri": "off",
        });
        let problems = self.ask(json!({ "do": "html", "text": document, "rules": rules }));
        assert_eq!(problems, json!([]), "{what}: {problems:#}");
    }

    /// A person's own window at `url`; `setting` has more of what `open` takes: `scheme`, `width`, `height`, `zoom`,
    /// `motion`.
    #[track_caller]
    pub(crate) fn open(&'static self, url: &str, setting: Value) -> Tab {
        let tab = Tab { browser: self, number: self.next.fetch_add(1, Ordering::Relaxed), url: url.to_owned() };
        let mut command = setting;
        command["url"] = url.into();
        tab.ask("open", command);
        tab
    }

    /// The console of the proxy with this admin API, in a room such as `#/service/shop`.
    #[track_caller]
    pub(crate) fn console(&'static self, admin: SocketAddr, room: &str) -> Tab {
        self.open(&format!("http://{admin}/{room}"), json!({}))
    }
}

/// A window with one page, closed when this is dropped.
pub(crate) struct Tab {
    browser: &'static Browser,
    number: u64,
    url: String,
}

impl Tab {
    /// What comes of a command; why it failed, otherwise.
    pub(crate) fn attempt(&self, what: &str, mut command: Value) -> Result<Value, String> {
        command["do"] = what.into();
        command["tab"] = self.number.into();
        self.browser.attempt(command)
    }

    /// The same of one that must go well.
    #[track_caller]
    pub(crate) fn ask(&self, what: &str, command: Value) -> Value {
        let text = command.to_string();
        self.attempt(what, command).unwrap_or_else(|failed| {
            let body = self.attempt("text", json!({})).unwrap_or_default();
            panic!("{what} {text}: {failed}\nThe page: {}", body.as_str().unwrap_or_default())
        })
    }

    /// Clicks on what has this role and name.
    #[track_caller]
    pub(crate) fn click(&self, role: &str, name: &str) {
        self.ask("click", json!({ "role": role, "name": name }));
    }

    /// The same inside of what this selector finds.
    #[track_caller]
    pub(crate) fn click_in(&self, within: &str, role: &str, name: &str) {
        self.ask("click", json!({ "role": role, "name": name, "within": within }));
    }

    /// Writes into a field, moves a slider, or chooses from a list.
    #[track_caller]
    pub(crate) fn fill(&self, role: &str, name: &str, value: &str) {
        self.ask("fill", json!({ "role": role, "name": name, "value": value }));
    }

    /// Presses a key, such as `Tab` or `Shift+Tab`.
    #[track_caller]
    pub(crate) fn press(&self, key: &str) {
        self.ask("press", json!({ "keys": key }));
    }

    /// Waits until the text of what the selector finds is like this expression; hands the text back.
    #[track_caller]
    pub(crate) fn reads(&self, css: &str, like: &str) -> String {
        let text = self.ask("text", json!({ "css": css, "like": like }));
        text.as_str().expect("a text").to_owned()
    }

    /// Waits until what has this role and name can be seen.
    #[track_caller]
    pub(crate) fn shows(&self, role: &str, name: &str) {
        self.ask("await", json!({ "role": role, "name": name }));
    }

    /// How many have this role and name now.
    #[track_caller]
    pub(crate) fn count(&self, role: &str, name: &str) -> u64 {
        self.ask("count", json!({ "role": role, "name": name })).as_u64().expect("a number")
    }

    /// Goes to another room, such as `#/service/shop`.
    #[track_caller]
    pub(crate) fn go(&self, room: &str) {
        let base = self.url.split('#').next().expect("a first part");
        self.ask("go", json!({ "url": format!("{base}{room}") }));
    }

    /// Runs a text of JavaScript in the page.
    #[track_caller]
    pub(crate) fn js(&self, text: &str) -> Value {
        self.ask("js", json!({ "text": text }))
    }

    /// Checks the page by the rules of accessibility; `state` says what it shows.
    #[track_caller]
    pub(crate) fn is_accessible(&self, state: &str) {
        let violations = self.ask("axe", json!({}));
        assert_eq!(violations, json!([]), "{state}: {violations:#}");
    }

    #[track_caller]
    fn check(facts: &Value, url: &str) {
        assert_eq!((&facts["complaints"], &facts["csp"]), (&json!([]), &json!([])), "{url}: {facts:#}");
        let origin: String = url.splitn(4, '/').take(3).map(|part| format!("{part}/")).collect();
        let requests = facts["requests"].as_array().expect("a list");
        let ours = [origin.as_str(), "data:", "blob:"];
        let urls = requests.iter().filter_map(|one| one["url"].as_str());
        let foreign: Vec<_> = urls.filter(|url| !ours.iter().any(|ours| url.starts_with(ours))).collect();
        assert!(!requests.is_empty() && foreign.is_empty(), "{url} asks elsewhere: {foreign:?}");
    }

    /// Closes it, and checks that the browser had nothing to complain of, and that all that was asked for is of this
    /// origin.
    #[track_caller]
    pub(crate) fn end(self) {
        Self::check(&self.ask("close", json!({})), &self.url);
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // It may be closed already.
        let _closed = self.attempt("close", json!({}));
    }
}
