//! An endpoint that speaks HTTP/2 by hand: it writes the frames that its test wants, lawful or not, and notes those
//! that come.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, block, frame,
};

/// A frame that came, and the number of its connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub(crate) connection: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// See the module.
pub(crate) struct FrameEndpoint {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<TcpStream>>,
    received: Mutex<Vec<Received>>,
}

impl Shared {
    fn write(&self, connection: usize, bytes: &[u8]) {
        // It fails when the other side has left, and that is for the test to see.
        let _written = self.connections.lock().unwrap()[connection].write_all(bytes);
    }

    fn serve(&self, connection: usize, mut stream: TcpStream, respond: impl Fn(usize, u32) -> Vec<u8>) -> Option<()> {
        stream.read_exact(&mut [0; 24]).ok()?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).ok()?;
            let id = u32::from_be_bytes(head[5..9].try_into().unwrap());
            let frame = Received { connection, kind: head[3], flags: head[4], stream: id, payload };
            let back = match frame.kind {
                SETTINGS if frame.flags == 0 => self::frame(SETTINGS, 1, 0, &[]),
                PING if frame.flags == 0 => self::frame(PING, 1, 0, &frame.payload),
                HEADERS => respond(connection, id),
                _ => Vec::new(),
            };
            self.received.lock().unwrap().push(frame);
            self.write(connection, &back);
        }
    }
}

impl FrameEndpoint {
    /// Begins each connection with `settings`, and responds to the head of a request with what `respond` makes of its
    /// connection and its stream.
    pub(crate) fn start(
        settings: &[(u16, u32)],
        respond: impl Fn(usize, u32) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pairs = settings.iter().map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        let beginning = frame(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>().concat());
        let (shared, respond) = (Arc::<Shared>::default(), Arc::new(respond));
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                all.connections.lock().unwrap().push(stream.try_clone().unwrap());
                all.write(number, &beginning);
                let (all, respond) = (Arc::clone(&all), Arc::clone(&respond));
                std::thread::spawn(move || all.serve(number, stream, |connection, id| respond(connection, id)));
            }
        });
        Self { address, shared }
    }

    /// Writes these bytes on a connection.
    pub(crate) fn write(&self, connection: usize, bytes: impl AsRef<[u8]>) {
        self.shared.write(connection, bytes.as_ref());
    }

    /// The frames of this kind that came.
    pub(crate) fn received(&self, kind: u8) -> Vec<Received> {
        let received = self.shared.received.lock().unwrap();
        received.iter().filter(|frame| frame.kind == kind).cloned().collect()
    }

    /// The requests that came: their connections and their streams.
    pub(crate) fn requests(&self) -> Vec<(usize, u32)> {
        self.received(HEADERS).iter().map(|frame| (frame.connection, frame.stream)).collect()
    }

    /// The codes of resets that came.
    pub(crate) fn resets(&self) -> Vec<u32> {
        self.received(RST_STREAM)
            .iter()
            .map(|frame| u32::from_be_bytes(frame.payload[..].try_into().unwrap()))
            .collect()
    }

    /// How many bytes came on streams with this number.
    pub(crate) fn bytes(&self, stream: u32) -> usize {
        self.received(DATA).iter().filter(|frame| frame.stream == stream).map(|frame| frame.payload.len()).sum()
    }

    /// The words that came with farewells.
    pub(crate) fn farewells(&self) -> Vec<String> {
        self.received(GOAWAY).iter().map(|frame| String::from_utf8_lossy(&frame.payload[8..]).into_owned()).collect()
    }

    /// Whether all that was written on a connection was read: it answers a ping behind that.
    pub(crate) fn has_read_all(&self, connection: usize, mark: u8) -> bool {
        self.received(PING)
            .iter()
            .any(|frame| (frame.connection, frame.flags, &frame.payload[..]) == (connection, 1, &[mark; 8][..]))
    }

    /// Asks whether all that was written on a connection so far was read; see [`has_read_all`](Self::has_read_all).
    pub(crate) fn ask(&self, connection: usize, mark: u8) {
        self.write(connection, frame(PING, 0, 0, &[mark; 8]));
    }
}

/// The head of a response with these lines.
pub(crate) fn head(stream: u32, status: &str, lines: &[(&str, &str)], ends: bool) -> Vec<u8> {
    head_of(stream, &[&[(":status", status)], lines].concat(), ends)
}

/// A head that has these lines and no others.
pub(crate) fn head_of(stream: u32, lines: &[(&str, &str)], ends: bool) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, stream, &block(&fields(lines)))
}

/// A head in frames of this many bytes.
pub(crate) fn head_in_frames(stream: u32, lines: &[(&str, &str)], bytes: usize, ends: bool) -> Vec<u8> {
    let block = block(&fields(lines));
    let parts: Vec<_> = block.chunks(bytes).collect();
    let frames = parts.iter().enumerate().map(|(index, part)| {
        let whole = if index + 1 == parts.len() { END_HEADERS } else { 0 };
        match index {
            0 => frame(HEADERS, whole | if ends { END_STREAM } else { 0 }, stream, part),
            _ => frame(CONTINUATION, whole, stream, part),
        }
    });
    frames.collect::<Vec<_>>().concat()
}

fn fields(lines: &[(&str, &str)]) -> Vec<Field> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A part of a body.
pub(crate) fn data(stream: u32, bytes: impl AsRef<[u8]>, ends: bool) -> Vec<u8> {
    frame(DATA, if ends { END_STREAM } else { 0 }, stream, bytes.as_ref())
}

/// A whole response.
pub(crate) fn ok(stream: u32) -> Vec<u8> {
    [head(stream, "200", &[], false), data(stream, "ok", true)].concat()
}

/// The reset of a stream.
pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}
