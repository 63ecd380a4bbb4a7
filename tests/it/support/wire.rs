//! HTTP/1.1 on the wire, read the strict way by both ends of the harness.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

/// How a connection ended, seen by its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The peer closed it in order.
    Clean,
    /// The peer reset it.
    Reset,
    /// Nothing came for as long as the reader was willing to wait.
    Silent,
    /// What came was not HTTP.
    Malformed,
}

/// A head as it came.
#[derive(Clone, Default, Debug)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) line: String,
    /// Names in lower case, values without white space around them.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Parses the bytes up to and with the empty line.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter(|line| !line.is_empty()).map(field).collect();
        Self { line, headers }
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a header; `None` if there is none or more than one.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// A header line as name and value.
fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_ascii_lowercase(), value.trim().to_owned())
}

/// What a body was, and whether all of it came.
#[derive(Clone, Default, Debug)]
pub(crate) struct Body {
    /// Its bytes without framing.
    pub(crate) bytes: Vec<u8>,
    /// The trailers behind it.
    pub(crate) trailers: Vec<(String, String)>,
    /// How the connection ended in the middle of it; `None`: it came whole.
    pub(crate) broken: Option<End>,
}

/// How a body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// No body.
    Empty,
    /// This many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
    /// Until the connection closes.
    Close,
}

/// A socket read piece by piece.
pub(crate) struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads from `stream`, whose read timeout is the reader's patience.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// A head with its empty line; `Err` with what came of it when the connection ended.
    pub(crate) fn head(&mut self) -> Result<Vec<u8>, (End, Vec<u8>)> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                return Ok(self.buffer.drain(..at + 4).collect());
            }
            if let Err(end) = self.more() {
                return Err((end, std::mem::take(&mut self.buffer)));
            }
        }
    }

    /// A body.
    pub(crate) fn body(&mut self, framing: Framing) -> Body {
        let mut body = Body::default();
        let end = match framing {
            Framing::Empty => Ok(()),
            Framing::Length(length) => self.take(length, &mut body.bytes),
            Framing::Chunked => self.chunks(&mut body),
            Framing::Close => self.rest(&mut body.bytes),
        };
        body.broken = end.err();
        body
    }

    /// Waits for the end of the connection and says what came before it.
    pub(crate) fn end(&mut self) -> (End, Vec<u8>) {
        loop {
            if let Err(end) = self.more() {
                return (end, std::mem::take(&mut self.buffer));
            }
        }
    }

    /// Whatever comes next.
    pub(crate) fn piece(&mut self) -> Result<Vec<u8>, End> {
        if self.buffer.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    fn chunks(&mut self, body: &mut Body) -> Result<(), End> {
        loop {
            let size = self.line()?;
            if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(End::Malformed);
            }
            let Ok(size) = usize::from_str_radix(&size, 16) else { return Err(End::Malformed) };
            if size == 0 {
                return self.trailers(&mut body.trailers);
            }
            self.take(size, &mut body.bytes)?;
            if !self.line()?.is_empty() {
                return Err(End::Malformed);
            }
        }
    }

    fn trailers(&mut self, into: &mut Vec<(String, String)>) -> Result<(), End> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            into.push(field(&line));
        }
    }

    fn rest(&mut self, into: &mut Vec<u8>) -> Result<(), End> {
        let (end, bytes) = self.end();
        into.extend(bytes);
        if end == End::Clean { Ok(()) } else { Err(end) }
    }

    fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line = self.buffer.drain(..at + 2).collect::<Vec<_>>();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.more()?;
        }
    }

    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> Result<(), End> {
        let wanted = into.len() + count;
        loop {
            let take = self.buffer.len().min(wanted - into.len());
            into.extend(self.buffer.drain(..take));
            if into.len() == wanted {
                return Ok(());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Result<(), End> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(End::Clean),
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(End::Silent);
                }
                Err(_) => return Err(End::Reset),
            }
        }
    }
}
