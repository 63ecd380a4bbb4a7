//! The access log: a line for each finished request, written by a thread of its own.
//!
//! A worker hands over a struct and goes on; if the writer cannot keep up, lines are dropped and counted, because a
//! slow disk must not slow requests down. Formatting happens on the writer's side.
//!
//! A log that is rotated goes on in another file, which somebody else opens ([`NextFile`]); the writer looks for it between
//! two lines, so that no line is in two files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};
use serde::Serialize;

use crate::message::RequestHead;
use crate::message::names::HOST;
use crate::table::Name;

/// Lines that wait for the writer; a few hundred bytes each.
const LINES_WAITING_MAX: usize = 16 * 1024;

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// Words for people.
    Text,
}

/// One finished request.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it came.
    pub at: SystemTime,
    /// The client.
    pub client: IpAddr,
    /// The method.
    pub method: Method,
    /// The host, as the client wrote it.
    pub host: Option<HeaderValue>,
    /// The target, as the client wrote it.
    pub target: String,
    /// The status that the client saw; `None` if it left before.
    pub status: Option<u16>,
    /// Why the proxy answered by itself, or what ended the exchange.
    pub reason: Option<&'static str>,
    /// Where the request went.
    pub route: Option<(Name, Name)>,
    /// The version that failed before, and its endpoint, if the request was replayed.
    pub shielded: Option<(Name, Option<SocketAddr>)>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// The revision of the table that decided; none when it did not come to that.
    pub revision: Option<u64>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the head to the end of the answer.
    pub duration: Duration,
    /// The request id.
    pub id: Option<HeaderValue>,
}

impl Line {
    /// What is known at the beginning.
    #[must_use]
    pub fn of(head: &RequestHead, peer: IpAddr) -> Self {
        // All that HTTP/2 has is the authority of the target.
        let authority = || HeaderValue::from_str(head.uri.authority()?.as_str()).ok();
        Self {
            at: SystemTime::now(),
            client: peer,
            method: head.method.clone(),
            host: head.headers.get(HOST).and_then(|host| HeaderValue::from_bytes(host).ok()).or_else(authority),
            target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            status: None,
            reason: None,
            route: None,
            shielded: None,
            endpoint: None,
            revision: None,
            bytes: 0,
            duration: Duration::ZERO,
            id: None,
        }
    }
}

/// The workers' end.
#[derive(Clone, Debug)]
pub struct LogSender {
    sender: SyncSender<Line>,
    /// The share of requests to log, 0 to 1.
    pub sample: f64,
}

impl LogSender {
    /// Hands a line over; `false` if there was no room.
    #[must_use]
    pub fn send(&self, line: Line) -> bool {
        self.sender.try_send(line).is_ok()
    }
}

/// Where the file is put that the log goes on in.
#[derive(Clone, Debug, Default)]
pub struct NextFile(Arc<Mutex<Option<File>>>);

impl NextFile {
    /// From the next line on the log is written to `file`.
    pub fn put(&self, file: File) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    fn take(&self) -> Option<File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Starts the writer, which goes on in the next file whenever there is one. It ends when all senders are gone, after the
/// last line.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    format: LogFormat,
    sample: f64,
    (out, next): (Box<dyn Write + Send>, NextFile),
) -> std::io::Result<(LogSender, JoinHandle<()>)> {
    let (sender, lines) = sync_channel(LINES_WAITING_MAX);
    let writer = std::thread::Builder::new().name("access-log".to_owned());
    let thread = writer.spawn(move || {
        // Nobody reads the log any more, or the disk is full: the proxy goes on without it.
        let mut written = write_all(format, &lines, (out, &next));
        while let Err(error) = written {
            tracing::error!(%error, "the access log ends here: cannot write to it");
            let Some(file) = discard_until(&lines, &next) else { return };
            written = write_all(format, &lines, (Box::new(file), &next));
        }
    })?;
    Ok((LogSender { sender, sample }, thread))
}

/// Drops lines until there is another file; none when all senders are gone.
fn discard_until(lines: &Receiver<Line>, next: &NextFile) -> Option<File> {
    loop {
        lines.recv().ok()?;
        if let Some(file) = next.take() {
            return Some(file);
        }
    }
}

fn write_all(
    format: LogFormat,
    lines: &Receiver<Line>,
    (out, next): (Box<dyn Write + Send>, &NextFile),
) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    loop {
        let line = match lines.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => return out.flush(),
            Err(TryRecvError::Empty) => {
                out.flush()?;
                match lines.recv() {
                    Ok(line) => line,
                    Err(_all_senders_are_gone) => return out.flush(),
                }
            }
        };
        if let Some(file) = next.take() {
            out.flush()?;
            *out.get_mut() = Box::new(file);
        }
        match format {
            LogFormat::Json => serde_json::to_writer(&mut out, &JsonLine::of(&line)).map_err(std::io::Error::from)?,
            LogFormat::Text => write_text(&mut out, &line)?,
        }
        out.write_all(b"\n")?;
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
    fn of(line: &'a Line) -> Self {
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

fn write_text(out: &mut impl Write, line: &Line) -> std::io::Result<()> {
    let json = JsonLine::of(line);
    let status = json.status.map_or("-".to_owned(), |status| status.to_string());
    write!(out, "{} {} {status} {:.3}ms {}B ", json.time, json.client, json.duration_ms, json.bytes)?;
    write!(out, "{} {}{}", json.method, json.host.unwrap_or("-"), json.target.escape_default())?;
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
    json.reason.map_or(Ok(()), |reason| write!(out, " {reason}"))
}

fn time_text(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "-".to_owned(), |time| format!("{time:.3}"))
}
