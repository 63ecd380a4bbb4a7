//! Tables: many inputs, one proxy, one verdict that lists every case that went wrong. What came of each case is a row
//! of the page of [`conformance`]. Requests are also sent through a proxy whose origin speaks HTTP/2: what of them the
//! two protocols have in common must be the same there.

use std::panic::Location;
use std::sync::{Arc, Mutex};

use super::conformance::{self, Row, Section};
use super::h2::H2Origin;
use super::peers::Peers;
use super::{Answer, Client, End, Origin, Proxy, Reply, Seen, Setup, apart, get};

/// What must hold of the client's connection afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// The proxy closes it in order.
    Closed,
    /// A further request on it is answered.
    Kept,
    /// Either.
    Any,
}

/// What HTTP/1.1 alone has to say about a request.
const FRAMING: [&str; 3] = ["content-length: ", "transfer-encoding: ", "connection: "];

enum Want {
    /// One of the status codes, the reason word in the body if it is not empty, and nothing for the origin.
    Refused(&'static [u16], &'static str),
    /// A 200, one request for the origin, and all of these in it (see [`Case::sees`]).
    Forwarded { sees: Vec<String>, lacks: Vec<String> },
    /// Refused with 400 or forwarded lawfully.
    Either,
    /// As refused, but only after the head was passed on: the origin gets no whole request.
    Broken(&'static [u16], &'static str),
    /// No answer, and the connection ends.
    Closed,
    /// The origin was asked once; this status and word, or the body, came of its answer.
    Answered(u16, &'static str),
}

/// One input and what must come of it.
pub(crate) struct Case {
    rule: u8,
    name: String,
    bytes: Vec<u8>,
    want: Want,
    after: After,
    /// What the origin does with it, if not the usual thing.
    reply: Option<Reply>,
    /// Whether it means something else to an origin that speaks HTTP/2.
    http1_only: bool,
}

impl Case {
    /// A request that must be refused.
    pub(crate) fn refused(rule: u8, bytes: impl AsRef<[u8]>, status: &'static [u16], word: &'static str) -> Self {
        Self::new(rule, bytes, Want::Refused(status, word))
    }

    /// A request that must be forwarded.
    pub(crate) fn forwarded(rule: u8, bytes: impl AsRef<[u8]>) -> Self {
        Self::new(rule, bytes, Want::Forwarded { sees: Vec::new(), lacks: Vec::new() })
    }

    /// A request that may be forwarded, as long as the origin sees nothing unlawful.
    pub(crate) fn either(rule: u8, bytes: impl AsRef<[u8]>) -> Self {
        Self::new(rule, bytes, Want::Either)
    }

    fn new(rule: u8, bytes: impl AsRef<[u8]>, want: Want) -> Self {
        let mut name = String::from_utf8_lossy(bytes.as_ref()).into_owned();
        if name.chars().count() > 300 {
            name = name.chars().take(300).chain("...".chars()).collect();
        }
        Self { rule, name, bytes: bytes.as_ref().to_vec(), want, after: After::Any, reply: None, http1_only: false }
    }

    /// A request whose head is good and whose body breaks its framing, or does not come.
    pub(crate) fn broken(rule: u8, bytes: impl AsRef<[u8]>, status: &'static [u16], word: &'static str) -> Self {
        Self::new(rule, bytes, Want::Broken(status, word))
    }

    /// Bytes that get no answer.
    pub(crate) fn closed(rule: u8, bytes: impl AsRef<[u8]>) -> Self {
        Self::new(rule, bytes, Want::Closed)
    }

    /// A good `GET` whose origin answers with these bytes; `word` is the reason word, or the body that is passed on.
    pub(crate) fn answered(rule: u8, reply: &str, status: u16, word: &'static str) -> Self {
        let mut case = Self::new(rule, get("/answered"), Want::Answered(status, word));
        case.name = format!("origin: {}", conformance::shown(reply.as_bytes()));
        case.reply = Some(Reply::raw(reply));
        case
    }

    /// The origin goes on with this, told in a word.
    pub(crate) fn goes_on(mut self, word: &str, then: fn(Reply) -> Reply) -> Self {
        self.name = format!("{} ({word})", self.name);
        self.reply = self.reply.map(then);
        self
    }

    /// The case as the page shows it.
    fn shown(&self) -> String {
        if self.reply.is_some() { self.name.clone() } else { conformance::shown(&self.bytes) }
    }

    /// The headers that the case is about.
    fn names(&self) -> Vec<String> {
        let Want::Forwarded { sees, lacks } = &self.want else { return Vec::new() };
        let headers = sees.iter().filter(|what| !what.starts_with(['|', '+'])).filter_map(|what| what.split_once(": "));
        let headers = headers.filter(|(name, _)| !name.contains(' ')).map(|(name, _)| name);
        let lacks = lacks.iter().map(|what| what.split(": ").next().unwrap_or_default());
        let mut names: Vec<_> = headers.chain(lacks.filter(|what| !what.starts_with('+'))).map(str::to_owned).collect();
        names.retain(|name| name != "content-length" && name != "transfer-encoding");
        names.dedup();
        names
    }

    /// Not sent to an origin that speaks HTTP/2.
    pub(crate) fn http1_only(mut self) -> Self {
        self.http1_only = true;
        self
    }

    /// What must hold of the connection afterwards.
    pub(crate) fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// The origin must see this: the first line of the request, a `name: value`, or `|` and the body.
    pub(crate) fn sees(mut self, what: &str) -> Self {
        if let Want::Forwarded { sees, .. } = &mut self.want {
            sees.push(what.to_owned());
        }
        self
    }

    /// The origin must not see this: a name, or a `name: value`.
    pub(crate) fn lacks(mut self, what: &str) -> Self {
        if let Want::Forwarded { lacks, .. } = &mut self.want {
            lacks.push(what.to_owned());
        }
        self
    }
}

/// Cases that share a proxy and an origin. They run one after the other, each on its own connection.
pub(crate) struct Table {
    origin: Origin,
    proxy: Proxy,
    /// What the origin does with the next request.
    reply: Arc<Mutex<Option<Reply>>>,
    peers: Option<Peers>,
    /// Whether the proxy is the common one, which the peers are set up like.
    is_common: bool,
    /// The same with an origin that speaks HTTP/2.
    http2: (H2Origin, Proxy),
}

impl Table {
    /// A table in front of the common proxy.
    pub(crate) fn new() -> Self {
        let table = Self::with(|setup| setup);
        Self { peers: Peers::wanted(&table.origin), is_common: true, ..table }
    }

    /// A table in front of another proxy; the peers are not asked, whose settings would have to be others as well.
    pub(crate) fn with(change: impl Fn(Setup) -> Setup) -> Self {
        let reply = Arc::new(Mutex::new(None::<Reply>));
        let next = Arc::clone(&reply);
        let origin = Origin::with(move |seen| match next.lock().unwrap().clone() {
            Some(reply) if seen.target() == "/answered" => reply,
            _ if seen.line().starts_with("HEAD ") => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
            _ => Reply::ok("ok"),
        });
        let proxy = change(Setup::to(&[&origin])).start();
        let second = H2Origin::saying("ok");
        let to_second = Setup::endpoints(&[&[second.address()]]).version("protocol = \"h2\"");
        let http2 = (second, change(to_second).start());
        Self { origin, proxy, reply, peers: None, is_common: false, http2 }
    }

    /// Runs all cases, then fails with every one that went wrong, or if the page of conformance says something else.
    #[track_caller]
    pub(crate) fn run(&self, cases: impl IntoIterator<Item = Case>) {
        let place = Location::caller();
        let mut section = if self.is_common { Section::at(place) } else { Section::of_a_setup_at(place) };
        let mut count = 0;
        let mut wrong = Vec::new();
        for case in cases {
            count += 1;
            match self.case(&case) {
                Ok(row) => section.push(row),
                Err(why) => wrong.push(format!("rule {}: {:?}\n    {why}", case.rule, case.name)),
            }
            if let Err(why) = self.over_http2(&case) {
                wrong.push(format!("rule {}, to HTTP/2: {:?}\n    {why}", case.rule, case.name));
            }
            if let Some(peers) = &self.peers {
                peers.measure((case.rule, &case.shown()), &case.bytes, &case.names(), &self.origin);
            }
        }
        assert!(wrong.is_empty(), "{} of {count} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
        section.check();
    }

    /// The case with an origin that speaks HTTP/2, if it is about a request.
    fn over_http2(&self, case: &Case) -> Result<(), String> {
        let want = match &case.want {
            Want::Refused(status, word) => Want::Refused(status, word),
            Want::Either => Want::Either,
            Want::Forwarded { sees, lacks } => {
                let common = |what: &&String| !FRAMING.iter().any(|name| what.starts_with(name));
                // Trailers need no announcement there.
                let lacks = lacks.iter().filter(|what| !what.starts_with('+'));
                let sees = sees.iter().filter(common).cloned().collect();
                Want::Forwarded { sees, lacks: lacks.cloned().collect() }
            }
            Want::Broken(..) | Want::Closed | Want::Answered(..) => return Ok(()),
        };
        if case.http1_only {
            return Ok(());
        }
        let (origin, proxy) = &self.http2;
        origin.forget();
        let head = case.bytes.starts_with(b"HEAD ");
        let answer = proxy.client().write(&case.bytes).read(head);
        let (seen, crimes) = origin.forget();
        if !crimes.is_empty() {
            return Err(format!("the origin saw what no origin may see: {}", crimes.join("; ")));
        }
        match answer {
            Err((end, bytes)) => Err(format!("no answer: {end:?} after {}", text(&bytes))),
            Ok(answer) => check_answer(&want, &answer, &seen, head),
        }
    }

    fn case(&self, case: &Case) -> Result<Row, String> {
        self.origin.forget();
        self.reply.lock().unwrap().clone_from(&case.reply);
        let mut client = self.proxy.client();
        let head = case.bytes.starts_with(b"HEAD ");
        let answer = client.write(&case.bytes).read(head);
        let after = match &answer {
            Ok(_) => check_after(case.after, &mut client),
            Err(_) => Ok(()),
        };
        let (mut seen, crimes) = self.origin.forget();
        if !crimes.is_empty() {
            return Err(format!("the origin saw what no origin may see: {}", crimes.join("; ")));
        }
        seen.retain(|seen| seen.target() != "/follow-up");
        let got = match answer {
            Err((End::Clean | End::Reset, bytes)) if bytes.is_empty() && matches!(case.want, Want::Closed) => {
                nothing_seen(&seen)?;
                "closed without an answer".to_owned()
            }
            Err((end, bytes)) => return Err(format!("no answer: {end:?} after {}", text(&bytes))),
            Ok(answer) => {
                check_answer(&case.want, &answer, &seen, head)?;
                told(&answer, case.after)
            }
        };
        after?;
        let saw = match &case.want {
            // How much of it the origin had begun to read is a matter of chance.
            Want::Broken(..) => "no whole request".to_owned(),
            _ => conformance::saw(&seen, &case.names()),
        };
        Ok(Row { rule: case.rule, case: case.shown(), answer: got, saw })
    }
}

/// The answer as the page tells it.
fn told(answer: &Answer, after: After) -> String {
    let text = answer.text();
    let own = text.strip_prefix(&format!("{} ", answer.status)).and_then(|rest| rest.split_once(':'));
    let word = own.map_or(String::new(), |(word, _)| format!(" {word}"));
    let broken = if answer.is_whole() { "" } else { ", broken off" };
    let after = match after {
        After::Any => "",
        After::Closed => ", closed",
        After::Kept => ", kept",
    };
    format!("{}{word}{broken}{after}", answer.status)
}

fn check_answer(want: &Want, answer: &Answer, seen: &[Seen], head: bool) -> Result<(), String> {
    let got = format!("{} {:?}", answer.status, answer.text());
    match want {
        Want::Refused(status, word) | Want::Broken(status, word) => {
            if !status.contains(&answer.status) || !(head || answer.text().contains(word)) {
                return Err(format!("want {status:?} {word}, got {got}"));
            }
            let begun = matches!(want, Want::Broken(..));
            nothing_seen(if begun && seen.iter().all(|seen| !seen.whole) { &[] } else { seen })
        }
        Want::Forwarded { .. } if answer.status != 200 => Err(format!("want it forwarded, got {got}")),
        Want::Forwarded { sees, lacks } => check_seen(seen, sees, lacks),
        Want::Either if answer.status == 200 => check_seen(seen, &[], &[]),
        Want::Either if answer.status == 400 => nothing_seen(seen),
        Want::Either => Err(format!("want 200 or 400, got {got}")),
        Want::Closed => Err(format!("want no answer, got {got}")),
        Want::Answered(status, word) if answer.status != *status || !answer.text().contains(word) => {
            Err(format!("want {status} {word}, got {got}"))
        }
        Want::Answered(..) => check_seen(seen, &[], &[]),
    }
}

fn nothing_seen(seen: &[Seen]) -> Result<(), String> {
    match seen {
        [] => Ok(()),
        seen => Err(format!("refused, but the origin saw {seen:?}")),
    }
}

fn check_seen(seen: &[Seen], sees: &[String], lacks: &[String]) -> Result<(), String> {
    let [seen] = seen else { return Err(format!("want one request at the origin, it saw {}: {seen:?}", seen.len())) };
    if !seen.whole {
        return Err(format!("the origin did not get all of it: {seen:?}"));
    }
    if let Some(missing) = sees.iter().find(|what| !shows(seen, what)) {
        return Err(format!("the origin must see {missing:?}, saw {seen:?}"));
    }
    match lacks.iter().find(|what| seen.has(what) || shows(seen, what)) {
        Some(extra) => Err(format!("the origin must not see {extra:?}, saw {seen:?}")),
        None => Ok(()),
    }
}

/// Whether a request has `what`: see [`Case::sees`].
fn shows(seen: &Seen, what: &str) -> bool {
    if let Some(body) = what.strip_prefix('|') {
        return seen.text() == body;
    }
    if let Some(trailer) = what.strip_prefix('+') {
        return seen.body.trailers.iter().any(|(name, value)| format!("{name}: {value}") == trailer);
    }
    let field = what.split_once(": ");
    seen.line() == what || field.is_some_and(|(name, value)| seen.head.all(name).contains(&value))
}

fn check_after(after: After, client: &mut Client) -> Result<(), String> {
    match after {
        After::Any => Ok(()),
        After::Closed => match client.end() {
            (End::Clean, rest) if rest.is_empty() => Ok(()),
            (end, rest) => Err(format!("want the connection closed, found {end:?} after {}", text(&rest))),
        },
        After::Kept => {
            // A close that is on its way must not be overtaken by the further request.
            apart();
            match client.write(get("/follow-up")).read(false) {
                Ok(answer) if answer.status < 500 => Ok(()),
                other => Err(format!("want the connection kept, but a further request got {other:?}")),
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}
