//! The rules over HTTP/2, frame by frame: each case goes to an origin of HTTP/1.1 and to one of HTTP/2, which must see
//! the same. The page shows what the first one saw.

use crate::support::frames::{self, CONTINUATION, Came, Field, Frames, frame};
use crate::support::h2::H2Origin;
use crate::support::{Origin, Proxy, Reply, Section, Seen, Setup, conformance};

/// What must come of a case.
enum Want {
    /// The status and the word.
    Refused(&'static str),
    /// The stream is reset as malformed, or the whole connection is ended.
    Malformed,
    /// It arrives, once, with these (see [`crate::support::Case::sees`]) and without those.
    Forwarded(Vec<&'static str>, Vec<&'static str>),
}

struct Case {
    rule: u8,
    frames: Frames,
    want: Want,
}

fn field((name, value): &(&str, &str)) -> Field {
    ((*name).to_owned(), (*value).to_owned())
}

/// A request with these fields behind, or instead of, those that each request has; a value of `-` takes one away.
fn request(fields: &[(&str, &str)]) -> Frames {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let changed = |(name, value): &(&str, &str)| {
        let other = fields.iter().find(|(other, _)| other == name && name.starts_with(':'));
        field(&(name, other.map_or(*value, |(_, value)| value)))
    };
    let more = fields.iter().filter(|(name, _)| !usual.iter().any(|(usual, _)| usual == name)).map(field);
    let head = usual.iter().map(changed).chain(more).filter(|(_, value)| value != "-").collect();
    Frames { head, ..Frames::default() }
}

/// A `POST` of this body, in one frame, with its fields.
fn upload(fields: &[(&str, &str)], body: &str) -> Frames {
    let fields = [fields, &[(":method", "POST")]].concat();
    Frames { data: vec![body.as_bytes().to_vec()], ..request(&fields) }
}

impl Case {
    fn refused(rule: u8, frames: Frames, told: &'static str) -> Self {
        Self { rule, frames, want: Want::Refused(told) }
    }

    fn malformed(rule: u8, frames: Frames) -> Self {
        Self { rule, frames, want: Want::Malformed }
    }

    fn forwarded(rule: u8, frames: Frames, sees: &[&'static str], lacks: &[&'static str]) -> Self {
        Self { rule, frames, want: Want::Forwarded(sees.to_vec(), lacks.to_vec()) }
    }

    /// What of it is not usual.
    fn shown(&self) -> String {
        let usual = request(&[]).head;
        let fields = self.frames.head.iter().filter(|field| !usual.contains(field));
        let mut parts: Vec<_> = fields.map(|(name, value)| shown(name, value)).collect();
        let gone = usual.iter().filter(|(name, _)| !self.frames.head.iter().any(|(other, _)| other == name));
        parts.extend(gone.map(|(name, _)| format!("no {name}")));
        parts.extend(self.frames.data.iter().map(|data| format!("\"{}\"", conformance::shown(data))));
        parts.extend(self.frames.trailers.iter().map(|(name, value)| format!("+{name}: {value}")));
        parts.truncate(5);
        parts.join("; ")
    }

    /// What the origin saw of what the case is about.
    fn saw(&self, seen: &[Seen]) -> String {
        let Want::Forwarded(sees, lacks) = &self.want else { return "nothing".to_owned() };
        let sees = sees.iter().filter(|what| !what.starts_with(['|', '+'])).filter_map(|what| what.split_once(": "));
        let lacks = lacks.iter().filter(|what| !what.starts_with('+')).filter_map(|what| what.split(": ").next());
        let names = sees.map(|(name, _)| name).chain(lacks);
        let mut names: Vec<_> =
            names.filter(|name| !matches!(*name, "content-length" | "transfer-encoding")).map(str::to_owned).collect();
        names.dedup();
        conformance::saw(seen, &names)
    }
}

fn shown(name: &str, value: &str) -> String {
    let text = format!("{name}: {value}");
    conformance::shown(text.as_bytes())
}

const MALFORMED: [&str; 2] = ["RST_STREAM PROTOCOL_ERROR", "GOAWAY PROTOCOL_ERROR"];

/// How an answer of ours begins, as the page tells it.
fn told(came: &Came) -> String {
    match came {
        Came::Answer(text) if text == "ok" => "200".to_owned(),
        Came::Answer(text) => text.split(':').next().unwrap_or_default().to_owned(),
        Came::Reset(1) => MALFORMED[0].to_owned(),
        Came::GoAway(1) => MALFORMED[1].to_owned(),
        other => format!("{other:?}"),
    }
}

/// Whether `seen` shows `what`, as far as it is the same in both protocols.
fn shows(seen: &Seen, what: &str, http2: bool) -> bool {
    match (what.split_once(": "), what.chars().next()) {
        (_, Some('|')) => seen.text() == what[1..],
        (Some((name, value)), Some('+')) => seen.body.trailers.contains(&(name[1..].to_owned(), value.to_owned())),
        (Some(("content-length" | "transfer-encoding", _)), _) if http2 => true,
        (Some((name, value)), _) => seen.head.all(name).contains(&value),
        (None, _) => seen.line() == what,
    }
}

fn check(case: &Case, came: &Came, (seen, crimes): &(Vec<Seen>, Vec<String>), http2: bool) -> Result<(), String> {
    if !crimes.is_empty() {
        return Err(format!("the origin saw what no origin may see: {}", crimes.join("; ")));
    }
    let wanted = match &case.want {
        Want::Refused(wanted) => &[*wanted][..],
        Want::Malformed => &MALFORMED,
        Want::Forwarded(..) => &["200"],
    };
    if !wanted.contains(&told(came).as_str()) {
        return Err(format!("want {wanted:?}, got {came:?}"));
    }
    let whole: Vec<_> = seen.iter().filter(|seen| seen.whole).collect();
    match (&case.want, &whole[..]) {
        (Want::Refused(_) | Want::Malformed, []) => Ok(()),
        (Want::Forwarded(sees, lacks), [seen]) => {
            let missing = sees.iter().find(|what| !shows(seen, what, http2));
            let extra = lacks.iter().find(|name| seen.has(name) || shows(seen, name, http2));
            match missing.or(extra) {
                Some(what) => Err(format!("the origin and {what:?}: it saw {seen:?}")),
                None => Ok(()),
            }
        }
        (_, whole) => Err(format!("the origin saw {} whole requests: {whole:?}", whole.len())),
    }
}

/// An origin of either protocol, and a proxy in front of each.
struct Both {
    http1: (Origin, Proxy),
    http2: (H2Origin, Proxy),
}

impl Both {
    fn new() -> Self {
        let (one, two) = (Origin::with(|_| Reply::ok("ok")), H2Origin::saying("ok"));
        let to_one = Setup::to(&[&one]).listener("h2c = true").start();
        let to_two = Setup::endpoints(&[&[two.address()]]).version("protocol = \"h2\"").listener("h2c = true").start();
        Self { http1: (one, to_one), http2: (two, to_two) }
    }

    #[track_caller]
    fn run(&self, cases: impl IntoIterator<Item = Case>) {
        let mut section = Section::at(std::panic::Location::caller());
        let mut wrong = Vec::new();
        for case in cases {
            let bytes = case.frames.bytes();
            let first = frames::send(self.http1.1.address, &bytes);
            let saw = self.http1.0.forget();
            let second = frames::send(self.http2.1.address, &bytes);
            let checks = [check(&case, &first, &saw, false), check(&case, &second, &self.http2.0.forget(), true)];
            let why = checks.iter().filter_map(|check| check.as_ref().err());
            wrong.extend(why.map(|why| format!("rule {}: {}\n    {why}", case.rule, case.shown())));
            section.add(case.rule, &case.shown(), &told(&first), &case.saw(&saw.0));
        }
        assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
        section.check();
    }
}

#[test]
fn lengths_of_streams() {
    let lengths = |lengths: &[&str], body: &str| {
        let fields: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        upload(&fields, body)
    };
    Both::new().run([
        Case::forwarded(1, lengths(&["5"], "hello"), &["content-length: 5", "|hello"], &[]),
        Case::forwarded(1, lengths(&["0005"], "hello"), &["content-length: 5", "|hello"], &[]),
        Case::refused(2, lengths(&["5", "5"], "hello"), "400 bad_framing"),
        Case::malformed(2, lengths(&["5", "6"], "hello")),
        Case::malformed(2, lengths(&["+5"], "hello")),
        Case::malformed(2, lengths(&["5, 5"], "hello")),
        Case::malformed(2, lengths(&["five"], "hello")),
        Case::malformed(2, lengths(&[""], "hello")),
        Case::malformed(2, lengths(&["4"], "hello")),
        Case::malformed(2, lengths(&["6"], "hello")),
        Case::malformed(2, request(&[(":method", "POST"), ("content-length", "5")])),
        Case::malformed(3, upload(&[("transfer-encoding", "chunked")], "5\r\nhello\r\n0\r\n\r\n")),
        Case::forwarded(5, upload(&[], "hello"), &["transfer-encoding: chunked", "|hello"], &[]),
        Case::forwarded(5, upload(&[(":method", "GET")], "hello"), &["transfer-encoding: chunked", "|hello"], &[]),
        Case::forwarded(5, request(&[(":method", "POST")]), &["content-length: 0", "|"], &[]),
    ]);
}

#[test]
fn trailers_of_streams() {
    let with = |trailers: &[(&str, &str)]| {
        let names: Vec<_> = trailers.iter().map(|(name, _)| *name).collect();
        Frames { trailers: trailers.iter().map(field).collect(), ..upload(&[("trailer", &names.join(", "))], "hello") }
    };
    let bad = [("x-ok", "yes"), ("content-length", "9"), ("host", "evil"), ("authorization", "x")];
    Both::new().run([
        Case::forwarded(8, with(&[("x-ok", "yes")]), &["+x-ok: yes", "|hello"], &[]),
        Case::forwarded(8, with(&bad), &["+x-ok: yes", "|hello"], &["+authorization: x", "+host: evil"]),
        // The codec drops it.
        Case::forwarded(8, with(&[(":path", "/evil")]), &["POST / HTTP/1.1", "|hello"], &["+:path: /evil"]),
        Case::malformed(8, with(&[("connection", "close")])),
    ]);
}

#[test]
fn hosts_and_targets_of_streams() {
    let get = |fields: &[(&str, &str)]| request(fields);
    Both::new().run([
        Case::forwarded(9, get(&[(":authority", "a:80"), ("host", "a")]), &["GET / HTTP/1.1"], &[]),
        Case::forwarded(9, get(&[(":authority", "-"), ("host", "b")]), &["host: b"], &[]),
        Case::refused(9, get(&[("host", "b")]), "400 bad_host"),
        Case::refused(9, get(&[("host", "a"), ("host", "a")]), "400 bad_host"),
        Case::refused(9, get(&[(":authority", "-")]), "400 bad_host"),
        Case::refused(9, get(&[(":authority", "u@a")]), "400 bad_host"),
        Case::refused(9, get(&[(":authority", "a,b")]), "400 bad_host"),
        Case::refused(9, get(&[(":authority", "a:99999")]), "400 bad_host"),
        Case::malformed(9, get(&[(":authority", "a/b")])),
        Case::malformed(9, get(&[(":path", "")])),
        Case::malformed(9, get(&[(":path", "-")])),
        Case::malformed(9, get(&[(":path", "a")])),
        Case::malformed(9, get(&[(":scheme", "-")])),
        Case::refused(9, get(&[(":path", "*")]), "400 bad_target"),
        // The codec cuts it off: see `a_fragment_is_gone_before_anybody_reads_the_target`.
        Case::forwarded(9, get(&[(":path", "/a#b")]), &["GET /a HTTP/1.1"], &[]),
        Case::refused(9, get(&[(":method", "OPTIONS"), (":path", "*")]), "400 bad_target"),
        Case::refused(9, get(&[(":method", "TRACE")]), "405 method_not_allowed"),
        Case::refused(9, get(&[(":method", "CONNECT"), (":scheme", "-"), (":path", "-")]), "405 method_not_allowed"),
        Case::forwarded(10, get(&[(":path", "//a/../b%2fc?d")]), &["GET //a/../b%2fc?d HTTP/1.1"], &[]),
    ]);
}

/// The one deviation from rule 9 (see the page): over HTTP/2 a fragment is no 400. It has to be safe: rules, `explain`
/// and the origin read one target, the one without it.
#[test]
fn a_fragment_is_gone_before_anybody_reads_the_target() {
    let mut section = Section::of_this_test();
    let origins = [Origin::with(|_| Reply::ok("v1")), Origin::with(|_| Reply::ok("v2"))];
    let proxy = Setup::to(&[&origins[0], &origins[1]])
        .listener("h2c = true")
        .bottom(
            "[[services.site.rules]]\nname = \"admin\"\nuse = \"v2\"\nwhen = { path = \"/admin\" }\n\
             [[services.site.rules]]\nname = \"asked\"\nuse = \"v2\"\nwhen = { query = { q = \"1\" } }\n",
        )
        .start();
    for (sent, read, version) in [
        ("/admin#b", "/admin", "v2"),
        ("/#/admin", "/", "v1"),
        ("/b#/../admin", "/b", "v1"),
        ("/admin?q=2#f", "/admin?q=2", "v2"),
        ("/b?q=1#&q=2", "/b?q=1", "v2"),
        ("/b#?q=1", "/b", "v1"),
    ] {
        let came = frames::send(proxy.address, &request(&[(":path", sent)]).bytes());
        assert_eq!(came, Came::Answer(version.to_owned()), "{sent}");
        let explained = proxy.explain(read);
        let picked = explained["version"].as_str().or(explained["chances"]["v1"].as_f64().map(|_| "v1"));
        assert_eq!(picked, Some(version), "{sent} is decided as {read} is: {explained}");
        let seen: Vec<_> = origins.iter().flat_map(|origin| origin.forget().0).collect();
        let targets: Vec<_> = seen.iter().map(Seen::target).collect();
        assert_eq!(targets, [read], "one request, of what was decided on");
        section.add(
            9,
            &shown(":path", sent),
            &format!("200, of {version} as {read} is"),
            &conformance::saw(&seen, &[]),
        );
    }
    assert_eq!(proxy.explain("/admin#b")["problems"][0]["where"], "path", "nobody is told of a target that cannot be");
    section.check();
}

#[test]
fn headers_of_streams() {
    let get = |fields: &[(&str, &str)]| request(fields);
    Both::new().run([
        Case::malformed(11, get(&[("connection", "close")])),
        Case::malformed(11, get(&[("keep-alive", "timeout=5")])),
        Case::malformed(11, get(&[("proxy-connection", "keep-alive")])),
        Case::malformed(11, get(&[("upgrade", "websocket")])),
        Case::malformed(11, get(&[("te", "gzip")])),
        Case::forwarded(11, get(&[("te", "trailers")]), &["te: trailers"], &[]),
        Case::malformed(11, get(&[("X-Upper", "1")])),
        Case::malformed(11, get(&[("x-end", "1\r\nx-smuggled: 1")])),
        Case::forwarded(11, get(&[("proxy-authorization", "Basic eDp5")]), &[], &["proxy-authorization"]),
        Case::forwarded(12, get(&[("x-forwarded-for", "6.6.6.6")]), &["x-forwarded-for: 127.0.0.1"], &[]),
        Case::forwarded(12, get(&[("forwarded", "for=6.6.6.6")]), &[], &["forwarded: for=6.6.6.6"]),
        Case::forwarded(13, get(&[("x_forwarded_for", "6.6.6.6")]), &[], &["x_forwarded_for"]),
        Case::refused(13, get(&vec![("x-many", "1"); 101]), "431 head_too_large"),
        Case::refused(13, get(&[("x-big", &"b".repeat(33_000))]), "431 head_too_large"),
        Case::refused(13, get(&[(":path", &format!("/{}", "t".repeat(9_000)))]), "414 target_too_long"),
        Case::forwarded(15, get(&[("http2-settings", "AAMAAABk")]), &[], &["http2-settings"]),
        Case::refused(15, get(&[(":method", "CONNECT"), (":protocol", "foo")]), "405 method_not_allowed"),
        Case::malformed(15, get(&[(":protocol", "websocket")])),
        Case::forwarded(16, upload(&[("expect", "100-continue")], "hello"), &["|hello"], &["expect"]),
    ]);
}

/// A head that does not end is no way to our memory (CVE-2024-27316), nor are frames that say nothing.
#[test]
fn floods_of_frames_end_the_connection() {
    let mut section = Section::of_this_test();
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    let head = || frames::endless_head(&request(&[]).head);
    let large = frames::block(&[("x".to_owned(), "y".repeat(16_000))]);
    let full = frames::block(&[("x".to_owned(), "y".repeat(1_000))]);
    for (case, kind, payload, count) in [
        ("HEADERS, and 1,000 CONTINUATION of 16 kB without an end", CONTINUATION, &large, 1_000),
        ("HEADERS, and 10,000 CONTINUATION of 1 kB without an end", CONTINUATION, &full, 10_000),
        ("HEADERS, and 50,000 empty CONTINUATION without an end", CONTINUATION, &Vec::new(), 50_000),
    ] {
        let bytes = [head(), frame(kind, 0, 1, payload).repeat(count)].concat();
        let came = frames::send(proxy.address, &bytes);
        // The rest of the flood may turn the last word into a reset.
        assert!(matches!(came, Came::GoAway(_) | Came::Ended(crate::support::End::Reset)), "{case}: {came:?}");
        section.add(22, case, "the connection is closed", "nothing");
    }
    assert!(origin.seen().is_empty());
    let usual = frames::send(proxy.address, &request(&[]).bytes());
    assert_eq!(usual, Came::Answer("ok".to_owned()), "others are unharmed");
    section.check();
}
