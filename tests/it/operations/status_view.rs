//! `pointsman status --watch` on a real terminal of 80 cells, in a pipe, and with no proxy behind it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::Origin;
use crate::support::fault::Fault;
use crate::support::process::{Process, config};

/// Runs the program of its arguments on a terminal of 24 lines, until the text given was shown; then sends the key, or
/// for `TERM` that signal. Says what was shown, and how it ended.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, select, signal, struct, sys, termios, time
wanted, key, columns, program = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
child, window = pty.fork()
if child == 0:
    # Until the window has its size.
    sys.stdin.readline()
    os.execv(program[0], program)
fcntl.ioctl(window, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
os.write(window, b"\n")
seen, sent, end = b"", False, time.time() + 50
while time.time() < end:
    if select.select([window], [], [], 0.1)[0]:
        try:
            piece = os.read(window, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    if not sent and wanted.encode() in seen:
        sent = True
        if key == "TERM":
            os.kill(child, signal.SIGTERM)
        else:
            os.write(window, key.encode())
pid, status = os.waitpid(child, os.WNOHANG)
limit = time.time() + 5
while pid == 0 and time.time() < limit:
    time.sleep(0.05)
    pid, status = os.waitpid(child, os.WNOHANG)
if pid == 0:
    os.kill(child, signal.SIGKILL)
print(json.dumps({"seen": seen.decode(errors="replace"), "exit": os.waitstatus_to_exitcode(status) if pid else "killed"}))
"#;

/// What was shown on a terminal of this width, and the exit code.
fn on_terminal(columns: u16, wanted: &str, key: &str, arguments: &[&str], colours: bool) -> (String, Value) {
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, wanted, key, &columns.to_string(), env!("CARGO_BIN_EXE_pointsman")]).args(arguments);
    command.env("TERM", "xterm-256color").stdin(Stdio::null()).env_remove("NO_COLOR");
    if !colours {
        command.env("NO_COLOR", "1");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error} in {said}: {}", String::from_utf8_lossy(&output.stderr)));
    (said["seen"].as_str().unwrap().to_owned(), said["exit"].clone())
}

/// Text without escape sequences.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut pieces = text.split('\u{1b}');
    plain.extend(pieces.next());
    for piece in pieces {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).map_or(piece.len(), |end| end + 1);
        plain.push_str(&piece[end..]);
    }
    plain
}

/// The rows that were drawn: each begins by moving the cursor to its first cell.
fn rows(screen: &str) -> Vec<String> {
    let rows = screen.split('\u{1b}').filter(|piece| piece.starts_with('[')).fold(Vec::new(), |mut rows, piece| {
        if piece.contains(";1H") {
            rows.push(String::new());
        }
        if let Some(row) = rows.last_mut() {
            *row += &format!("\u{1b}{piece}");
        }
        rows
    });
    rows.iter().map(|row| plain(row)).collect()
}

fn shop(more: &str) -> (Process, tempfile::TempDir, [Origin; 2]) {
    let origins = [Origin::saying("v1"), Origin::saying("v2")];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("\n[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    std::fs::write(&path, config(origins[0].address(), origins[1].address(), more) + &state).unwrap();
    (Process::start(&path), folder, origins)
}

#[test]
fn on_a_terminal_it_is_a_board_of_80_cells_that_ends_cleanly() {
    let (process, _folder, _origins) =
        shop("rollout = { steps = [{ weight = 10, gate = \"manual\" }, 100], bake = \"10m\" }");
    process.send(http::Method::POST, "/v1/rollouts", json!({ "service": "shop", "to": "v2" })).unwrap();
    let admin = process.admin_address.to_string();
    let arguments = ["--admin", &admin, "status", "--watch"];
    for (key, colours) in [("\u{3}", true), ("q", false), ("TERM", true)] {
        let (seen, exit) = on_terminal(80, "rollout 1", key, &arguments, colours);
        assert_eq!(exit, 0, "{key:?}: {seen}");
        let (begin, end) = (seen.find("\u{1b}[?1049h").unwrap(), seen.find("\u{1b}[?1049l").unwrap());
        let (screen, left) = (&seen[begin..end], &seen[end..]);
        assert!(screen.contains("\u{1b}[?25l"), "the cursor is hidden: {seen:?}");
        assert!(seen[begin..].rfind("\u{1b}[?25h") > seen[begin..].rfind("\u{1b}[?25l"), "and shown again: {seen:?}");
        let rows = rows(screen);
        for text in
            ["share", "failed %", "in flight", "shop", "v1 90", "v2 10", "rollout 1: v1 -> v2", "q or Ctrl-C quit"]
        {
            assert!(rows.iter().any(|row| row.contains(text)), "{text:?} in {rows:#?}");
        }
        for row in &rows {
            assert!(row.trim_end().chars().count() <= 80, "{row:?}");
        }
        assert_eq!(screen.contains("\u{1b}[38;5;") || screen.contains("\u{1b}[33m"), colours, "{screen:?}");
        assert!(
            plain(left).contains("shop") && plain(left).contains("revision"),
            "what was shown last stays: {left:?}"
        );
    }
    let (seen, _) = on_terminal(44, "rollout 1", "q", &arguments, true);
    let screen = &seen[..seen.find("\u{1b}[?1049l").unwrap()];
    assert!(rows(screen).iter().all(|row| row.trim_end().chars().count() <= 44), "{:#?}", rows(screen));
}

#[test]
fn in_a_pipe_it_is_text_without_codes_and_a_reader_that_leaves_is_no_error() {
    let (process, _folder, _origins) = shop("");
    let admin = process.admin_address.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["--admin", &admin, "status", "--watch"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let shown = lines.by_ref().find(|line| line.contains("shop")).expect("the service");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    drop(lines);
    let id = child.id().to_string();
    // Not by INT: who runs the tests behind a shell has that ignored, and so have their children.
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    child.wait().unwrap();
}

#[test]
fn without_a_proxy_the_error_stands_where_it_was_asked_for() {
    let gone = Fault::refusing().address().to_string();
    let (seen, exit) = on_terminal(80, "never", "q", &["--admin", &gone, "status", "--watch"], true);
    assert!(exit == 1 && seen.contains("pointsman: ") && !seen.contains("?1049h"), "{exit}: {seen}");
    let (process, _folder, _origins) = shop("");
    let admin = process.admin_address.to_string();
    let (seen, exit) = on_terminal(80, "never", "q", &["--admin", &admin, "status", "shpo", "--watch"], true);
    assert!(exit == 1 && seen.contains("there is no service shpo"), "{exit}: {seen}");
}

#[test]
fn a_hold_is_begun_shown_and_released() {
    let (process, _folder, _origins) = shop("");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["--admin", &process.admin_address.to_string()]).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    assert_eq!(run(&["hold", "list"]), (Some(0), "no hold is open\n".to_owned()));
    let (code, said) = run(&["hold", "start", "shop", "--max", "30s"]);
    assert!(code == Some(0) && said.contains("pointsman hold release 1"), "{said}");
    let (_, listed) = run(&["hold", "list"]);
    assert!(listed.starts_with("held: shop (number 1) since "), "{listed}");
    assert!(run(&["status"]).1.contains(listed.split(" since").next().unwrap()));
    let (code, said) = run(&["hold", "release", "1"]);
    assert_eq!((code, said.as_str()), (Some(0), "shop: 0 requests had waited, all are let go\n"));
    for (arguments, code, words) in [
        (&["hold", "release", "1"][..], 1, "`pointsman hold list` lists those that are open"),
        (&["hold", "start", "shpo"], 1, "SERVICE"),
        (&["hold", "start", "shop", "--max", "2h"], 1, "--max"),
        (&["hold", "start"], 64, "SERVICE"),
    ] {
        let (found, said) = run(arguments);
        assert!(found == Some(code) && said.contains(words), "{arguments:?}: {found:?} {said}");
    }
}
