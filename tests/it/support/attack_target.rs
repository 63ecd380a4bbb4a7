//! The real binary under attack: what it answers to others meanwhile, and what memory it takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use super::process::{Process, config};
use super::{client, get};

/// A large answer, in parts.
static PART: [u8; 64 * 1024] = [b'x'; 64 * 1024];
const PARTS: usize = 256;

/// Attacks come one after the other: each is measured.
static ALONE: Mutex<()> = Mutex::new(());

/// The longest that anybody else may wait for an answer during an attack; and what the origin itself took at its
/// slowest comes on top, on a machine that has other things to do.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// How often an attack is run before it counts that others waited for too long.
const TRIES: u32 = 3;

/// A process with an origin, and no other attack at the same time.
pub(crate) struct Victim {
    pub(crate) process: Process,
    origin: SocketAddr,
    _folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Victim {
    /// Starts it; `listener` and `service` are lines of their sections.
    pub(crate) fn start(listener: &str, service: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (origin, folder) = (origin(), tempfile::tempdir().unwrap());
        let text = config(origin, origin, "").replacen("[admin]", &format!("{listener}\n[admin]"), 1);
        let text = text.replacen("[services.shop]", &format!("[services.shop]\n{service}"), 1);
        let path = folder.path().join("pointsman.toml");
        std::fs::write(&path, text).unwrap();
        Self { process: Process::start(&path), origin, _folder: folder, _alone: alone }
    }

    /// Where it listens, as text.
    pub(crate) fn address(&self) -> String {
        self.process.listener.to_string()
    }

    /// Runs an attack. Others are answered in time meanwhile, and memory grows by no more than `growth_max`, in bytes.
    /// One in which a client waited too long is run again: a machine may be busy with other things, but not each time.
    #[track_caller]
    pub(crate) fn endure<T>(&self, what: &str, growth_max: u64, attack: impl Fn() -> T) -> T {
        let mut tries = 0..TRIES;
        loop {
            tries.next();
            let before = self.reset_peak();
            let (probe, began) = (Probe::start(self.process.listener, self.origin), Instant::now());
            let outcome = attack();
            let (answers, slowest, straight) = probe.finish();
            let (took, peak) = (began.elapsed(), self.memory("VmHWM"));
            println!(
                "{what}: {took:.1?}, {answers} probes answered, the slowest in {slowest:.0?} (straight {straight:.0?}); \
                 memory {} KiB, at most {} KiB",
                before / 1024,
                peak / 1024
            );
            assert!(peak.saturating_sub(before) <= growth_max, "{what}: {before} bytes became {peak}");
            if answers > 0 && slowest < ANSWERED_WITHIN + straight {
                return outcome;
            }
            assert!(!tries.is_empty(), "{what}: a probe took {slowest:?}, and as long before");
        }
    }

    /// Begins to note the peak of memory anew; what it is now.
    fn reset_peak(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
        self.memory("VmRSS")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How many clients are connected.
    pub(crate) fn clients(&self) -> f64 {
        let admin = self.process.admin_address;
        let text = client::send(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n")).text();
        let line = text.lines().find_map(|line| line.strip_prefix("pointsman_connections{side=\"client\"}"));
        line.expect("the metric").trim().parse().unwrap()
    }
}

/// A client that only wants a response, again and again, on connections of his own.
struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Duration, Duration)>,
}

impl Probe {
    fn start(address: SocketAddr, origin: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut answers, mut slowest, mut straight) = (0, Duration::ZERO, Duration::ZERO);
            while !until.load(Ordering::Relaxed) {
                straight = straight.max(answered(origin));
                slowest = slowest.max(answered(address));
                answers += 1;
                thread::sleep(Duration::from_millis(20));
            }
            (answers, slowest, straight)
        });
        Self { stop, thread }
    }

    /// How many answers there were, and how long they took at most: through the proxy, and straight from the origin.
    fn finish(self) -> (u32, Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every probe is answered")
    }
}

/// How long an answer takes.
fn answered(address: SocketAddr) -> Duration {
    let began = Instant::now();
    assert_eq!(client::send(address, get("/probe")).status, 200);
    began.elapsed()
}

/// An origin that takes a thousand connections and keeps nothing, unlike the one that remembers.
fn origin() -> SocketAddr {
    const STACK_BYTES: usize = 128 * 1024;
    const BACKLOG: i32 = 4096;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // What waits in the origin's sockets is memory of the kernel that the attack did not take.
    socket.set_send_buffer_size(PART.len()).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    // A queue that is full drops connections, and a second passes before the next try.
    socket.listen(BACKLOG).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serving = thread::Builder::new().stack_size(STACK_BYTES);
            // An error is a client that left.
            serving.spawn(move || stream.and_then(|stream| serve(&stream)).ok()).unwrap();
        }
    });
    address
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let (mut target, mut line) = (String::new(), String::new());
        reader.read_line(&mut target)?;
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        match target.split(' ').nth(1) {
            Some("/big") => {
                write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PARTS * PART.len())?;
                (0..PARTS).try_for_each(|_| writer.write_all(&PART))?;
            }
            // Whatever comes, and no answer.
            Some("/hang" | "/sink") => return std::io::copy(&mut reader, &mut std::io::sink()).map(drop),
            // Nothing is read until no client waits any more.
            Some("/unread") => {
                thread::sleep(Duration::from_secs(5));
                return reader.get_ref().take(1).read(&mut [0]).map(drop);
            }
            _ => writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
        }
    }
}
