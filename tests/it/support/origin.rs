//! An upstream that records every byte and answers as scripted. It reads framing by itself: what stands behind a framed
//! body is the next request, so bytes that were smuggled show. Every request is also held against
//! [the law](super::invariants) that no request may break, whatever the client sent.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::invariants::{FORBIDDEN_TRAILERS, lawful};
use super::reply::{Reply, Step};
use super::wire::{Body, End, Framing, Head, Reader};
use super::{PATIENCE, fault};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    /// Its head.
    pub(crate) head: Head,
    /// Its body.
    pub(crate) body: Body,
    /// Whether head and body came whole.
    pub(crate) whole: bool,
}

impl Seen {
    /// Method, target and version.
    pub(crate) fn line(&self) -> &str {
        &self.head.line
    }

    /// The target.
    pub(crate) fn target(&self) -> &str {
        self.head.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    /// Whether a header is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.head.all(name).is_empty()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.bytes).into_owned()
    }
}

/// When an origin answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Head,
    End,
}

type Script = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct Shared {
    script: Script,
    at: At,
    remember: bool,
    seen: Mutex<Vec<Seen>>,
    crimes: Mutex<Vec<String>>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
}

/// An upstream on a free port.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Origin {
    /// Answers every request with a 200 and this body, which `HEAD` does not get.
    pub(crate) fn saying(body: &'static str) -> Self {
        Self::with(move |seen| match seen.line().starts_with("HEAD ") {
            true => Reply::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())),
            false => Reply::ok(body),
        })
    }

    /// Answers every request with these bytes.
    pub(crate) fn raw(bytes: &'static str) -> Self {
        Self::with(move |_| Reply::raw(bytes))
    }

    /// Answers when a request is there as a whole.
    pub(crate) fn with(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Box::new(script), At::End, true)
    }

    /// Answers when the head is there, and reads the body afterwards.
    pub(crate) fn eager(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Box::new(script), At::Head, true)
    }

    /// As [`Origin::with`], but forgets what it saw: for runs that would fill the memory.
    pub(crate) fn forgetful(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Box::new(script), At::End, false)
    }

    /// Plays the replies in order, one a request, the last one for ever.
    pub(crate) fn playing(replies: Vec<Reply>) -> Self {
        let next = AtomicUsize::new(0);
        Self::with(move |_| replies[next.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone())
    }

    /// As [`Origin::with`], on a socket that listens already.
    pub(crate) fn on(listener: TcpListener, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(listener, Box::new(script), At::End, true)
    }

    fn start(script: Script, at: At, remember: bool) -> Self {
        Self::listen(fault::listener(), script, at, remember)
    }

    fn listen(listener: TcpListener, script: Script, at: At, remember: bool) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            at,
            remember,
            seen: Mutex::default(),
            crimes: Mutex::default(),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    #[track_caller]
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let crimes = lock(&self.shared.crimes);
        assert!(crimes.is_empty(), "no upstream may ever see this:\n{}", crimes.join("\n"));
        lock(&self.shared.seen).clone()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "want one request, saw {seen:?}");
        seen.into_iter().next().unwrap()
    }

    /// The last request.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    /// Forgets what was seen, and gives the crimes.
    pub(crate) fn forget(&self) -> (Vec<Seen>, Vec<String>) {
        (std::mem::take(&mut *lock(&self.shared.seen)), std::mem::take(&mut *lock(&self.shared.crimes)))
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Closes every connection in order, as an origin does with idle ones.
    pub(crate) fn hang_up(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Goes away: no more connections, and the open ones are closed.
    pub(crate) fn stop(&self) {
        if !self.shared.stopped.swap(true, Ordering::SeqCst) {
            TcpStream::connect_timeout(&self.address, PATIENCE).ok();
            self.hang_up();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            self.seen();
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).ok();
        // Twice the patience of a test: the origin never is the first to give up.
        stream.set_read_timeout(Some(2 * PATIENCE)).ok();
        stream.set_write_timeout(Some(2 * PATIENCE)).ok();
        if let (Ok(reading), Ok(kept)) = (stream.try_clone(), stream.try_clone()) {
            if self.remember {
                lock(&self.streams).push(kept);
            }
            self.requests(number, stream, Reader::new(reading));
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    fn requests(&self, connection: usize, mut stream: TcpStream, mut reader: Reader) {
        loop {
            let bytes = match reader.head() {
                Ok(bytes) => bytes,
                Err((_, bytes)) if bytes.is_empty() => {
                    // There is no reader: it must not look as if there were one, also if another thread keeps the
                    // socket.
                    stream.shutdown(std::net::Shutdown::Both).ok();
                    return;
                }
                Err((_, bytes)) => return self.accuse("bytes that are no head", &String::from_utf8_lossy(&bytes)),
            };
            let head = Head::parse(&bytes);
            // The law is for requests of users; checks are the proxy's own.
            let check = head.one("user-agent").is_some_and(|agent| {
                ["health/", "smoke/", "webhook/", "metrics/"]
                    .iter()
                    .any(|own| agent.starts_with(&format!("pointsman-{own}")))
            });
            for crime in lawful(&head).into_iter().filter(|_| !check) {
                self.accuse(&crime, &String::from_utf8_lossy(&bytes));
            }
            let seen = Seen { connection, head, body: Body::default(), whole: false };
            if !self.exchange(seen, &mut stream, &mut reader) {
                return;
            }
        }
    }

    /// One request and its answer; whether the connection goes on.
    fn exchange(&self, mut seen: Seen, stream: &mut TcpStream, reader: &mut Reader) -> bool {
        let place = self.record(&seen);
        if self.at == At::Head && !self.play((self.script)(&seen), stream, reader) {
            return false;
        }
        seen.body = reader.body(framing(&seen.head));
        seen.whole = seen.body.broken.is_none();
        for (name, _) in seen.body.trailers.iter().filter(|(name, _)| FORBIDDEN_TRAILERS.contains(&name.as_str())) {
            self.accuse("a trailer that must be filtered", name);
        }
        if seen.body.broken == Some(End::Malformed) {
            self.accuse("malformed chunks", seen.line());
        }
        self.complete(place, &seen);
        seen.whole && (self.at == At::Head || self.play((self.script)(&seen), stream, reader))
    }

    /// Writes an answer; whether the connection goes on.
    fn play(&self, reply: Reply, stream: &mut TcpStream, reader: &mut Reader) -> bool {
        for step in reply.0 {
            match step {
                Step::Bytes(bytes) => {
                    if stream.write_all(&bytes).is_err() {
                        return false;
                    }
                }
                Step::Pause(pause) => std::thread::sleep(pause),
                Step::Wait(turnstile) => turnstile.pass_blocking(),
                Step::Close => {
                    stream.shutdown(Shutdown::Both).ok();
                    return false;
                }
                Step::Reset => {
                    fault::reset_on_close(stream);
                    self.release(stream);
                    return false;
                }
                Step::Hang => {
                    reader.end();
                    return false;
                }
                Step::Echo => {
                    while reader.piece().is_ok_and(|piece| stream.write_all(&piece).is_ok()) {}
                    return false;
                }
            }
        }
        true
    }

    /// Lets go of the copy that is kept for hanging up: a reset needs the last descriptor to be closed.
    fn release(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        lock(&self.streams).retain(|kept| kept.peer_addr().ok() != peer);
    }

    fn record(&self, seen: &Seen) -> usize {
        let mut all = lock(&self.seen);
        if self.remember {
            all.push(seen.clone());
        }
        all.len().saturating_sub(1)
    }

    fn complete(&self, place: usize, seen: &Seen) {
        if let Some(entry) = lock(&self.seen).get_mut(place).filter(|entry| entry.connection == seen.connection) {
            *entry = seen.clone();
        }
    }

    fn accuse(&self, crime: &str, evidence: &str) {
        lock(&self.crimes).push(format!("{crime}: {evidence:?}"));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn framing(head: &Head) -> Framing {
    if head.headers.iter().any(|(name, _)| name == "transfer-encoding") {
        return Framing::Chunked;
    }
    let length = head.all("content-length").first().and_then(|length| length.parse().ok());
    length.map_or(Framing::Empty, Framing::Length)
}
