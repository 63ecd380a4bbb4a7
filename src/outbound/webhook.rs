//! A POST of JSON to the URL of a receiver, once.
//!
//! The server that is asked is not trusted with our time or memory: there is one limit for all of it, and of the answer
//! only the beginning is read. Redirects are not followed: a body that is signed for one place is not for wherever that
//! place points. The [client](super::client) connects, sends and reads; here stand the message, its signature and the
//! words of what goes wrong. In errors and logs a URL is its scheme and host, because the path of many is what lets one
//! in.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::client::{BodyWanted, ExchangeError, ExchangeLimits, OutboundAnswer};
use super::excerpt::first;
use super::sign::{SIGNATURE, TIMESTAMP, signature};
use super::url_target::{BadUrl, UrlTarget, place};
use crate::rollout::release::Webhook;
use crate::tls::Trust;

/// Who asks.
const AGENT: &str = concat!("pointsman-webhook/", env!("CARGO_PKG_VERSION"));

/// The header with the word for what happened.
pub(crate) const EVENT: &str = "x-pointsman-event";

/// The header with the message's number, by which a receiver knows one that it has already.
pub(crate) const DELIVERY: &str = "x-pointsman-delivery";

/// As much of an answer is read: enough for a reason.
const ANSWER_BYTES_MAX: usize = 4096;

/// As much of it is told in an error.
const TOLD_CHARS_MAX: usize = 200;

/// For the body of an answer whose status is there and decides.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// What is posted.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// The word for what happened, or is asked.
    pub event: &'a str,
    /// The message's number, the same each time that it is sent.
    pub id: &'a str,
    /// JSON.
    pub body: Bytes,
    /// What it is signed with, if it is.
    pub secret: Option<&'a [u8]>,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status, one of 2xx.
    pub status: StatusCode,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// No good answer.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL cannot be asked.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The event or the number cannot be in a header.
    #[error("found the event {event:?} with the id {id:?}, want visible characters")]
    Words {
        /// The event.
        event: String,
        /// The number.
        id: String,
    },
    /// The name is not known.
    #[error("{place}: cannot find its address")]
    Resolve {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No server there.
    #[error("{place}: no connection")]
    Connect {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The authorities cannot be read.
    #[error("{place}: no authorities to check its certificate with: {problems}")]
    Authorities {
        /// Where.
        place: String,
        /// What is wrong with them.
        problems: String,
    },
    /// No TLS.
    #[error("{place}: no TLS; is its certificate for this name, and its authority one that is trusted here?")]
    Tls {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not HTTP, or the end.
    #[error("{place}: no HTTP answer")]
    Http {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// What posts do not meet today, since they ask for the beginning of a body and are not met as endpoints are.
    #[error("{place}: no answer")]
    Exchange {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Too slow.
    #[error("{place}: no answer within {limit:?}")]
    Timeout {
        /// Where.
        place: String,
        /// The limit.
        limit: Duration,
    },
    /// An answer that is none of 2xx.
    #[error("{place}: status {}, want 2xx{said}", .status.as_u16())]
    Status {
        /// Where.
        place: String,
        /// The status.
        status: StatusCode,
        /// `: ` and a little of what came with it, or nothing.
        said: String,
    },
}

impl WebhookError {
    /// No answer of `target`, in the words for an operator who reads a log.
    fn of(error: ExchangeError, target: &UrlTarget<'_>) -> Self {
        let place = target.place.clone();
        match error {
            ExchangeError::Resolve(source) => Self::Resolve { place, source },
            ExchangeError::Connect(source) => Self::Connect { place, source },
            ExchangeError::HostName(_) => Self::Url(BadUrl { place, wanted: "want a host name or an address" }),
            ExchangeError::Files(_) | ExchangeError::Reader(_) => {
                Self::Authorities { place, problems: error.to_string() }
            }
            ExchangeError::Handshake(source) => Self::Tls { place, source },
            ExchangeError::Http(source) => Self::Http { place, source },
            ExchangeError::Late(limit) => Self::Timeout { place, limit },
            ExchangeError::Tls(_) | ExchangeError::TooLong(_) => Self::Exchange { place, source: error.into() },
        }
    }

    /// Whether the same may go well a little later, by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Url(_) | Self::Words { .. } => false,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Authorities { .. }
            | Self::Tls { .. }
            | Self::Http { .. }
            | Self::Exchange { .. }
            | Self::Timeout { .. } => true,
            // 408: too slow this time; 429: too many at this time. A server that redirects will go on to.
            Self::Status { status, .. } => status.is_server_error() || matches!(status.as_u16(), 408 | 429),
        }
    }
}

/// Posts.
#[derive(Clone, Debug)]
pub struct WebhookClient {
    /// Whose certificates are believed.
    trust: Trust,
}

impl Default for WebhookClient {
    fn default() -> Self {
        Self::new(Trust::System)
    }
}

impl WebhookClient {
    /// One that believes these authorities. They are read for each post: these are few, and a new authority counts at
    /// once.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self { trust }
    }

    /// Posts `delivery` to `webhook`, once.
    ///
    /// # Errors
    /// [`WebhookError`] unless the answer is one of 2xx in time.
    pub async fn post(&self, webhook: &Webhook, delivery: &Delivery<'_>) -> Result<Reply, WebhookError> {
        let target = UrlTarget::of(&webhook.url)?;
        let request = request(&target, delivery)?;
        self.send(target, request, webhook.timeout).await
    }

    /// Posts JSON with headers of the caller's own, once: what lets one in may be among them.
    ///
    /// # Errors
    /// [`WebhookError`] unless the answer is one of 2xx in time.
    pub(crate) async fn post_json(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        time: Duration,
    ) -> Result<Reply, WebhookError> {
        let target = UrlTarget::of(url)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(target.host());
        let host =
            host.map_err(|_bad| BadUrl { place: target.place.clone(), wanted: "want a host name or an address" })?;
        request.headers_mut().insert(HOST, host);
        let ours = [(USER_AGENT, AGENT), (CONTENT_TYPE, "application/json"), (CONNECTION, "close")];
        request.headers_mut().extend(ours.map(|(name, value)| (name, HeaderValue::from_static(value))));
        self.send(target, request, time).await
    }

    async fn send(
        &self,
        target: UrlTarget<'_>,
        request: Request<Full<Bytes>>,
        time: Duration,
    ) -> Result<Reply, WebhookError> {
        let body = BodyWanted::Glimpse { bytes_max: ANSWER_BYTES_MAX, wait: BODY_WAIT };
        let limits = ExchangeLimits { time, body };
        let asked = target.site(&self.trust).ask(request, limits).await;
        let OutboundAnswer { head, body } = asked.map_err(|error| WebhookError::of(error, &target))?;
        if head.status.is_success() {
            return Ok(Reply { status: head.status, body });
        }
        let said = said(head.status, &head.headers, &body);
        Err(WebhookError::Status { place: target.place, status: head.status, said })
    }
}

/// What an answer that is none of 2xx says of itself.
fn said(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    if status.is_redirection() {
        let location = headers.get(LOCATION).and_then(|location| Uri::try_from(location.as_bytes()).ok());
        let to = location.as_ref().filter(|location| location.host().is_some()).map(place);
        let to = to.map_or_else(String::new, |to| format!(" to {to}"));
        return format!(": it redirects{to}, which is not followed; give the final URL");
    }
    let text = first(body, TOLD_CHARS_MAX);
    if text.is_empty() { text } else { format!(": {text}") }
}

fn request(target: &UrlTarget<'_>, delivery: &Delivery<'_>) -> Result<Request<Full<Bytes>>, WebhookError> {
    let Delivery { event, id, body, secret } = delivery;
    let bad = |_| WebhookError::Words { event: (*event).to_owned(), id: (*id).to_owned() };
    let mut request = Request::post(target.url.path_and_query().map_or("/", |path| path.as_str()));
    if let Some(secret) = secret {
        let now_s = jiff::Timestamp::now().as_second();
        request = request.header(TIMESTAMP, now_s).header(SIGNATURE, signature(secret, now_s, body));
    }
    let request = request.header(EVENT, *event).header(DELIVERY, *id).header(HOST, target.host());
    let request = request.header(USER_AGENT, HeaderValue::from_static(AGENT));
    let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let request = request.header(CONNECTION, HeaderValue::from_static("close"));
    request.body(Full::new(body.clone())).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::fixture::{Server, ServerAct};
    use crate::problem::chain;

    const LONG: Duration = Duration::from_secs(60);

    fn delivery(secret: Option<&[u8]>) -> Delivery<'_> {
        Delivery { event: "finished", id: "d-1", body: Bytes::from_static(b"{\"a\":1}"), secret }
    }

    async fn post(url: &str, limit: Duration) -> Result<Reply, WebhookError> {
        let webhook = Webhook { url: url.parse().unwrap(), timeout: limit };
        WebhookClient::default().post(&webhook, &delivery(None)).await
    }

    /// What comes of a receiver that acts like this.
    async fn posted(act: ServerAct, limit: Duration) -> Result<Reply, WebhookError> {
        let server = Server::new([act]).await;
        post(&format!("http://{}/hook", server.address), limit).await
    }

    fn error_line(found: Result<Reply, WebhookError>) -> (bool, String) {
        let error = found.unwrap_err();
        let line = chain(&error);
        let (_, rest) = line.split_once("://").unwrap_or_default();
        (error.may_pass(), rest.split_once(": ").map_or(line.clone(), |(_, rest)| rest.to_owned()))
    }

    #[tokio::test]
    async fn a_message_is_posted_and_signed() {
        let mut server = Server::new([ServerAct::answer("200 OK", "fine")]).await;
        let url = format!("http://{}/hook?x=1", server.address).parse().unwrap();
        let webhook = Webhook { url, timeout: LONG };
        let reply = WebhookClient::default().post(&webhook, &delivery(Some(b"secret"))).await.unwrap();
        assert_eq!(reply, Reply { status: StatusCode::OK, body: b"fine".to_vec() });
        let seen = server.seen().await;
        assert_eq!((seen.line.as_str(), seen.body.as_str()), ("POST /hook?x=1 HTTP/1.1", "{\"a\":1}"));
        let header = |name| seen.header(name).unwrap();
        assert_eq!((header("host"), header("content-type")), (server.address.to_string().as_str(), "application/json"));
        assert_eq!((header(EVENT), header(DELIVERY), header("user-agent")), ("finished", "d-1", AGENT));
        let timestamp: i64 = header(TIMESTAMP).parse().unwrap();
        assert!((jiff::Timestamp::now().as_second() - timestamp).abs() < 600);
        assert_eq!(header(SIGNATURE), signature(b"secret", timestamp, b"{\"a\":1}"));
    }

    #[tokio::test]
    async fn without_a_secret_nothing_is_signed() {
        let mut server = Server::new([ServerAct::answer("204 No Content", "")]).await;
        post(&format!("http://{}", server.address), LONG).await.unwrap();
        let seen = server.seen().await;
        assert_eq!(seen.line, "POST / HTTP/1.1");
        assert_eq!((seen.header(SIGNATURE), seen.header(TIMESTAMP)), (None, None));
    }

    #[tokio::test]
    async fn other_answers_are_errors_that_say_a_little() {
        let long = "x".repeat(10_000);
        let cases = [
            (ServerAct::answer("500 Oh", "broken\n\u{7}"), true, "status 500, want 2xx: broken".to_owned()),
            (ServerAct::answer("503 No", ""), true, "status 503, want 2xx".to_owned()),
            (ServerAct::answer("404 No", &long), false, format!("status 404, want 2xx: {}…", "x".repeat(200))),
            (ServerAct::answer("408 Slow", ""), true, "status 408, want 2xx".to_owned()),
            (ServerAct::answer("429 Many", ""), true, "status 429, want 2xx".to_owned()),
            (
                ServerAct::raw("HTTP/1.1 302 Found\r\nlocation: https://u.example/secret\r\ncontent-length: 0\r\n\r\n"),
                false,
                "status 302, want 2xx: it redirects to https://u.example, which is not followed; give the final URL"
                    .to_owned(),
            ),
        ];
        for (act, may_pass, wanted) in cases {
            assert_eq!(error_line(posted(act, LONG).await), (may_pass, wanted));
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error_in_time() {
        let (may_pass, line) = error_line(posted(ServerAct::Hang, Duration::from_millis(200)).await);
        assert_eq!((may_pass, line.as_str()), (true, "no answer within 200ms"));
        for act in [ServerAct::raw("SSH-2.0-OpenSSH_9.6\r\n"), ServerAct::raw("")] {
            let (may_pass, line) = error_line(posted(act, LONG).await);
            assert!(may_pass && line.starts_with("no HTTP answer: "), "{line}");
        }
    }

    #[tokio::test]
    async fn an_endless_body_is_read_to_its_limit() {
        let reply = posted(ServerAct::Endless("200 OK"), LONG).await.unwrap();
        assert_eq!(reply.body.len(), ANSWER_BYTES_MAX);
        let (_, line) = error_line(posted(ServerAct::Endless("500 Oh"), LONG).await);
        assert!(line.starts_with("status 500, want 2xx: "), "{line}");
    }

    #[tokio::test]
    async fn the_status_decides_though_the_body_does_not_come() {
        let half = ServerAct::raw_open("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        // The first is before the wait for a body, the second after it.
        for limit in [Duration::from_millis(700), LONG] {
            let mut found = posted(half.clone(), limit).await;
            for _ in 0..5 {
                // On a busy machine not even the head may have come by then.
                if found.is_err() {
                    found = posted(half.clone(), limit).await;
                }
            }
            assert_eq!(found.unwrap().body, b"half");
        }
    }

    #[tokio::test]
    async fn urls_that_cannot_be_asked_are_refused_without_their_secrets() {
        let cases = [
            ("ftp://a.example/secret", "ftp://a.example: want a URL that begins with http:// or https://"),
            ("/secret", "://: want a URL that begins with http:// or https://"),
            (
                "https://me:secret@a.example:1/",
                "https://a.example:1: want no user name in the URL (sign the message instead, or put a token in the path)",
            ),
        ];
        for (url, wanted) in cases {
            let error = post(url, LONG).await.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.may_pass()), (wanted, false));
        }
        let closed = Server::nobody();
        let error = post(&format!("http://{closed}/secret"), LONG).await.unwrap_err();
        assert_eq!(error.to_string(), format!("http://{closed}: no connection"));
        let webhook = Webhook { url: format!("http://{closed}").parse().unwrap(), timeout: LONG };
        let bad = Delivery { event: "a\nb", ..delivery(None) };
        assert!(matches!(WebhookClient::default().post(&webhook, &bad).await, Err(WebhookError::Words { .. })));
    }

    #[tokio::test]
    async fn https_is_for_those_whose_authority_is_trusted() {
        let (mut server, ca) =
            Server::secure("localhost", [ServerAct::answer("200 OK", ""), ServerAct::answer("200 OK", "")]).await;
        let posted = async |host: &str, trust| {
            let url = format!("https://{host}:{}/", server.address.port()).parse().unwrap();
            WebhookClient::new(trust).post(&Webhook { url, timeout: LONG }, &delivery(None)).await
        };
        let trust = Trust::Ca(ca.path().to_owned());
        posted("localhost", trust.clone()).await.unwrap();
        let error = posted("127.0.0.1", trust).await.unwrap_err();
        assert!(matches!(error, WebhookError::Tls { .. }) && error.may_pass(), "{error}");
        let error = posted("localhost", Trust::Ca("/no/such/ca.pem".into())).await.unwrap_err();
        assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
        assert_eq!(server.seen().await.line, "POST / HTTP/1.1");
    }
}
