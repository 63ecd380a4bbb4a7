//! A body that can be sent once more from its beginning, as long as that was kept.
//!
//! An HTTP/2 endpoint that refuses a stream, or leaves before it has looked at it, says so after the codec has taken the
//! request, often with some of its body; and a used connection of HTTP/1.1 may break when a `PUT` is on its way. The codec of
//! HTTP/2 keeps what it took until its own task drops it, so the body is not handed over but lent: the attempts of a request share it, and only the latest one gets anything of it. What came
//! so far is kept up to [`KEPT_BYTES_MAX`] until the head of the answer is there; the parts are shared with what is sent,
//! not copied. What the client has not sent yet is read by whichever attempt comes to it, so a stream of messages that is
//! still open can be begun anew as well.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::transfer::{BodyFault, RequestBody, kept_parts_max};

/// The longest beginning that is kept: what a stream's window lets an endpoint take before it has said anything.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// One attempt's hold on a body.
#[derive(Debug)]
pub(crate) struct Rewindable {
    shared: Rc<SharedBody>,
    attempt: u32,
}

#[derive(Debug)]
struct SharedBody {
    source: RefCell<RequestBody>,
    /// What came, from the beginning.
    parts: RefCell<Vec<Bytes>>,
    bytes_left: Cell<usize>,
    /// Whether something of the beginning is gone.
    cut: Cell<bool>,
    /// The part that the attempt gets next.
    at: Cell<usize>,
    /// Whether the source came to its end.
    ended: Cell<bool>,
    /// The attempt that gets the body.
    attempt: Cell<u32>,
}

impl Rewindable {
    /// Lends `body` to a first attempt. `None` if there is none, or it has been lent already.
    pub(crate) fn lend(body: &mut RequestBody) -> Option<Self> {
        match body {
            RequestBody::Empty | RequestBody::Rewindable(_) => None,
            RequestBody::Stream { .. } | RequestBody::Kept(_) => {
                let shared = Rc::new(SharedBody {
                    source: RefCell::new(std::mem::take(body)),
                    parts: RefCell::default(),
                    bytes_left: Cell::new(KEPT_BYTES_MAX),
                    cut: Cell::new(false),
                    at: Cell::new(0),
                    ended: Cell::new(false),
                    attempt: Cell::new(0),
                });
                *body = RequestBody::Rewindable(Self { shared: Rc::clone(&shared), attempt: 0 });
                Some(Self { shared, attempt: 0 })
            }
        }
    }

    /// The same body from its beginning, for another attempt; the ones before get no more of it. `None` if it cannot be had.
    #[must_use]
    pub(crate) fn again(&self) -> Option<RequestBody> {
        let shared = &self.shared;
        if shared.cut.get() {
            return None;
        }
        shared.at.set(0);
        shared.attempt.set(shared.attempt.get() + 1);
        Some(RequestBody::Rewindable(Self { shared: Rc::clone(shared), attempt: shared.attempt.get() }))
    }

    /// There is no further attempt: nothing is kept any more.
    pub(crate) fn finish(&self) {
        self.shared.cut();
    }

    fn is_latest(&self) -> bool {
        self.attempt == self.shared.attempt.get()
    }
}

impl SharedBody {
    /// Forgets the beginning, but for what the attempt has still to get.
    fn cut(&self) {
        self.cut.set(true);
        self.parts.borrow_mut().drain(..self.at.replace(0));
    }

    /// The next part of those that were kept.
    fn kept(&self) -> Option<Bytes> {
        let part = self.parts.borrow().get(self.at.get()).cloned()?;
        self.at.set(self.at.get() + 1);
        Some(part)
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        if self.cut.get() {
            return;
        }
        match frame.data_ref() {
            Some(data) if data.len() <= self.bytes_left.get() && self.at.get() < kept_parts_max(KEPT_BYTES_MAX) => {
                self.bytes_left.set(self.bytes_left.get() - data.len());
                self.parts.borrow_mut().push(data.clone());
                self.at.set(self.at.get() + 1);
            }
            // Too long, in too many parts, or trailers, which are not worth the trouble.
            Some(_) | None => self.cut(),
        }
    }
}

impl Body for Rewindable {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if !self.is_latest() {
            return Poll::Ready(Some(Err(BodyFault::Over)));
        }
        let shared = &self.shared;
        if let Some(part) = shared.kept() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        if shared.ended.get() {
            return Poll::Ready(None);
        }
        let mut source = shared.source.borrow_mut();
        let polled = ready!(Pin::new(&mut *source).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => shared.keep(frame),
            Some(Err(_)) => shared.cut(),
            None => {}
        }
        shared.ended.set(polled.is_none() || source.is_end_stream());
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        let shared = &self.shared;
        let all_taken = shared.at.get() == shared.parts.borrow().len();
        self.is_latest() && all_taken && (shared.ended.get() || shared.source.borrow().is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = &self.shared;
        let kept: u64 = shared.parts.borrow().iter().skip(shared.at.get()).map(|part| part.len() as u64).sum();
        let source = if shared.ended.get() { SizeHint::with_exact(0) } else { shared.source.borrow().size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(source.lower() + kept);
        if let Some(upper) = source.upper() {
            hint.set_upper(upper + kept);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    fn kept(parts: &[&'static str]) -> RequestBody {
        RequestBody::Kept(parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect::<VecDeque<_>>())
    }

    /// The next part, which is there.
    fn next(body: &mut RequestBody) -> Option<Result<Bytes, BodyFault>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())),
            Poll::Pending => panic!("it is there"),
        }
    }

    async fn rest(body: RequestBody) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn the_latest_attempt_gets_all_of_it_and_the_ones_before_nothing_more() {
        let mut first = kept(&["one", "two", "three"]);
        let lent = Rewindable::lend(&mut first).unwrap();
        assert_eq!(first.size_hint().exact(), Some(11));
        assert_eq!(next(&mut first), Some(Ok(Bytes::from_static(b"one"))));
        let mut second = lent.again().unwrap();
        assert_eq!(next(&mut first), Some(Err(BodyFault::Over)));
        assert_eq!((second.size_hint().exact(), second.is_end_stream()), (Some(11), false));
        assert_eq!([next(&mut second), next(&mut second)].map(|part| part.unwrap().unwrap()), ["one", "two"]);
        let third = lent.again().unwrap();
        assert_eq!(rest(third).await, "onetwothree");
        let mut fourth = lent.again().unwrap();
        assert!(!fourth.is_end_stream(), "it came to its end before, and is whole again");
        assert_eq!(next(&mut fourth), Some(Ok(Bytes::from_static(b"one"))));
        lent.finish();
        assert!(lent.again().is_none());
        assert_eq!(rest(fourth).await, "twothree", "this one still gets what it has not got");
    }

    #[tokio::test]
    async fn a_long_one_is_passed_on_and_not_kept() {
        let long = "l".repeat(KEPT_BYTES_MAX - 1);
        let mut body = RequestBody::Kept([long.clone(), "m".into(), "n".into()].map(Bytes::from).into());
        let lent = Rewindable::lend(&mut body).unwrap();
        assert_eq!(next(&mut body).unwrap().unwrap(), long);
        assert_eq!(next(&mut body).unwrap().unwrap(), "m");
        assert!(!lent.shared.cut.get());
        assert_eq!(next(&mut body).unwrap().unwrap(), "n");
        assert!(lent.again().is_none() && lent.shared.parts.borrow().is_empty());
        assert!(next(&mut body).is_none() && body.is_end_stream());
    }

    #[tokio::test]
    async fn one_in_very_short_parts_is_not_kept_either() {
        let count = 2 * kept_parts_max(KEPT_BYTES_MAX);
        let mut body = kept(&vec!["s"; count]);
        let lent = Rewindable::lend(&mut body).unwrap();
        assert_eq!(rest(body).await.len(), count);
        assert!(lent.again().is_none() && lent.shared.parts.borrow().is_empty());
    }

    #[test]
    fn what_is_not_there_is_not_lent() {
        assert!(Rewindable::lend(&mut RequestBody::Empty).is_none());
        let mut body = kept(&["x"]);
        assert!(Rewindable::lend(&mut body).is_some() && Rewindable::lend(&mut body).is_none());
    }
}
