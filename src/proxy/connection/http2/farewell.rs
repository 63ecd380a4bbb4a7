//! The bytes that a client still sends after it was told to go away, on its way to the codec.
//!
//! The farewell of a connection is GOAWAY with the highest number there is, a ping, and at its answer GOAWAY with the
//! last stream that is served (RFC 9113, 6.8). The codec takes the answer for the proof that no new stream is on its
//! way, and it is none: clients answer a ping before they write what they had queued, those of gRPC always. Such a
//! stream is then above the last one. It has to be ignored (RFC 9113, 6.8), and the codec ignores its head, its data
//! and its reset, but at a `WINDOW_UPDATE`, which a gRPC client sends with each call, it ends the connection as one
//! that breaks the protocol, and with it every call that is in flight.
//!
//! So frames are followed from the first on, which costs a look at nine bytes each. Once the connection is leaving, the
//! answer to the ping is kept back until those who were slow have had their time, so that their streams are served; and
//! from there on the window updates of streams that came even later are left out.

use std::collections::VecDeque;

/// Bytes of a frame's head (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;

/// Bytes of the preface, which comes before the first frame.
const PREFACE_BYTES: u32 = 24;

const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;

/// What the codec's ping of a farewell says. If it said something else one day, its answer would pass at once.
const FAREWELL_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// Where in its frames a connection is.
#[derive(Debug)]
pub(super) struct FramePosition {
    head: [u8; HEAD_BYTES],
    /// How much of a head has come.
    head_bytes: usize,
    /// What is to come of a payload.
    left: u32,
    /// The last stream that the client has begun.
    latest: u32,
}

/// A frame's head.
#[derive(Clone, Copy, Debug)]
struct FrameHead {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameHead {
    fn of(bytes: [u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
    }
}

impl Default for FramePosition {
    fn default() -> Self {
        Self { head: [0; HEAD_BYTES], head_bytes: 0, left: PREFACE_BYTES, latest: 0 }
    }
}

impl FramePosition {
    /// Follows what has come.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes).0;
            bytes = &bytes[taken..];
        }
    }

    /// Takes the rest of a payload, or of a head, as far as it is there: how many bytes, and the head if that is now
    /// whole.
    fn step(&mut self, bytes: &[u8]) -> (usize, Option<FrameHead>) {
        if self.left > 0 {
            let taken = bytes.len().min(self.left as usize);
            // No more than `left`, which it came from.
            self.left -= u32::try_from(taken).unwrap_or(self.left);
            return (taken, None);
        }
        let taken = bytes.len().min(HEAD_BYTES - self.head_bytes);
        self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&bytes[..taken]);
        self.head_bytes += taken;
        if self.head_bytes < HEAD_BYTES {
            return (taken, None);
        }
        let head = FrameHead::of(self.head);
        (self.head_bytes, self.left) = (0, head.length);
        if head.kind == HEADERS {
            self.latest = self.latest.max(head.stream);
        }
        (taken, Some(head))
    }

    /// Whether the next byte is the first of a frame.
    fn is_between_frames(&self) -> bool {
        self.left == 0 && self.head_bytes == 0
    }
}

/// What becomes of the frame that is coming.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Treatment {
    /// Its bytes pass as they come.
    Passes,
    /// It is gathered until its head is there.
    Unknown,
    /// It is gathered as a whole: it may be the answer to the ping.
    Gathered,
    /// It is left out.
    LeftOut,
}

/// Where the answer to the ping of the farewell is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum PingAnswer {
    /// On its way.
    Awaited,
    /// Here, and kept back.
    Kept(Vec<u8>),
    /// With the codec, which serves no stream above this one.
    Passed { last: u32 },
}

/// The frames of a connection that is leaving.
#[derive(Debug)]
pub(super) struct Farewell {
    position: FramePosition,
    treatment: Treatment,
    gathered: Vec<u8>,
    /// What the codec gets next.
    ready: VecDeque<u8>,
    answer: PingAnswer,
    /// Whether the answer may pass.
    released: bool,
}

impl Farewell {
    /// Begins where the connection is: a frame that is under way passes.
    pub(super) fn new(position: FramePosition) -> Self {
        let treatment = if position.is_between_frames() { Treatment::Unknown } else { Treatment::Passes };
        let (gathered, ready) = (Vec::new(), VecDeque::new());
        Self { position, treatment, gathered, ready, answer: PingAnswer::Awaited, released: false }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, head) = self.position.step(bytes);
            let (now, rest) = bytes.split_at(taken);
            bytes = rest;
            match self.treatment {
                Treatment::Passes => self.ready.extend(now),
                Treatment::Unknown | Treatment::Gathered => self.gathered.extend_from_slice(now),
                Treatment::LeftOut => {}
            }
            if let Some(head) = head.filter(|_| self.treatment == Treatment::Unknown) {
                self.treatment = self.treatment_of(head);
                match self.treatment {
                    Treatment::Passes => self.ready.extend(self.gathered.drain(..)),
                    Treatment::LeftOut => self.gathered.clear(),
                    Treatment::Unknown | Treatment::Gathered => {}
                }
            }
            if self.position.is_between_frames() {
                self.end_frame();
            }
        }
    }

    fn treatment_of(&self, head: FrameHead) -> Treatment {
        match (head.kind, &self.answer) {
            (PING, _) if head.flags & ACK != 0 && head.length as usize == FAREWELL_PING.len() => Treatment::Gathered,
            (WINDOW_UPDATE, PingAnswer::Passed { last }) if head.stream > *last => Treatment::LeftOut,
            _ => Treatment::Passes,
        }
    }

    fn end_frame(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.ends_with(&FAREWELL_PING) {
            self.answer = PingAnswer::Kept(gathered);
        } else {
            self.ready.extend(gathered);
        }
        self.treatment = Treatment::Unknown;
        self.pass();
    }

    /// Lets the answer to the ping through, now or when it comes.
    pub(super) fn release(&mut self) {
        self.released = true;
        self.pass();
    }

    fn pass(&mut self) {
        // A frame that has passed in part is finished first.
        if self.released
            && self.treatment == Treatment::Unknown
            && let PingAnswer::Kept(answer) = &mut self.answer
        {
            self.ready.extend(std::mem::take(answer));
            self.answer = PingAnswer::Passed { last: self.position.latest };
        }
    }

    /// Puts what is ready into `room`; how many bytes that are.
    pub(super) fn give(&mut self, room: &mut [u8]) -> usize {
        let count = self.ready.len().min(room.len());
        room.iter_mut().zip(self.ready.drain(..count)).for_each(|(place, byte)| *place = byte);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn all(farewell: &mut Farewell) -> Vec<u8> {
        let mut room = vec![0; 1024];
        let count = farewell.give(&mut room);
        room.truncate(count);
        room
    }

    fn head(stream: u32) -> Vec<u8> {
        frame(HEADERS, 4, stream, b"block")
    }

    fn more_window(stream: u32) -> Vec<u8> {
        frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 5])
    }

    /// The answer waits for its release, at whatever bytes the reads end, and nothing else changes.
    #[test]
    fn the_answer_waits_and_late_window_updates_are_left_out() {
        let answer = frame(PING, ACK, 0, &FAREWELL_PING);
        let other = frame(PING, ACK, 0, &[7; 8]);
        let before =
            [&[0; PREFACE_BYTES as usize][..], &frame(4, 0, 0, &[]), &head(1), &frame(0, 0, 1, &FAREWELL_PING)];
        let before = before.concat();
        let held = [more_window(1), other, head(3), more_window(3)].concat();
        let late = [head(5), more_window(5), more_window(3), more_window(0), frame(0, 1, 5, b"data")].concat();
        let wanted = [head(5), more_window(3), more_window(0), frame(0, 1, 5, b"data")].concat();
        for cut in 0..before.len() {
            for size in [1, 2, 7, 1000] {
                let mut position = FramePosition::default();
                before[..cut].chunks(size).for_each(|bytes| position.follow(bytes));
                let mut farewell = Farewell::new(position);
                before[cut..].chunks(size).for_each(|bytes| farewell.take(bytes));
                assert_eq!(all(&mut farewell), before[cut..]);
                [&answer[..], &held].concat().chunks(size).for_each(|bytes| farewell.take(bytes));
                assert_eq!(all(&mut farewell), held, "cut at {cut} in {size}");
                farewell.release();
                assert_eq!(all(&mut farewell), answer);
                late.chunks(size).for_each(|bytes| farewell.take(bytes));
                assert_eq!(all(&mut farewell), wanted);
            }
        }
    }

    #[test]
    fn an_answer_that_is_released_before_it_comes_passes_with_the_streams_before_it() {
        let answer = frame(PING, ACK, 0, &FAREWELL_PING);
        let mut position = FramePosition::default();
        position.follow(&[0; PREFACE_BYTES as usize]);
        let mut farewell = Farewell::new(position);
        farewell.take(&head(1)[..12]);
        farewell.release();
        let rest = [&head(1)[12..], &head(3), &answer, &more_window(3)].concat();
        farewell.take(&rest);
        assert_eq!(all(&mut farewell), [&head(1)[..12], &rest].concat());
        farewell.take(&more_window(5));
        assert!(all(&mut farewell).is_empty());
    }
}
