//! The body of a response, as far as it is kept to be compared.

use crate::table::spec::mirror::MirrorBody;

/// The beginning of a body, up to a size. A copy, so that what it was read into is free for others.
#[derive(Clone, Debug)]
pub(crate) struct SeenBody {
    bytes: Vec<u8>,
    bytes_max: usize,
    keeps: bool,
    length: u64,
    /// How long it is by the head of its response.
    declared: Option<u64>,
    ended: bool,
}

impl SeenBody {
    /// Nothing has come. It will be compared as `body`, by its first `bytes_max`.
    #[must_use]
    pub(crate) fn new(body: MirrorBody, bytes_max: usize, declared: Option<u64>) -> Self {
        let keeps = matches!(body, MirrorBody::Exact | MirrorBody::Json);
        Self { bytes: Vec::new(), bytes_max, keeps, length: 0, declared, ended: false }
    }

    /// The next part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.length += part.len() as u64;
        if self.keeps {
            let room = self.bytes_max - self.bytes.len();
            self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        }
    }

    /// It came to its end.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether what comes now makes no difference.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.length > self.bytes_max as u64
    }

    /// All of it, if that was kept.
    #[must_use]
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        (self.keeps && self.ended && !self.is_full()).then_some(&self.bytes)
    }

    /// How long it is, as far as that is known.
    #[must_use]
    pub(crate) fn length(&self) -> Option<u64> {
        if self.ended { Some(self.length) } else { self.declared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_one_is_kept_in_part_and_counted() {
        let mut body = SeenBody::new(MirrorBody::Exact, 4, None);
        body.add(b"abc");
        assert_eq!((body.is_full(), body.whole(), body.length()), (false, None, None), "it has not ended");
        body.add(b"d");
        body.end();
        assert_eq!((body.whole(), body.length()), (Some(&b"abcd"[..]), Some(4)));
        let mut body = SeenBody::new(MirrorBody::Json, 4, Some(9));
        body.add(b"abcde");
        assert_eq!((body.is_full(), body.whole(), body.length()), (true, None, Some(9)));
        assert_eq!(body.bytes.len(), 4);
        let mut counted = SeenBody::new(MirrorBody::Length, 4, None);
        counted.add(b"abc");
        counted.end();
        assert_eq!((counted.whole(), counted.length(), counted.bytes.len()), (None, Some(3), 0));
    }
}
