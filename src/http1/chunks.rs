//! The chunked coding (RFC 9112, 7.1), read strictly: a line ends in CR LF and in nothing else, sizes are hexadecimal
//! digits, and what follows the data of a chunk is CR LF. A server that reads it less strictly than the next one in
//! line is how requests are smuggled.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::broken::Broken;

/// The most bytes of chunk extensions, and of white space before them, in a body; no known client uses them.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;

/// The most digits of a chunk's size: as many as the largest number has. More are zeros, of which there is no end.
const SIZE_DIGITS_MAX: u32 = 16;

/// The most bytes of the trailer section.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// The most trailer lines.
const TRAILERS_MAX: usize = 100;

/// Follows the chunks of one body.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    state: ChunkState,
    /// Bytes left in the chunk.
    left: u64,
    /// Digits of the size that came.
    digits: u32,
    extension_bytes: usize,
    /// The trailer section as far as it came.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum ChunkState {
    #[default]
    Size,
    /// White space after the size.
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Over,
    /// It made no sense: whatever comes now is not looked at.
    Broken,
}

/// What comes next of a chunked body.
#[derive(Debug)]
pub enum Chunk {
    /// A part of it.
    Data(Bytes),
    /// It is over, with these trailers.
    Over(Option<HeaderMap>),
    /// More has to come first.
    More,
}

impl ChunkDecoder {
    /// Whether the last byte of the body was taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == ChunkState::Over
    }

    /// Takes the next part off the front of `bytes`.
    ///
    /// # Errors
    /// [`Broken::Malformed`] when this is not the chunked coding.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Chunk, Broken> {
        self.next(bytes).inspect_err(|_| self.state = ChunkState::Broken)
    }

    fn next(&mut self, bytes: &mut BytesMut) -> Result<Chunk, Broken> {
        loop {
            match self.state {
                ChunkState::Data => {
                    if bytes.is_empty() {
                        return Ok(Chunk::More);
                    }
                    let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                    self.left -= count as u64;
                    let data = bytes.split_to(count).freeze();
                    if self.left == 0 {
                        self.state = ChunkState::DataCr;
                        self.end_early(bytes);
                    }
                    return Ok(Chunk::Data(data));
                }
                ChunkState::Trailers => return self.trailers(bytes),
                ChunkState::Over => return Ok(Chunk::Over(None)),
                ChunkState::Broken => return Err(Broken::Malformed),
                ChunkState::Size
                | ChunkState::SizeSpace
                | ChunkState::Extension
                | ChunkState::SizeLf
                | ChunkState::DataCr
                | ChunkState::DataLf => {
                    let Some(byte) = bytes.first().copied() else { return Ok(Chunk::More) };
                    bytes.advance(1);
                    self.state = self.after(byte)?;
                }
            }
        }
    }

    /// What usually follows the last data is there with it: who asks whether the body is over knows it at once.
    fn end_early(&mut self, bytes: &mut BytesMut) {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        if bytes.starts_with(END) {
            bytes.advance(END.len());
            self.state = ChunkState::Over;
        }
    }

    fn after(&mut self, byte: u8) -> Result<ChunkState, Broken> {
        let state = match (self.state, byte) {
            (ChunkState::Size, digit) if digit.is_ascii_hexdigit() && self.digits < SIZE_DIGITS_MAX => {
                let digit = char::from(digit).to_digit(16).unwrap_or_default();
                let size = self.left.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                (self.left, self.digits) = (size.ok_or(Broken::Malformed)?, self.digits + 1);
                ChunkState::Size
            }
            (ChunkState::Size | ChunkState::SizeSpace, b'\r') if self.digits > 0 => ChunkState::SizeLf,
            (ChunkState::Size | ChunkState::SizeSpace, b';') if self.digits > 0 => ChunkState::Extension,
            (ChunkState::Extension, b'\r') => ChunkState::SizeLf,
            (ChunkState::Size | ChunkState::SizeSpace, b' ' | b'\t') if self.digits > 0 => {
                self.beside(ChunkState::SizeSpace)?
            }
            (ChunkState::Extension, byte) if byte != b'\n' => self.beside(ChunkState::Extension)?,
            (ChunkState::SizeLf, b'\n') if self.left == 0 => ChunkState::Trailers,
            (ChunkState::SizeLf, b'\n') => {
                self.digits = 0;
                ChunkState::Data
            }
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::Size,
            _ => return Err(Broken::Malformed),
        };
        Ok(state)
    }

    /// Counts a byte that means nothing.
    fn beside(&mut self, state: ChunkState) -> Result<ChunkState, Broken> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX { Err(Broken::Malformed) } else { Ok(state) }
    }

    /// Takes lines until an empty one.
    fn trailers(&mut self, bytes: &mut BytesMut) -> Result<Chunk, Broken> {
        // What is usual.
        if self.trailers.is_empty() && bytes.starts_with(b"\r\n") {
            bytes.advance(2);
            self.state = ChunkState::Over;
            return Ok(Chunk::Over(None));
        }
        while let Some(byte) = bytes.first().copied() {
            bytes.advance(1);
            self.trailers.push(byte);
            let (section, length) = (&self.trailers, self.trailers.len());
            if length > TRAILER_BYTES_MAX || byte == b'\n' && !section.ends_with(b"\r\n") {
                return Err(Broken::Malformed);
            }
            // A return by itself is no white space (RFC 9112, 2.2).
            if length > 1 && section[length - 2] == b'\r' && byte != b'\n' {
                return Err(Broken::Malformed);
            }
            if section.ends_with(b"\r\n\r\n") || section.as_slice() == b"\r\n" {
                self.state = ChunkState::Over;
                let trailers = headers(&std::mem::take(&mut self.trailers))?;
                return Ok(Chunk::Over(Some(trailers).filter(|trailers| !trailers.is_empty())));
            }
        }
        Ok(Chunk::More)
    }
}

/// The lines of a trailer section, the empty one at the end included.
fn headers(section: &[u8]) -> Result<HeaderMap, Broken> {
    let mut lines = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(section, &mut lines) else {
        return Err(Broken::Malformed);
    };
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_invalid| Broken::Malformed)?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_invalid| Broken::Malformed)?;
        headers.append(name, value);
    }
    Ok(headers)
}
