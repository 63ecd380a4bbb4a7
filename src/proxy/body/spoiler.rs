//! What a fault does to the body of a response on its way to the client: it comes slowly, or breaks off.
//!
//! The body itself goes on to be read by the one that has it; here its parts are kept for a while, cut into pieces, or
//! not passed on any more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;
use tokio::time::{Sleep, sleep_until};

use crate::http1::coop;
use crate::table::spec::fault::FaultKind;

/// Pieces of a slow body are as long as what comes in a tenth of a second, so that it comes steadily.
const PIECES_A_SECOND: u64 = 10;

/// See the module.
#[derive(Debug)]
pub(crate) enum BodySpoiler {
    /// This many bytes come in a second.
    Slow {
        /// At least one.
        bytes_per_s: u64,
        /// What has come and waits.
        waiting: Bytes,
        /// When the next piece is due.
        due: Instant,
        /// The wait for that.
        timer: Option<Pin<Box<Sleep>>>,
    },
    /// It breaks off.
    Cut {
        /// How many bytes are passed on yet.
        left: u64,
        /// Whether some were not: then it has broken off, also where no more would have come.
        dropped: bool,
    },
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum NextPart {
    /// This is passed on.
    Pass(Frame<Bytes>),
    /// The next part of the body is read.
    Read,
    /// The body breaks off here.
    Break,
}

impl BodySpoiler {
    /// What this fault does to bodies, if it does something to them.
    pub(crate) fn of(kind: &FaultKind) -> Option<Self> {
        match kind {
            FaultKind::Bandwidth { bytes_per_s } => {
                let (waiting, due) = (Bytes::new(), Instant::now());
                Some(Self::Slow { bytes_per_s: (*bytes_per_s).max(1), waiting, due, timer: None })
            }
            FaultKind::Cut { after_bytes } => Some(Self::Cut { left: *after_bytes, dropped: false }),
            FaultKind::Nothing
            | FaultKind::Latency { .. }
            | FaultKind::Abort(_)
            | FaultKind::Reset
            | FaultKind::Hang
            | FaultKind::Refuse
            | FaultKind::Exhaust { .. } => None,
        }
    }

    /// Whether the body is late from its beginning; one that breaks off has met nothing before it does.
    pub(crate) fn acts_at_once(&self) -> bool {
        matches!(self, Self::Slow { .. })
    }

    /// Whether nothing of the body is missing to its reader.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Slow { waiting, .. } => waiting.is_empty(),
            Self::Cut { dropped, .. } => !dropped,
        }
    }

    /// Whether a part of the body was dropped: it cannot end well any more, not even without the fault.
    pub(crate) fn has_cut(&self) -> bool {
        matches!(self, Self::Cut { dropped: true, .. })
    }

    /// What is to be done before more is read.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<NextPart> {
        match self {
            Self::Slow { waiting, .. } if waiting.is_empty() => Poll::Ready(NextPart::Read),
            Self::Slow { bytes_per_s, waiting, due, timer } => {
                let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(*due)));
                if timer.deadline() != *due {
                    timer.as_mut().reset(*due);
                }
                ready!(coop::poll_unbudgeted(timer.as_mut(), cx));
                let most = usize::try_from((*bytes_per_s / PIECES_A_SECOND).max(1)).unwrap_or(usize::MAX);
                let piece = waiting.split_to(most.min(waiting.len()));
                if !waiting.is_empty() {
                    *due += time_of(waiting.len().min(most), *bytes_per_s);
                }
                Poll::Ready(NextPart::Pass(Frame::data(piece)))
            }
            Self::Cut { left: 0, .. } => Poll::Ready(NextPart::Break),
            Self::Cut { .. } => Poll::Ready(NextPart::Read),
        }
    }

    /// What is to be done with a part that was read at `now`.
    pub(crate) fn came(&mut self, frame: Frame<Bytes>, now: Instant) -> NextPart {
        let mut data = match frame.into_data() {
            Ok(data) if data.is_empty() => return NextPart::Read,
            Ok(data) => data,
            Err(trailers) => return NextPart::Pass(trailers),
        };
        match self {
            Self::Slow { bytes_per_s, waiting, due, .. } => {
                let most = usize::try_from((*bytes_per_s / PIECES_A_SECOND).max(1)).unwrap_or(usize::MAX);
                *due = now.max(*due) + time_of(data.len().min(most), *bytes_per_s);
                *waiting = data;
                NextPart::Read
            }
            Self::Cut { left, dropped } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *dropped |= most < data.len();
                *left -= most as u64;
                data.truncate(most);
                NextPart::Pass(Frame::data(data))
            }
        }
    }

    /// Gives what waits, when the fault has ended.
    pub(crate) fn give_up(&mut self) -> Option<Frame<Bytes>> {
        match self {
            Self::Slow { waiting, .. } => {
                let waiting = std::mem::take(waiting);
                (!waiting.is_empty()).then(|| Frame::data(waiting))
            }
            Self::Cut { .. } => None,
        }
    }
}

/// How long this many bytes take.
fn time_of(bytes: usize, bytes_per_s: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "bytes of a piece are far below 2^52")]
    let seconds = bytes as f64 / bytes_per_s as f64;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
