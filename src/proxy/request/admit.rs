//! The first step: is this a request that may be forwarded at all? Rules 1 to 13 of what a proxy on hyper must do by
//! itself, in one pass over the head; the steps after it can rely on one valid host, an origin-form target, framing
//! that means one thing, and a known client.

pub(crate) mod authority;
pub(crate) mod client_address;
pub(crate) mod connection_header;
pub(crate) mod host;
pub(crate) mod resolved_target;

use std::net::IpAddr;

use http::{Method, Version};
use ipnet::IpNet;

use self::host::Host;
use super::local_reply::LocalReply;
use crate::message::known_headers::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use crate::message::{HeaderSet, HeaderSpan, Headers, RequestHead};
use crate::stats::RejectReason;

/// The schemes of targets.
const HTTP: &[u8] = b"http";

/// See [`HTTP`].
const HTTPS: &[u8] = b"https";

/// What a listener takes.
#[derive(Clone, Debug)]
pub struct AdmitSettings {
    /// The longest target, in bytes.
    pub target_bytes_max: usize,
    /// Whether a target must be by the letter of RFC 3986.
    pub strict_targets: bool,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether it speaks TLS.
    pub https: bool,
    /// The port of the https URLs that every request is sent to, if none is forwarded.
    pub redirect_https: Option<u16>,
}

impl AdmitSettings {
    /// Whether what `peer` says of its clients is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|block| block.contains(&peer))
    }
}

/// What is known of a head besides what its lines say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireFacts {
    /// HTTP/1.
    Http1 {
        /// Whether the target had a fragment, which the URI type drops.
        fragment: bool,
    },
    /// HTTP/2.
    Http2 {
        /// Whether it has no more lines and bytes than a head may have.
        fits: bool,
    },
}

/// How the body of a request is framed: derived once, written anew to the upstream, never copied from the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyFraming {
    /// No body.
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What a good head says.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Where the host stands among the headers, as the client wrote it, with its port: what the upstream sees as
    /// `Host`. An HTTP/1.0 request may have none.
    pub host: Option<HeaderSpan>,
    /// How long its name is: what stands before the port.
    pub host_name_bytes: usize,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// Whether the connection speaks TLS.
    pub https: bool,
    /// Whether the user's connection does, as far as is known: ours, or that of a trusted proxy which says so.
    pub secure: bool,
    /// The client's address.
    pub client: IpAddr,
    /// How the body is framed.
    pub body: BodyFraming,
}

impl Admitted {
    /// The host's name without its port; empty if there is none. `headers` are those that were admitted.
    #[must_use]
    pub fn host_name<'h>(&self, headers: &'h Headers) -> &'h str {
        let name = self.host.map(|host| headers.text(host.first(self.host_name_bytes)));
        name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("")
    }
}

/// Checks a head. One whose host stands in its target alone gets a line that says the same.
///
/// `seen` is what the connection saw of it, `body` how its body will be read.
///
/// # Errors
/// The [`LocalReply`] of the first rule that the head breaks.
pub fn admit(
    head: &mut RequestHead,
    seen: WireFacts,
    body: BodyFraming,
    peer: IpAddr,
    settings: &AdmitSettings,
) -> Result<Admitted, LocalReply> {
    method(&head.method)?;
    match seen {
        WireFacts::Http1 { fragment } => framing_headers(head, fragment)?,
        WireFacts::Http2 { fits } => http2_head(head, fits)?,
    }
    let trusted = settings.trusts(peer);
    let by_https = trusted
        && head.target.scheme().is_some_and(|found| found.eq_ignore_ascii_case(HTTPS))
        && head.version != Version::HTTP_2;
    let (host, host_name_bytes) = host(head, settings.https || by_https)?;
    target(head, settings, trusted)?;
    if head.headers.has(HeaderSet::CONNECTION) {
        connection_header::check(&head.headers)?;
    }
    let client = if trusted { client_address::behind(peer, &head.headers, &settings.trusted_proxies) } else { peer };
    let https = settings.https;
    let secure = https || by_https || trusted && client_address::came_by_https(&head.headers);
    Ok(Admitted { host, host_name_bytes, trusted, https, secure, client: client.to_canonical(), body })
}

fn method(method: &Method) -> Result<(), LocalReply> {
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(LocalReply::new(RejectReason::MethodNotAllowed, "CONNECT and TRACE are not forwarded"));
    }
    Ok(())
}

/// Rules 2 and 13: the codec looks at the first length only, and has a bound of its own that responds without a reason.
fn http2_head(head: &RequestHead, fits: bool) -> Result<(), LocalReply> {
    if !fits {
        let detail = "the head has more bytes than proxy.head_bytes_max or more header lines than proxy.headers_max";
        return Err(LocalReply::new(RejectReason::HeadTooLarge, detail));
    }
    let mut lengths = head.headers.get_all(CONTENT_LENGTH);
    let good = lengths.next().is_none_or(|length| !length.is_empty() && length.iter().all(u8::is_ascii_digit));
    if !good || lengths.next().is_some() {
        return Err(LocalReply::new(RejectReason::BadFraming, "found a Content-Length that is not one number"));
    }
    Ok(())
}

/// Rules 1, 3, 4 and 9: one coding, `chunked`, or one length, never both; no fragment.
fn framing_headers(head: &RequestHead, fragment: bool) -> Result<(), LocalReply> {
    let bad = |detail| Err(LocalReply::new(RejectReason::BadFraming, detail));
    if fragment {
        return Err(LocalReply::new(RejectReason::BadTarget, "found a fragment in the target, want none"));
    }
    let has_length = head.headers.has(HeaderSet::CONTENT_LENGTH);
    if has_length && head.headers.get_all(CONTENT_LENGTH).nth(1).is_some() {
        return bad("found Content-Length more than once, want one");
    }
    if head.headers.has(HeaderSet::TRANSFER_ENCODING) {
        if has_length {
            return bad("found Content-Length and Transfer-Encoding, want one of them");
        }
        if head.version != Version::HTTP_11 {
            return bad("found Transfer-Encoding in an HTTP/1.0 request");
        }
        only_chunked(&head.headers)?;
    }
    Ok(())
}

fn only_chunked(headers: &Headers) -> Result<(), LocalReply> {
    let codings = || {
        let lines = headers.get_all(TRANSFER_ENCODING);
        lines.flat_map(|line| line.split(|b| *b == b',')).map(<[u8]>::trim_ascii)
    };
    if codings().any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked")) {
        let detail = "found a transfer coding other than chunked, want chunked alone";
        return Err(LocalReply::new(RejectReason::UnknownCoding, detail));
    }
    // `chunked, chunked` and `,chunked` are lists that another server may read in another way.
    if codings().count() != 1 {
        return Err(LocalReply::new(RejectReason::BadFraming, "found a list of transfer codings, want chunked alone"));
    }
    Ok(())
}

/// Rule 9: exactly one valid host, and no other one in the target. Returns where it stands, with the length of its
/// name.
fn host(head: &mut RequestHead, https: bool) -> Result<(Option<HeaderSpan>, usize), LocalReply> {
    let bad = |detail| LocalReply::new(RejectReason::BadHost, detail);
    let place = head.headers.find(HOST);
    if head.headers.get_all(HOST).nth(1).is_some() {
        return Err(bad("found several Host headers, want one"));
    }
    let in_line = match place {
        Some(place) => {
            let line = of_line(head.headers.text(place));
            Some(line.ok_or_else(|| bad("found a Host that is not `name` or `name:port`"))?)
        }
        None if head.version == Version::HTTP_11 => return Err(bad("found no Host header, want one")),
        None if head.version == Version::HTTP_2 && head.target.authority().is_none() => {
            return Err(bad("found neither :authority nor Host, want one"));
        }
        None => None,
    };
    let Some(authority) = head.target.authority() else {
        return Ok((place, in_line.map_or(0, |host| host.name.len())));
    };
    let in_target = of_line(authority).ok_or_else(|| bad("the target's authority is not a host"))?;
    match in_line {
        Some(host) if host.same_as(&in_target, https) => Ok((place, host.name.len())),
        Some(_) => Err(bad("the Host header and the target name different hosts")),
        None => {
            let name_bytes = in_target.name.len();
            head.headers.append(HOST, authority);
            Ok((head.headers.find(HOST), name_bytes))
        }
    }
}

/// The host that a line names. What of it is not ASCII is no host either.
fn of_line(line: &[u8]) -> Option<Host<'_>> {
    std::str::from_utf8(line).ok().and_then(Host::parse)
}

/// Rules 9 and 13: a path, not too long.
fn target(head: &RequestHead, settings: &AdmitSettings, trusted: bool) -> Result<(), LocalReply> {
    let bad = |detail| Err(LocalReply::new(RejectReason::BadTarget, detail));
    let (target, path) = (&head.target, head.target.path());
    if path.len() + target.query().map_or(0, <[u8]>::len) > settings.target_bytes_max {
        return Err(LocalReply::new(RejectReason::TargetTooLong, "the target is longer than this listener takes"));
    }
    // In HTTP/2 every request has one, and what it says is what the client believes, not how the bytes came. A proxy
    // that is trusted may tell by it how its client came.
    let own = if settings.https { HTTPS } else { HTTP };
    let web = |scheme: &[u8]| [HTTP, HTTPS].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let any_web = trusted || head.version == Version::HTTP_2;
    if target.scheme().is_some_and(|found| !(found.eq_ignore_ascii_case(own) || any_web && web(found))) {
        return bad("the target's scheme is not the one of this listener");
    }
    if path == b"*" {
        return bad("the target * has no service that could answer it");
    }
    if !path.starts_with(b"/") {
        return bad("the target has no path that begins with /");
    }
    if settings.strict_targets && !target.is_strict() {
        return bad("the target has a byte that RFC 3986 wants percent-encoded, and this listener is strict");
    }
    Ok(())
}
