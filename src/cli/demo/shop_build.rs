//! One build of the shop: what it answers, how fast, and what goes wrong with it.
//!
//! A build says which version it is in a header and in every page, and hands back the revision that the proxy stamped
//! on the request. So whatever the demo reports about who got which version was told by the far end, not by the proxy
//! about itself. Answers take some milliseconds, with jitter and a slow tail, and v2 is a little faster: two versions
//! with the same latency would make half of the live view dull. A v2 with a bug is not: what the bug adds is measured
//! from v1.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::bug::Bug;
use super::shop_load::ShopLoad;
use super::shop_version::{ShopVersion, X_FLAG, X_GAME_FLAG, X_REVISION, X_VERSION};

/// The largest cart that a shop reads.
const CART_BYTES_MAX: usize = 64 * 1024;

/// How long a build that broke down takes to be back.
const RESTART: Duration = Duration::from_secs(2);

/// How long answers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShopPace {
    /// Some milliseconds, and one in fifty three times as long: many users on one machine.
    Quick,
    /// As long as a page takes, without a tail: who is late is late by a bug.
    Steady,
}

impl ShopPace {
    /// How long an answer takes at least and at most, but for the slow ones and for what a bug adds.
    pub(crate) fn latency_us(self, version: ShopVersion, bug: Bug) -> Range<u64> {
        let better = version == ShopVersion::V2 && bug == Bug::None;
        match (self, better) {
            (Self::Quick, true) => 1_500..4_500,
            (Self::Quick, false) => 2_500..6_500,
            (Self::Steady, true) => 130_000..160_000,
            (Self::Steady, false) => 150_000..180_000,
        }
    }
}

/// What was built, and where it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShopRecipe {
    /// What is wrong with it; nothing with v1.
    pub(crate) bug: Bug,
    /// How long answers take.
    pub(crate) pace: ShopPace,
    /// Requests a second of all users.
    pub(crate) all_requests: f64,
    /// Of its chance.
    pub(crate) seed: u64,
}

/// A build that runs.
#[derive(Debug)]
pub(crate) struct ShopBuild {
    version: ShopVersion,
    recipe: ShopRecipe,
    /// When the first customer came.
    first: OnceLock<Instant>,
    random: Mutex<StdRng>,
    load: Mutex<ShopLoad>,
}

/// It broke down: the connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the shop broke down")]
pub(crate) struct BrokenDown;

impl ShopBuild {
    /// A build that no customer has seen.
    pub(crate) fn new(version: ShopVersion, recipe: ShopRecipe) -> Self {
        let bug = if version == ShopVersion::V2 { recipe.bug } else { Bug::None };
        let random = StdRng::seed_from_u64(recipe.seed ^ (version as u64 + 1));
        let (first, load) = (OnceLock::new(), Mutex::default());
        Self { version, recipe: ShopRecipe { bug, ..recipe }, first, random: Mutex::new(random), load }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When it breaks down.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BrokenDown> {
        let (bug, now) = (self.recipe.bug, Instant::now());
        let age = now.saturating_duration_since(*self.first.get_or_init(|| now));
        if self.is_down(now)? {
            return Ok(self.page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "starting again\n".to_owned()));
        }
        tokio::time::sleep(self.latency().mul_f64(bug.slower(age))).await;
        let (head, body) = request.into_parts();
        if bug.fails(age, &mut self.random()) {
            return Ok(self.page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "a bug\n".to_owned()));
        }
        let mut answer = match (&head.method, head.uri.path()) {
            (method, _) if bug.loses(method) => self.not_found(),
            (&Method::GET, "/") => self.front_page(),
            (&Method::POST, "/cart") => self.cart(Limited::new(body, CART_BYTES_MAX)).await,
            (&Method::PUT, path) => match path.strip_prefix("/pay/").and_then(|order| order.parse().ok()) {
                Some(order) => self.paid(order),
                None => self.not_found(),
            },
            (&Method::GET, path) => match path.strip_prefix("/items/").and_then(|item| item.parse().ok()) {
                Some(item) => self.item(item),
                None => self.not_found(),
            },
            _ => self.page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "no such method here\n".to_owned()),
        };
        for told in [X_REVISION, X_FLAG, X_GAME_FLAG] {
            if let Some(value) = head.headers.get(&told) {
                answer.headers_mut().insert(told, value.clone());
            }
        }
        Ok(answer)
    }

    /// Whether it is away after it broke down; the request under which it does so gets no answer.
    fn is_down(&self, now: Instant) -> Result<bool, BrokenDown> {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = load.arrive(now);
        if load.is_down(now) {
            return Ok(true);
        }
        if self.recipe.bug.breaks_under(rate, self.recipe.all_requests) {
            load.break_down(now, RESTART);
            return Err(BrokenDown);
        }
        Ok(false)
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mostly the usual; at the quick pace one answer in fifty is three times as slow.
    fn latency(&self) -> Duration {
        let ShopRecipe { pace, bug, .. } = self.recipe;
        let mut random = self.random();
        let usual = random.random_range(pace.latency_us(self.version, bug));
        let slow = pace == ShopPace::Quick && random.random_ratio(1, 50);
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

    /// A payment has the number of its order, so that one that is sent twice is one payment.
    fn paid(&self, order: u32) -> Response<Full<Bytes>> {
        let text = format!("{{\"version\":\"{}\",\"order\":{order},\"paid\":true}}\n", self.version);
        self.page(StatusCode::OK, "application/json", text)
    }

    fn not_found(&self) -> Response<Full<Bytes>> {
        self.page(StatusCode::NOT_FOUND, "text/plain", "no such page\n".to_owned())
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

/// A header that says yes.
pub(crate) fn is_on(request: &Request<Incoming>, header: &HeaderName) -> bool {
    request.headers().get(header).is_some_and(|value| value == "on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_that_makes_slower_is_measured_from_v1() {
        for pace in [ShopPace::Quick, ShopPace::Steady] {
            let v1 = pace.latency_us(ShopVersion::V1, Bug::None);
            assert!(pace.latency_us(ShopVersion::V2, Bug::None).end < v1.end);
            for bug in Bug::ALL.into_iter().filter(|bug| *bug != Bug::None) {
                assert_eq!(pace.latency_us(ShopVersion::V2, bug), v1, "{bug:?}");
            }
        }
    }

    #[test]
    fn v1_has_no_bug() {
        let recipe = ShopRecipe { bug: Bug::Crash, pace: ShopPace::Quick, all_requests: 1.0, seed: 1 };
        assert_eq!(ShopBuild::new(ShopVersion::V1, recipe).recipe.bug, Bug::None);
        assert_eq!(ShopBuild::new(ShopVersion::V2, recipe).recipe.bug, Bug::Crash);
    }

    #[test]
    fn under_its_whole_load_it_breaks_down_and_comes_back() {
        let recipe = ShopRecipe { bug: Bug::Crash, pace: ShopPace::Quick, all_requests: 10.0, seed: 1 };
        let (build, begun) = (ShopBuild::new(ShopVersion::V2, recipe), Instant::now());
        let broke = (0..20).position(|_| build.is_down(begun).is_err());
        assert_eq!(broke, Some(7), "the eighth of ten in a second is too much");
        assert!(build.is_down(begun + Duration::from_secs(1)).unwrap(), "it starts again");
        assert!(!build.is_down(begun + Duration::from_secs(10)).unwrap());
    }
}
