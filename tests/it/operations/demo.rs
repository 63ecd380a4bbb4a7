//! The demo, as a stranger runs it: the whole program, its real sockets, its output and its exit code.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The demo with so few users that a busy machine keeps up.
fn demo() -> Command {
    demo_with("400")
}

/// The demo with this many users, who ask as rarely as there are many of them.
fn demo_with(users: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["demo", "--seed", "1", "--users", users, "--rate", "300"]).stdin(Stdio::null());
    command
}

#[test]
fn the_scripted_walk_passes_and_says_what_it_checked() {
    let output = demo().arg("--script").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["step", "start", "to 10 %", "to 50 %", "flip to v2", "rollback", "all 29 checks are good"] {
        assert!(text.lines().any(|found| found.starts_with(line)), "no line {line:?} in\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.ends_with(" ok")).count(), 29, "{text}");
    assert!(text.lines().any(|line| line.starts_with("console http://127.0.0.1:")), "{text}");
    assert!(!text.contains("#/game"), "a game would disturb what is checked:\n{text}");
    assert!(!text.contains('\x1b'), "escape codes in a pipe:\n{text}");
}

#[test]
fn a_flag_is_launched_to_exactly_the_users_of_v2_and_taken_back() {
    let output = demo().arg("--flags").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<_> = text.lines().filter(|line| line.contains(" users on v2 have the flag")).collect();
    assert_eq!(counts.len(), 4, "{text}");
    assert!(counts.iter().all(|line| line.ends_with(": ok")), "{text}");
    assert!(text.ends_with("every user has what they should\n"), "{text}");
}

#[test]
fn a_fault_breaks_a_hypothesis_and_with_a_shield_it_holds() {
    let output = demo_with("1500").arg("--chaos").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let endings: Vec<_> = text.lines().filter(|line| line.starts_with("as it should be: ")).collect();
    assert_eq!(endings, ["as it should be: broken", "as it should be: held"], "{text}");
    assert!(text.contains("hypothesis broken after"), "{text}");
    println!("{text}");
}

#[test]
fn in_a_pipe_it_prints_lines_and_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo().current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.trim().strip_prefix("export POINTSMAN_ADMIN=").map(str::to_owned));
    let shift = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["--admin", &address.unwrap(), "shift", "shop", "v1=70", "v2=30"])
        .output()
        .unwrap();
    assert!(shift.status.success(), "{}", String::from_utf8_lossy(&shift.stderr));
    let shifted = lines.by_ref().take(10).find(|line| line.contains("split v1=70 v2=30"));
    assert!(shifted.is_some_and(|line| line.contains("0 failed") && !line.contains('\x1b')));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it left files behind");
}

/// Runs the program of its first argument in a terminal whose window is closed when it shows something.
const CLOSED_WINDOW: &str = r#"
import fcntl, os, pty, struct, sys, termios, time
child, window = pty.fork()
if child == 0:
    os.execv(sys.argv[1], [sys.argv[1], "demo", "--seed", "1", "--users", "400", "--rate", "300"])
fcntl.ioctl(window, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
seen = b""
while b"admin" not in seen:
    seen += os.read(window, 65536)
os.close(window)
for _ in range(300):
    if os.waitpid(child, os.WNOHANG)[0]:
        sys.exit(0)
    time.sleep(0.1)
os.kill(child, 9)
sys.exit("it goes on without its terminal")
"#;

#[test]
fn it_ends_with_its_terminal() {
    let binary = env!("CARGO_BIN_EXE_pointsman");
    let output = Command::new("python3").args(["-c", CLOSED_WINDOW, binary]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = demo().args(["--port", &address.port().to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("pointsman demo: ") && text.contains(&address.to_string()), "{text}");
}

/// Runs the demo with a bug that is found, and hands back what it printed.
fn turned_back(bug: &str) -> String {
    // Each user is heard once on how long an answer takes: of 400, all could have been while the machine stood still.
    let output = demo_with("3000").args(["--bug", bug]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["rolled back shop v2: ", "odds of chance below 1 in 1,000", "as it should be: rolled_back"] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains('\x1b'), "escape codes in a pipe:\n{text}");
    text
}

#[test]
fn a_version_that_begins_to_fail_is_turned_back_by_itself() {
    turned_back("errors");
}

/// It is no slower than what a machine is late by that plays all other tests.
#[test]
fn judge_live_a_version_that_is_slow_is_turned_back_by_itself() {
    let text = turned_back("latency");
    assert!(text.contains(" requests took more than 1.2 times the "), "{text}");
}
