//! The two versions of a small shop that the demo releases: real HTTP servers on loopback, two endpoints each.
//!
//! A shop says which version it is in a header and in every page, and hands back the revision that the proxy stamped on
//! the request. So whatever the demo reports about who got which version was told by the far end, not by the proxy
//! about itself. Answers take some milliseconds, with jitter and a slow tail, and v2 is a little faster: two versions
//! with the same latency would make half of the live view dull. A v2 with a bug is not: what the bug adds is measured
//! from v1.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::bug::Bug;

/// The version that answered.
pub(crate) const X_VERSION: HeaderName = HeaderName::from_static("x-version");

/// The revision of the table that routed a request, as the proxy stamps it.
pub(crate) const X_REVISION: HeaderName = HeaderName::from_static("x-pointsman-revision");

/// The largest cart that a shop reads.
const CART_BYTES_MAX: usize = 64 * 1024;

/// The pause after an accept that failed, e.g. because the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A version of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShopVersion {
    /// The one that everybody has.
    V1,
    /// The one that is released.
    V2,
}

impl ShopVersion {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its name in the config, the API and the answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The version of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// How long an answer takes at least and at most, but for the slow ones and for what a bug adds.
    fn latency_us(self, bug: Bug) -> std::ops::Range<u64> {
        match (self, bug) {
            (Self::V2, Bug::None) => 1_500..4_500,
            (Self::V1, _) | (Self::V2, Bug::Errors | Bug::Latency | Bug::Leak) => 2_500..6_500,
        }
    }

    fn greeting(self) -> &'static str {
        match self {
            Self::V1 => "The corner shop",
            Self::V2 => "The corner shop, now with a bigger window",
        }
    }
}

impl fmt::Display for ShopVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One version, being served.
#[derive(Debug)]
pub(crate) struct Shop {
    /// Where it listens.
    pub(crate) endpoints: [SocketAddr; 2],
    stop: oneshot::Sender<Infallible>,
    thread: JoinHandle<()>,
}

impl Shop {
    /// Opens both endpoints on free ports and serves them on a thread of their own.
    ///
    /// # Errors
    /// When there is no port, descriptor or thread left.
    pub(crate) fn open(version: ShopVersion, bug: Bug, seed: u64) -> io::Result<Self> {
        let listeners = [listener()?, listener()?];
        let endpoints = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let counter = Arc::new(Counter { version, bug, first: OnceLock::new(), random });
        let serve = async move {
            let [one, two] = listeners;
            tokio::select! {
                _ = serve(one, Arc::clone(&counter)) => {}
                _ = serve(two, Arc::clone(&counter)) => {}
                _ = stopped => {}
            }
        };
        let name = format!("shop-{version}");
        let thread = thread::Builder::new().name(name).spawn(move || runtime.block_on(serve))?;
        Ok(Self { endpoints, stop, thread })
    }

    /// Closes it, with all of its connections.
    pub(crate) fn close(self) {
        drop(self.stop);
        // A panic in the shop's thread was printed when it happened, and the users have seen its requests fail.
        let _ended = self.thread.join();
    }
}

fn listener() -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves one endpoint until it is dropped.
async fn serve(listener: std::net::TcpListener, counter: Arc<Counter>) -> io::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let counter = Arc::clone(&counter);
        let service = service_fn(move |request| {
            let counter = Arc::clone(&counter);
            async move { Ok::<_, Infallible>(counter.answer(request).await) }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        // How a connection ends shows on the other side, as a failed request or not at all.
        tokio::spawn(async move { connection.await.ok() });
    }
}

/// Who stands in the shop and answers.
struct Counter {
    version: ShopVersion,
    bug: Bug,
    /// When the first customer came.
    first: OnceLock<Instant>,
    random: Mutex<StdRng>,
}

impl Counter {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let age = self.first.get_or_init(Instant::now).elapsed();
        tokio::time::sleep(self.latency().mul_f64(self.bug.slower(age))).await;
        let (head, body) = request.into_parts();
        if self.bug.fails(age, &mut self.random.lock().unwrap_or_else(PoisonError::into_inner)) {
            return self.page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "a bug\n".to_owned());
        }
        let mut answer = match (&head.method, head.uri.path()) {
            (&Method::GET, "/") => self.front_page(),
            (&Method::POST, "/cart") => self.cart(Limited::new(body, CART_BYTES_MAX)).await,
            (&Method::GET, path) => match path.strip_prefix("/items/").and_then(|item| item.parse().ok()) {
                Some(item) => self.item(item),
                None => self.page(StatusCode::NOT_FOUND, "text/plain", "no such page\n".to_owned()),
            },
            _ => self.page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "no such method here\n".to_owned()),
        };
        if let Some(revision) = head.headers.get(X_REVISION) {
            answer.headers_mut().insert(X_REVISION, revision.clone());
        }
        answer
    }

    /// Mostly some milliseconds; one answer in fifty is three times as slow.
    fn latency(&self) -> Duration {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = random.random_range(self.version.latency_us(self.bug));
        let slow = random.random_ratio(1, 50);
        Duration::from_micros(if slow { usual * 3 } else { usual })
    }

    fn front_page(&self) -> Response<Full<Bytes>> {
        let (version, greeting) = (self.version, self.version.greeting());
        let text = format!(
            "<!doctype html>\n<title>Shop {version}</title>\n<h1>{greeting}</h1>\n<p>You are served by {version}.</p>\n"
        );
        self.page(StatusCode::OK, "text/html; charset=utf-8", text)
    }

    fn item(&self, item: u32) -> Response<Full<Bytes>> {
        let cents = 100 + u64::from(item) * 37 % 9_900;
        let text = format!("{{\"version\":\"{}\",\"item\":{item},\"price_cents\":{cents}}}\n", self.version);
        self.page(StatusCode::OK, "application/json", text)
    }

    async fn cart(&self, body: Limited<Incoming>) -> Response<Full<Bytes>> {
        let Ok(body) = body.collect().await else {
            return self.page(StatusCode::BAD_REQUEST, "text/plain", "the cart did not arrive whole\n".to_owned());
        };
        let text = format!("{{\"version\":\"{}\",\"cart_bytes\":{}}}\n", self.version, body.to_bytes().len());
        self.page(StatusCode::CREATED, "application/json", text)
    }

    fn page(&self, status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::from(text));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        answer.headers_mut().insert(X_VERSION, HeaderValue::from_static(self.version.name()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Sends raw bytes on one connection that the shop is asked to close, and reads all that comes back.
    fn send(endpoint: SocketAddr, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(endpoint).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn every_page_names_its_version_and_the_revision_that_routed_it() {
        for version in ShopVersion::ALL {
            let shop = Shop::open(version, Bug::None, 1).unwrap();
            let body = format!("\"version\":\"{version}\"");
            let requests = [
                ("GET /", "", "200 OK", format!("served by {version}")),
                ("GET /items/7", "", "200 OK", body.clone() + ",\"item\":7"),
                ("POST /cart", "[7]", "201 Created", body + ",\"cart_bytes\":3"),
                ("GET /items/x", "", "404 Not Found", "no such page".to_owned()),
                ("DELETE /cart", "", "405 Method Not Allowed", "no such method".to_owned()),
            ];
            for (index, (line, cart, status, text)) in requests.into_iter().enumerate() {
                let length = cart.len();
                let head = "Host: shop\r\nConnection: close\r\nX-Pointsman-Revision: 12\r\n";
                let request = format!("{line} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{cart}");
                let answer = send(shop.endpoints[index % 2], &request);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {answer}");
                assert!(answer.contains(&format!("x-version: {version}\r\n")), "{line}: {answer}");
                assert!(answer.contains("x-pointsman-revision: 12\r\n"), "{line}: {answer}");
                assert!(answer.contains(&text), "{line}: {answer}");
            }
            shop.close();
        }
    }

    #[test]
    fn a_bug_that_makes_slower_is_measured_from_v1() {
        assert!(ShopVersion::V2.latency_us(Bug::None).end < ShopVersion::V1.latency_us(Bug::None).end);
        for bug in [Bug::Errors, Bug::Latency, Bug::Leak] {
            assert_eq!(ShopVersion::V2.latency_us(bug), ShopVersion::V1.latency_us(Bug::None), "{bug:?}");
        }
    }

    #[test]
    fn a_closed_shop_takes_no_more_connections() {
        let shop = Shop::open(ShopVersion::V1, Bug::None, 1).unwrap();
        let endpoints = shop.endpoints;
        shop.close();
        for endpoint in endpoints {
            assert!(std::net::TcpStream::connect(endpoint).is_err(), "{endpoint} still answers");
        }
    }
}
