//! The parts of a body that are kept for another attempt: shared with what is sent, not copied.

use bytes::Bytes;
use http_body::Frame;

/// The beginning of a body, up to a size. It is complete or given up as a whole: what has a gap cannot be sent again.
#[derive(Debug)]
pub(crate) struct KeptParts {
    parts: Vec<Bytes>,
    parts_max: usize,
    bytes_left: usize,
    cut: bool,
}

impl KeptParts {
    /// Keeps this many bytes at the most.
    #[must_use]
    pub(crate) fn up_to(bytes_max: usize) -> Self {
        Self { parts: Vec::new(), parts_max: parts_max(bytes_max), bytes_left: bytes_max, cut: false }
    }

    /// Keeps more, if that is more; nothing has come yet.
    pub(crate) fn widen(&mut self, bytes_max: usize) {
        self.parts_max = self.parts_max.max(parts_max(bytes_max));
        self.bytes_left = self.bytes_left.max(bytes_max);
    }

    /// Keeps a frame. Returns whether it is kept: if not, the beginning is too long, in too many parts, or has
    /// trailers, which are not worth the trouble.
    #[must_use]
    pub(crate) fn keep(&mut self, frame: &Frame<Bytes>) -> bool {
        self.keep_if(frame, |bytes, left| bytes <= left)
    }

    /// The same, but what is kept may be longer by the last part, if it was not too long before that.
    #[must_use]
    pub(crate) fn keep_whole_part(&mut self, frame: &Frame<Bytes>) -> bool {
        self.keep_if(frame, |_, left| left > 0)
    }

    fn keep_if(&mut self, frame: &Frame<Bytes>, fits: impl Fn(usize, usize) -> bool) -> bool {
        match frame.data_ref() {
            Some(data) if !self.cut && fits(data.len(), self.bytes_left) && self.parts.len() < self.parts_max => {
                self.bytes_left = self.bytes_left.saturating_sub(data.len());
                self.parts.push(data.clone());
                true
            }
            Some(_) | None => false,
        }
    }

    /// Gives the first `count` parts up, and keeps nothing from now on.
    pub(crate) fn cut(&mut self, count: usize) {
        self.cut = true;
        self.parts.drain(..count);
    }

    /// Whether something of the beginning is gone.
    #[must_use]
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    #[must_use]
    pub(crate) fn parts(&self) -> &[Bytes] {
        &self.parts
    }
}

/// How many parts of a body are kept of which this many bytes may be: each part takes memory of its own, and a client
/// can send them by the byte. An eighth of the bytes, and 32 KiB.
#[must_use]
pub(crate) fn parts_max(bytes_max: usize) -> usize {
    1024 + bytes_max / 256
}
