//! How a body is coded, and what it says.
//!
//! Two servers that compress the same document need not send the same bytes, so bodies are compared as they were before
//! they were compressed. Applications compress by gzip or deflate; what they have no such reader for here is compared
//! only where its bytes are the same.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

/// How many times as long as it may come a body may be unpacked: documents are packed to a tenth, and bombs to a
/// thousandth.
const UNPACKED_FACTOR: usize = 16;

/// The coding of a body (RFC 9110, 8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum BodyCoding {
    /// None.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`.
    Deflate,
    /// One that is not read here, or several.
    Unknown,
}

impl BodyCoding {
    /// What a `Content-Encoding` says.
    #[must_use]
    pub(crate) fn of(value: Option<&[u8]>) -> Self {
        match value.map(<[u8]>::trim_ascii) {
            None | Some(b"") => Self::Identity,
            Some(value) if value.eq_ignore_ascii_case(b"identity") => Self::Identity,
            Some(value) if value.eq_ignore_ascii_case(b"gzip") => Self::Gzip,
            Some(value) if value.eq_ignore_ascii_case(b"deflate") => Self::Deflate,
            Some(_) => Self::Unknown,
        }
    }

    /// What `bytes` say; `None` if that cannot be told, or is too long.
    #[must_use]
    pub(crate) fn read(self, bytes: &[u8], bytes_max: usize) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Identity => Some(Cow::Borrowed(bytes)),
            // A response to HEAD has none of what its head speaks of.
            Self::Gzip | Self::Deflate if bytes.is_empty() => Some(Cow::Borrowed(bytes)),
            Self::Gzip => unpacked(MultiGzDecoder::new(bytes), bytes_max),
            Self::Deflate => unpacked(ZlibDecoder::new(bytes), bytes_max),
            Self::Unknown => None,
        }
    }
}

fn unpacked(packed: impl Read, bytes_max: usize) -> Option<Cow<'static, [u8]>> {
    let max = bytes_max.saturating_mul(UNPACKED_FACTOR) as u64;
    let mut bytes = Vec::new();
    let read = packed.take(max + 1).read_to_end(&mut bytes).ok()? as u64;
    (read <= max).then_some(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn what_was_packed_is_read() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"text").unwrap();
        let gzip = gzip.finish().unwrap();
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::best());
        deflate.write_all(b"text").unwrap();
        let deflate = deflate.finish().unwrap();
        let read =
            |coding: &str, bytes: &[u8]| BodyCoding::of(Some(coding.as_bytes())).read(bytes, 9).map(Cow::into_owned);
        assert_eq!(read("GZIP", &gzip).as_deref(), Some(&b"text"[..]));
        assert_eq!(read("deflate", &deflate).as_deref(), Some(&b"text"[..]));
        assert_eq!(read(" identity ", b"text").as_deref(), Some(&b"text"[..]));
        assert_eq!(read("gzip", b"").as_deref(), Some(&b""[..]));
        assert_eq!((read("br", b"text"), read("gzip, br", b"text"), read("gzip", b"text")), (None, None, None));
    }

    #[test]
    fn a_bomb_is_left_out() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![0; 1_000_000]).unwrap();
        let bomb = bomb.finish().unwrap();
        assert_eq!(BodyCoding::Gzip.read(&bomb, 10_000), None);
        assert!(BodyCoding::Gzip.read(&bomb, 100_000).is_some());
    }
}
