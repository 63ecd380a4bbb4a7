//! CPU time a request under load, as the kernel accounts it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::round;
use super::shape::Shape;

/// Rounds of each; the least is taken, because neighbours only add.
const ROUNDS: usize = 3;

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// By the number of open connections, all of which ask.
pub(crate) fn connections(binary: &Path) -> Vec<(u32, u64)> {
    [10, 100, 1_000, 10_000].map(|open| (open, nanos(binary, Shape::SMALL, open))).into()
}

/// By the number of workers.
pub(crate) fn workers(binary: &Path) -> Vec<(u32, u64)> {
    [1, 2].map(|workers| (workers, nanos(binary, Shape { workers, ..Shape::SMALL }, 64))).into()
}

fn nanos(binary: &Path, shape: Shape, connections: u32) -> u64 {
    let origin = round::origin("127.0.0.1:0");
    let folder = tempfile::tempdir().unwrap();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, shape.config(listen, folder.path(), origin.port())).unwrap();
    let mut command = Command::new(binary);
    command.args(["run", "--config"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let mut proxy = Running(command.spawn().unwrap());
    while TcpStream::connect(listen).is_err() {
        assert!(proxy.0.try_wait().unwrap().is_none(), "the proxy did not start");
        thread::sleep(Duration::from_millis(20));
    }
    wrk(listen, connections);
    let rounds = (0..ROUNDS).map(|_| {
        let before = cpu_nanos(proxy.0.id());
        let requests = wrk(listen, connections);
        (cpu_nanos(proxy.0.id()) - before) / requests
    });
    rounds.min().unwrap()
}

/// What all threads of a process have run.
fn cpu_nanos(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(nanos).sum()
}

/// Asks for three seconds; how many answers came.
fn wrk(listen: SocketAddr, connections: u32) -> u64 {
    let (connections, url) = (connections.to_string(), format!("http://{listen}/items/7?page=2"));
    let arguments = ["-t", "1", "-c", &connections, "-d", "3s", "-H", "host: shop.example", "-H", "x-user: 77", &url];
    let output = Command::new("wrk").args(arguments).output().expect("wrk is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx"), "{text}");
    let line = text.lines().find(|line| line.contains(" requests in ")).expect("wrk tells how many it asked");
    line.split_whitespace().next().unwrap().parse().unwrap()
}
