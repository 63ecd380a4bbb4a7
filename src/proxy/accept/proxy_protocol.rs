//! The PROXY protocol, versions 1 and 2: who is really there, told by the load balancer in front before the first byte
//! of the connection itself (docs/http-rules.md#rule-14).
//!
//! Only where it is configured, only from the addresses that are, and then always: a listener that guessed would let
//! anybody write any address into our logs, rate limits and rules. [`parse`] is a pure function of the bytes so far.
//! [`read`] takes exactly the header from the socket and no byte more, so that whatever follows (TLS, HTTP/1, HTTP/2)
//! finds its first byte where it expects it: it peeks, and takes what is certain to be a part of the header. Reading
//! byte by byte would do as well and cost a system call a byte; reading ahead would need a buffer that every protocol
//! behind it has to look into.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stats::RejectReason;

/// The longest header of version 1, with its line end: what the specification says.
pub const V1_BYTES_MAX: usize = 107;

/// The first bytes of version 2: no text and no TLS record begins like this.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;

/// The longest header of version 2 that is taken. The length has room for 64 KiB; addresses take 36 bytes, and what
/// load balancers add (names, TLS facts, ids of networks) some hundred. A client certificate in it fits as well.
pub const V2_BYTES_MAX: usize = 16 * 1024;

/// How a listener takes the header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProxyProtocolPolicy {
    /// Who sends it. Connections of others are closed: they would otherwise be believed without it.
    pub from: Vec<IpNet>,
    /// Longest wait for the whole of it.
    pub timeout: Duration,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// A part of a header, all of it.
    Incomplete,
    /// A header of this many bytes.
    Header {
        /// The address of the client; `None` when the sender speaks for itself (a health check) or does not know.
        source: Option<IpAddr>,
        /// Its length.
        consumed: usize,
    },
    /// No header, and nothing that could become one.
    Invalid,
}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins_like = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
    if begins_like(V2_SIGNATURE) {
        return if bytes.len() < V2_SIGNATURE.len() { Parsed::Incomplete } else { parse_v2(bytes) };
    }
    if begins_like(b"PROXY ") {
        return parse_v1(bytes);
    }
    Parsed::Invalid
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.iter().position(|b| *b == b'\n') else {
        return if bytes.len() < V1_BYTES_MAX && is_v1_so_far(within) { Parsed::Incomplete } else { Parsed::Invalid };
    };
    let line = within[..end].strip_suffix(b"\r").filter(|line| !line.contains(&b'\r'));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    match line.and_then(v1_source) {
        Some(source) => Parsed::Header { source, consumed: end + 1 },
        None => Parsed::Invalid,
    }
}

/// Whether a line without its end may still become a header: a carriage return stands at its end only.
fn is_v1_so_far(line: &[u8]) -> bool {
    line.iter().position(|b| *b == b'\r').is_none_or(|at| at + 1 == line.len())
}

/// The source of a line; the outer `None` is a line that breaks the rules.
fn v1_source(line: &str) -> Option<Option<IpAddr>> {
    let rest = line.strip_prefix("PROXY ")?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        // Whatever follows has to be ignored.
        return Some(None);
    }
    let mut words = rest.split(' ');
    let mut next = || words.next();
    let (family, source, destination) = (next()?, next()?, next()?);
    let source: IpAddr = match family {
        "TCP4" => (source.parse::<Ipv4Addr>().ok()?, destination.parse::<Ipv4Addr>().ok()?).0.into(),
        "TCP6" => (source.parse::<Ipv6Addr>().ok()?, destination.parse::<Ipv6Addr>().ok()?).0.into(),
        _ => return None,
    };
    let (from, to) = (next()?, next()?);
    (is_port(from) && is_port(to) && next().is_none()).then_some(Some(source.to_canonical()))
}

/// A decimal number from 0 to 65535 without sign and leading zeros.
fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    digits && text.parse::<u16>().is_ok()
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let fixed = bytes.get(V2_SIGNATURE.len()..).unwrap_or_default();
    // What is there is judged at once: garbage must not be waited for.
    let command = match fixed.first() {
        Some(0x20) => ProxyCommand::Local,
        Some(0x21) => ProxyCommand::Proxy,
        Some(_) => return Parsed::Invalid,
        None => return Parsed::Incomplete,
    };
    let (Some(family), Some(length)) = (fixed.get(1), fixed.get(2..4)) else { return Parsed::Incomplete };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let consumed = V2_FIXED_BYTES + length;
    let Some(addresses) = command.address_bytes(*family) else { return Parsed::Invalid };
    if length < addresses || consumed > V2_BYTES_MAX {
        return Parsed::Invalid;
    }
    let Some(block) = bytes.get(V2_FIXED_BYTES..consumed) else { return Parsed::Incomplete };
    let source = match (command, addresses) {
        (ProxyCommand::Proxy, IPV4_BYTES) => block.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        (ProxyCommand::Proxy, IPV6_BYTES) => block.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        (ProxyCommand::Proxy | ProxyCommand::Local, _) => None,
    };
    Parsed::Header { source: source.map(|address| address.to_canonical()), consumed }
}

/// Two addresses and two ports.
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
/// Two paths.
const UNIX_BYTES: usize = 216;

/// On whose behalf the connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ProxyCommand {
    /// The sender's own: a health check.
    Local,
    /// A client's.
    Proxy,
}

impl ProxyCommand {
    /// How many bytes the addresses of a family take at least; `None` for what no connection of ours can be. The rest
    /// of the header is extensions, which are not read.
    fn address_bytes(self, family: u8) -> Option<usize> {
        match (self, family) {
            // The family of an own connection has to be ignored, an unspecified one has no addresses.
            (Self::Local, _) | (Self::Proxy, 0x00) => Some(0),
            (Self::Proxy, 0x11) => Some(IPV4_BYTES),
            (Self::Proxy, 0x21) => Some(IPV6_BYTES),
            // A client of the sender that has no IP address.
            (Self::Proxy, 0x31) => Some(UNIX_BYTES),
            // Datagrams, and what the specification does not know.
            (Self::Proxy, _) => None,
        }
    }
}

/// Takes the header off `stream`, which comes from `peer`, and gives the address that the connection is to be
/// accounted to.
///
/// # Errors
/// Why the connection has to be closed; `None` when it ended before its first byte, as health checks do.
pub(crate) async fn read(
    stream: &mut TcpStream,
    peer: IpAddr,
    how: &ProxyProtocolPolicy,
) -> Result<IpAddr, Option<RejectReason>> {
    let peer = peer.to_canonical();
    if !how.from.iter().any(|block| block.contains(&peer)) {
        return Err(Some(RejectReason::ProxyHeaderForeign));
    }
    match timeout(how.timeout, take(stream)).await {
        Ok(Ok(source)) => Ok(source.unwrap_or(peer)),
        Ok(Err(refused)) => Err(refused),
        Err(_elapsed) => Err(Some(RejectReason::ProxyHeaderTimeout)),
    }
}

async fn take(stream: &mut TcpStream) -> Result<Option<IpAddr>, Option<RejectReason>> {
    let gone = |_: io::Error| None;
    let mut bytes = Vec::new();
    loop {
        let known = bytes.len();
        // Room for nearly every header at once; a longer one doubles it.
        bytes.resize((2 * known).clamp(256, V2_BYTES_MAX), 0);
        let seen = stream.peek(&mut bytes[known..]).await.map_err(gone)?;
        bytes.truncate(known + seen);
        let parsed = parse(&bytes);
        let ours = match parsed {
            Parsed::Invalid => return Err(Some(RejectReason::BadProxyHeader)),
            Parsed::Incomplete if seen == 0 => return Err((known > 0).then_some(RejectReason::BadProxyHeader)),
            Parsed::Incomplete => bytes.len(),
            Parsed::Header { consumed, .. } => consumed,
        };
        stream.read_exact(&mut bytes[known..ours]).await.map_err(gone)?;
        if let Parsed::Header { source, .. } = parsed {
            return Ok(source);
        }
    }
}

#[cfg(test)]
mod tests;
