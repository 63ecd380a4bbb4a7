//! The access log: a line for each finished request, written by a thread of its own.
//!
//! A worker hands over a struct and goes on; if the writer cannot keep up, lines are dropped and counted, because a
//! slow disk must not slow requests down. Formatting happens on the writer's side. A disk that is full costs the lines
//! of that time, which are counted, and no others.
//!
//! A log that is rotated goes on in another file, which another thread opens ([`NextFile`]); the writer looks for it
//! between two lines, so that no line is in two files.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};
use serde::Serialize;

use crate::log::sink::Unwritten;
use crate::log::{Losses, Sink};
use crate::message::RequestHead;
use crate::message::known_headers::HOST;
use crate::shared::per_arm::ExperimentArm;
use crate::supervise::{Part, panic_text};
use crate::table::Name;

/// Lines that wait for the writer; a few hundred bytes each.
const LINES_WAITING_MAX: usize = 16 * 1024;

/// So much of a first line that is no good is told, in bytes.
const FIRST_LINE_BYTES_MAX: usize = 8 * 1024;

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AccessLogFormat {
    /// A JSON object a line.
    Json,
    /// Words for people.
    Text,
}

/// One finished request.
#[derive(Clone, Debug)]
pub(crate) struct AccessLine {
    /// When it came.
    pub at: SystemTime,
    pub client: IpAddr,
    pub method: Method,
    /// The host, as the client wrote it.
    pub host: Option<HeaderValue>,
    /// The target, as the client wrote it.
    pub target: String,
    /// The status that the client saw; `None` if it left before.
    pub status: Option<u16>,
    /// Why the proxy answered by itself, or what ended the request.
    pub reason: Option<&'static str>,
    /// Where the request went.
    pub route: Option<(Name, Name)>,
    /// The experiment that gave the version, and the arm.
    pub experiment: Option<(Name, ExperimentArm)>,
    /// The fault of a chaos experiment that was done to it, such as `slow-payments/latency`.
    pub fault: Option<String>,
    /// The version that failed before, and its endpoint, if the request was replayed.
    pub shielded: Option<(Name, Option<SocketAddr>)>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// The revision of the table that decided; none when it did not come to that.
    pub revision: Option<u64>,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// From the head to the end of the response.
    pub duration: Duration,
    /// The request id.
    pub id: Option<HeaderValue>,
}

impl AccessLine {
    /// What is known at the beginning.
    #[must_use]
    pub(crate) fn of(head: &RequestHead, peer: IpAddr) -> Self {
        // All that HTTP/2 has is the authority of the target.
        let authority = || HeaderValue::from_bytes(head.target.authority()?).ok();
        Self {
            at: SystemTime::now(),
            client: peer,
            method: head.method.clone(),
            host: head.headers.get(HOST).and_then(|host| HeaderValue::from_bytes(host).ok()).or_else(authority),
            target: head.target.to_text(),
            status: None,
            reason: None,
            route: None,
            experiment: None,
            fault: None,
            shielded: None,
            endpoint: None,
            revision: None,
            bytes: 0,
            duration: Duration::ZERO,
            id: None,
        }
    }
}

impl AccessLine {
    /// What is known of a request whose head was refused before it was one: its first line, if that came whole.
    #[must_use]
    pub(crate) fn of_first_line(begun: &[u8], peer: IpAddr) -> Option<Self> {
        let start = begun.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let begun = &begun[start..];
        let end = begun.iter().position(|byte| *byte == b'\n')?;
        let line = begun[..end.min(FIRST_LINE_BYTES_MAX)].trim_ascii_end();
        let mut words = line.split(|byte| *byte == b' ');
        let method = words.next().and_then(|word| Method::from_bytes(word).ok());
        let target = words.next().filter(|_| method.is_some() && words.count() == 1);
        // What is no request line stands where a target would.
        let (method, target) = method.zip(target).unwrap_or_else(|| (no_method(), line));
        Some(Self {
            at: SystemTime::now(),
            client: peer,
            method,
            host: None,
            target: String::from_utf8_lossy(target).into_owned(),
            status: None,
            reason: None,
            route: None,
            experiment: None,
            fault: None,
            shielded: None,
            endpoint: None,
            revision: None,
            bytes: 0,
            duration: Duration::ZERO,
            id: None,
        })
    }
}

/// Stands for a method that could not be read.
fn no_method() -> Method {
    Method::from_bytes(b"-").unwrap_or_default()
}

/// The workers' end.
#[derive(Clone, Debug)]
pub(crate) struct LogSender {
    sender: SyncSender<AccessLine>,
    /// The share of requests to log, 0 to 1.
    pub sample: f64,
}

impl LogSender {
    /// Hands a line over; `false` if there was no room.
    #[must_use]
    pub(crate) fn send(&self, line: AccessLine) -> bool {
        self.sender.try_send(line).is_ok()
    }
}

/// Where the file is put that the log goes on in.
#[derive(Clone, Debug, Default)]
pub(crate) struct NextFile(Arc<Mutex<Option<File>>>);

impl NextFile {
    /// From the next line on the log is written to `file`.
    pub(crate) fn put(&self, file: File) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    fn take(&self) -> Option<File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the log is written to.
pub(crate) struct LogTarget {
    /// The stream.
    pub out: Box<dyn Write + Send>,
    /// Where it goes on.
    pub next: NextFile,
    /// What could not be written to it.
    pub losses: Arc<Losses>,
    /// What is told of the thread.
    pub part: Part,
}

/// Starts the writer, which goes on in the next file whenever there is one. It ends when all senders are gone, after
/// the last line.
///
/// # Errors
/// When the thread cannot be started.
pub(crate) fn start(
    format: AccessLogFormat,
    sample: f64,
    target: LogTarget,
) -> std::io::Result<(LogSender, JoinHandle<()>)> {
    let (sender, lines) = sync_channel(LINES_WAITING_MAX);
    let LogTarget { out, next, losses, part } = target;
    let mut writer = AccessLogWriter { format, lines, sink: Sink::new(out), next, losses, part };
    let thread = std::thread::Builder::new().name("access-log".to_owned());
    let thread = thread.spawn(move || {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| writer.run())) {
            let Some(pause) = writer.part.ended(&panic_text(&*panic)) else { return };
            std::thread::sleep(pause);
            writer.part.runs_again();
        }
    })?;
    Ok((LogSender { sender, sample }, thread))
}

/// The thread's end.
struct AccessLogWriter {
    format: AccessLogFormat,
    lines: Receiver<AccessLine>,
    sink: Sink,
    next: NextFile,
    losses: Arc<Losses>,
    part: Part,
}

impl AccessLogWriter {
    /// Writes until all senders are gone. A stream that fails is tried again with the next lines: a disk that was full
    /// has room again some time.
    fn run(&mut self) {
        while let Some(line) = self.next_line() {
            if let Some(file) = self.next.take() {
                self.flush();
                self.losses.add(self.sink.replace(Box::new(file)));
            }
            let out = self.sink.buffer();
            // Writing to memory does not fail.
            let _written = match self.format {
                AccessLogFormat::Json => {
                    serde_json::to_writer(&mut *out, &JsonLine::of(&line)).map_err(std::io::Error::from)
                }
                AccessLogFormat::Text => write_text(out, &line),
            };
            out.push(b'\n');
            self.part.beat();
            if self.sink.is_full() {
                self.flush();
            }
        }
        self.flush();
    }

    /// The next line; before it waits for one, everything is written.
    fn next_line(&mut self) -> Option<AccessLine> {
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                self.flush();
                self.part.idle();
                self.lines.recv().ok()
            }
        }
    }

    fn flush(&mut self) {
        // After a failure nothing is left to write, which is no sign that the stream takes lines again.
        if self.sink.is_empty() {
            return;
        }
        match self.sink.flush() {
            Ok(()) => {
                if self.losses.set_problem(None) {
                    tracing::info!(lost = self.losses.lines(), "the access log can be written again");
                }
            }
            Err(Unwritten { lines, error }) => {
                self.losses.add(lines);
                if self.losses.set_problem(Some(error.to_string())) {
                    tracing::error!(%error, "cannot write to the access log: lines are lost until it works again");
                }
            }
        }
    }
}

/// The names of a JSON line's members are a promise.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    client: IpAddr,
    method: &'a str,
    host: Option<&'a str>,
    target: &'a str,
    status: Option<u16>,
    reason: Option<&'static str>,
    service: Option<&'a str>,
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shielded_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shielded_from_endpoint: Option<SocketAddr>,
    endpoint: Option<SocketAddr>,
    revision: Option<u64>,
    bytes: u64,
    duration_ms: f64,
    request_id: Option<&'a str>,
}

impl<'a> JsonLine<'a> {
    fn of(line: &'a AccessLine) -> Self {
        let text = |value: &'a Option<HeaderValue>| value.as_ref().and_then(|value| value.to_str().ok());
        Self {
            time: time_text(line.at),
            client: line.client,
            method: line.method.as_str(),
            host: text(&line.host),
            target: &line.target,
            status: line.status,
            reason: line.reason,
            service: line.route.as_ref().map(|(service, _)| service.as_str()),
            version: line.route.as_ref().map(|(_, version)| version.as_str()),
            experiment: line.experiment.as_ref().map(|(experiment, _)| experiment.as_str()),
            arm: line.experiment.as_ref().map(|(_, arm)| arm.word()),
            fault: line.fault.as_deref(),
            shielded_from: line.shielded.as_ref().map(|(version, _)| version.as_str()),
            shielded_from_endpoint: line.shielded.as_ref().and_then(|(_, endpoint)| *endpoint),
            endpoint: line.endpoint,
            revision: line.revision,
            bytes: line.bytes,
            duration_ms: (line.duration.as_secs_f64() * 1e6).round() / 1e3,
            request_id: text(&line.id),
        }
    }
}

fn write_text(out: &mut impl Write, line: &AccessLine) -> std::io::Result<()> {
    let json = JsonLine::of(line);
    let status = json.status.map_or("-".to_owned(), |status| status.to_string());
    write!(out, "{} {} {status} {:.3}ms {}B ", json.time, json.client, json.duration_ms, json.bytes)?;
    let host = line.host.as_ref().map_or(&b"-"[..], HeaderValue::as_bytes);
    // A host ends where its target begins.
    let (method, host) = (escaped(json.method.as_bytes(), b""), escaped(host, b"/?#"));
    write!(out, "{method} {host}{}", escaped(json.target.as_bytes(), b""))?;
    match (json.service, json.version) {
        (Some(service), Some(version)) => write!(out, " {service}/{version}")?,
        _ => write!(out, " -")?,
    }
    match json.endpoint {
        Some(endpoint) => write!(out, " {endpoint}")?,
        None => write!(out, " -")?,
    }
    let revision = json.revision.map_or("-".to_owned(), |revision| revision.to_string());
    write!(out, " rev={revision}")?;
    if let Some(fault) = json.fault {
        write!(out, " fault={fault}")?;
    }
    json.reason.map_or(Ok(()), |reason| write!(out, " {reason}"))
}

/// What a client wrote, so that it is one field and one line whatever it is: `\xNN` stands for every byte that is not a
/// visible sign of ASCII, for the backslash, for quotes, and for those of `more`.
fn escaped(text: &[u8], more: &[u8]) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"') && !more.contains(byte) {
            safe.push(char::from(*byte));
        } else {
            safe.push_str(&format!("\\x{byte:02x}"));
        }
    }
    safe
}

fn time_text(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "-".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn text(line: &AccessLine) -> String {
        let mut out = Vec::new();
        write_text(&mut out, line).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_a_client_writes_is_a_field_of_its_own() {
        let mut line = AccessLine::of_first_line(b"GET / HTTP/1.1\n", CLIENT).unwrap();
        let fields = text(&line).split(' ').count();
        for host in ["a 200 1.000ms 5B GET b", "a\tb", "a/x 1", "\u{202e}a", "a\u{85}b", "\"", "a\\x20"] {
            line.host = Some(HeaderValue::from_bytes(host.as_bytes()).unwrap());
            for target in ["/", "/a b", "/a\n2026 forged", "/\u{2028}", "/\x1b[2J", "/\u{e9}"] {
                line.target = target.to_owned();
                let text = text(&line);
                assert_eq!(text.split(|c: char| c.is_whitespace()).count(), fields, "{text}");
                assert!(text.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{text:?}");
            }
        }
        line.host = Some(HeaderValue::from_static("shop.example:8080"));
        line.target = "/a%20b?c=d&e=[1]".to_owned();
        assert!(text(&line).contains(" GET shop.example:8080/a%20b?c=d&e=[1] "), "{}", text(&line));
    }

    /// A full disk.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_not_said_to_work_again_because_nothing_is_left_to_write() {
        let losses = Arc::new(Losses::default());
        let (next, part) = (NextFile::default(), Part::alone("access log"));
        let target = LogTarget { out: Box::new(Full), next, losses: Arc::clone(&losses), part };
        let (sender, thread) = start(AccessLogFormat::Text, 1.0, target).unwrap();
        assert!(sender.send(AccessLine::of_first_line(b"GET / HTTP/1.1\n", CLIENT).unwrap()));
        let began = tokio::time::Instant::now();
        while losses.lines() == 0 {
            assert!(began.elapsed() < Duration::from_secs(10), "the line is lost");
            std::thread::sleep(Duration::from_millis(5));
        }
        // At the end everything that waits is written once more, which is nothing.
        drop(sender);
        thread.join().unwrap();
        assert_eq!(losses.lines(), 1);
        assert!(losses.problem().is_some(), "nothing was written since");
    }

    #[test]
    fn a_first_line_is_told_as_far_as_it_is_one() {
        let of =
            |bytes: &[u8]| AccessLine::of_first_line(bytes, CLIENT).map(|line| (line.method.to_string(), line.target));
        let told = |method: &str, target: &str| Some((method.to_owned(), target.to_owned()));
        assert_eq!(of(b"GET /a HTTP/1.1\r\nHost"), told("GET", "/a"));
        assert_eq!(of(b"BREW /pot HTTP/1.1\nHost"), told("BREW", "/pot"));
        assert_eq!(of(b"GET /a b HTTP/1.1\r\n"), told("-", "GET /a b HTTP/1.1"));
        assert_eq!(of(b"G@T / HTTP/1.1\r\n"), told("-", "G@T / HTTP/1.1"));
        assert_eq!(of(b"\x16\x03\x01\n"), told("-", "\x16\x03\x01"));
        assert_eq!(of(b"GET / HTTP/1.1"), None, "the line has not ended");
        let long = [b"GET /".as_slice(), &[b'a'; 3 * FIRST_LINE_BYTES_MAX], b" HTTP/1.1\r\n"].concat();
        assert!(of(&long).unwrap().1.len() <= FIRST_LINE_BYTES_MAX);
    }
}
