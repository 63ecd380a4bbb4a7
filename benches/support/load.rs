//! A proxy under load, and the CPU time that the kernel accounts to it.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::origin::Origin;
use super::shape::Shape;

/// Rounds of each, the first of which does not count; the least is taken, because neighbours only add.
const ROUNDS: usize = 4;

/// How often a round is repeated in which the kernel turned clients away.
const TRIES: u32 = 3;

/// A proxy that ends with this.
pub(crate) struct Running {
    process: Child,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked, not killed: one that is built to count what it runs writes its counts when it ends.
        kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
        let asked = Instant::now();
        while self.process.try_wait().is_ok_and(|ended| ended.is_none()) && asked.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(20));
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Running {
    /// A proxy of this shape, with endpoints on `origin_port`.
    pub(crate) fn start(binary: &Path, shape: Shape, origin_port: u16) -> Self {
        Self::with_config(binary, |listen, folder| shape.config(listen, folder, origin_port))
    }

    /// A proxy with this config, from the address that it listens on and the folder of its state and of `admin.sock`.
    pub(crate) fn with_config(binary: &Path, config: impl FnOnce(SocketAddr, &Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Apart from its state, as where it is installed: the config's folder is watched.
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        let file = folder.path().join("etc/pointsman.toml");
        std::fs::write(&file, config(listen, folder.path())).unwrap();
        let mut command = Command::new(binary);
        command.args(["run", "--config"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let mut proxy = Self { process: command.spawn().unwrap(), listen, folder };
        while TcpStream::connect(listen).is_err() {
            assert!(proxy.process.try_wait().unwrap().is_none(), "the proxy did not start");
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// Its admin API.
    pub(crate) fn admin(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("admin.sock")).unwrap()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time that it has had, in nanoseconds.
    pub(crate) fn cpu_nanos(&self) -> u64 {
        cpu_nanos(self.process.id())
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
    let origin = Origin::start();
    let proxy = Running::start(binary, shape, origin.address.port());
    let rounds = (0..ROUNDS).map(|_| {
        let mut tries = 1..=TRIES;
        loop {
            let before = proxy.cpu_nanos();
            // More clients at once than fit into the listener's queue (net.core.somaxconn): the kernel goes on with SYN
            // cookies, some of which it does not take back, and a client is reset that the proxy never saw.
            let again = connections > 4_096 && tries.next().is_some();
            match asked(proxy.listen, connections, 3) {
                Err(said) if again => println!("once more: {said}"),
                done => return (proxy.cpu_nanos() - before) / done.unwrap(),
            }
        }
    });
    // The first opens the connections to the origin.
    rounds.skip(1).min().unwrap()
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

/// Asks for this many seconds; how many answers came, all of them good.
pub(crate) fn wrk(listen: SocketAddr, connections: u32, seconds: u32) -> u64 {
    asked(listen, connections, seconds).unwrap()
}

/// As [`wrk`]; an error is what wrk said of answers and connections that were not good.
fn asked(listen: SocketAddr, connections: u32, seconds: u32) -> Result<u64, String> {
    let (connections, url) = (connections.to_string(), format!("http://{listen}/items/7?page=2"));
    let duration = format!("{seconds}s");
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "--timeout", "10s", "-c", &connections, "-d", &duration]);
    command.args(["-H", "Host: shop.example", "-H", "x-user: 77", &url]);
    let output = command.output().expect("wrk is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(text);
    }
    let line = text.lines().find(|line| line.contains(" requests in ")).expect("wrk tells how many it asked");
    Ok(line.split_whitespace().next().unwrap().parse().unwrap())
}
