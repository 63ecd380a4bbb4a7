//! A reading of HTTP/1.1 requests by the letter of RFC 9112, slow and plain, to hold the proxy against. Two liberties
//! of RFC 9112, 2.2 are taken because the proxy's HTTP library takes them: in a head a line may end with a bare line
//! feed, and empty lines before a request are skipped. Everything else that is not in the grammar is no request.

use super::Bytes;
use super::message::{Message, Payload};

/// The next request of a connection.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// A request.
    Good(Box<Request>),
    /// Bytes that are none, or whose end is anybody's guess: why, and whether the method is `HEAD`.
    Bad(&'static str, bool),
    /// The beginning of one.
    Cut(bool),
    /// Nothing.
    Nothing,
}

/// A request, and what of its writing matters.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) message: Message,
    /// Lines that frame it, as the proxy's tracker counts them.
    pub(super) lengths: u8,
    pub(super) codings: u8,
    /// Why a proxy must not forward it all the same.
    pub(super) unlawful: Option<&'static str>,
    /// Whether the connection ends with it.
    pub(super) last: bool,
    /// Whether its body is known and the end of its trailers is not: they have a line feed alone. Nothing behind it may
    /// be read as a request.
    pub(super) open_end: bool,
}

/// All requests up to the first that is not good, which is the last element, never a good one.
pub(super) fn requests(mut bytes: &[u8]) -> Vec<Reading> {
    let mut readings = Vec::new();
    loop {
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
        let to_head = bytes[start..].starts_with(b"HEAD ");
        let mut cursor = Cursor { rest: bytes };
        match cursor.request() {
            Ok(Some(request)) => {
                let open_end = request.open_end;
                readings.push(Reading::Good(Box::new(request)));
                if open_end {
                    return [readings, vec![Reading::Bad(ALONE, to_head)]].concat();
                }
            }
            Ok(None) => return [readings, vec![Reading::Nothing]].concat(),
            Err(Stop::Cut) => return [readings, vec![Reading::Cut(to_head)]].concat(),
            Err(Stop::Bad(why)) => return [readings, vec![Reading::Bad(why, to_head)]].concat(),
        }
        bytes = cursor.rest;
    }
}

const ALONE: &str = "a carriage return or a line feed alone";

enum Stop {
    Cut,
    Bad(&'static str),
}

struct Cursor<'a> {
    rest: &'a [u8],
}

fn is_token(bytes: &[u8]) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || special.contains(b))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

impl<'a> Cursor<'a> {
    fn request(&mut self) -> Result<Option<Request>, Stop> {
        let first = loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            match self.line(true)? {
                [] => {}
                line => break line,
            }
        };
        let (method, target, version) = request_line(first)?;
        let fields = self.fields(true)?;
        let values = |name: &str| {
            fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.0.as_slice()).collect::<Vec<_>>()
        };
        let (hosts, lengths, codings) = (values("host"), values("content-length"), values("transfer-encoding"));
        let (body, open_end) = self.body(&lengths, &codings, version)?;
        let host = hosts.first().map(|host| String::from_utf8_lossy(host).into_owned());
        let (target, authority) = origin_form(&target);
        let unlawful = if target.contains(&b'#') || authority.as_ref().is_some_and(|authority| authority.contains('#'))
        {
            Some("a fragment")
        } else if hosts.len() > 1 || (hosts.is_empty() && version == 11) {
            Some("not exactly one host")
        } else if authority.is_some() && host.is_some() && !same_host(authority.as_deref(), host.as_deref()) {
            Some("two hosts")
        } else if !target.starts_with(b"/") {
            Some("no origin form")
        } else {
            None
        };
        let count = |lines: &[&[u8]]| u8::try_from(lines.len()).unwrap_or(u8::MAX);
        let (lengths, codings) = (count(&lengths), count(&codings));
        let fields = fields.into_iter().filter(|(name, _)| name != "host").collect();
        let message = Message { method, authority: host.or(authority), target: Bytes(target), fields, body };
        let keeps = version == 11 || message.list("connection").iter().any(|token| token == "keep-alive");
        let last = message.is_last() || !keeps;
        Ok(Some(Request { message, lengths, codings, unlawful, last, open_end }))
    }

    /// A line without its end.
    fn line(&mut self, bare: bool) -> Result<&'a [u8], Stop> {
        let end = self.rest.iter().position(|b| *b == b'\n').ok_or(Stop::Cut)?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        match line.strip_suffix(b"\r") {
            Some(line) if !line.contains(&b'\r') => Ok(line),
            None if bare && !line.contains(&b'\r') => Ok(line),
            _ => Err(Stop::Bad(ALONE)),
        }
    }

    /// Lines up to an empty one.
    fn fields(&mut self, bare: bool) -> Result<Vec<(String, Bytes)>, Stop> {
        let mut fields = Vec::new();
        loop {
            let line = self.line(bare)?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|b| *b == b':').ok_or(Stop::Bad("a line without a colon"))?;
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            if !is_token(name) || value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
                return Err(Stop::Bad("a name or a value with what it may not have"));
            }
            fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), Bytes(value.to_vec())));
        }
    }

    fn body(&mut self, lengths: &[&[u8]], codings: &[&[u8]], version: u8) -> Result<(Payload, bool), Stop> {
        match (lengths, codings) {
            ([], []) => Ok((Payload::None, false)),
            ([length], []) => {
                if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                    return Err(Stop::Bad("a length that is no number"));
                }
                let length = String::from_utf8_lossy(length)
                    .parse::<usize>()
                    .ok()
                    .ok_or(Stop::Bad("a length beyond all bounds"))?;
                Ok((Payload::Whole(Bytes(self.take(length)?.to_vec())), false))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == 11 => self.chunks(),
            _ => Err(Stop::Bad("framed in more than one way, or in none that is known")),
        }
    }

    fn chunks(&mut self) -> Result<(Payload, bool), Stop> {
        let mut pieces = Vec::new();
        loop {
            let line = self.line(false)?;
            let size = trim(line.split(|b| *b == b';').next().unwrap_or_default());
            if line.first().is_none_or(|b| !b.is_ascii_hexdigit()) || !size.iter().all(u8::is_ascii_hexdigit) {
                return Err(Stop::Bad("a chunk without a size"));
            }
            let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16)
                .ok()
                .ok_or(Stop::Bad("a chunk beyond all bounds"))?;
            if size == 0 {
                return match self.fields(false) {
                    Ok(trailers) => Ok((Payload::Pieces(pieces, trailers), false)),
                    Err(Stop::Bad(ALONE)) => Ok((Payload::Pieces(pieces, Vec::new()), true)),
                    Err(stop) => Err(stop),
                };
            }
            pieces.push(Bytes(self.take(size)?.to_vec()));
            if self.rest.len() < 2 {
                return Err(if b"\r\n".starts_with(self.rest) {
                    Stop::Cut
                } else {
                    Stop::Bad("a chunk that does not end")
                });
            }
            if self.take(2)? != b"\r\n" {
                return Err(Stop::Bad("a chunk that does not end"));
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Stop::Cut)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Method, target, and the version as 10 or 11.
fn request_line(line: &[u8]) -> Result<(String, Vec<u8>, u8), Stop> {
    let words: Vec<_> = line.split(|b| *b == b' ').collect();
    let [method, target, version] = words[..] else { return Err(Stop::Bad("no request line")) };
    let version = match version {
        b"HTTP/1.1" => 11,
        b"HTTP/1.0" => 10,
        _ => return Err(Stop::Bad("a version that is not known")),
    };
    if !is_token(method) || target.is_empty() || target.iter().any(|b| *b <= 0x20 || *b == 0x7f) {
        return Err(Stop::Bad("a method or a target with what it may not have"));
    }
    Ok((String::from_utf8_lossy(method).into_owned(), target.to_vec(), version))
}

/// The path of a target, and the authority that stands before it.
fn origin_form(target: &[u8]) -> (Vec<u8>, Option<String>) {
    let scheme = b"http://";
    let Some((start, rest)) = target.split_at_checked(scheme.len()) else { return (target.to_vec(), None) };
    if !start.eq_ignore_ascii_case(scheme) {
        return (target.to_vec(), None);
    }
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
    ([slash, path].concat(), Some(String::from_utf8_lossy(authority).into_owned()))
}

fn same_host(one: Option<&str>, other: Option<&str>) -> bool {
    let plain = |host: Option<&str>| {
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name.to_owned(), port.trim_start_matches('0').to_owned()),
            _ => (host, String::new()),
        };
        (name, if port.is_empty() { "80".to_owned() } else { port })
    };
    plain(one) == plain(other)
}
