//! HTTP/2 by hand: a client that writes any frame and any header block, lawful or not, and reads the frames that come.
//! Blocks are written without compression; those of answers are not read but for their status, since the proxy says its
//! reasons in the body.

use std::net::{SocketAddr, TcpStream};

use super::wire::Reader;
use super::{Client, End, fault};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The largest frame that everybody takes.
const FRAME_BYTES_MAX: usize = 16_384;

/// A name and a value.
pub(crate) type Field = (String, String);

/// A request as frames: a head, data, trailers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pub(crate) head: Vec<Field>,
    pub(crate) data: Vec<Vec<u8>>,
    pub(crate) trailers: Vec<Field>,
}

impl Frames {
    /// As bytes, with all that comes before on a connection.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        let ends = self.data.is_empty() && self.trailers.is_empty();
        bytes.extend(headers(&block(&self.head), ends));
        for (index, data) in self.data.iter().enumerate() {
            let ends = self.trailers.is_empty() && index + 1 == self.data.len();
            bytes.extend(frame(DATA, if ends { END_STREAM } else { 0 }, 1, data));
        }
        if !self.trailers.is_empty() {
            bytes.extend(headers(&block(&self.trailers), true));
        }
        bytes
    }
}

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request whose body has no end yet.
pub(crate) fn unended(fields: &[Field], data: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &headers(&block(fields), false), &frame(DATA, 0, 1, data)].concat()
}

/// The head of a request on a stream, with all that its client has to say.
pub(crate) fn whole_head(stream: u32, fields: &[Field]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// What a client says first.
pub(crate) fn beginning() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The head of a request that has no end: further frames of it may follow for ever.
pub(crate) fn endless_head(fields: &[Field]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, END_STREAM, 1, &block(fields))].concat()
}

/// A block in as many frames as it needs.
fn headers(block: &[u8], ends: bool) -> Vec<u8> {
    let parts: Vec<_> = block.chunks(FRAME_BYTES_MAX).collect();
    let mut bytes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let whole = if index + 1 == parts.len() { END_HEADERS } else { 0 };
        let ends = if ends && index == 0 { END_STREAM } else { 0 };
        bytes.extend(frame(kind, whole | ends, 1, part));
    }
    bytes
}

/// Literal fields that enter no table (RFC 7541, 6.2.2).
pub(crate) fn block(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// With a prefix of seven bits (RFC 7541, 5.1).
fn integer(bytes: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return bytes.push(u8::try_from(value).unwrap());
    }
    bytes.push(127);
    value -= 127;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128 + 128).unwrap());
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
}

/// What came of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Came {
    /// An answer with this body.
    Answer(String),
    /// It was reset with this code, perhaps after the beginning of an answer.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Ended(End),
}

/// Sends bytes on a connection of their own and reads what comes of stream 1.
pub(crate) fn send(address: SocketAddr, bytes: &[u8]) -> Came {
    came(&mut connected(address, bytes).1)
}

/// Sends bytes on a connection of their own and reads what comes of stream 1, and what comes of it behind that.
pub(crate) fn send_and_look_behind_the_answer(address: SocketAddr, bytes: &[u8]) -> (Came, Came) {
    let (_client, mut reader) = connected(address, bytes);
    (came(&mut reader), came(&mut reader))
}

/// Sends bytes on a connection of their own, takes stream 1 back with a code once `then` is done, and stays until
/// `at_last` is.
pub(crate) fn send_and_take_back(
    address: SocketAddr,
    (bytes, code): (&[u8], u32),
    then: impl FnOnce(),
    at_last: impl FnOnce(),
) {
    let (mut client, _reader) = connected(address, bytes);
    then();
    client.write(frame(RST_STREAM, 0, 1, &code.to_be_bytes()));
    at_last();
}

/// Opens a connection, does what makes the other side tell it to go away, and sends a request when that comes.
pub(crate) fn send_when_told_to_go(address: SocketAddr, request: &Frames, tell: impl FnOnce()) -> Came {
    let bytes = request.bytes();
    let begin = PREFACE.len() + frame(SETTINGS, 0, 0, &[]).len();
    let (mut client, mut reader) = connected(address, &bytes[..begin]);
    // It is known by then that the client speaks HTTP/2.
    if let Err(end) = reader.next() {
        return Came::Ended(end);
    }
    tell();
    loop {
        match reader.next() {
            Ok((GOAWAY, ..)) => break,
            Ok(_) => {}
            Err(end) => return Came::Ended(end),
        }
    }
    client.write(&bytes[begin..]);
    came(&mut reader)
}

/// A connection on which these bytes were sent.
pub(crate) fn connected(address: SocketAddr, bytes: &[u8]) -> (Client, Frame) {
    let stream: TcpStream = fault::connect(address);
    let reader = Frame { reader: Reader::new(stream.try_clone().unwrap()), bytes: Vec::new() };
    let mut client = Client::over(stream);
    client.write(bytes);
    (client, reader)
}

fn came(reader: &mut Frame) -> Came {
    let mut body = Vec::new();
    loop {
        let (kind, flags, stream, payload) = match reader.next() {
            Ok(frame) => frame,
            Err(end) => return Came::Ended(end),
        };
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match (kind, stream) {
            (DATA, 1) => body.extend_from_slice(&payload),
            (HEADERS, 1) => {}
            (RST_STREAM, 1) => return Came::Reset(code(0)),
            (GOAWAY, _) if code(4) != 0 => return Came::GoAway(code(4)),
            _ => continue,
        }
        if flags & END_STREAM != 0 {
            return Came::Answer(String::from_utf8_lossy(&body).into_owned());
        }
    }
}

/// Frames, read one by one.
pub(crate) struct Frame {
    reader: Reader,
    bytes: Vec<u8>,
}

impl Frame {
    /// The next one: its kind, its flags, its stream and its payload.
    pub(crate) fn next(&mut self) -> Result<(u8, u8, u32, Vec<u8>), End> {
        let head = self.take(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok((head[3], head[4], stream, self.take(usize::try_from(length).unwrap())?))
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.bytes.len() < count {
            self.bytes.extend(self.reader.piece()?);
        }
        Ok(self.bytes.drain(..count).collect())
    }
}
