//! Calls of the git program, and of gpg for it: with an environment of our own, no hooks, three protocols, and bounds
//! for time and sizes.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What of our environment git may see: where programs are, and how the network is reached.
const INHERITED: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// How ssh is called: it never asks.
const SSH_COMMAND: &str = "ssh -oBatchMode=yes -oConnectTimeout=20";

/// What git is told in its environment. `LC_ALL`: its words are shown, and some of them are looked for.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_SSH_COMMAND", SSH_COMMAND),
    ("GIT_HTTP_LOW_SPEED_TIME", "30"),
    ("LC_ALL", "C"),
];

/// What git is told before its command. A fetch keeps what it got in one pack, whose size can be bounded; packs are
/// put together and what is out of reach is dropped at once, and not beside us. What is
/// larger than the largest config is not taken into memory to be looked at.
const SETTINGS: [&str; 12] = [
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "protocol.file.allow=always",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "transfer.fsckObjects=true",
    "fetch.unpackLimit=1",
    "core.bigFileThreshold=16m",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    "gc.pruneExpire=now",
];

/// How much of what git complains is kept.
const COMPLAINT_BYTES_MAX: usize = 16 * 1024;

/// How long git may take to clean up when it is told to end.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Calls git on one bare repository.
#[derive(Clone, Debug)]
pub(super) struct GitProgram {
    /// The repository.
    pub(super) folder: PathBuf,
    /// Where git finds the settings of its user.
    pub(super) home: PathBuf,
    /// Settings beside those for all repositories.
    pub(super) settings: Vec<String>,
}

/// What a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct GitLimits {
    pub(super) time: Duration,
    /// Bytes of its output.
    pub(super) output: usize,
    /// Bytes of each file that it writes.
    pub(super) file: u64,
}

/// What a call gets besides its arguments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GitInput<'a> {
    /// What it reads; none: nothing.
    pub(super) stdin: Option<&'a [u8]>,
    /// More of an environment.
    pub(super) environment: &'a [(&'a str, String)],
}

/// Why a call of git came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// There is no such program, or it cannot be started.
    #[error("cannot start {program}: {source}; install it (Debian, Ubuntu: apt-get install {program})")]
    Start {
        /// git, or gpg.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What it says could not be read.
    #[error("cannot read what git says: {0}")]
    Read(io::Error),
    /// It took too long.
    #[error("{command} took longer than {seconds} s and was ended; is the repository reachable from here?")]
    Timeout {
        /// What it was asked for.
        command: String,
        /// How long it had.
        seconds: u64,
    },
    /// It would have written or said more than it may.
    #[error("{command} came to more than {mebibytes} MiB and was ended; use a small repository of its own")]
    TooLarge {
        /// What it was asked for.
        command: String,
        /// What it may come to.
        mebibytes: u64,
    },
    /// It says that it cannot.
    #[error("{command}: {complaint}")]
    Refused {
        /// What it was asked for.
        command: String,
        /// What it said.
        complaint: String,
        /// Its exit code; none if a signal ended it.
        code: Option<i32>,
    },
}

/// What it said on its two streams.
struct GitSaid {
    output: Vec<u8>,
    complaint: Vec<u8>,
    status: ExitStatus,
}

/// Ends a process group, helpers of git included, whatever becomes of the call.
struct Group(Option<Pid>);

impl Group {
    fn tell(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // Gone already is as good.
            let _told = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.tell(Signal::KILL);
    }
}

impl GitProgram {
    /// Calls git; `arguments` begin with the command.
    pub(super) async fn call(
        &self,
        arguments: &[&str],
        input: &GitInput<'_>,
        limits: GitLimits,
    ) -> Result<Vec<u8>, GitError> {
        let mut command = self.command("git");
        command.envs(input.environment.iter().map(|(name, value)| (name, value)));
        for setting in SETTINGS.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command.arg("--git-dir").arg(&self.folder).args(arguments);
        run(command, &ProgramCall { program: "git", arguments, input, limits }).await
    }

    /// Calls gpg on the keys that signatures are checked with.
    pub(super) async fn call_gpg(&self, arguments: &[&str], limits: GitLimits) -> Result<Vec<u8>, GitError> {
        let mut command = self.command("gpg");
        command.args(["--batch", "--no-tty", "--no-autostart"]).args(arguments);
        run(command, &ProgramCall { program: "gpg", arguments, input: &GitInput::default(), limits }).await
    }

    /// Where the keys are that signatures are checked with, and nothing else: no keys of a user count.
    pub(super) fn keys_folder(&self) -> PathBuf {
        self.folder.join("gnupg")
    }

    /// How ssh is called when its settings are in the home of git, and not in that of the user of the process: ssh does
    /// not ask the environment where that is. A shell reads it.
    fn ssh_command(&self) -> Option<String> {
        let config = self.home.join(".ssh/config");
        let quoted = config.is_file().then(|| config.to_string_lossy().replace('\'', r"'\''"))?;
        Some(format!("{SSH_COMMAND} -F '{quoted}'"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.home).env("GNUPGHOME", self.keys_folder());
        command.envs(INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(ENVIRONMENT);
        if let Some(ssh) = self.ssh_command() {
            command.env("GIT_SSH_COMMAND", ssh);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).current_dir(existing(&self.folder));
        command
    }
}

/// A call of a program.
struct ProgramCall<'c> {
    program: &'static str,
    /// They begin with what it is to do.
    arguments: &'c [&'c str],
    input: &'c GitInput<'c>,
    limits: GitLimits,
}

/// Starts a program, and waits for what it says, within bounds.
async fn run(mut command: Command, call: &ProgramCall<'_>) -> Result<Vec<u8>, GitError> {
    let ProgramCall { program, arguments, input, limits } = *call;
    command.stdin(if input.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(|source| GitError::Start { program, source })?;
    let command = || format!("{program} {}", arguments.first().unwrap_or(&""));
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
    let bound = Rlimit { current: Some(limits.file), maximum: Some(limits.file) };
    // What has ended already has no use for it.
    let _bound = prlimit(group.0, Resource::Fsize, bound);
    let too_large = || GitError::TooLarge { command: command(), mebibytes: limits.file.div_ceil(1 << 20) };
    let said = match timeout(limits.time, listen(&mut child, input, limits.output)).await {
        Ok(Ok(Some(said))) => said,
        Ok(Ok(None)) => return Err(too_large()),
        Ok(Err(error)) => return Err(GitError::Read(error)),
        Err(_elapsed) => {
            group.tell(Signal::TERM);
            // So that it takes its lock files with it.
            let _ended = timeout(LAST_BREATH, child.wait()).await;
            return Err(GitError::Timeout { command: command(), seconds: limits.time.as_secs() });
        }
    };
    let GitSaid { output, complaint, status } = said;
    if status.success() {
        return Ok(output);
    }
    let complaint = words(&String::from_utf8_lossy(&complaint), status);
    let is_full = |words: &str| complaint.contains(words);
    if ["died of signal 25", "File too large", "signal 25"].iter().any(|words| is_full(words)) {
        return Err(too_large());
    }
    Err(GitError::Refused { command: command(), complaint, code: status.code() })
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    there.unwrap_or(Path::new("."))
}

/// Reads what the child says until it has ended; none when that is too much.
async fn listen(child: &mut Child, input: &GitInput<'_>, output_max: usize) -> io::Result<Option<GitSaid>> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let told = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input.stdin) {
            // One that ends before it has read all says itself why.
            drop(stdin.write_all(input).await);
        }
        Ok(())
    };
    let output = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(output_max as u64 + 1).read_to_end(&mut output).await?;
        }
        if output.len() > output_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(output) }
    };
    let read = tokio::try_join!(output, complaint(stderr), told);
    match read {
        Ok((output, complaint, ())) => Ok(Some(GitSaid { output, complaint, status: child.wait().await? })),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
        Err(error) => Err(error),
    }
}

/// The begin of what it complains; the rest is read too, so that it does not wait for us.
async fn complaint(stderr: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    let Some(mut stderr) = stderr else { return Ok(begin) };
    let mut piece = [0; 4096];
    loop {
        let read = stderr.read(&mut piece).await?;
        if read == 0 {
            return Ok(begin);
        }
        if begin.len() < COMPLAINT_BYTES_MAX {
            begin.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }
}

/// What git complains, on one line, without the words that say only that it is git that speaks.
fn words(complaint: &str, status: ExitStatus) -> String {
    let lines = complaint.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("warning:"));
    let lines: Vec<_> = lines.map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: ")).collect();
    let text = lines.join("; ").replace(char::is_control, " ");
    match (text.is_empty(), status.signal()) {
        (true, Some(signal)) => format!("ended by signal {signal}"),
        (true, None) => format!("ended with {}", status.code().unwrap_or_default()),
        (false, _) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GitLimits = GitLimits { time: Duration::from_secs(60), output: 1024, file: 1 << 20 };

    async fn shell(script: &str, limits: GitLimits) -> Result<Vec<u8>, GitError> {
        let folder = std::env::temp_dir();
        let alias = format!("alias.x=!{script}");
        let program = GitProgram { folder: folder.join("none.git"), home: folder, settings: Vec::new() };
        program.call(&["-c", &alias, "x"], &GitInput::default(), limits).await
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_ended_with_everything_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", mark.display());
        let error = shell(&script, GitLimits { time: Duration::from_secs(1), ..LIMITS }).await.unwrap_err();
        assert!(matches!(error, GitError::Timeout { seconds: 1, .. }), "{error}");
        let pid: i32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // Nothing may be there to reap it but the first process of a container.
        while stat().is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_it_says_and_writes_is_bounded_and_its_complaint_is_one_line() {
        assert_eq!(shell("echo good", LIMITS).await.unwrap(), b"good\n");
        let error = shell("yes", LIMITS).await.unwrap_err();
        assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
        let error = shell("echo 'fatal: no such thing' >&2; echo 'error: it is gone' >&2; exit 3", LIMITS).await;
        let error = error.unwrap_err();
        assert!(matches!(&error, GitError::Refused { code: Some(3), .. }), "{error}");
        assert!(error.to_string().ends_with("no such thing; it is gone"), "{error}");
    }

    #[tokio::test]
    async fn nothing_of_our_environment_that_git_heeds_gets_through() {
        let said = shell("env", GitLimits { output: 64 * 1024, ..LIMITS }).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        let names: Vec<_> = said.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        let known = |name: &&str| {
            let ours = ENVIRONMENT.iter().map(|(name, _)| *name).chain(INHERITED).any(|known| *known == **name);
            let of_git =
                ["GIT_DIR", "GIT_PREFIX", "GIT_EXEC_PATH", "GIT_CONFIG_PARAMETERS", "GIT_INTERNAL_GETTEXT_SH_SCHEME"];
            ours || of_git.contains(name) || ["HOME", "GNUPGHOME", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)
        };
        let strange: Vec<_> = names.iter().filter(|name| !known(name)).collect();
        assert!(strange.is_empty() && names.contains(&"GIT_TERMINAL_PROMPT"), "{strange:?}");
    }
}
