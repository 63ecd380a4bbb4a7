//! Requests of our own that a candidate has to answer well before users' requests reach it.
//!
//! They are met by an endpoint as users' requests are, in the version's protocol and TLS, but go straight to it: no
//! route, no split, no count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;

use super::client::{BodyWanted, ExchangeError, ExchangeLimits, Peer, Question};
use super::excerpt::first;
use crate::rollout::release::SmokeRequest;
use crate::table::spec::VersionSpec;
use crate::table::spec::health_check::StatusRange;
use crate::tls::Clients;

/// Who asks: origins tell these from users by it.
const AGENT: &str = concat!("pointsman-smoke/", env!("CARGO_PKG_VERSION"));

/// As much of a body is looked at; a page is smaller, and a download is no smoke request.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// As much of it is told in an error.
const TOLD_CHARS_MAX: usize = 200;

/// A request that was not answered as it should be.
#[derive(Debug, thiserror::Error)]
#[error("smoke request {number} ({method} {path}) to {endpoint}")]
pub(crate) struct SmokeError {
    /// Which one, from 1.
    pub number: usize,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// Whom it was sent to.
    pub endpoint: SocketAddr,
    /// What came in place of what is wanted.
    #[source]
    pub fault: SmokeFault,
}

/// What came in place of a good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SmokeFault {
    /// No answer.
    #[error(transparent)]
    Exchange(ExchangeError),
    /// Not all of it in time.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// Another status.
    #[error("status {}, want {want}{}", .found.as_u16(), and_body(.body))]
    Status {
        /// The status.
        found: StatusCode,
        /// The good ones.
        want: String,
        /// The beginning of the body.
        body: String,
    },
    /// Another body.
    #[error("found the body {found:?}, want a match of {want:?} in its first 64 KiB")]
    Body {
        /// Its beginning.
        found: String,
        /// The pattern.
        want: String,
    },
}

impl From<ExchangeError> for SmokeFault {
    fn from(error: ExchangeError) -> Self {
        if let ExchangeError::Late(limit) = error { Self::Timeout(limit) } else { Self::Exchange(error) }
    }
}

/// Sends `requests` to an endpoint of `version`, one after the other, each over a connection of its own.
///
/// # Errors
/// [`SmokeError`] for the first that is not answered as it should be.
pub(crate) async fn check(
    requests: &[SmokeRequest],
    endpoint: SocketAddr,
    version: &VersionSpec,
    clients: &Arc<Clients>,
) -> Result<(), SmokeError> {
    let peer = Peer { address: endpoint, protocol: version.protocol, tls: version.tls.as_deref(), clients };
    for (index, request) in requests.iter().enumerate() {
        send(request, peer).await.map_err(|fault| SmokeError {
            number: index + 1,
            method: request.method.clone(),
            path: request.path.to_string(),
            endpoint,
            fault,
        })?;
    }
    Ok(())
}

async fn send(request: &SmokeRequest, peer: Peer<'_>) -> Result<(), SmokeFault> {
    let limits = ExchangeLimits { time: request.timeout, body: BodyWanted::Beginning(BODY_BYTES_MAX) };
    let answer = peer.ask(question(request, peer.address), limits).await?;
    judge(request, answer.head.status, &answer.body)
}

fn question(smoke: &SmokeRequest, address: SocketAddr) -> Question {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.method_mut() = smoke.method.clone();
    let headers = request.headers_mut();
    for (name, value) in &smoke.headers {
        headers.append(name, value.clone());
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    // An address with its port has no character that a header cannot have.
    let own = || HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static(""));
    let host = headers.remove(HOST).unwrap_or_else(own);
    Question { host, path: smoke.path.clone(), request }
}

fn judge(request: &SmokeRequest, found: StatusCode, body: &[u8]) -> Result<(), SmokeFault> {
    let expected = |range: &StatusRange| (range.first..=range.last).contains(&found.as_u16());
    if !request.expect.iter().any(expected) {
        let want = request.expect.iter().map(range).collect::<Vec<_>>().join(", ");
        return Err(SmokeFault::Status { found, want, body: first(body, TOLD_CHARS_MAX) });
    }
    match &request.body {
        Some(pattern) if !pattern.is_match(&String::from_utf8_lossy(body)) => {
            Err(SmokeFault::Body { found: first(body, TOLD_CHARS_MAX), want: pattern.to_string() })
        }
        _ => Ok(()),
    }
}

/// `204` or `200-299`
fn range(range: &StatusRange) -> String {
    let StatusRange { first, last } = range;
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn and_body(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("; its body begins with {body:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::chain;

    use http::{HeaderName, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use regex::Regex;
    use tokio::net::TcpListener;

    use super::super::fixture::{Server, ServerAct};
    use crate::table::Name;
    use crate::table::spec::Protocol;
    use crate::tls::{Alpn, ClientSettings, Trust};

    fn smoke(path: &'static str) -> SmokeRequest {
        SmokeRequest {
            method: Method::GET,
            path: path.parse().unwrap(),
            headers: Vec::new(),
            expect: vec![StatusRange::SUCCESS, StatusRange { first: 404, last: 404 }],
            body: None,
            timeout: Duration::from_secs(60),
        }
    }

    fn version() -> VersionSpec {
        VersionSpec::new(Name::new("v2").unwrap(), Vec::new())
    }

    /// Sends `request` to a server that acts like this.
    async fn sent(request: SmokeRequest, act: ServerAct) -> Result<(), String> {
        let server = Server::new([act]).await;
        let checked = check(&[request], server.address, &version(), &Arc::default()).await;
        checked.map_err(|error| chain(&error).replace(&server.address.to_string(), "ENDPOINT"))
    }

    fn with_body(pattern: &str) -> SmokeRequest {
        SmokeRequest { body: Some(Regex::new(pattern).unwrap()), ..smoke("/") }
    }

    #[tokio::test]
    async fn good_answers_pass_each_over_its_own_connection() {
        let mut server = Server::new([ServerAct::answer("200 OK", "hi"), ServerAct::answer("404 No", "")]).await;
        let host = (HeaderName::from_static("host"), HeaderValue::from_static("shop.example"));
        let agent = (USER_AGENT, HeaderValue::from_static("me"));
        let second = SmokeRequest { headers: vec![host, agent], method: Method::POST, ..smoke("/b?c=1") };
        check(&[smoke("/a"), second], server.address, &version(), &Arc::default()).await.unwrap();
        let (first, second) = (server.seen().await, server.seen().await);
        assert_eq!((first.line.as_str(), second.line.as_str()), ("GET /a HTTP/1.1", "POST /b?c=1 HTTP/1.1"));
        let address = server.address.to_string();
        assert_eq!((first.header("host"), first.header("user-agent")), (Some(address.as_str()), Some(AGENT)));
        assert_eq!((second.header("host"), second.header("user-agent")), (Some("shop.example"), Some("me")));
    }

    #[tokio::test]
    async fn the_first_bad_answer_says_which_and_why() {
        let server =
            Server::new([ServerAct::answer("200 OK", ""), ServerAct::answer("500 Oh", "no\ndb"), ServerAct::Hang])
                .await;
        let checked =
            check(&[smoke("/a"), smoke("/b"), smoke("/c")], server.address, &version(), &Arc::default()).await;
        let line = chain(&checked.unwrap_err());
        let wanted = format!(
            "smoke request 2 (GET /b) to {}: status 500, want 200-299, 404; its body begins with \"no | db\"",
            server.address
        );
        assert_eq!(line, wanted);
    }

    #[tokio::test]
    async fn the_body_has_to_match_in_its_beginning() {
        sent(with_body("^ver.*2$"), ServerAct::answer("200 OK", "version 2")).await.unwrap();
        let line = sent(with_body("3"), ServerAct::answer("200 OK", "version 2")).await.unwrap_err();
        let wanted = "smoke request 1 (GET /) to ENDPOINT: \
             found the body \"version 2\", want a match of \"3\" in its first 64 KiB";
        assert_eq!(line, wanted);
        // An endless one is read so far and no further.
        sent(with_body("abcdef"), ServerAct::Endless("200 OK")).await.unwrap();
        assert!(sent(with_body("x"), ServerAct::Endless("200 OK")).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_whole_answer_fails() {
        let hasty = || SmokeRequest { timeout: Duration::from_millis(200), ..smoke("/") };
        let slow_body = ServerAct::raw_open("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        for act in [ServerAct::Hang, slow_body] {
            let line = sent(hasty(), act).await.unwrap_err();
            assert_eq!(line, "smoke request 1 (GET /) to ENDPOINT: no whole answer within 200ms");
        }
        let broken = ServerAct::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        for act in [broken, ServerAct::raw("garbage\r\n\r\n"), ServerAct::raw("")] {
            let line = sent(smoke("/"), act).await.unwrap_err();
            assert!(line.contains("ENDPOINT: no HTTP answer: "), "{line}");
        }
        let error = check(&[smoke("/")], Server::nobody(), &version(), &Arc::default()).await.unwrap_err();
        assert!(chain(&error).contains(": no connection: "), "{}", chain(&error));
    }

    #[tokio::test]
    async fn http2_and_tls_are_spoken_as_the_version_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let echo = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
                Ok::<_, std::convert::Infallible>(Response::new(format!("{} {:?}", request.uri(), request.version())))
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(TokioIo::new(stream), echo).await
        });
        let host = (HOST, HeaderValue::from_static("shop.example"));
        let wanted = SmokeRequest { headers: vec![host], ..with_body("^http://shop.example/ HTTP/2.0$") };
        let spec = VersionSpec { protocol: Protocol::Http2, ..version() };
        check(&[wanted], endpoint, &spec, &Arc::default()).await.unwrap();

        let (mut server, ca) = Server::secure("shop.example", [ServerAct::answer("200 OK", "")]).await;
        let settings = Arc::new(ClientSettings {
            trust: Trust::Ca(ca.path().to_owned()),
            identity: None,
            server_name: Some("shop.example".to_owned()),
            alpn: vec![Alpn::Http11],
        });
        let clients = Arc::new(Clients::default());
        clients.prepare([("here".to_owned(), &settings)]).unwrap();
        let spec = VersionSpec { tls: Some(settings), ..version() };
        check(&[smoke("/tls")], server.address, &spec, &clients).await.unwrap();
        assert_eq!(server.seen().await.line, "GET /tls HTTP/1.1");
    }
}
