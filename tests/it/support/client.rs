//! A client that writes what it is told, byte for byte, and reads answers the strict way.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::fault;
pub(crate) use super::wire::End;
use super::wire::{Body, Framing, Head, Reader};

/// A connection to the proxy.
pub(crate) struct Client {
    stream: TcpStream,
    reader: Reader,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status code of the final answer.
    pub(crate) status: u16,
    /// Its head.
    pub(crate) head: Head,
    /// Its body.
    pub(crate) body: Body,
    /// Status codes of the 1xx answers before it.
    pub(crate) interim: Vec<u16>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body.bytes).into_owned()
    }

    /// The only value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    /// Whether all of it came.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.broken.is_none()
    }

    /// Fails unless this is the refusal `word` with `status`.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, word: &str) {
        assert!(self.status == status && self.text().contains(word), "want {status} {word}, got {self:?}");
    }
}

/// Sends `bytes` on a connection of their own and reads one answer.
#[track_caller]
pub(crate) fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
    Client::to(address).ask(bytes)
}

impl Client {
    /// A new connection.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(fault::connect(address))
    }

    /// A connection that is there.
    pub(crate) fn over(stream: TcpStream) -> Self {
        let reader = Reader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Waits no longer than this for anything.
    pub(crate) fn patient(self, patience: Duration) -> Self {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        self
    }

    /// Whether the peer has closed already, as a client with a pool asks before it uses a connection again.
    pub(crate) fn is_over(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Writes bytes. An error is no failure: the peer may have closed already, and reading tells how.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()).ok();
        self
    }

    /// Writes bytes; whether the peer still takes them.
    pub(crate) fn is_writable(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes up to `most` bytes, until the peer takes no more for a second; gives the number of bytes.
    pub(crate) fn write_until_stuck(&mut self, most: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let piece = vec![b'x'; 64 * 1024];
        let mut written = 0;
        while let Ok(count) = self.stream.write(&piece[..piece.len().min(most - written)]) {
            written += count;
            if written == most {
                break;
            }
        }
        written
    }

    /// Writes a request and reads its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        let head = bytes.as_ref().starts_with(b"HEAD ");
        self.write(bytes);
        self.read(head).unwrap_or_else(|(end, bytes)| no_answer(end, &bytes))
    }

    /// Reads the answer to a request that was not `HEAD`.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.read(false).unwrap_or_else(|(end, bytes)| no_answer(end, &bytes))
    }

    /// Reads an answer; `Err` with how the connection ended and what had come.
    pub(crate) fn read(&mut self, to_head: bool) -> Result<Answer, (End, Vec<u8>)> {
        let mut interim = Vec::new();
        loop {
            let bytes = self.reader.head()?;
            let head = Head::parse(&bytes);
            let Some(status) = status(&head.line) else { return Err((End::Malformed, bytes)) };
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let framing = framing(status, &head, to_head).ok_or((End::Malformed, bytes))?;
            let body = self.reader.body(framing);
            return Ok(Answer { status, head, body, interim });
        }
    }

    /// The answer to a request, if its first byte comes in time.
    pub(crate) fn read_within(&mut self, time: Duration) -> Option<Answer> {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let came = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        came.then(|| self.answer())
    }

    /// Waits for one interim or final head and gives its status.
    #[track_caller]
    pub(crate) fn next_status(&mut self) -> u16 {
        status(&self.next_head().line).unwrap()
    }

    /// The same head as a whole.
    #[track_caller]
    pub(crate) fn next_head(&mut self) -> Head {
        let head = self.reader.head().unwrap_or_else(|(end, bytes)| no_answer(end, &bytes));
        Head::parse(&head)
    }

    /// Waits for the connection's end and says what came before it.
    pub(crate) fn end(&mut self) -> (End, Vec<u8>) {
        self.reader.end()
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).ok();
        self
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        fault::reset_on_close(&self.stream);
    }
}

#[track_caller]
fn no_answer(end: End, bytes: &[u8]) -> ! {
    panic!("no answer: {end:?} after {:?}", String::from_utf8_lossy(bytes))
}

fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

/// The framing of an answer; `None` if it contradicts itself.
fn framing(status: u16, head: &Head, to_head: bool) -> Option<Framing> {
    let (codings, lengths) = (head.all("transfer-encoding"), head.all("content-length"));
    if to_head || matches!(status, 101 | 204 | 304) {
        return Some(Framing::Empty);
    }
    match (&codings[..], &lengths[..]) {
        ([], []) => Some(Framing::Close),
        (["chunked"], []) => Some(Framing::Chunked),
        ([], [length]) => length.parse().ok().map(Framing::Length),
        _ => None,
    }
}
