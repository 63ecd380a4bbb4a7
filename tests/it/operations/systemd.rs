//! What systemd gives and what it is told: sockets, readiness, reloads, the main process, the end.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

use crate::support::process::{Process, config, is_running};
use crate::support::{Client, Origin, client, eventually, get};

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// The binary behind a shell that does what systemd does: `LISTEN_PID` names the process itself.
fn activated(path: &Path, sockets: Vec<(&str, TcpListener)>) -> Command {
    let mut command = Command::new("sh");
    let script = "export LISTEN_PID=$$; exec \"$0\" run --config \"$1\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_pointsman")]).arg(path);
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    let mapping =
        |((_, socket), child_fd): ((&str, TcpListener), i32)| FdMapping { parent_fd: socket.into(), child_fd };
    command.fd_mappings(sockets.into_iter().zip(3..).map(mapping).collect()).unwrap();
    command
}

#[test]
fn sockets_come_from_systemd_and_outlive_the_process() {
    let origin = Origin::saying("hello");
    let (public, admin) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, admin_address) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let text = config(origin.address(), nowhere(), "");
    let text =
        text.replacen("127.0.0.1:0", &address.to_string(), 1).replacen("127.0.0.1:0", &admin_address.to_string(), 1);
    std::fs::write(&path, text).unwrap();
    let sockets = || vec![("web", public.try_clone().unwrap()), ("api", admin.try_clone().unwrap())];
    // A client comes before there is a process.
    let mut early = Client::to(address);
    early.write(get("/"));
    let mut process = Process::start_command(activated(&path, sockets()));
    assert_eq!((process.listener, process.admin_address), (address, admin_address));
    assert_eq!(early.answer().status, 200);
    process.upgrade().unwrap();
    assert_eq!(client::send(address, get("/")).status, 200);
    process.signal("TERM");
    eventually("it is gone", || !is_running(process.id()));
    drop(process);
    // Between two processes: the socket is still there.
    let mut between = Client::to(address);
    between.write(get("/"));
    let _next = Process::start_command(activated(&path, sockets()));
    assert_eq!(between.answer().status, 200);
}

#[test]
fn a_socket_of_another_address_is_not_taken() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let text = config(nowhere(), nowhere(), "").replacen("127.0.0.1:0", "127.0.0.2:0", 1);
    std::fs::write(&path, text).unwrap();
    let process = Process::start_command(activated(&path, vec![("public", other)]));
    assert_ne!(process.listener, address);
    client::send(process.listener, get("/")).assert_refused(502, "connect_failed");
}

/// What systemd hears next that is not a sign of life.
fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    loop {
        let count = socket.recv(&mut bytes).expect("a word in time");
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if text != "WATCHDOG=1\n" {
            return text;
        }
    }
}

#[test]
fn systemd_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, config(nowhere(), nowhere(), "")).unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.arg("run").arg("--config").arg(&path).env("NOTIFY_SOCKET", folder.path().join("notify"));
    command.env("WATCHDOG_USEC", "200000");
    let mut process = Process::start_command(command);
    assert!(heard(&socket).starts_with("READY=1\nSTATUS=serving"));
    let mut bytes = [0; 64];
    let count = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"WATCHDOG=1\n");
    process.signal("HUP");
    let reloading = heard(&socket);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(heard(&socket).starts_with("READY=1\n"));
    let new = process.upgrade().unwrap();
    let words = [heard(&socket), heard(&socket)].concat();
    assert!(words.contains(&format!("MAINPID={new}\n")) && words.contains("READY=1\n"), "{words}");
    process.signal("TERM");
    assert!(heard(&socket).starts_with("STOPPING=1\n"));
}

/// A start with the folder of the state that systemd makes.
fn with_state_folder(path: &Path, state: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["run", "--config"]).arg(path).env("STATE_DIRECTORY", state);
    Process::start_command(command)
}

#[test]
fn the_state_is_in_the_folder_that_systemd_makes_unless_it_is_with_the_config_already() {
    let folder = tempfile::tempdir().unwrap();
    let (etc, var) = (folder.path().join("etc"), folder.path().join("var"));
    std::fs::create_dir(&etc).unwrap();
    std::fs::create_dir(&var).unwrap();
    let path = etc.join("pointsman.toml");
    std::fs::write(&path, config(nowhere(), nowhere(), "")).unwrap();
    let mut process = with_state_folder(&path, &var);
    process.send(http::Method::PUT, "/v1/services/shop/split", serde_json::json!({"v1": 70, "v2": 30})).unwrap();
    process.upgrade().unwrap();
    let split = |process: &Process| process.get("/v1/services/shop")["versions"][1]["weight"].clone();
    assert_eq!(split(&process), 30.0, "the one that took over has the same state");
    assert!(var.join("pointsman.db").exists() && !etc.join("pointsman.db").exists());
    process.signal("TERM");
    eventually("it is gone", || !is_running(process.id()));
    drop(process);

    std::fs::rename(var.join("pointsman.db"), etc.join("pointsman.db")).unwrap();
    let process = with_state_folder(&path, &var);
    assert_eq!(split(&process), 30.0, "the one that was there is taken");
    assert!(!var.join("pointsman.db").exists());
}
