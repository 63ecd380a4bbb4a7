//! A client of etcd's JSON gateway: one call on one connection, by the one client for requests of our own.
//!
//! Why not a crate: the gRPC clients need `protoc` at build, which breaks `cargo install`, and bring a second HTTP/2
//! stack; what is needed of etcd is six calls.
//!
//! Members are asked one after the other, from the one that answered last. A call that only reads goes to the next
//! member whatever has failed; one that writes does so only if it was not sent, because it may have arrived otherwise.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::etcd_words::{EtcdFault, EtcdGrant, EtcdLease, EtcdLine, EtcdRange, EtcdToken, EtcdTxn};
use crate::config::{FleetConfig, FleetUser};
use crate::outbound::client::{BodyWanted, ExchangeError, ExchangeLimits, OutboundAnswer};
use crate::outbound::secret::Secret;
use crate::outbound::site::Site;
use crate::problem::chain;
use crate::tls::{Alpn, ClientSettings, Trust};

/// The longest wait for an answer of one member. etcd itself waits seven seconds for a majority; another member may
/// have one.
const CALL_TIME: Duration = Duration::from_secs(2);

/// The longest answer that is taken: the largest value that etcd takes by default is 1.5 MiB, and a few are read at
/// once.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Who asks.
const AGENT: &str = concat!("pointsman-fleet/", env!("CARGO_PKG_VERSION"));

/// gRPC's code for a caller that is not known: the token has ended.
const UNAUTHENTICATED: u16 = 16;

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EtcdError {
    /// No member answers.
    #[error("etcd does not answer ({0})")]
    Unreachable(String),
    /// A call that writes was sent, and no answer came.
    #[error("etcd has not answered ({0})")]
    Lost(String),
    /// It is something else.
    #[error("{0}, want the JSON gateway of etcd 3.4 or later; correct fleet.etcd")]
    NotEtcd(String),
    /// It does not know who asks, or does not let them.
    #[error("etcd refuses this replica: {0}; correct fleet.user and fleet.password_file, or the role of that user")]
    Denied(String),
    /// It has answered that it cannot.
    #[error("etcd answers {0}")]
    Failed(String),
}

/// A client.
#[derive(Clone, Debug)]
pub(crate) struct EtcdClient {
    members: Vec<Uri>,
    tls: Option<Arc<ClientSettings>>,
    user: Option<FleetUser>,
    /// The member that answered last.
    first: usize,
    /// What says who asks.
    token: Option<HeaderValue>,
}

/// Whether a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallEffect {
    /// It only reads, or does the same twice.
    None,
    /// It writes.
    Writes,
}

/// An answer that is none.
enum Failure {
    /// The call did not reach the member.
    NotSent(String),
    /// It may have.
    NoAnswer(String),
    /// The token has ended.
    Token,
    /// The member has said no.
    Said(EtcdError),
}

impl EtcdClient {
    /// A client of these members.
    #[must_use]
    pub(crate) fn new(config: &FleetConfig) -> Self {
        let FleetConfig { etcd, tls, user, .. } = config;
        Self { members: etcd.clone(), tls: tls.clone(), user: user.clone(), first: 0, token: None }
    }

    /// What there is of some keys.
    ///
    /// # Errors
    /// [`EtcdError`] when no member answers.
    pub(crate) async fn range(&mut self, what: &Value) -> Result<EtcdRange, EtcdError> {
        self.call("/v3/kv/range", what, CallEffect::None).await
    }

    /// Does `success` if all of `compare` are so, and `failure` otherwise, in one step.
    ///
    /// # Errors
    /// [`EtcdError`]; with [`EtcdError::Lost`] it may have been done.
    pub(crate) async fn txn(
        &mut self,
        compare: Vec<Value>,
        success: Vec<Value>,
        failure: Vec<Value>,
    ) -> Result<EtcdTxn, EtcdError> {
        let body = json!({ "compare": compare, "success": success, "failure": failure });
        self.call("/v3/kv/txn", &body, CallEffect::Writes).await
    }

    /// A lease of this length, by its number.
    ///
    /// # Errors
    /// [`EtcdError`] when no member gives one.
    pub(crate) async fn grant(&mut self, ttl: Duration) -> Result<u64, EtcdError> {
        let body = json!({ "TTL": ttl.as_secs().to_string() });
        // One that is never heard of ends by itself.
        self.call("/v3/lease/grant", &body, CallEffect::None).await.map(|EtcdGrant { id }| id)
    }

    /// Lets a lease begin again.
    ///
    /// # Errors
    /// [`EtcdError`] when no member answers.
    pub(crate) async fn keep_alive(&mut self, lease: u64) -> Result<EtcdLease, EtcdError> {
        let body = json!({ "ID": lease.to_string() });
        let line: EtcdLine<EtcdLease> = self.call("/v3/lease/keepalive", &body, CallEffect::None).await?;
        line.result.ok_or_else(|| EtcdError::Failed(line.error.unwrap_or_default().to_string()))
    }

    /// Ends a lease, and with it what hangs on it.
    ///
    /// # Errors
    /// [`EtcdError`] when no member answers.
    pub(crate) async fn revoke(&mut self, lease: u64) -> Result<(), EtcdError> {
        let body = json!({ "ID": lease.to_string() });
        self.call("/v3/lease/revoke", &body, CallEffect::None).await.map(|_answer: Value| ())
    }

    /// A watch: `take` gets each piece of its answer, until it breaks off or the watch ends. One that says nothing for
    /// `silence` has ended.
    ///
    /// # Errors
    /// [`EtcdError`] when it does not begin, or ends.
    pub(crate) async fn watch(
        &mut self,
        what: &Value,
        silence: Duration,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), EtcdError> {
        let mut take = take;
        let member = self.members.get(self.first).cloned().unwrap_or_default();
        self.authenticate().await?;
        let limits = ExchangeLimits { time: CALL_TIME, body: BodyWanted::Beginning(4096) };
        let place = place(&member);
        let lost = |error: &ExchangeError| EtcdError::Unreachable(format!("{place}: {}", chain(error)));
        let request = self.request(&member, "/v3/watch", what)?;
        let authority = authority(&member);
        let answer = self.site(&member, &authority).stream(request, limits, silence, &mut take).await;
        match answer {
            Ok(answer) if answer.head.status.is_success() => Ok(()),
            Ok(answer) => Err(match self.said(&place, &answer) {
                Failure::Said(error) => error,
                Failure::Token => {
                    self.token = None;
                    EtcdError::Unreachable(format!("{place}: the token has ended"))
                }
                Failure::NotSent(why) | Failure::NoAnswer(why) => EtcdError::Unreachable(why),
            }),
            Err(error) => {
                self.first = (self.first + 1) % self.members.len().max(1);
                Err(lost(&error))
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
        effect: CallEffect,
    ) -> Result<T, EtcdError> {
        self.authenticate().await?;
        match self.ask_members(path, body, effect).await {
            Err(Failure::Token) => {
                // etcd has not done what it did not know the caller of.
                self.token = None;
                self.authenticate().await?;
                self.ask_members(path, body, effect).await.map_err(EtcdError::of)
            }
            done => done.map_err(EtcdError::of),
        }
    }

    /// Gets a token, if there is a user and no token.
    async fn authenticate(&mut self) -> Result<(), EtcdError> {
        let (Some(user), None) = (&self.user, &self.token) else { return Ok(()) };
        let (name, file) = (user.name.clone(), user.password_file.clone());
        let secret = tokio::task::spawn_blocking(move || Secret::read(&file)).await;
        let secret = secret.map_err(|error| EtcdError::Denied(error.to_string()))?;
        let secret = secret.map_err(|fault| EtcdError::Denied(fault.to_string()))?;
        let password = String::from_utf8_lossy(&secret.bytes);
        let body = json!({ "name": name, "password": password });
        let answered = self.ask_members("/v3/auth/authenticate", &body, CallEffect::None).await;
        let EtcdToken { token } = answered.map_err(EtcdError::of)?;
        let mut token = HeaderValue::from_str(&token).map_err(|error| EtcdError::Denied(error.to_string()))?;
        token.set_sensitive(true);
        self.token = Some(token);
        Ok(())
    }

    async fn ask_members<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
        effect: CallEffect,
    ) -> Result<T, Failure> {
        let mut failed = Vec::new();
        for offset in 0..self.members.len() {
            let number = (self.first + offset) % self.members.len();
            let Some(member) = self.members.get(number).cloned() else { continue };
            match self.ask(&member, path, body).await {
                Ok(answer) => {
                    self.first = number;
                    return Ok(answer);
                }
                Err(Failure::NotSent(why)) => failed.push(why),
                Err(Failure::NoAnswer(why)) if effect == CallEffect::None => failed.push(why),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::NotSent(failed.join("; ")))
    }

    async fn ask<T: DeserializeOwned>(&self, member: &Uri, path: &str, body: &Value) -> Result<T, Failure> {
        let place = place(member);
        let request = self.request(member, path, body).map_err(Failure::Said)?;
        let limits = ExchangeLimits { time: CALL_TIME, body: BodyWanted::Whole(ANSWER_BYTES_MAX) };
        let authority = authority(member);
        let answer = match self.site(member, &authority).ask(request, limits).await {
            Ok(answer) => answer,
            Err(error) => {
                let why = format!("{place}: {}", chain(&error));
                return Err(match error {
                    ExchangeError::Resolve(_)
                    | ExchangeError::Connect(_)
                    | ExchangeError::Tls(_)
                    | ExchangeError::HostName(_)
                    | ExchangeError::Files(_)
                    | ExchangeError::Reader(_)
                    | ExchangeError::Handshake(_) => Failure::NotSent(why),
                    ExchangeError::Http(_) | ExchangeError::TooLong(_) | ExchangeError::Late(_) => {
                        Failure::NoAnswer(why)
                    }
                });
            }
        };
        if !answer.head.status.is_success() {
            return Err(self.said(&place, &answer));
        }
        serde_json::from_slice(&answer.body).map_err(|_no_json| Failure::Said(not_etcd(&place, &answer)))
    }

    /// What an answer means that is no success.
    fn said(&self, place: &str, answer: &OutboundAnswer) -> Failure {
        let Ok(fault) = serde_json::from_slice::<EtcdFault>(&answer.body) else {
            return Failure::Said(not_etcd(place, answer));
        };
        let text = format!("{:?}", fault.text());
        match fault.code {
            UNAUTHENTICATED if self.user.is_some() => Failure::Token,
            // The user, the password or the rights.
            3 | 7 | 9 | UNAUTHENTICATED if is_about_users(fault.text()) => Failure::Said(EtcdError::Denied(text)),
            // It has no leader just now, or waited for a majority: another member may know more.
            4 | 14 => Failure::NoAnswer(format!("{place}: {text}")),
            _ if answer.head.status.as_u16() == 404 => Failure::Said(not_etcd(place, answer)),
            _ => Failure::Said(EtcdError::Failed(text)),
        }
    }

    fn request(&self, member: &Uri, path: &str, body: &Value) -> Result<Request<Full<Bytes>>, EtcdError> {
        let mut request = Request::post(path)
            .header(HOST, authority(member))
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        request.body(Full::from(body.to_string())).map_err(|error| EtcdError::Failed(error.to_string()))
    }

    fn site<'s>(&self, member: &Uri, authority: &'s str) -> Site<'s> {
        if member.scheme_str() != Some("https") {
            return Site::Tcp(authority);
        }
        let usual =
            || ClientSettings { trust: Trust::System, identity: None, server_name: None, alpn: vec![Alpn::Http11] };
        let settings = self.tls.as_ref().map_or_else(usual, |tls| (**tls).clone());
        Site::Tls { authority, settings }
    }
}

impl EtcdError {
    fn of(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(why) => Self::Unreachable(why),
            Failure::NoAnswer(why) => Self::Lost(why),
            Failure::Token => Self::Denied("the token of this user ends at once".to_owned()),
            Failure::Said(error) => error,
        }
    }
}

fn is_about_users(text: &str) -> bool {
    ["auth", "user", "permission", "password"].iter().any(|word| text.contains(word))
}

/// `HOST:PORT`.
fn authority(member: &Uri) -> String {
    let port = member.port_u16().unwrap_or(if member.scheme_str() == Some("https") { 443 } else { 80 });
    format!("{}:{port}", member.host().unwrap_or_default())
}

/// A member as it is told.
fn place(member: &Uri) -> String {
    format!("{}://{}", member.scheme_str().unwrap_or_default(), authority(member))
}

fn not_etcd(place: &str, answer: &OutboundAnswer) -> EtcdError {
    let begin: String = String::from_utf8_lossy(&answer.body).chars().take(60).collect();
    EtcdError::NotEtcd(format!("found status {} and {begin:?} from {place}", answer.head.status.as_u16()))
}
