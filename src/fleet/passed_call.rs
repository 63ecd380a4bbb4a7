//! A call that is for the leader, passed on to its admin API as its caller has made it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::fleet_handle::FleetHandle;
use super::replica_client::ReplicaClient;
use crate::outbound::client::{BodyWanted, ExchangeError, ExchangeLimits, OutboundAnswer};
use crate::outbound::url_target::UrlTarget;
use crate::problem::chain;

/// Who asks.
const AGENT: &str = concat!("pointsman-replica/", env!("CARGO_PKG_VERSION"));

/// Says which replica has passed a call on. One that has it is passed on no further.
pub(crate) const PASSED_BY: HeaderName = HeaderName::from_static("pointsman-passed-by");

/// What the leader may take for a call, beside what it waits for the other replicas.
const TIME: Duration = Duration::from_secs(10);

/// The longest answer that is taken.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct PassedCall {
    /// How.
    pub(crate) method: Method,
    /// What, with its query.
    pub(crate) path: String,
    /// What of its head is passed on.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// Where the leader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderPlace {
    /// What it is called.
    pub(crate) name: String,
    address: Uri,
}

/// What the leader has answered.
#[derive(Clone, Debug)]
pub(crate) struct PassedAnswer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its head.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PassedFault {
    /// The leader does not have it.
    #[error("{0}")]
    NotSent(String),
    /// It may have it.
    #[error("{0}")]
    Lost(String),
}

impl FleetHandle {
    /// Another replica that leads and says where it is.
    #[must_use]
    pub(crate) fn other_leader(&self) -> Option<LeaderPlace> {
        let facts = self.facts.borrow();
        let name = facts.leader.clone().filter(|name| *name != facts.name && !facts.leads())?;
        let address = facts.members.get(&name)?.address.as_ref()?.parse().ok()?;
        Some(LeaderPlace { name, address })
    }

    /// Has the leader answer a call.
    ///
    /// # Errors
    /// [`PassedFault`] when no answer comes.
    pub(crate) async fn pass_on(&self, leader: &LeaderPlace, call: PassedCall) -> Result<PassedAnswer, PassedFault> {
        let unsent = |why: String| PassedFault::NotSent(why);
        let target = UrlTarget::of(&leader.address).map_err(|bad| unsent(bad.to_string()))?;
        let by = HeaderValue::from_str(&self.facts.borrow().name).map_err(|error| unsent(error.to_string()))?;
        let base = leader.address.path().trim_end_matches('/');
        let request = Request::builder().method(call.method).uri(format!("{base}{}", call.path));
        let request = request.header(HOST, target.host()).header(USER_AGENT, AGENT).header(CONNECTION, "close");
        let mut request =
            request.header(PASSED_BY, by).body(Full::new(call.body)).map_err(|error| unsent(error.to_string()))?;
        request.headers_mut().extend(call.headers);
        let limits = ExchangeLimits { time: self.config.wait + TIME, body: BodyWanted::Whole(ANSWER_BYTES_MAX) };
        let site = ReplicaClient::of_callers(&self.config);
        let answered = site.site(&target).map_err(|fault| unsent(fault.to_string()))?.ask(request, limits).await;
        let answer = |OutboundAnswer { head, body }| PassedAnswer { status: head.status, headers: head.headers, body };
        answered.map(answer).map_err(|error| {
            let why = chain(&error);
            match error {
                ExchangeError::Http(_) | ExchangeError::TooLong(_) | ExchangeError::Late(_) => PassedFault::Lost(why),
                ExchangeError::Resolve(_)
                | ExchangeError::Connect(_)
                | ExchangeError::Tls(_)
                | ExchangeError::HostName(_)
                | ExchangeError::Files(_)
                | ExchangeError::Reader(_)
                | ExchangeError::Handshake(_) => PassedFault::NotSent(why),
            }
        })
    }
}
