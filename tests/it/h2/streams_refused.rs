//! HTTP/2 endpoints that have certainly not looked at a request (RFC 9113, 8.7): it goes to another connection,
//! whatever its method, and is no failure. What they may have looked at is not sent again.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::frames::frame;
use crate::support::{Client, Proxy, Setup, eventually, get, post};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `REFUSED_STREAM`, and a code that says nothing of what was processed.
const REFUSED: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

/// What requests that are not answered wait for: longer than it takes to begin some others.
const TIMEOUT: &str = "response_timeout = \"4s\"";

/// `:status: 200` (RFC 7541, appendix A).
const STATUS_200: &[u8] = &[0x88];

/// What an endpoint does when a request has come as far as [`Raw`] waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Answer,
    /// The beginning of an answer.
    Half,
    Reset(u32),
    /// GOAWAY with the last stream that is processed; requests above it are left.
    GoAway(u32),
    /// This is the number of streams that are allowed from now on; a ping tells when that was read.
    Allow(u32),
    Nothing,
    Close,
}

/// When an endpoint acts on a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Head,
    End,
    /// When so much of its body has come.
    Bytes(usize),
}

/// A request that an endpoint saw: its connection, its stream, and the bytes of its body.
type Seen = (usize, u32, usize);

/// An endpoint that speaks HTTP/2 by hand: for each request, by connection and stream, it does what the script says.
struct Raw {
    address: SocketAddr,
    seen: Arc<Mutex<BTreeMap<(usize, u32), usize>>>,
}

impl Raw {
    fn start(when: When, script: impl Fn(usize, u32) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::start_narrow(when, usize::MAX, script)
    }

    /// The same, but connections from this one on take no more of a body than the window that they begin with.
    fn start_narrow(
        when: When,
        narrow: usize,
        script: impl Fn(usize, u32) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, script) = (listener.local_addr().unwrap(), Arc::new(script));
        let seen = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&shared));
                std::thread::spawn(move || {
                    let note = |stream, count| {
                        *seen.lock().unwrap().entry((number, stream)).or_default() += count;
                    };
                    serve(stream, when, number < narrow, |id| script(number, id), note)
                });
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        let requests = seen.iter().filter(|((_, stream), _)| *stream > 0);
        requests.map(|((connection, stream), bytes)| (*connection, *stream, *bytes)).collect()
    }

    /// How often a client has read a GOAWAY: it has answered the ping behind it.
    fn told(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|((_, stream), _)| *stream == 0).map(|(_, count)| count).sum()
    }

    fn proxy(&self, service: &str) -> Proxy {
        let setup = Setup::endpoints(&[&[self.address]]).top("[proxy]\nworkers = 1").version("protocol = \"h2\"");
        setup.service(service).start()
    }
}

/// One connection; ends when its client does, or the script says so.
fn serve(
    mut stream: TcpStream,
    when: When,
    gives_window: bool,
    script: impl Fn(u32) -> Vec<Act>,
    note: impl Fn(u32, usize),
) -> Option<()> {
    let mut came = 0;
    stream.read_exact(&mut [0; 24]).ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags, id) = (head[3], head[4], u32::from_be_bytes(head[5..9].try_into().unwrap()));
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).ok()?;
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).ok()?,
            HEADERS => note(id, 0),
            PING if flags & ACK != 0 => note(0, 1),
            DATA => {
                note(id, length);
                came += length;
                if !gives_window {
                    continue;
                }
                let more = u32::try_from(length.max(1)).unwrap().to_be_bytes();
                let more = [frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, id, &more)].concat();
                stream.write_all(&more).ok()?;
            }
            _ => {}
        }
        let due = match when {
            When::Head => kind == HEADERS,
            When::Bytes(count) => kind == DATA && (came - length..came).contains(&(count - 1)),
            When::End => [HEADERS, DATA].contains(&kind) && flags & END_STREAM != 0,
        };
        for act in script(id).into_iter().filter(|_| due) {
            let bytes = match act {
                Act::Answer => {
                    [frame(HEADERS, END_HEADERS, id, STATUS_200), frame(DATA, END_STREAM, id, b"ok")].concat()
                }
                Act::Half => [frame(HEADERS, END_HEADERS, id, STATUS_200), frame(DATA, 0, id, b"ha")].concat(),
                Act::Reset(code) => frame(RST_STREAM, 0, id, &code.to_be_bytes()),
                Act::GoAway(last) => {
                    [frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()), frame(PING, 0, 0, &[0; 8])].concat()
                }
                Act::Allow(count) => {
                    let setting = [&[0, 3], &count.to_be_bytes()[..]].concat();
                    [frame(SETTINGS, 0, 0, &setting), frame(PING, 0, 0, &[0; 8])].concat()
                }
                Act::Nothing => continue,
                Act::Close => return None,
            };
            stream.write_all(&bytes).ok()?;
        }
    }
}

fn counts(proxy: &Proxy) -> [u32; 3] {
    let count = |name: &str, label: &str| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
        let count = proxy.metric(name, &[label]).round() as u32;
        count
    };
    [
        count("pointsman_retries_total", "reason=\"unprocessed\""),
        count("pointsman_upstream_failures_total", "version"),
        count("pointsman_first_attempts_total", "outcome=\"failed\""),
    ]
}

/// Waits for these counts: a request is counted when it ends, which may be a moment after its answer has come.
#[track_caller]
fn await_counts(proxy: &Proxy, wanted: [u32; 3], what: &str) {
    eventually(&format!("retries and failures are {wanted:?} {what}"), || counts(proxy) == wanted);
}

#[test]
fn a_stream_that_is_refused_is_sent_again_whatever_it_asks_for() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for when in [When::Head, When::End] {
        for (request, bytes) in [
            (get("/"), 0),
            (get("/").replace("GET", "PATCH"), 0),
            (post("/", ""), 0),
            (post("/", "body"), 4),
            (post("/", &"b".repeat(60_000)), 60_000),
            (chunked.to_owned(), 5),
        ] {
            let origin = Raw::start(when, |connection, _| match connection {
                0 => vec![Act::Reset(REFUSED)],
                _ => vec![Act::Answer],
            });
            let proxy = origin.proxy("");
            let answer = proxy.client().ask(&request);
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{when:?}: {request:.60}");
            eventually("the body is there as a whole", || origin.seen().contains(&(1, 1, bytes)));
            await_counts(&proxy, [1, 0, 0], &format!("{when:?}: {request:.60}"));
        }
    }
}

#[test]
fn a_body_whose_beginning_is_gone_is_not_sent_again() {
    let origin = Raw::start(When::End, |_, _| vec![Act::Reset(REFUSED)]);
    let proxy = origin.proxy("");
    proxy.client().ask(post("/", &"b".repeat(200_000))).assert_refused(502, "upstream_reset");
    assert_eq!(origin.seen(), [(0, 1, 200_000)]);
    await_counts(&proxy, [0, 1, 1], "");
}

#[test]
fn what_may_have_been_processed_is_not_sent_again() {
    for acts in [vec![Act::Reset(INTERNAL_ERROR)], vec![Act::Close], vec![Act::GoAway(1), Act::Close]] {
        let all = acts.clone();
        let origin = Raw::start(When::End, move |_, _| all.clone());
        let proxy = origin.proxy("");
        proxy.client().ask(post("/", "body")).assert_refused(502, "upstream_reset");
        assert_eq!(origin.seen().len(), 1, "{acts:?}");
        await_counts(&proxy, [0, 1, 1], &format!("{acts:?}"));
    }
}

#[test]
fn an_endpoint_that_refuses_every_stream_is_asked_some_times_and_has_failed() {
    let origin = Raw::start(When::End, |_, _| vec![Act::Reset(REFUSED)]);
    let proxy = origin.proxy("");
    proxy.client().ask(get("/")).assert_refused(502, "upstream_reset");
    let connections: Vec<_> = origin.seen().iter().map(|(connection, ..)| *connection).collect();
    assert_eq!(connections, [0, 1, 2, 3], "each time on another connection");
    await_counts(&proxy, [3, 1, 1], "");
}

/// Three requests at a time on the connection that the one before them has opened; their statuses.
fn three_at_once(proxy: &Proxy, origin: &Raw) -> Vec<u16> {
    assert_eq!(proxy.client().ask(get("/")).status, 200);
    let asking = |number: usize| {
        let mut client = Client::to(proxy.address);
        client.write(post("/", "body"));
        eventually("it is on its way", || origin.seen().iter().filter(|seen| seen.2 == 4).count() >= number);
        client
    };
    let mut clients: Vec<_> = (1..=3).map(asking).collect();
    clients.iter_mut().map(|client| client.answer().status).collect()
}

#[test]
fn streams_above_the_last_one_of_a_goaway_are_sent_again_and_no_others() {
    for (last, again) in [(1, 3), (3, 2), (5, 1)] {
        // It says so when the streams 3, 5 and 7 are there, and answers none of them: those that it may have processed
        // are waited for.
        let origin = Raw::start(When::End, move |connection, stream| match (connection, stream) {
            (0, 3 | 5) => vec![Act::Nothing],
            (0, 7) => vec![Act::GoAway(last)],
            _ => vec![Act::Answer],
        });
        let proxy = origin.proxy(TIMEOUT);
        let wanted = [3, 5, 7].map(|stream| if stream <= last { 504 } else { 200 });
        assert_eq!(three_at_once(&proxy, &origin), wanted, "last is {last}");
        let other = origin.seen().iter().filter(|(connection, ..)| *connection > 0).count();
        assert_eq!(other, again, "last is {last}: {:?}", origin.seen());
        eventually("as many retries", || counts(&proxy)[0] == u32::try_from(again).unwrap());
    }
}

#[test]
fn a_connection_that_was_told_to_go_away_takes_no_new_streams() {
    // The first request is answered and the connection left; idle for a moment, it is still open.
    let origin = Raw::start(When::End, |_, stream| vec![Act::Answer, Act::GoAway(stream)]);
    let proxy = origin.proxy("");
    for number in 1..=5 {
        assert_eq!(proxy.client().ask(post("/", "body")).status, 200);
        eventually("it was told", || origin.told() == number);
    }
    let streams: Vec<_> = origin.seen().iter().map(|(connection, stream, _)| (*connection, *stream)).collect();
    assert_eq!(streams, [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(counts(&proxy)[1..], [0, 0]);
}

#[test]
fn a_connection_that_allows_fewer_streams_than_before_gets_no_more_than_these() {
    for (allowed, last) in [(0, 1), (1, 1), (2, 1), (3, 0)] {
        let origin = Raw::start(When::End, move |connection, stream| match (connection, stream) {
            (0, 1) => vec![Act::Answer, Act::Allow(allowed)],
            (0, _) => vec![Act::Nothing],
            _ => vec![Act::Answer],
        });
        let proxy = origin.proxy(TIMEOUT);
        assert_eq!(proxy.client().ask(get("/")).status, 200);
        eventually("it was read", || origin.told() == 1);
        let wanted = [1, 2, 3].map(|number| if number <= allowed { 504 } else { 200 });
        let mut clients: Vec<_> = (1..=3)
            .map(|number| {
                let mut client = Client::to(proxy.address);
                client.write(post("/", "body"));
                eventually("it is on its way", || origin.seen().iter().filter(|seen| seen.2 == 4).count() >= number);
                client
            })
            .collect();
        assert_eq!([0, 1, 2].map(|number| clients[number].answer().status), wanted, "{allowed} streams");
        assert_eq!(origin.seen().iter().map(|(connection, ..)| *connection).max(), Some(last), "{allowed} streams");
        assert_eq!(counts(&proxy)[0], 0, "none was refused");
    }
}

#[test]
fn a_connection_that_refused_one_of_many_streams_keeps_the_others() {
    // Two at a time are all it takes, whatever it says of that.
    let origin = Raw::start(When::End, |connection, stream| match (connection, stream) {
        (0, 3 | 5) => vec![Act::Nothing],
        (0, 7) => vec![Act::Reset(REFUSED)],
        _ => vec![Act::Answer],
    });
    let proxy = origin.proxy(TIMEOUT);
    assert_eq!(three_at_once(&proxy, &origin), [504, 504, 200]);
    assert_eq!(proxy.client().ask(get("/")).status, 200);
    let connections = origin.seen().iter().map(|(connection, ..)| *connection).max();
    assert_eq!(connections, Some(1), "one other connection is enough: {:?}", origin.seen());
}

#[test]
fn a_request_that_is_sent_again_to_an_endpoint_that_takes_no_more_of_it_has_its_end() {
    // All that a window holds, and a byte: what is kept of a body, and in a part of its own.
    let (window, kept) = (65_535, 65_536);
    let origin = Raw::start_narrow(When::Bytes(kept), 1, |connection, _| match connection {
        0 => vec![Act::Reset(REFUSED)],
        _ => vec![Act::Nothing],
    });
    let proxy = origin.proxy("response_timeout = \"2s\"");
    let mut client = proxy.client();
    client.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n{}", "b".repeat(window)));
    eventually("the first endpoint has all of the window", || origin.seen().contains(&(0, 1, window)));
    client.write("b");
    client.answer().assert_refused(504, "upstream_timeout");
    assert_eq!(origin.seen(), [(0, 1, kept), (1, 1, window)]);
    await_counts(&proxy, [1, 1, 1], "");
}

#[test]
fn an_answer_that_is_reset_in_the_middle_never_looks_whole_whatever_the_code_says() {
    const NO_ERROR: u32 = 0;
    for code in [NO_ERROR, INTERNAL_ERROR] {
        let origin = Raw::start(When::End, move |_, _| vec![Act::Half, Act::Reset(code)]);
        let proxy = origin.proxy("");
        let mut client = proxy.client();
        let answer = client.write(get("/")).answer();
        assert!(answer.status == 200 && !answer.is_whole(), "code {code}: {answer:?}");
        proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"short_body\""], 1.0);
    }
}
