//! A body that can be sent once more from its beginning, as long as that was kept.
//!
//! An HTTP/2 endpoint that refuses a stream, or leaves before it has looked at it, says so after the codec has taken
//! the request, often with some of its body; and a used connection of HTTP/1.1 may break when a `PUT` is on its way.
//! What the codec took is gone with its attempt, so the body is not handed over but lent: the attempts of a request
//! share it, and only the latest one gets anything of it. What came so far is kept up to
//! [`KEPT_BYTES_MAX`] until the head of the response is there. What the client has not sent yet is read by the attempt
//! that comes to it, so a stream of messages that is still open can be begun anew as well.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body_fault::BodyFault;
use super::kept::KeptParts;

/// The longest beginning that is kept, with the rest of the part that it ends in: what a stream's window lets an
/// endpoint take before it has said anything. A part is in our hands as a whole when the window ends inside it.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// One attempt's hold on the body `B`.
#[derive(Debug)]
pub(crate) struct Rewindable<B> {
    shared: Rc<SharedBody<B>>,
    attempt: u32,
}

#[derive(Debug)]
struct SharedBody<B> {
    source: RefCell<B>,
    /// What came, from the beginning.
    kept: RefCell<KeptParts>,
    /// The part that the attempt gets next.
    at: Cell<usize>,
    /// Whether the source came to its end.
    ended: Cell<bool>,
    /// The attempt that gets the body.
    attempt: Cell<u32>,
}

impl<B> Rewindable<B> {
    /// Takes the body `source`; what sends it is had from [`again`](Self::again).
    pub(crate) fn of(source: B) -> Self {
        let shared = SharedBody {
            source: RefCell::new(source),
            kept: RefCell::new(KeptParts::up_to(KEPT_BYTES_MAX)),
            at: Cell::new(0),
            ended: Cell::new(false),
            attempt: Cell::new(0),
        };
        Self { shared: Rc::new(shared), attempt: 0 }
    }

    /// The same body from its beginning, for another attempt; the ones before get no more of it. `None` if it cannot be
    /// had.
    #[must_use]
    pub(crate) fn again(&self) -> Option<Self> {
        let shared = &self.shared;
        if shared.kept.borrow().is_cut() {
            return None;
        }
        shared.at.set(0);
        shared.attempt.set(shared.attempt.get() + 1);
        Some(Self { shared: Rc::clone(shared), attempt: shared.attempt.get() })
    }

    /// There is no further attempt: nothing is kept any more.
    pub(crate) fn finish(&self) {
        self.shared.cut();
    }

    fn is_latest(&self) -> bool {
        self.attempt == self.shared.attempt.get()
    }
}

impl<B> SharedBody<B> {
    /// Forgets the beginning, but for what the attempt has still to get.
    fn cut(&self) {
        self.kept.borrow_mut().cut(self.at.replace(0));
    }

    /// The next part of those that were kept.
    fn next_kept(&self) -> Option<Bytes> {
        let part = self.kept.borrow().parts().get(self.at.get()).cloned()?;
        self.at.set(self.at.get() + 1);
        Some(part)
    }

    fn keep(&self, frame: &Frame<Bytes>) {
        if self.kept.borrow().is_cut() {
            return;
        }
        let kept = self.kept.borrow_mut().keep_whole_part(frame);
        if kept {
            self.at.set(self.at.get() + 1);
        } else {
            self.cut();
        }
    }
}

impl<B: Body<Data = Bytes, Error = BodyFault> + Unpin> Body for Rewindable<B> {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if !self.is_latest() {
            return Poll::Ready(Some(Err(BodyFault::Over)));
        }
        let shared = &self.shared;
        if let Some(part) = shared.next_kept() {
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
        let all_taken = shared.at.get() == shared.kept.borrow().parts().len();
        self.is_latest() && all_taken && (shared.ended.get() || shared.source.borrow().is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = &self.shared;
        let kept: u64 = shared.kept.borrow().parts().iter().skip(shared.at.get()).map(|part| part.len() as u64).sum();
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
    use crate::proxy::body::kept::parts_max;
    use crate::proxy::body::request_body::RequestBody;

    fn kept(parts: &[&'static str]) -> RequestBody {
        RequestBody::Kept(parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect::<VecDeque<_>>())
    }

    /// The next part, which is there.
    fn next(body: &mut (impl Body<Data = Bytes, Error = BodyFault> + Unpin)) -> Option<Result<Bytes, BodyFault>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())),
            Poll::Pending => panic!("it is there"),
        }
    }

    async fn rest(body: impl Body<Data = Bytes, Error = BodyFault>) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn the_latest_attempt_gets_all_of_it_and_the_ones_before_nothing_more() {
        let mut first = kept(&["one", "two", "three"]);
        let lent = first.lend().unwrap();
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
        let lent = body.lend().unwrap();
        assert_eq!(next(&mut body).unwrap().unwrap(), long);
        assert_eq!(next(&mut body).unwrap().unwrap(), "m");
        assert!(!lent.shared.kept.borrow().is_cut());
        assert_eq!(next(&mut body).unwrap().unwrap(), "n");
        assert!(lent.again().is_none() && lent.shared.kept.borrow().parts().is_empty());
        assert!(next(&mut body).is_none() && body.is_end_stream());
    }

    #[tokio::test]
    async fn one_in_very_short_parts_is_not_kept_either() {
        let count = 2 * parts_max(KEPT_BYTES_MAX);
        let mut body = kept(&vec!["s"; count]);
        let lent = body.lend().unwrap();
        assert_eq!(rest(body).await.len(), count);
        assert!(lent.again().is_none() && lent.shared.kept.borrow().parts().is_empty());
    }

    #[test]
    fn what_is_not_there_is_not_lent() {
        assert!(RequestBody::Empty.lend().is_none());
        let mut body = kept(&["x"]);
        assert!(body.lend().is_some() && body.lend().is_none());
    }
}
