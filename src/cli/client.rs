//! A client of the admin API: its addresses, its calls, and the words of what goes wrong.
//!
//! The client of the [requests of our own](crate::outbound::client) connects, sends and reads.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::outbound::client::{BodyWanted, ExchangeError, ExchangeLimits, OutboundAnswer};
use crate::outbound::site::Site;
use crate::tls::ClientSettings;

/// Where `pointsman run` listens unless the config says otherwise.
pub const DEFAULT_ADMIN: &str = "http://127.0.0.1:9900";

/// Longest wait for the answer to a change: it waits for a disk, and for a hold of up to half a minute.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(40);

/// Longest wait for what is only looked up: nothing but the process itself keeps it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for what fetches first, also to look only: git has two minutes for that.
const SYNC_TIMEOUT: Duration = Duration::from_secs(180);

/// A stream that says nothing for so long, not even that it lives, is broken.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a wait is silent.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// Longest wait for lines of which there may be many: the ledger reads them.
const LINES_TIMEOUT: Duration = Duration::from_secs(30);

/// What says where the next lines begin.
const NEXT_LINES: &str = "x-pointsman-next";

/// Largest answer that is taken: the status of ten thousand services is some megabytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where the admin API is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AdminPlace {
    Tcp(String),
    Tls(String),
    Unix(PathBuf),
}

/// Calls one proxy's admin API.
#[derive(Clone, Debug)]
pub struct AdminClient {
    place: AdminPlace,
    token: Option<String>,
    tls: Option<ClientSettings>,
    /// Says that an answer takes long.
    say: Option<fn(&str)>,
}

/// Lines of an answer.
#[derive(Clone, Debug)]
pub(crate) struct AnsweredLines {
    pub(crate) text: String,
    /// What to ask for to get the next ones.
    pub(crate) next: Option<String>,
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is not one.
    #[error("--admin: found {0:?}, want http://HOST:PORT, https://HOST:PORT or unix:/PATH")]
    Address(String),
    /// The files of our side of TLS.
    #[error("--ca, --cert, --key: {0}")]
    Tls(String),
    /// No proxy answers there.
    #[error("cannot reach the admin API at {place}; is the proxy running, and is --admin (or POINTSMAN_ADMIN) right?")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is taken, and nothing comes.
    #[error(
        "no answer from the admin API at {place} within {} s; does the process hang, or has it been stopped?",
        .patience.as_secs()
    )]
    Late {
        /// Where.
        place: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// Something there, but not HTTP.
    #[error("no answer from the admin API at {place}: {why}{}", tls_hint(.place))]
    NoAnswer {
        /// Where.
        place: String,
        /// What went wrong.
        why: String,
    },
    /// The call was refused.
    #[error("{}", problem_text(*.status, .problem))]
    Refused {
        /// The status.
        status: StatusCode,
        /// The problem document.
        problem: Value,
    },
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// The JSON body.
    pub body: Option<Value>,
    /// The revision that must be in force.
    pub if_match: Option<u64>,
}

impl<'a> Call<'a> {
    /// Reads.
    #[must_use]
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, if_match: None }
    }

    /// How long its answer may take.
    pub(crate) fn patience(&self) -> Duration {
        if self.path.starts_with("/v1/gitops/sync") {
            return SYNC_TIMEOUT;
        }
        if self.method == Method::GET || self.path == "/v1/explain" || self.path.ends_with("?dry_run=true") {
            return LOOK_TIMEOUT;
        }
        // A change that is told to wait says so in its body.
        let wait = self.body.as_ref().and_then(|body| crate::config::duration(body["wait"].as_str()?));
        CHANGE_TIMEOUT + wait.unwrap_or_default()
    }
}

impl AdminClient {
    /// A client of the API at `address`.
    ///
    /// # Errors
    /// [`CallError::Address`] when that is no address.
    pub fn new(address: &str, token: Option<String>) -> Result<Self, CallError> {
        let place = if let Some(path) = address.strip_prefix("unix:") {
            AdminPlace::Unix(path.into())
        } else {
            let (place, authority): (fn(String) -> AdminPlace, _) = match address.strip_prefix("https://") {
                Some(authority) => (AdminPlace::Tls, authority),
                None => (AdminPlace::Tcp, address.strip_prefix("http://").unwrap_or(address)),
            };
            let authority = authority.trim_end_matches('/');
            let good = !authority.is_empty() && !authority.contains('/') && authority.contains(':');
            place(good.then(|| authority.to_owned()).ok_or_else(|| CallError::Address(address.to_owned()))?)
        };
        Ok(Self { place, token, tls: None, say: None })
    }

    /// Says how TLS is spoken, which counts for `https` only.
    #[must_use]
    pub fn with_tls(self, settings: ClientSettings) -> Self {
        Self { tls: Some(settings), ..self }
    }

    /// Says by `say` that an answer takes long.
    #[must_use]
    pub fn saying(self, say: fn(&str)) -> Self {
        Self { say: Some(say), ..self }
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer, or it is not a success.
    pub fn call(&self, call: Call<'_>) -> Result<Value, CallError> {
        let patience = call.patience();
        self.call_for(patience, call)
    }

    /// The same for a call that may take longer.
    ///
    /// # Errors
    /// As [`AdminClient::call`].
    pub fn call_for(&self, patience: Duration, call: Call<'_>) -> Result<Value, CallError> {
        let body = self.exchange(patience, call)?.body;
        serde_json::from_slice(&body).map_err(|error| self.no_answer(&format!("the answer is not JSON: {error}")))
    }

    /// Makes a call whose answer is lines of text, and tells where the next ones begin, if there are more.
    ///
    /// # Errors
    /// As [`AdminClient::call`].
    pub(crate) fn lines(&self, call: Call<'_>) -> Result<AnsweredLines, CallError> {
        let OutboundAnswer { head, body } = self.exchange(LINES_TIMEOUT, call)?;
        let next = head.headers.get(NEXT_LINES).and_then(|next| next.to_str().ok()).map(str::to_owned);
        Ok(AnsweredLines { text: String::from_utf8_lossy(&body).into_owned(), next })
    }

    /// The answer, which is a success.
    fn exchange(&self, patience: Duration, call: Call<'_>) -> Result<OutboundAnswer, CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| CallError::Unreachable { place: self.to_string(), source })?;
        let (site, request) = (self.site()?, self.request(call)?);
        let limits = ExchangeLimits { time: patience, body: BodyWanted::Whole(ANSWER_BYTES_MAX) };
        let answer = runtime.block_on(self.told(site.ask(request, limits)));
        let answer = answer.map_err(|error| self.failed(error, patience))?;
        taken(answer)
    }

    /// Follows a stream: `take` gets each piece of it as it comes, until it breaks off. `last_id` is that of the last
    /// event that was read before.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer, when it is not a success, and when it breaks off or falls silent.
    pub(crate) fn stream(
        &self,
        path: &str,
        last_id: Option<&str>,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| CallError::Unreachable { place: self.to_string(), source })?;
        let (site, mut request) = (self.site()?, self.request(Call::get(path))?);
        if let Some(id) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            request.headers_mut().insert("last-event-id", id);
        }
        let limits = ExchangeLimits { time: LOOK_TIMEOUT, body: BodyWanted::Whole(ANSWER_BYTES_MAX) };
        let answer = runtime.block_on(site.stream(request, limits, SILENCE_MAX, take));
        let answer = answer.map_err(|error| self.failed(error, LOOK_TIMEOUT))?;
        taken(answer).map(drop)
    }

    /// Waits, and says so if it takes long.
    async fn told<T>(&self, answer: impl Future<Output = T>) -> T {
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep(SILENT_MAX) => {}
        }
        if let Some(say) = self.say {
            say(&format!("waiting for the admin API at {self}..."));
        }
        answer.await
    }

    fn site(&self) -> Result<Site<'_>, CallError> {
        Ok(match &self.place {
            AdminPlace::Tcp(authority) => Site::Tcp(authority),
            AdminPlace::Tls(authority) => {
                let settings = self.tls.clone();
                let missing = || CallError::Tls("found none, want the files for https".to_owned());
                Site::Tls { authority, settings: settings.ok_or_else(missing)? }
            }
            AdminPlace::Unix(path) => Site::Unix(path),
        })
    }

    /// A call without an answer, in the words for its user.
    fn failed(&self, error: ExchangeError, patience: Duration) -> CallError {
        if error.is_late() {
            return CallError::Late { place: self.to_string(), patience };
        }
        match error {
            ExchangeError::Resolve(source) | ExchangeError::Connect(source) => {
                CallError::Unreachable { place: self.to_string(), source }
            }
            ExchangeError::HostName(_) => CallError::Address(self.to_string()),
            ExchangeError::Files(_) | ExchangeError::Reader(_) => CallError::Tls(error.to_string()),
            ExchangeError::Handshake(source) => {
                self.no_answer(&format!("no TLS: {source}; is --ca the authority of its certificate?"))
            }
            ExchangeError::Http(source) => self.no_answer(&source.to_string()),
            ExchangeError::TooLong(_) => self.no_answer("length limit exceeded"),
            ExchangeError::Tls(_) | ExchangeError::Late(_) => self.no_answer(&error.to_string()),
        }
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
        let host = match &self.place {
            AdminPlace::Tcp(address) | AdminPlace::Tls(address) => address,
            AdminPlace::Unix(_) => "localhost",
        };
        let mut request = Request::builder().method(call.method).uri(call.path).header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(revision) = call.if_match {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        let body = match call.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body)).map_err(|error| self.no_answer(&format!("cannot make the request: {error}")))
    }

    fn no_answer(&self, why: &str) -> CallError {
        CallError::NoAnswer { place: self.to_string(), why: why.to_owned() }
    }
}

impl std::fmt::Display for AdminClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            AdminPlace::Tcp(address) => write!(f, "http://{address}"),
            AdminPlace::Tls(address) => write!(f, "https://{address}"),
            AdminPlace::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An answer that is a success.
fn taken(answer: OutboundAnswer) -> Result<OutboundAnswer, CallError> {
    if answer.head.status.is_success() {
        return Ok(answer);
    }
    let text = || Value::String(String::from_utf8_lossy(&answer.body).into_owned());
    let problem = serde_json::from_slice(&answer.body).unwrap_or_else(|_not_json| text());
    Err(CallError::Refused { status: answer.head.status, problem })
}

/// What may be wrong with an address that is reached and does not understand.
fn tls_hint(place: &str) -> &'static str {
    if place.starts_with("http://") {
        "; if it has TLS, want --admin https://..., and perhaps --ca"
    } else if place.starts_with("https://") {
        "; if it wants a certificate, want --cert and --key, signed by its client_ca"
    } else {
        ""
    }
}

impl CallError {
    /// What went wrong in one line: of a problem document its own words and not the name of the status.
    #[must_use]
    pub fn words(&self) -> String {
        let Self::Refused { problem, .. } = self else { return super::chain(self) };
        let first = problem.get("problems").and_then(Value::as_array).and_then(|problems| problems.first());
        let detail = problem.get("detail").and_then(Value::as_str).map(str::to_owned);
        let text = first.map(|first| problem_line(first).trim().to_owned()).or(detail);
        let text = text.unwrap_or_else(|| super::chain(self));
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// The error for scripts: the problem document as the API gave it, or one that says why there is none.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Refused { problem, .. } => problem.clone(),
            Self::Address(_) | Self::Tls(_) | Self::Unreachable { .. } | Self::Late { .. } | Self::NoAnswer { .. } => {
                serde_json::json!({ "title": "no answer", "detail": super::chain(self) })
            }
        }
    }
}

/// One of the problems of a document.
fn problem_line(item: &Value) -> String {
    let part = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let at = item.get("line").and_then(Value::as_u64).map_or_else(String::new, |line| format!("line {line}: "));
    let line = format!("  {at}{}: found {}, want {}", part("where"), part("found"), part("wanted"));
    if part("remedy").is_empty() { line } else { format!("{line} ({})", part("remedy")) }
}

/// What a problem document says, every problem on a line.
fn problem_text(status: StatusCode, problem: &Value) -> String {
    let problem = &super::text::harmless_texts(problem.clone());
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let listed = problem.get("problems").and_then(Value::as_array).is_some_and(|problems| !problems.is_empty());
    let mut lines = vec![match (text("title"), text("detail").filter(|_| !listed)) {
        (Some(title), Some(detail)) => format!("{}: {title}: {detail}", status.as_u16()),
        (Some(one), None) | (None, Some(one)) => format!("{}: {one}", status.as_u16()),
        (None, None) => format!("{status}: the answer is not the admin API's; is --admin right?"),
    }];
    let problems = problem.get("problems").and_then(Value::as_array).into_iter().flatten();
    lines.extend(problems.map(problem_line));
    if status == StatusCode::UNAUTHORIZED {
        lines.push("  set POINTSMAN_TOKEN to a token of [admin.tokens]".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let shown = |address: &str| AdminClient::new(address, None).map(|client| client.to_string()).ok();
        assert_eq!(shown("http://127.0.0.1:9900/").as_deref(), Some("http://127.0.0.1:9900"));
        assert_eq!(shown("localhost:9900").as_deref(), Some("http://localhost:9900"));
        assert_eq!(shown("unix:/run/p.sock").as_deref(), Some("unix:/run/p.sock"));
        assert_eq!(shown("https://a.example:9900").as_deref(), Some("https://a.example:9900"));
        for bad in ["", "http://", "https://x", "ftp://x:1", "localhost", "http://x:1/v1"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_looked_up_is_waited_for_shortly_and_a_change_as_long_as_it_may_take() {
        let body = |body: &str| serde_json::from_str::<Value>(body).ok();
        let change = |path, body| Call { method: Method::POST, path, body, if_match: None };
        assert_eq!(Call::get("/v1/status").patience(), LOOK_TIMEOUT);
        assert_eq!(change("/v1/explain", body("{}")).patience(), LOOK_TIMEOUT);
        assert_eq!(change("/v1/rollback?dry_run=true", body("{}")).patience(), LOOK_TIMEOUT);
        assert_eq!(change("/v1/rollback", body("{}")).patience(), CHANGE_TIMEOUT);
        // It fetches, whether or not anything is changed by that.
        assert_eq!(change("/v1/gitops/sync?dry_run=true", body("{}")).patience(), SYNC_TIMEOUT);
        let waits = change("/v1/services/shop/flip", body(r#"{"wait": "30s"}"#)).patience();
        assert_eq!(waits, CHANGE_TIMEOUT + Duration::from_secs(30));
    }

    #[test]
    fn a_long_wait_is_told_and_ends_with_words_that_fit() {
        static SAID: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
        // It takes connections and says nothing, as a process that was stopped.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = format!("http://{}", silent.local_addr().expect("an address"));
        let client = AdminClient::new(&place, None).expect("an address");
        let client = client.saying(|text| SAID.lock().expect("no panic").push_str(text));
        let error = client.call_for(SILENT_MAX + Duration::from_secs(3), Call::get("/v1/status"));
        let text = super::super::chain(&error.expect_err("nothing was said"));
        assert!(text.contains("within 5 s; does the process hang") && !text.contains("TLS"), "{text}");
        assert_eq!(*SAID.lock().expect("no panic"), format!("waiting for the admin API at {place}..."));
    }

    #[test]
    fn one_line_says_what_is_wrong_and_not_the_name_of_the_status() {
        let words = |problem: Value| CallError::Refused { status: StatusCode::CONFLICT, problem }.words();
        let item =
            serde_json::json!({"where": "revision", "found": "1", "wanted": "one before it", "remedy": "shift first"});
        let listed = serde_json::json!({"title": "Conflict", "detail": "1 problem", "problems": [item]});
        assert_eq!(words(listed), "revision: found 1, want one before it (shift first)");
        assert_eq!(words(serde_json::json!({"title": "Conflict", "detail": "it is over\nand out"})), "it is over");
        assert_eq!(words(serde_json::json!({"title": "Conflict"})), "409: Conflict");
    }

    #[test]
    fn every_problem_gets_a_line() {
        let problem = serde_json::json!({
            "title": "wrong values", "detail": "2 problems",
            "problems": [{"where": "v1", "found": "-1", "wanted": "0 to 100", "remedy": "raise it"}, {"where": "v9", "found": "v9", "wanted": "v1 or v2"}],
        });
        assert_eq!(
            problem_text(StatusCode::UNPROCESSABLE_ENTITY, &problem),
            "422: wrong values\n  v1: found -1, want 0 to 100 (raise it)\n  v9: found v9, want v1 or v2"
        );
        let in_a_file = serde_json::json!({"where": "proxy.workers", "line": 6, "found": "0", "wanted": "1 or more"});
        assert_eq!(problem_line(&in_a_file), "  line 6: proxy.workers: found 0, want 1 or more");
    }
}
