//! Interim responses (1xx) of an endpoint, on their way to the client: a proxy must pass them on (RFC 9110, 15.2), and
//! 103 is of use only as long as it is early.
//!
//! They go out at once, before the response has a head. The exception is an attempt that the [shield](super::fallback)
//! may replace by one on the stable version: hints of a version whose response the client does not see would be about
//! files that the page does not have. Its interim responses are kept until it is known whose response the client gets.
//!
//! How many and how large they are is bounded for each request, because they wait in memory for a client that does not
//! read; the surplus is dropped, as one that a client may not miss. `response_timeout` runs on whatever comes here.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use http::StatusCode;

use super::header_edits;
use super::header_edits::EditSettings;
use crate::message::{Headers, Response};

/// The most interim responses of a request that are passed on.
const COUNT_MAX: u32 = 32;

/// The most bytes of their lines: as much as the head of one response may have.
const BYTES_MAX: usize = 64 * 1024;

/// A client's connection or stream, as far as it takes interim responses.
pub(crate) trait InterimSink: Debug {
    /// Sends the head of an interim response, if the client can have it.
    fn send(&self, status: StatusCode, headers: &Headers);
}

/// The way of a request's interim responses.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    /// None: the client speaks HTTP/1.0, which has no such thing.
    client: Option<Rc<dyn InterimSink>>,
    /// Since the first one came, or since they are kept: most requests have none.
    came: Option<Box<Came>>,
}

/// What has come.
#[derive(Debug, Default)]
struct Came {
    count: u32,
    bytes: usize,
    keeps: bool,
    kept: Vec<Response<()>>,
    /// What tells each of them from the others, and how many of those came in tries before this one.
    seen: Vec<u64>,
    before: usize,
}

/// What tells one from the others.
fn mark(head: &Response<()>) -> u64 {
    let mut hasher = DefaultHasher::new();
    head.status.hash(&mut hasher);
    head.headers.iter().for_each(|line| line.hash(&mut hasher));
    hasher.finish()
}

impl Interim {
    /// Interim responses go to `client`.
    #[must_use]
    pub(crate) fn to(client: Rc<dyn InterimSink>) -> Self {
        Self { client: Some(client), came: None }
    }

    /// From now on they are kept, until they are [released](Self::release) or [discarded](Self::discard).
    pub(crate) fn keep(&mut self) {
        self.came.get_or_insert_default().keeps = true;
    }

    /// Passes on what was kept, and what comes.
    pub(crate) fn release(&mut self) {
        let Some(came) = &mut self.came else { return };
        came.keeps = false;
        let kept = std::mem::take(&mut came.kept);
        if let Some(client) = &self.client {
            kept.iter().for_each(|head| client.send(head.status, &head.headers));
        }
    }

    /// Forgets what was kept, and passes on what comes.
    pub(crate) fn discard(&mut self) {
        if let Some(came) = &mut self.came {
            (came.keeps, came.kept) = (false, Vec::new());
            (came.seen, came.before) = (Vec::new(), 0);
        }
    }

    /// The request is sent again: what the client has from the tries before is not passed on twice.
    pub(crate) fn again(&mut self) {
        if let Some(came) = &mut self.came {
            came.before = came.seen.len();
        }
    }

    /// The endpoint sent one.
    pub(crate) fn came(&mut self, mut head: Response<()>, settings: &EditSettings) {
        let Some(client) = &self.client else { return };
        let came = self.came.get_or_insert_default();
        let bytes = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if came.count == COUNT_MAX || came.bytes + bytes > BYTES_MAX {
            tracing::debug!(status = head.status.as_u16(), "an endpoint sends more interim answers than are passed on");
            return;
        }
        let mark = mark(&head);
        if came.seen[..came.before].contains(&mark) {
            return;
        }
        came.seen.push(mark);
        (came.count, came.bytes) = (came.count + 1, came.bytes + bytes);
        header_edits::response(&mut head, None, false, settings);
        if came.keeps {
            came.kept.push(head);
        } else {
            client.send(head.status, &head.headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::message::KnownHeader;
    use crate::message::known_headers::{CONNECTION, CONTENT_LENGTH, KEEP_ALIVE, LOCATION, VIA};

    #[derive(Debug, Default)]
    struct Client(RefCell<Vec<(u16, Headers)>>);

    impl InterimSink for Client {
        fn send(&self, status: StatusCode, headers: &Headers) {
            self.0.borrow_mut().push((status.as_u16(), headers.clone()));
        }
    }

    fn head(lines: &[(KnownHeader, &str)]) -> Response<()> {
        let mut head = Response::new(());
        head.status = StatusCode::from_u16(103).expect("a status");
        for (name, value) in lines {
            head.headers.append(*name, value);
        }
        head
    }

    fn settings() -> EditSettings {
        EditSettings::new("us", 7, true, false)
    }

    #[test]
    fn what_ends_at_this_hop_does_not_pass() {
        let client = Rc::new(Client::default());
        let mut interim = Interim::to(Rc::clone(&client) as Rc<dyn InterimSink>);
        let lines = [(CONNECTION, "location"), (LOCATION, "/"), (KEEP_ALIVE, "1"), (CONTENT_LENGTH, "3")];
        interim.came(head(&lines), &settings());
        let sent = client.0.borrow();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1.iter().collect::<Vec<_>>(), [(&b"via"[..], &b"1.1 us"[..])]);
        assert!(sent[0].1.contains(VIA));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let client = Rc::new(Client::default());
        let mut interim = Interim::to(Rc::clone(&client) as Rc<dyn InterimSink>);
        (0..10_000).for_each(|_| interim.came(head(&[]), &settings()));
        assert_eq!(client.0.borrow().len(), COUNT_MAX as usize);
        let mut large = Interim::to(Rc::clone(&client) as Rc<dyn InterimSink>);
        let line = "x".repeat(BYTES_MAX / 3);
        (0..5).for_each(|_| large.came(head(&[(LOCATION, &line)]), &settings()));
        assert_eq!(client.0.borrow().len(), COUNT_MAX as usize + 2);
    }

    #[test]
    fn what_is_kept_is_released_or_never_seen() {
        let client = Rc::new(Client::default());
        for (released, wanted) in [(true, 2), (false, 1)] {
            let mut interim = Interim::to(Rc::clone(&client) as Rc<dyn InterimSink>);
            interim.keep();
            interim.came(head(&[]), &settings());
            assert!(client.0.borrow().is_empty());
            if released {
                interim.release()
            } else {
                interim.discard()
            }
            interim.came(head(&[]), &settings());
            assert_eq!(client.0.take().len(), wanted);
        }
        Interim::default().came(head(&[]), &settings());
    }
}
