//! Asks the admin API of another replica.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::task::JoinError;

use crate::config::FleetConfig;
use crate::outbound::client::{BodyWanted, ExchangeError, ExchangeLimits};
use crate::outbound::excerpt::first;
use crate::outbound::secret::{Secret, SecretFault};
use crate::outbound::site::Site;
use crate::outbound::url_target::{BadUrl, UrlTarget};
use crate::problem::chain;
use crate::tls::{ClientSettings, Trust};

/// Who asks.
const AGENT: &str = concat!("pointsman-replica/", env!("CARGO_PKG_VERSION"));

/// As much of a refusal is told.
const TOLD_CHARS_MAX: usize = 200;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaCall {
    /// How.
    pub(crate) method: Method,
    /// What, below the address of the API.
    pub(crate) path: &'static str,
    /// JSON.
    pub(crate) body: Bytes,
    /// Longest wait for all of it.
    pub(crate) time: Duration,
    /// Longest answer, in bytes.
    pub(crate) bytes_max: usize,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaFault {
    /// It does not say where it is reached.
    #[error("it does not say where its admin API is; set fleet.advertise in its config")]
    NoAddress,
    /// What it says is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// What it says is none.
    #[error("found {0:?} for the address of its admin API, want a URL; correct its fleet.advertise")]
    Address(String),
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] SecretFault),
    /// The task that reads it.
    #[error(transparent)]
    Reader(#[from] JoinError),
    /// The token cannot be sent.
    #[error("the token cannot be in the head of a request")]
    Head(#[from] http::Error),
    /// No answer.
    #[error("{}", chain(.0))]
    Exchange(#[from] ExchangeError),
    /// This replica is not let in.
    #[error("status {}, it does not let this replica in; set fleet.token_file, a token of its admin.tokens that may operate", .0.as_u16())]
    NotLetIn(StatusCode),
    /// Another answer than one that is good.
    #[error("status {}: {said}", .status.as_u16())]
    Refused {
        /// The status.
        status: StatusCode,
        /// What came with it.
        said: String,
    },
    /// No TLS where there has to be.
    #[error("found {0} for its admin API, want https, as fleet.replica_tls says; correct its fleet.advertise")]
    InClear(String),
    /// Another replica.
    #[error(
        "at {0}, its admin API as it says, found another replica; set fleet.advertise in its config to where this one reaches it"
    )]
    Other(String),
    /// There is another leader.
    #[error("it takes itself for the leader")]
    Leads,
    /// Not what is asked for.
    #[error("found an answer that cannot be read ({0}); is it of another version of pointsman?")]
    Answer(serde_json::Error),
}

/// How replicas are asked.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaClient {
    token_file: Option<PathBuf>,
    tls: Option<Arc<ClientSettings>>,
}

impl ReplicaClient {
    /// As the config says.
    #[must_use]
    pub(crate) fn new(config: &FleetConfig) -> Self {
        Self { token_file: config.token_file.clone(), tls: config.replica_tls.clone() }
    }

    /// The same for calls of others: they come with what their callers have, and not with this replica's certificate.
    #[must_use]
    pub(crate) fn of_callers(config: &FleetConfig) -> Self {
        let tls = config.replica_tls.as_ref();
        let tls = tls.map(|tls| Arc::new(ClientSettings { identity: None, ..ClientSettings::clone(tls) }));
        Self { token_file: None, tls }
    }

    /// How the admin API at an address is reached.
    ///
    /// # Errors
    /// That it is in clear where the config says how TLS is spoken: no token is sent there.
    pub(crate) fn site<'t>(&self, target: &'t UrlTarget<'_>) -> Result<Site<'t>, ReplicaFault> {
        match (target.site(&Trust::System), &self.tls) {
            (Site::Tls { authority, .. }, Some(tls)) => {
                Ok(Site::Tls { authority, settings: ClientSettings::clone(tls) })
            }
            (_, Some(_)) => Err(ReplicaFault::InClear(target.place.clone())),
            (site, None) => Ok(site),
        }
    }

    /// Asks the replica whose admin API is at `address`.
    ///
    /// # Errors
    /// [`ReplicaFault`] unless it answers well in time.
    pub(crate) async fn ask(&self, address: Option<&str>, call: ReplicaCall) -> Result<Vec<u8>, ReplicaFault> {
        let address = address.ok_or(ReplicaFault::NoAddress)?;
        let url: Uri = address.parse().map_err(|_invalid| ReplicaFault::Address(address.to_owned()))?;
        let target = UrlTarget::of(&url)?;
        let token = match self.token_file.clone() {
            Some(file) => Some(tokio::task::spawn_blocking(move || Secret::read(&file)).await??.bytes),
            None => None,
        };
        let request = request(&target, &call, token.as_deref())?;
        let limits = ExchangeLimits { time: call.time, body: BodyWanted::Whole(call.bytes_max) };
        let answer = self.site(&target)?.ask(request, limits).await?;
        match answer.head.status {
            status if status.is_success() => Ok(answer.body),
            // Unauthorized, or forbidden.
            status if matches!(status.as_u16(), 401 | 403) => Err(ReplicaFault::NotLetIn(status)),
            status => Err(ReplicaFault::Refused { status, said: first(&answer.body, TOLD_CHARS_MAX) }),
        }
    }
}

fn request(
    target: &UrlTarget<'_>,
    call: &ReplicaCall,
    token: Option<&[u8]>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let base = target.url.path().trim_end_matches('/');
    let mut request = Request::builder().method(call.method.clone()).uri(format!("{base}{}", call.path));
    if let Some(token) = token {
        let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request
        .header(HOST, target.host())
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(call.body.clone()))
}
