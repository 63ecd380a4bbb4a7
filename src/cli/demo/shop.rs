//! The versions of a small shop that the demo releases: real HTTP servers on loopback.
//!
//! [`ShopBuild`] is what answers. An endpoint has a version installed, and an agent that installs another one when the
//! hook of a rolling release asks for it; a flag that is told by the proxy turns the code of v2 on inside of v1.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::shop_build::{BrokenDown, ShopBuild, ShopRecipe, is_on};
use super::shop_version::{ShopVersion, X_GAME_FLAG};

/// What a hook of the proxy says it is.
const X_EVENT: HeaderName = HeaderName::from_static("x-pointsman-event");

/// What the hook of a rolling release sends.
const ORDER_BYTES_MAX: usize = 4 * 1024;

/// The pause after an accept that failed, e.g. because the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Both versions as they were built; one that is installed anew begins without a past.
#[derive(Clone, Debug)]
struct ShopBuilds([Arc<ShopBuild>; 2]);

impl ShopBuilds {
    fn new(recipe: ShopRecipe) -> Self {
        Self(ShopVersion::ALL.map(|version| Arc::new(ShopBuild::new(version, recipe))))
    }
}

/// Some endpoints, being served.
#[derive(Debug)]
pub(crate) struct Shop {
    /// Where it listens.
    pub(crate) endpoints: Vec<SocketAddr>,
    site: Arc<ShopSite>,
    stop: oneshot::Sender<Infallible>,
    thread: JoinHandle<()>,
}

/// What runs where.
#[derive(Debug)]
struct ShopSite {
    builds: Mutex<ShopBuilds>,
    installed: Mutex<Vec<(SocketAddr, ShopVersion)>>,
}

/// What the hook of a rolling release says.
#[derive(Debug, Deserialize)]
struct InstallOrder {
    endpoint: SocketAddr,
    to: String,
}

impl Shop {
    /// Opens an endpoint on a free port for each version named and serves them on a thread of their own.
    ///
    /// # Errors
    /// When there is no port, descriptor or thread left.
    pub(crate) fn open(installed: &[ShopVersion], recipe: ShopRecipe) -> io::Result<Self> {
        let listeners = installed.iter().map(|_| listener()).collect::<io::Result<Vec<_>>>()?;
        let endpoints = listeners.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let installed = endpoints.iter().copied().zip(installed.iter().copied()).collect();
        let site = ShopSite { builds: Mutex::new(ShopBuilds::new(recipe)), installed: Mutex::new(installed) };
        let site = Arc::new(site);
        let served = Arc::clone(&site);
        let serve = async move {
            let mut serving = tokio::task::JoinSet::new();
            for listener in listeners {
                serving.spawn(serve(listener, Arc::clone(&served)));
            }
            tokio::select! {
                _ = serving.join_next() => {}
                _ = stopped => {}
            }
        };
        let thread = thread::Builder::new().name("shop".to_owned()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { endpoints, site, stop, thread })
    }

    /// Replaces both builds by new ones.
    pub(crate) fn rebuild(&self, recipe: ShopRecipe) {
        *self.site.builds.lock().unwrap_or_else(PoisonError::into_inner) = ShopBuilds::new(recipe);
    }

    /// Installs a version at an endpoint.
    pub(crate) fn install(&self, endpoint: SocketAddr, version: ShopVersion) {
        self.site.install(endpoint, version);
    }

    /// Which version is installed at an endpoint.
    pub(crate) fn version_at(&self, endpoint: SocketAddr) -> Option<ShopVersion> {
        self.site.version_at(endpoint)
    }

    /// Closes it, with all of its connections.
    pub(crate) fn close(self) {
        drop(self.stop);
        // A panic in the shop's thread was printed when it happened, and the users have seen its requests fail.
        let _ended = self.thread.join();
    }
}

impl ShopSite {
    fn installed(&self) -> MutexGuard<'_, Vec<(SocketAddr, ShopVersion)>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn version_at(&self, endpoint: SocketAddr) -> Option<ShopVersion> {
        self.installed().iter().find(|(address, _)| *address == endpoint).map(|(_, version)| *version)
    }

    /// Installs a version, and says whether there is such an endpoint.
    fn install(&self, endpoint: SocketAddr, version: ShopVersion) -> bool {
        let mut installed = self.installed();
        let found = installed.iter_mut().find(|(address, _)| *address == endpoint);
        found.map(|(_, now)| *now = version).is_some()
    }

    /// What answers this request at this endpoint.
    fn build(&self, endpoint: SocketAddr, request: &Request<Incoming>) -> Arc<ShopBuild> {
        let installed = self.version_at(endpoint).unwrap_or(ShopVersion::V1);
        let version = if is_on(request, &X_GAME_FLAG) { ShopVersion::V2 } else { installed };
        let builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&builds.0[version as usize])
    }

    async fn answer(
        &self,
        endpoint: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, BrokenDown> {
        if request.headers().contains_key(X_EVENT) {
            return Ok(self.obey(request).await);
        }
        let build = self.build(endpoint, &request);
        build.answer(request).await
    }

    /// Does what a hook orders.
    async fn obey(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = Limited::new(request.into_body(), ORDER_BYTES_MAX).collect().await.ok();
        let order: Option<InstallOrder> = body.and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        let version = order.and_then(|order| Some((order.endpoint, ShopVersion::named(&order.to)?)));
        let done = version.is_some_and(|(endpoint, version)| self.install(endpoint, version));
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = if done { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST };
        answer
    }
}

fn listener() -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves one endpoint until it is dropped.
async fn serve(listener: std::net::TcpListener, site: Arc<ShopSite>) -> io::Result<Infallible> {
    let endpoint = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let site = Arc::clone(&site);
        let service = service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { site.answer(endpoint, request).await }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        // How a connection ends shows on the other side, as a failed request or not at all.
        tokio::spawn(async move { connection.await.ok() });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::super::bug::Bug;
    use super::super::shop_build::ShopPace;
    use super::*;

    fn open(version: ShopVersion) -> Shop {
        let recipe = ShopRecipe { bug: Bug::None, pace: ShopPace::Quick, all_requests: 100.0, seed: 1 };
        Shop::open(&[version; 2], recipe).unwrap()
    }

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
            let shop = open(version);
            let body = format!("\"version\":\"{version}\"");
            let requests = [
                ("GET /", "", "200 OK", format!("served by {version}")),
                ("GET /items/7", "", "200 OK", body.clone() + ",\"item\":7"),
                ("PUT /pay/7", "", "200 OK", body.clone() + ",\"order\":7,\"paid\":true"),
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
    fn a_hook_installs_another_version_and_a_flag_turns_its_code_on() {
        let shop = open(ShopVersion::V1);
        let [one, two] = [shop.endpoints[0], shop.endpoints[1]];
        let served = |lines: &str| send(one, &format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"));
        assert!(served("").contains("x-version: v1\r\n"));
        assert!(served("X-Flag-Game-Release: on\r\n").contains("x-version: v2\r\n"));
        assert!(served("X-Flag-Game-Release: off\r\n").contains("x-version: v1\r\n"));
        let order = |endpoint: &str, to: &str| {
            let body = format!("{{\"endpoint\":\"{endpoint}\",\"from\":\"v1\",\"to\":\"{to}\"}}");
            let head = "Host: x\r\nConnection: close\r\nX-Pointsman-Event: upgrade";
            send(two, &format!("POST /install HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        };
        assert!(order(&one.to_string(), "v2").starts_with("HTTP/1.1 204 "));
        assert!(served("").contains("x-version: v2\r\n"), "the one that was named");
        for (endpoint, to) in [("127.0.0.1:1", "v2"), (&*one.to_string(), "v3"), ("x", "v2")] {
            assert!(order(endpoint, to).starts_with("HTTP/1.1 400 "), "{endpoint} {to}");
        }
        shop.close();
    }

    #[test]
    fn a_closed_shop_takes_no_more_connections() {
        let shop = open(ShopVersion::V1);
        let endpoints = shop.endpoints.clone();
        shop.close();
        for endpoint in endpoints {
            assert!(std::net::TcpStream::connect(endpoint).is_err(), "{endpoint} still answers");
        }
    }
}
