//! The page `docs/conformance.md`: what the proxy answered to each case, and what its origin saw, written by the tests
//! that check it. A test compares its own section with the page; with `UPDATE_GOLDEN` it writes the section anew.
//!
//! The page itself is the golden file, so that two need not be kept in step; and a section is one test's, found by the
//! place it was called from, so that no test has to say its name twice.

use std::collections::BTreeMap;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::origin::Seen;
use super::peers::{self, Measured};

/// What stands above the sections.
const PREFACE: &str = "# Conformance

What Pointsman answers to requests and answers of all kinds, and what its origin saw of them. **This page is written by
the tests** (`make golden`), and each test compares its section with it: what stands here is what the proxy does.

Every case that is a request was also sent through a proxy whose origin speaks HTTP/2 and came to the same, but for what
only HTTP/1.1 has; so did those that are streams of HTTP/2 (`conformance_h2`), which show what differs from a plain `GET /`
for host `a`.

- *Rule* is the number of the rule in the list below; *case* is what the client sent, on one connection, or what the origin
  answered (after `origin:`). `\u{23ce}` is CR LF, `{n}` repeats the byte before it.
- *Answer* is the status and the reason word of the proxy's own answers; *closed* and *kept* say what was checked of the
  connection afterwards.
- *The origin saw* is the request line, the framing, the body in quotes, the headers that the case is about, and trailers
  after a `+`.
- The columns of other proxies were measured on the same bytes in front of the same origin (`make peers`) with the versions
  in their titles, in their smallest configuration (`tests/it/support/peers.rs`): their answer, and what the origin saw where
  it differs from ours. An empty cell was not measured. A different answer is not by itself a fault.

[The rules](http-rules.md): 1 lengths, 2 lengths in HTTP/2, 3 and 4 transfer codings, 5 bodies kept and empty ones, 6 answers, 7 broken
bodies, 8 trailers, 9 host and target, 10 paths, 11 `Connection`, 12 forwarding headers, 13 limits and names, 14 the PROXY
protocol, 15 upgrades, 16 `Expect`, 17 gRPC, 18 the choice of the protocol, 19 time, 20 refused bodies, 21 memory, 22 floods
in HTTP/2, 23 descriptors, 24 panics, 25 retries, 26 reuse of connections, 27 faults, 28 ends, 29 restarts, 30 caches. Those without a
row: 17, 21, 23 and 28 to 30, whose tests `ELSEWHERE` in `tests/it/http/conformance.rs` names.

One deviation: a fragment in a target is answered with 400 (rule 9) over HTTP/1.1 only. In the `:path` of HTTP/2 it is cut
off by the type that the codec parses the target into, before the request is handed over, and nothing keeps the raw bytes.
That is safe, because there is one reading: rules, limits, the access log, `explain` and the origin all get the target without
the fragment, and nothing behind a `#` can make them differ (`a_fragment_is_gone_before_anybody_reads_the_target`).

What else the library of HTTP/2 (`h2` 0.4.20) decides before a request is handed over (`h2::streams`). What is refused is refused whole:
the origin gets nothing of it, or nothing that looks like all of it.

- Targets: `\"` in a path, `{`, `}`, `|`, `^`, `\\` and UTF-8 pass as they do over HTTP/1.1. `<` and `>`, a backtick in a path, `\"` in a
  query, spaces and controls, which HTTP/1.1 may take or refuses with 400, reset the stream with `PROTOCOL_ERROR`. Bytes that are not
  UTF-8 end the connection with that code.
- Trailers: a pseudo-header at their beginning is dropped and the rest passes; behind an ordinary field it resets the stream, and
  one that HTTP/2 does not know ends the connection. None is ever forwarded.

`h2spec` 2.x in its strict mode (`h2spec -S -h HOST -p PORT`, and `-t -k` over TLS): 147 of 147, in plain text with prior knowledge
and over TLS, in front of origins of HTTP/1.1 and HTTP/2. Where the proxy has answered before the trailers of a request come, because
no endpoint takes connections, it is 146: those trailers are malformed, and the stream they belong to is answered already.

The test suite of Autobahn for WebSockets, 269 cases through the proxy to an echo server of its own: none fails, and all close well. 9
pass as `NON-STRICT`, 7 of which do so on a direct connection; the other two (4.1.5, 4.2.5) send a message and a frame that has to end
the connection octet by octet. Through the proxy the octets come in fewer pieces, and that server gives up what it has not sent when it
ends a connection.
";

/// One line of the page.
pub(crate) struct Row {
    pub(crate) rule: u8,
    pub(crate) case: String,
    pub(crate) answer: String,
    pub(crate) saw: String,
}

/// The rows of one test.
pub(crate) struct Section {
    title: String,
    rows: Vec<Row>,
    /// Whether the same bytes mean the same to other proxies, which are set up in the common way.
    compared: bool,
}

static PAGE: Mutex<()> = Mutex::new(());

impl Section {
    /// The section of the test that calls this.
    #[track_caller]
    pub(crate) fn of_this_test() -> Self {
        Self::at(Location::caller())
    }

    /// The section of the test that a place is in.
    pub(crate) fn at(place: &Location<'_>) -> Self {
        Self { title: title(place), rows: Vec::new(), compared: true }
    }

    /// The same for a proxy with settings that the others would need as well.
    pub(crate) fn of_a_setup_at(place: &Location<'_>) -> Self {
        Self { compared: false, ..Self::at(place) }
    }

    /// A row.
    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// A row; `case`, `answer` and `saw` in words.
    pub(crate) fn add(&mut self, rule: u8, case: &str, answer: &str, saw: &str) {
        let (case, answer, saw) = (case.to_owned(), answer.to_owned(), saw.to_owned());
        self.rows.push(Row { rule, case, answer, saw });
    }

    /// Compares the section with the page, or writes it.
    #[track_caller]
    pub(crate) fn check(self) {
        let Some(rule) = self.rows.iter().map(|row| row.rule).min() else { return };
        let found = self.text();
        let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::fs::read_to_string(path()).unwrap_or_default();
        let mut sections = sections(&text);
        let key = (rule, self.title.clone());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            sections.retain(|(_, title), _| *title != self.title);
            sections.insert(key, found);
            let body: Vec<_> = sections.into_values().collect();
            std::fs::write(path(), format!("{PREFACE}\n{}", body.join("\n"))).unwrap();
            return;
        }
        let wanted = sections.remove(&key).unwrap_or_default();
        let different: Vec<_> = found.lines().filter(|line| !wanted.lines().any(|other| other == *line)).collect();
        assert!(
            found == wanted,
            "docs/conformance.md says something else of {} (`make golden` writes it anew; read the difference):\n{}",
            self.title,
            different.join("\n")
        );
    }

    fn text(&self) -> String {
        let mut measured = peers::measured();
        if !self.compared {
            measured.cases.clear();
        }
        let title: String = self.title.rsplit("::").next().unwrap_or_default().replace('_', " ");
        let names = measured.versions.iter().map(|(name, version)| format!(" {name} {version} |")).collect::<String>();
        let dashes = "---|".repeat(4 + measured.versions.len());
        let head = format!("| rule | case | answer | the origin saw |{names}\n|{dashes}\n");
        let rows: String = self.rows.iter().map(|row| row.text(&measured)).collect();
        format!("## {title}\n\n`{}`\n\n{head}{rows}", self.title)
    }
}

impl Row {
    fn text(&self, measured: &Measured) -> String {
        let peers: String = measured.versions.keys().map(|peer| format!(" {} |", self.peer(measured, peer))).collect();
        format!("| {} | {} | {} | {} |{peers}\n", self.rule, code(&self.case), self.answer, code(&self.saw))
    }

    /// What a peer did, short where it is what we did.
    fn peer(&self, measured: &Measured, peer: &str) -> String {
        let found = measured.cases.iter().find(|case| case.rule == self.rule && case.case == self.case);
        let Some((answer, saw)) = found.and_then(|case| case.peers.get(peer)) else { return String::new() };
        let refused = saw == "nothing" && !answer.starts_with('2');
        if refused || *saw == self.saw { answer.clone() } else { format!("{answer}; {}", code(saw)) }
    }
}

/// All sections of a page, by their lowest rule and their test.
pub(crate) fn sections(page: &str) -> BTreeMap<(u8, String), String> {
    let sections = page.split("\n## ").skip(1).map(|text| {
        let title = text.lines().nth(2).unwrap_or_default().trim_matches('`').to_owned();
        let rules = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok());
        ((rules.min().unwrap_or(0), title), format!("## {}\n", text.trim_end()))
    });
    sections.collect()
}

/// Where the page is.
pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md")
}

/// `folder::file::function` of a place in the tests.
pub(crate) fn title(place: &Location<'_>) -> String {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(place.file())).unwrap();
    let above = source.lines().take(place.line() as usize).filter_map(|line| line.strip_prefix("fn "));
    let name = above.last().and_then(|rest| rest.split(['(', '<']).next()).unwrap_or("unknown").to_owned();
    let file = place.file().trim_end_matches(".rs").split("tests/it/").last().unwrap_or_default().replace('/', "::");
    format!("{file}::{name}")
}

/// Bytes as a cell shows them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const RUN_MIN: usize = 12;
    const CHARS_MAX: usize = 240;
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|b| *b == first).count();
        let taken = if run >= RUN_MIN {
            text.push_str(&format!("{}{{{run}}}", escaped(&rest[..1])));
            run
        } else if rest.starts_with(b"\r\n") {
            text.push('\u{23ce}');
            2
        } else {
            let one = std::str::from_utf8(rest).map_or_else(|e| e.valid_up_to(), str::len);
            let width =
                std::str::from_utf8(&rest[..one]).ok().and_then(|text| text.chars().next()).map_or(1, char::len_utf8);
            text.push_str(&escaped(&rest[..width]));
            width
        };
        rest = &rest[taken..];
        if text.chars().count() > CHARS_MAX {
            text.push_str(&format!("... ({} bytes)", bytes.len()));
            break;
        }
    }
    text
}

fn escaped(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control()) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// A cell in the face of code. What would end the cell or the code is written otherwise.
fn code(text: &str) -> String {
    match text {
        "nothing" | "no whole request" => text.to_owned(),
        _ => format!("`` {} ``", text.replace('|', "\\|").replace('`', "\\x60")),
    }
}

/// What an origin saw, with the headers that matter.
pub(crate) fn saw(seen: &[Seen], names: &[String]) -> String {
    let all: Vec<_> = seen.iter().map(|seen| saw_one(seen, names)).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(" and ") }
}

fn saw_one(seen: &Seen, names: &[String]) -> String {
    let line = seen.line();
    let mut parts = vec![shown(line.strip_suffix(" HTTP/1.1").unwrap_or(line).as_bytes())];
    for name in ["content-length", "transfer-encoding"].into_iter().chain(names.iter().map(String::as_str)) {
        let values = seen.head.all(name);
        parts.extend(values.iter().map(|value| format!("{name}: {}", shown(value.as_bytes()))));
        if values.is_empty() && names.iter().any(|wanted| wanted == name) {
            parts.push(format!("no {name}"));
        }
    }
    if !seen.body.bytes.is_empty() {
        parts.push(format!("\"{}\"", shown(&seen.body.bytes)));
    }
    parts.extend(seen.body.trailers.iter().map(|(name, value)| format!("+{name}: {value}")));
    if !seen.whole {
        parts.push("cut off".to_owned());
    }
    parts.join("; ")
}
