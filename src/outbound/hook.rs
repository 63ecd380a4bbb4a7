//! Commands that upgrade an endpoint, or bring its earlier version back; and those of chaos runs, and what undoes them.
//!
//! A command is a list of arguments and no shell: a name in the config is never code. It runs in a process group of its
//! own, so that what it started is ended with it when its time is over (or its caller does not wait any more). When it
//! ends by itself, what it leaves behind is left alone: to start a server in the background is what an upgrade may
//! consist of.
//!
//! Its two outputs are one pipe, so that their lines stay in order; it is read to its end and only the last bytes are
//! kept, so that megabytes neither block the command nor stay here. A server in the background may hold the pipe for
//! ever; once the command has ended, its last words are waited for only a moment.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::excerpt::{Tail, last};
use crate::table::Name;

/// As much of the output is kept: a page of text, the lines that say why.
const OUTPUT_BYTES_MAX: usize = 4096;

/// As much of it is told in an error.
const TOLD_CHARS_MAX: usize = 400;

/// What a parent process manager gave to *us*: a server that a hook starts must neither answer for us nor look for our
/// sockets.
const NOT_INHERITED: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// What a command is about.
pub(crate) trait CommandSubject: Sync {
    /// What is known of it, by the words of the placeholders.
    fn words(&self) -> Vec<(&'static str, String)>;

    /// An argument with its placeholders replaced, in one pass: what was put in is not looked at again. Other braces
    /// stay.
    fn fill_in(&self, argument: &str) -> String {
        fill_in(argument, &self.words())
    }
}

/// What a hook is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookSubject {
    /// The service.
    pub service: Name,
    /// The version that the endpoint has.
    pub from: Name,
    /// The version that it is to have.
    pub to: Name,
    /// The endpoint.
    pub endpoint: SocketAddr,
}

/// What a command that succeeded said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookOutput {
    /// The end of both its outputs.
    pub last: String,
    /// How many bytes there were in all.
    pub bytes: u64,
}

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// Nothing to run.
    #[error("the hook has no program, want a list of a program and its arguments")]
    Empty,
    /// It did not begin.
    #[error("cannot run {program:?}{}", hint(.source))]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It says that it failed.
    #[error("{program:?} ended with status {code}, want 0{}", told(.output))]
    Status {
        /// The program.
        program: String,
        /// Its exit code.
        code: i32,
        /// The end of its output.
        output: String,
    },
    /// A signal ended it.
    #[error("{program:?} was ended by signal {signal}{}", told(.output))]
    Signal {
        /// The program.
        program: String,
        /// The signal's number.
        signal: i32,
        /// The end of its output.
        output: String,
    },
    /// It took too long and was ended.
    #[error("{program:?} was not done within {limit:?} and was ended{}", told(.output))]
    Timeout {
        /// The program.
        program: String,
        /// The limit.
        limit: Duration,
        /// The end of its output.
        output: String,
    },
    /// The system does not tell how it ended.
    #[error("cannot tell what became of {program:?}")]
    Lost {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How long the ends of a command are waited for.
#[derive(Clone, Copy, Debug)]
struct HookDeadline {
    /// From the request to end until it is ended by force.
    ending: Duration,
    /// For the rest of the output of a command that has ended.
    rest: Duration,
}

impl HookDeadline {
    /// Enough to remove a lock or a half-written file, and to read what is in a pipe.
    const USUAL: Self = Self { ending: Duration::from_secs(5), rest: Duration::from_secs(1) };
}

/// Runs a command for `subject` and waits for its end, at most about seven seconds longer than `limit`. When no caller
/// waits for this any more, the command and all that it started are killed.
///
/// # Errors
/// [`HookError`] unless it ends with status 0 in time.
pub(crate) async fn run(
    arguments: &[String],
    limit: Duration,
    subject: &impl CommandSubject,
) -> Result<HookOutput, HookError> {
    run_with(arguments, limit, subject, HookDeadline::USUAL).await
}

async fn run_with(
    arguments: &[String],
    limit: Duration,
    subject: &impl CommandSubject,
    patience: HookDeadline,
) -> Result<HookOutput, HookError> {
    let Some((program, arguments)) = arguments.split_first() else { return Err(HookError::Empty) };
    let started = RunningHook::start(program, arguments, subject);
    let mut running = started.map_err(|source| HookError::Start { program: program.clone(), source })?;
    let ended = running.end(limit, patience).await;
    let (bytes, output) = (running.tail.seen(), last(running.tail.bytes(), TOLD_CHARS_MAX));
    let program = program.clone();
    match ended {
        Err(source) => Err(HookError::Lost { program, source }),
        Ok(None) => Err(HookError::Timeout { program, limit, output }),
        Ok(Some(status)) => match (status.code(), status.signal()) {
            (Some(0), _) => Ok(HookOutput { last: String::from_utf8_lossy(running.tail.bytes()).into_owned(), bytes }),
            (Some(code), _) => Err(HookError::Status { program, code, output }),
            (None, signal) => Err(HookError::Signal { program, signal: signal.unwrap_or_default(), output }),
        },
    }
}

/// A command that was started.
struct RunningHook {
    /// Before the child, so that the group is killed while its number is surely its own.
    group: ProcessGroup,
    child: Child,
    output: Option<pipe::Receiver>,
    tail: Tail,
}

impl RunningHook {
    fn start(program: &str, arguments: &[String], subject: &impl CommandSubject) -> io::Result<Self> {
        let (ours, theirs) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(ours))?;
        let child = {
            let mut command = Command::new(program);
            command.args(arguments.iter().map(|argument| subject.fill_in(argument)));
            command.envs(subject.words().into_iter().map(|(word, value)| (variable(word), value)));
            for name in NOT_INHERITED {
                command.env_remove(name);
            }
            command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
            // Our ends for writing go with the command, or the pipe would never end.
            command.process_group(0).kill_on_drop(true).spawn()?
        };
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { group: ProcessGroup(id), child, output: Some(output), tail: Tail::new(OUTPUT_BYTES_MAX) })
    }

    /// Waits for its end or makes one; `None` when its time was over.
    async fn end(&mut self, limit: Duration, patience: HookDeadline) -> io::Result<Option<ExitStatus>> {
        if let Ok(status) = timeout(limit, self.exit()).await {
            self.group.leave();
            self.rest(patience.rest).await;
            return status.map(Some);
        }
        self.group.signal(Signal::TERM);
        // Those that it started have the same time to tidy up, also when it does not wait for them.
        let gone = timeout(patience.ending, async {
            let exited = self.exit().await;
            self.group.gone().await;
            exited
        });
        if gone.await.is_err() {
            self.group.signal(Signal::KILL);
        }
        self.group.leave();
        // A process inside a system call that does not end cannot be killed at once; it is left to tokio's reaper.
        let _exited_or_stuck = timeout(patience.rest, self.exit()).await;
        self.rest(patience.rest).await;
        Ok(None)
    }

    /// Waits for the exit of the command while its output is read.
    async fn exit(&mut self) -> io::Result<ExitStatus> {
        let Self { child, output, tail, .. } = self;
        tokio::select! {
            status = child.wait() => status,
            never = read_to_end(output, tail) => match never {},
        }
    }

    /// Reads what is left in the pipe, until the processes that hold it let go, but no longer than this.
    async fn rest(&mut self, wait: Duration) {
        let Self { output, tail, .. } = self;
        let reading = async {
            while output.is_some() {
                read_some(output, tail).await;
            }
        };
        let _all_or_enough = timeout(wait, reading).await;
    }
}

/// Reads to the end, and then waits for ever.
async fn read_to_end(output: &mut Option<pipe::Receiver>, tail: &mut Tail) -> std::convert::Infallible {
    loop {
        read_some(output, tail).await;
        if output.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Reads a little; `output` becomes none at its end.
async fn read_some(output: &mut Option<pipe::Receiver>, tail: &mut Tail) {
    let mut buffer = [0; OUTPUT_BYTES_MAX];
    let Some(pipe) = output else { return };
    match pipe.read(&mut buffer).await {
        Ok(bytes) if bytes > 0 => tail.push(&buffer[..bytes]),
        _end => *output = None,
    }
}

/// The process group of a command, which is killed when its caller no longer waits.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn signal(&self, signal: Signal) {
        if let Some(id) = self.0 {
            // It may have ended by itself at this moment.
            let _sent_or_gone = kill_process_group(id, signal);
        }
    }

    /// Waits until no process is in it.
    async fn gone(&self) {
        const LOOK: Duration = Duration::from_millis(20);
        while self.0.is_some_and(|id| test_kill_process_group(id).is_ok()) {
            sleep(LOOK).await;
        }
    }

    /// The processes in it may go on.
    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl CommandSubject for HookSubject {
    fn words(&self) -> Vec<(&'static str, String)> {
        vec![
            ("endpoint", self.endpoint.to_string()),
            ("host", self.endpoint.ip().to_string()),
            ("port", self.endpoint.port().to_string()),
            ("service", self.service.to_string()),
            ("from", self.from.to_string()),
            ("to", self.to.to_string()),
        ]
    }
}

impl HookSubject {
    /// The same for the body of a webhook.
    #[must_use]
    pub(crate) fn json(&self) -> Map<String, Value> {
        let mut json: Map<_, _> =
            self.words().into_iter().map(|(word, value)| (word.to_owned(), Value::from(value))).collect();
        json.insert("port".to_owned(), Value::from(self.endpoint.port()));
        json
    }
}

/// See [`CommandSubject::fill_in`].
fn fill_in(argument: &str, words: &[(&'static str, String)]) -> String {
    let (mut filled, mut rest) = (String::with_capacity(argument.len()), argument);
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        filled.push_str(before);
        let known = words
            .iter()
            .find_map(|(word, value)| Some((value, from_brace[1..].strip_prefix(word)?.strip_prefix('}')?)));
        rest = match known {
            Some((value, after)) => {
                filled.push_str(value);
                after
            }
            None => {
                filled.push('{');
                &from_brace[1..]
            }
        };
    }
    filled + rest
}

/// `POINTSMAN_ENDPOINT`
fn variable(word: &str) -> String {
    format!("POINTSMAN_{}", word.to_ascii_uppercase())
}

fn hint(source: &io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the source says the rest, and there are dozens")]
    match source.kind() {
        io::ErrorKind::NotFound => {
            " (is it there, in PATH or by its full path, and the interpreter of its first line?)"
        }
        io::ErrorKind::PermissionDenied => " (may the user of this process execute it? chmod +x)",
        _ => "",
    }
}

fn told(output: &str) -> String {
    if output.is_empty() { "; it printed nothing".to_owned() } else { format!("; its last words: {output}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use tokio::time::Instant;

    use crate::problem::chain;

    const LONG: Duration = Duration::from_secs(60);

    fn subject() -> HookSubject {
        let name = |text| Name::new(text).unwrap();
        HookSubject {
            service: name("shop"),
            from: name("v1"),
            to: name("v2"),
            endpoint: "127.0.0.1:8081".parse().unwrap(),
        }
    }

    fn sh(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn run_sh(script: &str, limit: Duration) -> Result<HookOutput, HookError> {
        let patience = HookDeadline { ending: Duration::from_millis(300), rest: Duration::from_millis(300) };
        run_with(&sh(script), limit, &subject(), patience).await
    }

    /// Waits until the process with the number in `file` is gone; a zombie whose parent does not look is gone too.
    async fn is_gone(id: &str) -> bool {
        for _ in 0..500 {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"));
            if stat.map_or(true, |stat| stat.contains(") Z ")) {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[test]
    fn placeholders_are_replaced_once_and_other_braces_stay() {
        let mut subject = subject();
        let filled = subject.fill_in("{endpoint} {host} {port} {service} {from}{to} {x} {{to}} {to {\"to\":1} {");
        assert_eq!(filled, "127.0.0.1:8081 127.0.0.1 8081 shop v1v2 {x} {v2} {to {\"to\":1} {");
        subject.endpoint = "[::1]:80".parse().unwrap();
        assert_eq!(subject.fill_in("{endpoint} {host}"), "[::1]:80 ::1");
        assert_eq!(subject.json()["port"], 80);
    }

    #[tokio::test]
    async fn it_gets_arguments_variables_and_an_empty_input_and_is_no_shell() {
        let script =
            "printf '%s\n' \"$@\"; env | grep ^POINTSMAN_ | sort; echo $NOTIFY_SOCKET; cat; echo err >&2; echo out";
        let mut arguments = sh(script);
        arguments.extend(["sh", "{to}", "$(id); {service}", "two words"].map(str::to_owned));
        let output = run(&arguments, LONG, &subject()).await.unwrap();
        let wanted = "v2\n$(id); shop\ntwo words\nPOINTSMAN_ENDPOINT=127.0.0.1:8081\nPOINTSMAN_FROM=v1\n\
             POINTSMAN_HOST=127.0.0.1\nPOINTSMAN_PORT=8081\nPOINTSMAN_SERVICE=shop\nPOINTSMAN_TO=v2\n\nerr\nout\n";
        let found: Vec<_> = output.last.lines().filter(|line| !line.starts_with("POINTSMAN_TEST")).collect();
        assert_eq!(found.join("\n") + "\n", wanted);
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_last_words() {
        let error = run_sh("echo one; echo two >&2; exit 3", LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "\"/bin/sh\" ended with status 3, want 0; its last words: one | two");
        let error = run_sh("kill -9 $$", LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "\"/bin/sh\" was ended by signal 9; it printed nothing");
    }

    #[tokio::test]
    async fn what_cannot_be_run_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str, mode| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let cases = [
            (folder.path().join("none").to_str().unwrap().to_owned(), "is it there"),
            (script("plain", "#!/bin/sh\n", 0o644), "chmod +x"),
            (script("odd", "#!/no/such/interpreter\n", 0o755), "the interpreter of its first line"),
            (script("binary", "\u{0}\u{1}", 0o755), "cannot run"),
        ];
        for (program, wanted) in cases {
            let error = run(std::slice::from_ref(&program), LONG, &subject()).await.unwrap_err();
            assert!(matches!(error, HookError::Start { .. }), "{program}: {error:?}");
            assert!(chain(&error).contains(wanted), "{}", chain(&error));
        }
        assert!(matches!(run(&[], LONG, &subject()).await, Err(HookError::Empty)));
    }

    #[tokio::test]
    async fn fifty_megabytes_neither_block_it_nor_stay() {
        let output = run_sh("yes 0123456789abcde | head -c 52428800; echo the end", LONG).await.unwrap();
        assert_eq!(output.bytes, 52_428_800 + 8);
        assert!(output.last.len() <= OUTPUT_BYTES_MAX && output.last.ends_with("\nthe end\n"));
    }

    #[tokio::test]
    async fn it_is_asked_to_end_when_its_time_is_over() {
        let script = "trap 'echo tidied; exit 0' TERM; echo began; while :; do sleep 0.05; done";
        let patience = HookDeadline { ending: LONG, ..HookDeadline::USUAL };
        // Time enough for a shell to begin on a busy machine.
        let error = run_with(&sh(script), Duration::from_secs(5), &subject(), patience).await.unwrap_err();
        let line = error.to_string();
        // The shell may say in between that its child was ended too.
        assert!(
            line.starts_with("\"/bin/sh\" was not done within 5s and was ended; its last words: began |"),
            "{line}"
        );
        assert!(line.ends_with(" | tidied"), "{line}");
    }

    #[tokio::test]
    async fn what_does_not_end_is_killed_with_all_that_it_started() {
        let script = "trap '' TERM; sleep 600 & echo $!; echo $$; while :; do sleep 600; done";
        let error = run_sh(script, Duration::from_secs(5)).await.unwrap_err();
        let HookError::Timeout { output, .. } = error else { unreachable!("{error:?}") };
        for id in output.split(" | ") {
            assert!(is_gone(id).await, "{id} of {output}");
        }
    }

    #[tokio::test]
    async fn what_it_leaves_behind_lives_on_and_is_not_waited_for() {
        let begun = Instant::now();
        let output = run_sh("sleep 600 & echo $!", LONG).await.unwrap();
        let id = output.last.trim();
        assert!(begun.elapsed() < LONG, "the pipe was waited for");
        // It is the shell still until it has become what it runs.
        let stat = || fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        while stat().contains("(sh)") {
            sleep(Duration::from_millis(5)).await;
        }
        let alive = stat();
        assert!(alive.contains("(sleep)") && !alive.contains(") Z "), "{alive}");
        let id = Pid::from_raw(id.parse().unwrap()).unwrap();
        rustix::process::kill_process(id, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_grandchild_that_prints_for_ever_is_not_waited_for() {
        let output = run_sh("while :; do echo noise; sleep 0.01; done & echo $!", LONG).await.unwrap();
        let id = output.last.lines().find_map(|line| line.parse().ok()).and_then(Pid::from_raw).unwrap();
        rustix::process::kill_process(id, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn it_is_killed_when_nobody_waits_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ids");
        let script = format!("sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", file.display());
        let hook = tokio::spawn(async move { run_sh(&script, LONG).await });
        let ids = loop {
            match fs::read_to_string(&file) {
                Ok(ids) => break ids,
                Err(_not_yet) => sleep(Duration::from_millis(10)).await,
            }
        };
        hook.abort();
        assert!(hook.await.unwrap_err().is_cancelled());
        for id in ids.split_whitespace() {
            assert!(is_gone(id).await, "{id}");
        }
    }
}
