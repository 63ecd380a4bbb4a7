//! Faults that are put into the table directly, so that nothing but the data path is tested, and users of both slices.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pointsman::testing::stats::{FaultSlice, FaultStats};
use pointsman::testing::table::hash::Salt;
use pointsman::testing::table::spec::fault::{FaultAbort, FaultKind, FaultTarget};
use pointsman::testing::table::{FaultInForce, SLOTS, Weight};
use tokio::time::Instant;

use crate::support::h2::{H2Client, request};
use crate::support::spec::name;
use crate::support::{Client, Proxy, Setup, client, with};

/// A service whose users are known by a header, for clients of both protocols.
pub(super) fn setup(endpoints: Setup) -> Setup {
    endpoints.service("sticky = [\"header:x-user\"]").listener("h2c = true")
}

/// A target that has half of the users in each slice.
pub(super) fn target() -> FaultTarget {
    let share = Weight::from_percent(50.0).unwrap();
    FaultTarget { service: name("site"), version: None, endpoint: None, zone: None, segment: None, share }
}

/// A fault of run 1 that is done to users of the fault slice until it is taken away.
pub(super) fn fault(kind: FaultKind, target: FaultTarget) -> FaultInForce {
    let stats = Arc::new(FaultStats::new(target.share.slots(), true, 64));
    FaultInForce { run: 1, experiment: name("try"), target, kind, until_ms: u64::MAX, injecting: true, stats }
}

pub(super) fn put(proxy: &Proxy, kind: FaultKind) {
    proxy.put_faults(&[Arc::new(fault(kind, target()))]);
}

pub(super) fn abort(status: u16) -> FaultKind {
    FaultKind::Abort(FaultAbort::Http(StatusCode::from_u16(status).unwrap()))
}

/// Users of a slice of run 1.
pub(super) fn users(slice: FaultSlice) -> impl Iterator<Item = String> {
    let salt = Salt::new("chaos:1");
    let is_fault = move |user: &String| salt.slot(user.as_bytes()) < SLOTS / 2;
    let all = (0..).map(|number| format!("user-{number}"));
    all.filter(move |user| is_fault(user) == (slice == FaultSlice::Fault))
}

pub(super) fn user(slice: FaultSlice) -> String {
    users(slice).next().unwrap()
}

/// What a client asks as this user, over HTTP/1.1.
pub(super) fn visit(proxy: &Proxy, user: &str, path: &str) -> u16 {
    client::send(proxy.address, with(&[&format!("X-User: {user}")]).replacen("GET /", &format!("GET {path}"), 1)).status
}

/// The requests of a slice with this result.
pub(super) fn counted(proxy: &Proxy, slice: &str, result: &str) -> f64 {
    let labels = [&*format!("slice=\"{slice}\""), &*format!("result=\"{result}\"")];
    proxy.metric("pointsman_chaos_requests_total", &labels)
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Got {
    /// None: the stream was reset.
    pub(super) status: Option<u16>,
    /// Whether all of it came.
    pub(super) whole: bool,
}

pub(super) const fn whole(status: u16) -> Got {
    Got { status: Some(status), whole: true }
}

/// A client of one of the protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    /// Asks as a user on a connection of its own: what it got, and how long it took.
    pub(super) fn ask(self, proxy: &Proxy, user: &str) -> (Got, Duration) {
        let began = Instant::now();
        let got = match self {
            Self::Http1 => {
                let answer = Client::to(proxy.address).ask(with(&[&format!("X-User: {user}")]));
                Got { status: Some(answer.status), whole: answer.is_whole() }
            }
            Self::Http2 => {
                let asked = request("GET", "http://a/", &[("x-user", user)]);
                match H2Client::to(proxy.address).try_ask(asked, &[], None) {
                    Ok(answer) => whole(answer.status),
                    Err(_reset) => Got { status: None, whole: false },
                }
            }
        };
        (got, began.elapsed())
    }

    /// What it sees of a body that breaks off.
    pub(super) fn broken(self) -> Got {
        Got { status: (self == Self::Http1).then_some(200), whole: false }
    }
}
