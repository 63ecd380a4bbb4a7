//! The real binary, as an operator starts it: a child process on free ports, found from what it logs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pointsman::cli::client::{AdminClient, Call, CallError};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::eventually;

/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `pointsman run`.
pub struct Process {
    child: Child,
    /// The process that has taken over from it, after an upgrade in place.
    successor: Option<u32>,
    /// The first listener.
    pub listener: SocketAddr,
    /// All of them, by name.
    pub listeners: BTreeMap<String, SocketAddr>,
    /// The admin API.
    pub admin: AdminClient,
    /// The admin API's address.
    pub admin_address: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// The config of a sticky service `shop` with two versions; `more` are lines of the service, and what follows it.
pub fn config(v1: SocketAddr, v2: SocketAddr, more: &str) -> String {
    config_by_chance(v1, v2, &format!("sticky = [\"header:x-user-id\"]\n{more}"))
}

/// The same, where each request is a draw of its own.
pub fn config_by_chance(v1: SocketAddr, v2: SocketAddr, more: &str) -> String {
    format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\n\
         [services.shop]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
         versions.v1.endpoints = [\"{v1}\"]\nversions.v2.endpoints = [\"{v2}\"]\n{more}"
    )
}

impl Process {
    /// Starts the binary on the config at `path` and waits until it serves.
    pub fn start(path: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("run").arg("--config").arg(path);
        Self::start_command(command)
    }

    /// Starts a command that ends up running the binary.
    pub fn start_command(mut command: Command) -> Self {
        command.env("RUST_LOG", "info").env("NO_COLOR", "1").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (mut listeners, mut admin, mut seen) = (BTreeMap::new(), None, String::new());
        // The listeners come first.
        while admin.is_none() {
            let Some(Ok(line)) = lines.next() else {
                let _reaped = child.wait();
                panic!("the binary ended before it served:\n{seen}");
            };
            let address = line.rsplit_once("address=").map(|(_, rest)| rest.trim());
            let address = address.map(|text| text.trim_start_matches("http://").trim_start_matches("https://"));
            let address = address.and_then(|text| text.parse::<SocketAddr>().ok());
            if line.contains("admin API listening") {
                admin = address;
            } else if let (Some((_, rest)), Some(address)) = (line.split_once("listening listener="), address) {
                listeners.extend(rest.split_whitespace().next().map(|name| (name.to_owned(), address)));
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        // No writer may block on a full pipe later on.
        let log = Arc::new(Mutex::new(seen));
        let more = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                more.lock().expect("not poisoned").extend([line.as_str(), "\n"]);
            }
        });
        let admin_address = admin.expect("seen");
        let admin = AdminClient::new(&admin_address.to_string(), None).expect("an address");
        let listener = listeners.values().next().copied().expect("a listener");
        Self { child, successor: None, listener, listeners, admin, admin_address, log }
    }

    /// Whether a line of its log so far has all of these words.
    pub fn told(&self, words: &[&str]) -> bool {
        self.count(words) > 0
    }

    /// Waits until a line of its log has all of these words: the log is written beside what it tells of.
    #[track_caller]
    pub fn tells(&self, words: &[&str]) {
        eventually(&format!("a line of the log with {words:?}"), || self.told(words));
    }

    /// How many lines of its log so far have all of these words.
    pub fn count(&self, words: &[&str]) -> usize {
        let log = self.log.lock().expect("not poisoned");
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// The lines of its log so far that have all of these words.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let log = self.log.lock().expect("not poisoned");
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }

    /// The number that follows these words in its log so far.
    #[track_caller]
    pub fn find_in_log(&self, words: &str) -> u32 {
        let log = self.log.lock().expect("not poisoned");
        let (_, rest) = log.rsplit_once(words).expect("the words are there");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.successor.unwrap_or(self.child.id())
    }

    /// Asks for an upgrade in place.
    pub fn upgrade(&mut self) -> Result<u32, CallError> {
        let call = Call { method: http::Method::POST, path: "/v1/upgrade", body: Some(json!({})), if_match: None };
        let answer = self.admin.call_for(Duration::from_secs(60), call)?;
        let process = u32::try_from(answer["process"].as_u64().expect("a process")).expect("an id");
        self.succeed(process);
        Ok(process)
    }

    /// Another process has taken over.
    pub fn succeed(&mut self, process: u32) {
        self.successor = Some(process);
        // So that it is reaped.
        let _ended = self.child.try_wait();
    }

    /// Waits for the end of the process that was started first.
    pub fn wait_for_first(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the process did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads from the admin API.
    pub fn get(&self, path: &str) -> Value {
        self.admin.call_for(PATIENCE, Call::get(path)).unwrap()
    }

    /// Calls the admin API with a body.
    pub fn send(&self, method: http::Method, path: &str, body: Value) -> Result<Value, CallError> {
        self.admin.call(Call { method, path, body: Some(body), if_match: None })
    }

    /// Ends it as a power cut would; also the process that has taken over from it.
    pub fn kill(mut self) {
        if self.successor.is_some() {
            self.signal("KILL");
            eventually("the process is gone", || !is_running(self.id()));
        }
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// Asks it to end, and waits.
    pub fn end(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "cannot send {name}");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_for_first()
    }
}

/// Whether a process runs; one that is not reaped yet does not. Its first thread may have ended before others, which
/// have its files and locks until they end as well.
pub fn is_running(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    threads.into_iter().any(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(successor) = self.successor {
            // It may have ended.
            let _killed = Command::new("kill").args(["-KILL", &successor.to_string()]).stderr(Stdio::null()).status();
        }
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
