//! Two readings of one connection: that of the codec, with what admission makes of it, and the plain one of
//! [`reading`](super::reading). Whatever is let through, both must have read alike; and nothing lawful may be refused.
//! All of it in memory, so that the bytes arrive exactly in the parts that were drawn.

use std::collections::VecDeque;

use pointsman::testing::http1::{BodyDecoder, BodyLength, HeadLimits, Piece, ReadBuf, Request};
use pointsman::testing::message::known_headers::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pointsman::testing::proxy::request::admit::{AdmitSettings, BodyFraming, WireFacts, admit};
use proptest::prelude::*;

use super::exchange::{Stream, stream};
use super::message::{Payload, parts};
use super::reading::{Reading, requests};
use super::run;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 32 * 1024, headers_max: 100 };

/// What the codec made of a request.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    /// Header lines, as they came.
    pub(super) lines: usize,
    lengths: usize,
    codings: usize,
    fragment: bool,
    /// Why it is not admitted.
    pub(super) refused: Option<&'static str>,
    /// `None` if it broke.
    pub(super) body: Option<Vec<u8>>,
}

/// A connection whose bytes come in parts, and then end.
struct Connection {
    inbox: ReadBuf,
    parts: VecDeque<Vec<u8>>,
}

impl Connection {
    /// Whether more came.
    fn fill(&mut self) -> bool {
        let part = self.parts.pop_front();
        part.map(|part| self.inbox.bytes().extend_from_slice(&part)).is_some()
    }

    /// The next head; none at the end, or when it is none.
    fn head(&mut self) -> Option<Request> {
        loop {
            if let Some(head) = self.inbox.request(LIMITS).ok()? {
                return Some(head);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn body(&mut self, length: BodyLength) -> Option<Vec<u8>> {
        let (mut decoder, mut body) = (BodyDecoder::new(length), Vec::new());
        loop {
            match decoder.decode(self.inbox.bytes()).ok()? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Over | Piece::Trailers(_) => return Some(body),
                Piece::More if self.fill() => {}
                Piece::More => return None,
            }
        }
    }
}

/// A request, and whether another one may follow.
fn serve(connection: &mut Connection, request: Request) -> (Served, bool) {
    let announced = match request.body {
        BodyLength::Exact(0) => BodyFraming::None,
        BodyLength::Exact(length) => BodyFraming::Length(length),
        BodyLength::Chunked | BodyLength::UntilClose => BodyFraming::Chunked,
    };
    let mut head = request.head;
    let lines = head.headers.iter().count();
    let settings = AdmitSettings {
        target_bytes_max: 8192,
        strict_targets: false,
        trusted_proxies: Vec::new(),
        https: false,
        redirect_https: None,
    };
    let seen = WireFacts::Http1 { fragment: request.fragment };
    let refusal = admit(&mut head, seen, announced, [127, 0, 0, 1].into(), &settings).err();
    let closes = refusal.as_ref().is_some_and(|refusal| refusal.closes());
    let body = if closes { None } else { connection.body(request.body) };
    let count = |name| head.headers.get_all(name).count();
    let served = Served {
        method: head.method.to_string(),
        target: if head.target.path_and_query().starts_with(b"?") {
            [b"/", head.target.path_and_query()].concat()
        } else {
            head.target.path_and_query().to_vec()
        },
        lines,
        lengths: count(CONTENT_LENGTH),
        codings: count(TRANSFER_ENCODING),
        fragment: request.fragment,
        refused: refusal.map(|refusal| refusal.detail),
        body,
    };
    let more = request.keep_alive && served.body.is_some();
    (served, more)
}

/// Everything that is served of a connection.
pub(super) fn connection(parts: Vec<Vec<u8>>) -> Vec<Served> {
    let mut connection = Connection { inbox: ReadBuf::default(), parts: parts.into() };
    let mut served = Vec::new();
    while let Some(head) = connection.head() {
        let (one, more) = serve(&mut connection, head);
        served.push(one);
        if !more {
            break;
        }
    }
    served
}

fn check(input: &Stream, served: &[Served]) -> super::Verdict {
    let readings = requests(&input.bytes.0);
    for (index, one) in served.iter().enumerate() {
        let reading = readings.get(index);
        if one.refused.is_some() {
            prop_assert!(!input.lawful, "refused something lawful: {one:?}");
            match reading {
                // A refusal may leave the connection open, and the next one must be read alike as well.
                Some(Reading::Good(_)) => continue,
                _ => return Ok(()),
            }
        }
        let Some(body) = &one.body else {
            prop_assert!(!input.lawful, "broke a lawful body: {one:?}");
            return Ok(());
        };
        let Some(Reading::Good(read)) = reading else {
            return Err(TestCaseError::fail(format!("served {one:?}, which reads as {reading:?}")));
        };
        prop_assert_eq!(read.unlawful, None, "served {:?}", one);
        prop_assert_eq!(&one.method, &read.message.method);
        prop_assert_eq!(&one.target, &read.message.target.0);
        let whole = match &read.message.body {
            Payload::None => Vec::new(),
            Payload::Whole(bytes) => bytes.0.clone(),
            Payload::Pieces(pieces, _) => pieces.iter().flat_map(|piece| piece.0.clone()).collect(),
        };
        prop_assert_eq!(body, &whole);
        let (lengths, codings) = (read.lengths.into(), read.codings.into());
        prop_assert_eq!((one.lengths, one.codings, one.fragment), (lengths, codings, false));
    }
    let good = readings.iter().take_while(|reading| matches!(reading, Reading::Good(read) if !read.last)).count();
    let wanted = good + usize::from(matches!(readings.get(good), Some(Reading::Good(_))));
    prop_assert!(
        !input.lawful || served.len() == wanted,
        "{} of {wanted} lawful requests served: {served:?}",
        served.len()
    );
    Ok(())
}

#[test]
fn the_codec_and_a_plain_reading_read_alike() {
    run("framing", 2500, &stream(), |input| {
        let served = connection(parts(&input.bytes.0, &input.cuts));
        check(&input, &served)
    });
}
