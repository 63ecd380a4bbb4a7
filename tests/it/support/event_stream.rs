//! A client of a stream of events (SSE), as a browser is one: a connection, and what comes in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// A stream.
pub(crate) struct EventStream {
    reader: BufReader<TcpStream>,
    heard: Vec<String>,
    /// The status of the response.
    pub(crate) status: u16,
    /// The head of the response, in lower case.
    pub(crate) head: String,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct StreamEvent {
    /// Its id; empty where it has none.
    pub(crate) id: String,
    /// What it is called.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: Value,
}

impl EventStream {
    /// Asks for the stream at `path`, with these lines of a head.
    pub(crate) fn open(address: SocketAddr, path: &str, lines: &[String]) -> Self {
        Self::ask(address, &format!("GET {path}"), lines, "")
    }

    /// The same of a stream that answers a call with a body.
    pub(crate) fn post(address: SocketAddr, path: &str, lines: &[String], body: &Value) -> Self {
        let body = body.to_string();
        let of_body = [format!("Content-Length: {}", body.len()), "Content-Type: application/json".to_owned()];
        Self::ask(address, &format!("POST {path}"), &[lines, &of_body].concat(), &body)
    }

    fn ask(address: SocketAddr, line: &str, lines: &[String], body: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{lines}\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "the head ends early: {head}");
        }
        let status = head[9..12].parse().unwrap();
        Self { reader, heard: Vec::new(), status, head: head.to_ascii_lowercase() }
    }

    /// The same, of one who knows what the event with this id said.
    pub(crate) fn resume(address: SocketAddr, path: &str, id: &str) -> Self {
        Self::open(address, path, &[format!("Last-Event-ID: {id}")])
    }

    /// The next part that is no heartbeat; `None` at the end of the stream.
    pub(crate) fn part(&mut self) -> Option<String> {
        loop {
            let mut size = String::new();
            let read = self.reader.read_line(&mut size);
            let read = read.unwrap_or_else(|error| panic!("{error} after {:?}", self.heard));
            if read == 0 {
                return None;
            }
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut part = vec![0; size + 2];
            self.reader.read_exact(&mut part).unwrap();
            part.truncate(size);
            let part = String::from_utf8(part).unwrap();
            self.heard.push(part.clone());
            if part != ":\n\n" {
                return (size > 0).then_some(part);
            }
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) fn event(&mut self) -> Option<StreamEvent> {
        loop {
            let part = self.part()?;
            let line = |name: &str| part.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let Some(data) = line("data: ") {
                let (id, name) = (line("id: ").unwrap_or_default(), line("event: ").expect("a name"));
                return Some(StreamEvent { id, name, data: serde_json::from_str(&data).expect("JSON") });
            }
        }
    }
}
