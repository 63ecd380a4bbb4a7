//! The simulated users: real HTTP/1.1 through real sockets, from a thread of their own.
//!
//! Every user has a key of his own in `x-user-id` and sends his next request only after the answer to the last one and
//! a time of thinking, chosen so that all of them together keep to the wanted rate. They share a few kept-alive
//! connections, as users behind a load balancer do: 2,000 sockets would measure the kernel, and one would hide every
//! race.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::shop_version::{ShopVersion, X_FLAG, X_REVISION, X_VERSION};
use super::tally::{Answer, AnswerCount, SeenVersion};
use super::visit_error::{VisitError, VisitFailure};

/// The most connections that the users share.
const CONNECTIONS_MAX: usize = 128;

/// How much of the time a connection may be busy: it is idle nine tenths of it, and no user waits for a turn.
const CONNECTION_BUSY: f64 = 0.1;

/// How long a user waits for an answer. Far above what a healthy proxy takes even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far requests may fall behind before the lost time is given up rather than made good by a burst.
const LATE_MAX: Duration = Duration::from_millis(500);

/// Who comes, and where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Where they send their requests.
    pub(crate) target: SocketAddr,
    /// The host that they ask for; without one, the address.
    pub(crate) host: Option<&'static str>,
    /// How long an answer usually takes.
    pub(crate) answer: Duration,
    /// How many they are.
    pub(crate) users: u32,
    /// Requests a second of all of them.
    pub(crate) rate: u32,
    /// Whether three of ten requests are payments.
    pub(crate) pays: bool,
    /// Decides what they ask for and how long they think.
    pub(crate) seed: u32,
}

impl Crowd {
    /// How many they are, to count with.
    pub(crate) fn count(&self) -> usize {
        self.users as usize
    }

    /// How many connections they share.
    fn connections(&self) -> usize {
        let wanted = f64::from(self.rate) * self.answer.as_secs_f64() / CONNECTION_BUSY;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let wanted = wanted as usize;
        wanted.clamp(1, CONNECTIONS_MAX).min(self.count().max(1))
    }
}

/// The users, at it.
#[derive(Debug)]
pub(crate) struct Users {
    stop: oneshot::Sender<Infallible>,
    thread: JoinHandle<()>,
}

/// The key of a user, as the proxy sees it.
pub(crate) fn key(user: usize) -> String {
    format!("user-{user}")
}

impl Users {
    /// Lets them come; what they see is counted in `tally`.
    ///
    /// # Errors
    /// When there is no thread or descriptor left.
    pub(crate) fn arrive(crowd: Crowd, tally: &Arc<Mutex<impl AnswerCount>>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let connections = crowd.connections();
        let tally = Arc::clone(tally);
        let visit = async move {
            let mut lanes = JoinSet::new();
            for index in 0..connections {
                let share = LaneShare { index, lanes: connections };
                lanes.spawn(Lane::new(crowd, share, Arc::clone(&tally)).run());
            }
            tokio::select! {
                _ = stopped => {}
                _ = lanes.join_next() => {}
            }
        };
        let thread = thread::Builder::new().name("users".to_owned()).spawn(move || runtime.block_on(visit))?;
        Ok(Self { stop, thread })
    }

    /// Sends them home. Requests under way are given up and not counted.
    pub(crate) fn leave(self) {
        drop(self.stop);
        // A panic in their thread was printed when it happened, and ends the counting either way.
        let _ended = self.thread.join();
    }
}

/// One connection and the users that share it.
struct Lane<T> {
    target: SocketAddr,
    pays: bool,
    host: String,
    tally: Arc<Mutex<T>>,
    random: StdRng,
    /// Who sends when, the earliest on top.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// A user's mean time between two requests.
    interval: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Which users a lane has: those whose number, divided by the number of lanes, leaves the lane's index.
#[derive(Clone, Copy)]
struct LaneShare {
    index: usize,
    lanes: usize,
}

impl<T: AnswerCount> Lane<T> {
    fn new(crowd: Crowd, share: LaneShare, tally: Arc<Mutex<T>>) -> Self {
        let LaneShare { index, lanes } = share;
        let mut random = StdRng::seed_from_u64(u64::from(crowd.seed) << 16 | index as u64);
        let interval = Duration::from_secs_f64(f64::from(crowd.users) / f64::from(crowd.rate.max(1)));
        let now = Instant::now();
        let first = |user| Reverse((now + interval.mul_f64(random.random_range(0.0..1.0)), user));
        let due = (index..crowd.count()).step_by(lanes).map(first).collect();
        let Crowd { target, pays, .. } = crowd;
        let host = crowd.host.map_or_else(|| target.to_string(), str::to_owned);
        Self { target, pays, host, tally, random, due, interval, sender: None }
    }

    async fn run(mut self) -> Option<Infallible> {
        loop {
            let Reverse((due, user)) = self.due.pop()?;
            sleep_until(due).await;
            let sent = Instant::now();
            let pause = self.interval.mul_f64(self.random.random_range(0.5..1.5));
            self.due.push(Reverse((due.max(sent - LATE_MAX) + pause, user)));
            let step = self.lock().step_now();
            let result = self.ask(user).await;
            let at = Instant::now();
            self.lock().count(Answer { user, step, at, took: at - sent, result });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request of one user, and who answered it.
    async fn ask(&mut self, user: usize) -> Result<SeenVersion, VisitError> {
        let request = self.next_request(user)?;
        let name = format!("{} {}", request.method(), request.uri());
        let result = timeout(PATIENCE, self.send(request)).await.unwrap_or_else(|_elapsed| {
            self.sender = None;
            Err(VisitFailure::TimedOut { patience: PATIENCE })
        });
        result.map_err(|why| VisitError::Failed { request: name, why })
    }

    /// Mostly the front page, often an item, sometimes the cart or a payment.
    fn next_request(&mut self, user: usize) -> http::Result<Request<Full<Bytes>>> {
        let request = Request::builder().header(HOST, &self.host).header("x-user-id", key(user));
        let item = self.random.random_range(1..=50_u32);
        match self.random.random_range(0..10_u8) {
            7.. if self.pays => request.method("PUT").uri(format!("/pay/{item}")).body(Full::default()),
            0..6 => request.uri(Uri::from_static("/")).body(Full::default()),
            6..9 => request.uri(format!("/items/{item}")).body(Full::default()),
            _ => {
                let cart = format!("{{\"item\":{item}}}");
                request.method("POST").uri("/cart").header(CONTENT_TYPE, "application/json").body(Full::from(cart))
            }
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<SeenVersion, VisitFailure> {
        // The sender is taken out and put back only after a whole answer: whatever goes wrong ends the connection.
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => connect(self.target).await?,
        };
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        self.sender = Some(sender);
        let version = text(&head.headers, X_VERSION.as_str()).and_then(ShopVersion::named);
        if !head.status.is_success() {
            let text = String::from_utf8_lossy(&body);
            let line = text.lines().next().unwrap_or_default().to_owned();
            return Err(VisitFailure::Status { status: head.status, line, version });
        }
        let revision = text(&head.headers, X_REVISION.as_str()).and_then(|text| text.parse().ok());
        let version = version.ok_or(VisitFailure::NoVersion)?;
        let has_flag = text(&head.headers, X_FLAG.as_str()) == Some("on");
        Ok(SeenVersion { version, revision, has_flag })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn connect(target: SocketAddr) -> Result<SendRequest<Full<Bytes>>, VisitFailure> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // How a connection ends shows in the request that it carried, or in none.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::super::bug::Bug;
    use super::super::shop::Shop;
    use super::super::shop_build::{ShopPace, ShopRecipe};
    use super::super::tally::Tally;
    use super::*;

    fn open(version: ShopVersion) -> Shop {
        let recipe = ShopRecipe { bug: Bug::None, pace: ShopPace::Quick, all_requests: 400.0, seed: 1 };
        Shop::open(&[version; 2], recipe).unwrap()
    }

    fn crowd(target: SocketAddr, users: u32, seed: u32) -> Crowd {
        Crowd { target, host: None, answer: Duration::from_millis(5), users, rate: 400, pays: false, seed }
    }

    fn visit(target: SocketAddr, users: u32, enough: impl Fn(&Tally) -> bool) -> Tally {
        let tally = Arc::new(Mutex::new(Tally::new(users as usize, Instant::now())));
        let here = Users::arrive(crowd(target, users, 7), &tally).unwrap();
        for _ in 0..1_000 {
            if enough(&tally.lock().unwrap()) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        here.leave();
        Arc::into_inner(tally).unwrap().into_inner().unwrap()
    }

    #[test]
    fn all_users_come_and_are_served() {
        let shop = open(ShopVersion::V2);
        let tally = visit(shop.endpoints[0], 100, |tally| tally.step().seen == 100);
        let step = tally.step();
        assert_eq!((step.seen, tally.failed(), step.answers[0]), (100, 0, 0), "{:?}", tally.last_failure());
        assert!(step.answers[1] >= 100);
        shop.close();
    }

    #[test]
    fn a_shop_that_is_gone_is_a_failure_with_its_reason() {
        let shop = open(ShopVersion::V1);
        let target = shop.endpoints[0];
        shop.close();
        let tally = visit(target, 10, |tally| tally.failed() >= 5);
        assert!(tally.failed() >= 5);
        let why = tally.last_failure().unwrap();
        assert!(why.contains("refused"), "{why}");
    }

    #[test]
    fn there_are_as_many_connections_as_are_idle_most_of_the_time() {
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        let connections =
            |rate, millis| Crowd { rate, answer: Duration::from_millis(millis), ..crowd(target, 400, 1) }.connections();
        assert_eq!([connections(300, 5), connections(200, 60), connections(1, 5)], [15, 120, 1]);
        assert_eq!(connections(50_000, 5), CONNECTIONS_MAX);
    }

    #[test]
    fn the_same_seed_asks_for_the_same_pages() {
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        let pages = |seed| {
            let tally = Arc::new(Mutex::new(Tally::new(5, Instant::now())));
            let mut lane = Lane::new(crowd(target, 5, seed), LaneShare { index: 0, lanes: 1 }, tally);
            let pages = (0..20).map(|user| lane.next_request(user).unwrap().uri().to_string());
            pages.collect::<Vec<_>>()
        };
        assert_eq!(pages(3), pages(3));
        assert_ne!(pages(3), pages(4));
    }
}
