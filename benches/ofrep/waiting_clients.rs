//! Clients that wait for changes: connections of which each has asked for events, and reads what comes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};

/// The longest wait for all of them.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many connect at once: fewer than the kernel's queue of a listener has places.
const AT_ONCE: usize = 100;

/// Addresses of this machine from which they come, as clients come from many.
const ADDRESSES: usize = 50;

const EVENT: &[u8] = b"event: message";

#[derive(Default)]
struct Heard {
    waiting: AtomicUsize,
    lost: AtomicUsize,
    /// When each was told of a change.
    told: Mutex<Vec<Instant>>,
}

/// All of them; they leave when this is dropped.
pub(crate) struct WaitingClients {
    count: usize,
    heard: Arc<Heard>,
    leave: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for WaitingClients {
    fn drop(&mut self) {
        self.leave.take();
        self.thread.take().map(thread::JoinHandle::join);
    }
}

impl WaitingClients {
    /// Connects this many, and waits until each has been greeted.
    ///
    /// # Errors
    /// Not all of them were.
    pub(crate) fn connect(address: SocketAddr, count: usize) -> Result<Self, String> {
        let heard = Arc::new(Heard::default());
        let (leave, left) = oneshot::channel::<()>();
        let theirs = Arc::clone(&heard);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let places = Arc::new(Semaphore::new(AT_ONCE));
                for number in 0..count {
                    tokio::spawn(wait(address, number, Arc::clone(&places), Arc::clone(&theirs)));
                }
                // An error says that the sender is gone, which is what is waited for.
                left.await.unwrap_or(());
            });
        });
        let clients = Self { count, heard, leave: Some(leave), thread: Some(thread) };
        let waiting = || clients.heard.waiting.load(Relaxed);
        await_until(|| waiting() + clients.heard.lost.load(Relaxed) == count, || format!("{} wait", waiting()))?;
        clients.all_wait()?;
        Ok(clients)
    }

    /// Whether no connection has ended.
    ///
    /// # Errors
    /// Some have.
    pub(crate) fn all_wait(&self) -> Result<(), String> {
        let lost = self.heard.lost.load(Relaxed);
        if lost == 0 { Ok(()) } else { Err(format!("{lost} of {} clients were turned away or lost", self.count)) }
    }

    /// Forgets the changes so far.
    pub(crate) fn forget(&mut self) {
        self.heard.told.lock().unwrap().clear();
    }

    /// Waits until all have been told of the change that was asked for then; how long it took each, in seconds.
    ///
    /// # Errors
    /// Some were not.
    pub(crate) fn told(&self, asked: Instant) -> Result<Vec<f64>, String> {
        let told = || self.heard.told.lock().unwrap().len();
        await_until(|| told() >= self.count, || format!("{} of {} clients know of the change", told(), self.count))?;
        let told = self.heard.told.lock().unwrap();
        Ok(told.iter().map(|at| at.duration_since(asked).as_secs_f64()).collect())
    }
}

fn await_until(holds: impl Fn() -> bool, found: impl Fn() -> String) -> Result<(), String> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > PATIENCE {
            return Err(format!("after {PATIENCE:?} {}", found()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

async fn wait(address: SocketAddr, number: usize, places: Arc<Semaphore>, heard: Arc<Heard>) {
    let place = places.acquire().await.unwrap();
    let greeted = ask(address, number).await;
    drop(place);
    if let Ok(stream) = greeted {
        heard.waiting.fetch_add(1, Relaxed);
        listen(stream, &heard).await;
    }
    heard.lost.fetch_add(1, Relaxed);
}

/// Asks for events, and reads as far as the greeting.
async fn ask(address: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + 1 + u32::try_from(number % ADDRESSES).unwrap());
    socket.bind((from, 0).into())?;
    let mut stream = socket.connect(address).await?;
    let request = "GET /ofrep/v1/events HTTP/1.1\r\nhost: shop.example\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let (mut buffer, mut filled) = ([0; 2048], 0);
    while !buffer[..filled].windows(6).any(|part| part == b"retry:") {
        let count = stream.read(&mut buffer[filled..]).await?;
        filled += count;
        if count == 0 || !b"HTTP/1.1 200".starts_with(&buffer[..filled.min(12)]) {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
    }
    Ok(stream)
}

/// Reads until the connection ends.
async fn listen(mut stream: TcpStream, heard: &Heard) {
    // In front stands what may be the beginning of an event.
    let (mut buffer, mut kept) = ([0; 512], 0);
    loop {
        let Ok(count @ 1..) = stream.read(&mut buffer[kept..]).await else { return };
        let filled = kept + count;
        let end = buffer[..filled].windows(EVENT.len()).position(|part| part == EVENT).map(|at| at + EVENT.len());
        if end.is_some() {
            heard.told.lock().unwrap().push(Instant::now());
        }
        let from = end.unwrap_or(0).max(filled.saturating_sub(EVENT.len() - 1));
        buffer.copy_within(from..filled, 0);
        kept = filled - from;
    }
}
