//! A question to a Prometheus, or to what speaks its API (Thanos, Mimir, VictoriaMetrics): one query, one number.
//!
//! Anything but exactly one number is no answer, and says in a line what came instead: two series may have opposite
//! news, and none may be a slip in the query. `NaN` and infinities are none as well: they are what a division by no
//! traffic gives.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinError;

use super::client::{BodyWanted, ExchangeError, ExchangeLimits, OutboundAnswer};
use super::excerpt::first;
use super::secret::{Secret, SecretFault};
use super::url_target::{BadUrl, UrlTarget};
use crate::tls::Trust;

/// Who asks.
const AGENT: &str = concat!("pointsman-metrics/", env!("CARGO_PKG_VERSION"));

/// As much of an answer is read: one series with all its labels is smaller.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// As much of it is told in an error.
const TOLD_CHARS_MAX: usize = 120;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct MetricsCall {
    /// The base address.
    pub url: Uri,
    /// The query.
    pub query: String,
    /// Longest wait for all of it.
    pub timeout: Duration,
    /// The file with a token for the server.
    pub token_file: Option<PathBuf>,
}

/// No number.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricFault {
    /// The base address cannot be asked.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] SecretFault),
    /// The task that reads it.
    #[error(transparent)]
    Reader(#[from] JoinError),
    /// The query or the token cannot be sent.
    #[error("the query or the token cannot be in the head of a request")]
    Head(#[from] http::Error),
    /// No answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A longer answer than one number takes.
    #[error("the query answered more than {ANSWER_BYTES_MAX} bytes, want 1 series; put sum() around it")]
    TooLong,
    /// The server refuses.
    #[error("status {}{}", .status.as_u16(), colon(.said))]
    Status {
        /// The status.
        status: StatusCode,
        /// What came with it.
        said: String,
    },
    /// Not the API.
    #[error("found {found:?}, want JSON of /api/v1/query; is the URL that of a Prometheus?")]
    NotJson {
        /// The beginning of it.
        found: String,
    },
    /// The server could not do it.
    #[error("the query failed{}", colon(.0))]
    Failed(String),
    /// A range, or a text.
    #[error("the query answered a {0}, want one number; a range such as x[5m] stands in rate() or avg_over_time()")]
    Kind(String),
    /// None or several.
    #[error("the query answered {} series, want 1{}", if *.0 == 0 { "no".to_owned() } else { .0.to_string() }, if *.0 > 1 { "; put sum() around it" } else { "" })]
    Series(usize),
    /// One that is none.
    #[error("the query answered {0}, want a number")]
    NotFinite(String),
}

fn colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// Asks metrics servers.
#[derive(Clone, Debug)]
pub struct MetricsClient {
    /// Whose certificates are believed.
    trust: Trust,
}

impl Default for MetricsClient {
    fn default() -> Self {
        Self { trust: Trust::System }
    }
}

impl MetricsClient {
    /// Asks once.
    ///
    /// # Errors
    /// [`MetricFault`] unless the answer is one number in time.
    pub(crate) async fn ask(&self, call: &MetricsCall) -> Result<f64, MetricFault> {
        let target = UrlTarget::of(&call.url)?;
        let token = match call.token_file.clone() {
            Some(file) => Some(tokio::task::spawn_blocking(move || Secret::read(&file)).await??.bytes),
            None => None,
        };
        let request = request(&target, &call.query, token.as_deref())?;
        let limits = ExchangeLimits { time: call.timeout, body: BodyWanted::Whole(ANSWER_BYTES_MAX) };
        match target.site(&self.trust).ask(request, limits).await {
            Ok(OutboundAnswer { head, body }) => number(head.status, &body),
            Err(ExchangeError::TooLong(_)) => Err(MetricFault::TooLong),
            Err(error) => Err(error.into()),
        }
    }
}

fn request(target: &UrlTarget<'_>, query: &str, token: Option<&[u8]>) -> Result<Request<Full<Bytes>>, http::Error> {
    let base = target.url.path().trim_end_matches('/');
    let mut request = Request::get(format!("{base}/api/v1/query?query={}", encoded(query)));
    if let Some(token) = token {
        let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.header(HOST, target.host()).header(USER_AGENT, HeaderValue::from_static(AGENT));
    let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
    request.header(CONNECTION, HeaderValue::from_static("close")).body(Full::default())
}

/// A text as it stands in the query of a URL (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // A text takes all that is written to it.
            let _written = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// An answer of the API.
#[derive(Deserialize)]
struct ApiAnswer {
    status: String,
    data: Option<ApiData>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiData {
    result_type: String,
    result: Value,
}

/// The number in an answer.
fn number(status: StatusCode, body: &[u8]) -> Result<f64, MetricFault> {
    let answer: Option<ApiAnswer> = serde_json::from_slice(body).ok();
    if !status.is_success() {
        let said = answer.and_then(|answer| answer.error);
        let said = said.map_or_else(|| first(body, TOLD_CHARS_MAX), |said| first(said.as_bytes(), TOLD_CHARS_MAX));
        return Err(MetricFault::Status { status, said });
    }
    let not_json = || MetricFault::NotJson { found: first(body, TOLD_CHARS_MAX) };
    let ApiAnswer { status, data, error } = answer.ok_or_else(not_json)?;
    if status != "success" {
        return Err(MetricFault::Failed(first(error.unwrap_or_default().as_bytes(), TOLD_CHARS_MAX)));
    }
    let ApiData { result_type, result } = data.ok_or_else(not_json)?;
    let sample = match (result_type.as_str(), &result) {
        ("scalar", sample) => sample,
        ("vector", Value::Array(series)) => match series.as_slice() {
            [one] => one.get("value").ok_or_else(not_json)?,
            several => return Err(MetricFault::Series(several.len())),
        },
        (other, _) => return Err(MetricFault::Kind(first(other.as_bytes(), TOLD_CHARS_MAX))),
    };
    // A moment and a number, the latter as a text because JSON has no NaN.
    let text = sample.get(1).and_then(Value::as_str).ok_or_else(not_json)?;
    let not_finite = || MetricFault::NotFinite(first(text.as_bytes(), TOLD_CHARS_MAX));
    text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(not_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::fixture::{Server, ServerAct};
    use crate::problem::chain;

    fn call(server: &Server) -> MetricsCall {
        let url = format!("http://{}/prom/", server.address).parse().unwrap();
        let query = "sum(rate(x{job=\"a b\"}[1m])) > 1".to_owned();
        MetricsCall { url, query, timeout: Duration::from_secs(60), token_file: None }
    }

    /// What comes of a server that answers this with 200.
    async fn answered(body: &str) -> Result<f64, String> {
        played(ServerAct::answer("200 OK", body), Duration::from_secs(60)).await
    }

    async fn played(act: ServerAct, timeout: Duration) -> Result<f64, String> {
        let server = Server::new([act]).await;
        let call = MetricsCall { timeout, ..call(&server) };
        MetricsClient::default().ask(&call).await.map_err(|fault| chain(&fault))
    }

    fn vector(series: &[&str]) -> String {
        let series: Vec<_> =
            series.iter().map(|value| format!(r#"{{"metric":{{}},"value":[1.5,"{value}"]}}"#)).collect();
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(","))
    }

    #[tokio::test]
    async fn a_query_is_asked_as_it_is_written_and_its_number_is_read() {
        let mut server = Server::new([ServerAct::answer("200 OK", &vector(&["0.25"]))]).await;
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "s3cret\n").unwrap();
        let call = MetricsCall { token_file: Some(token.path().to_owned()), ..call(&server) };
        assert!((MetricsClient::default().ask(&call).await.unwrap() - 0.25).abs() < 1e-12);
        let seen = server.seen().await;
        let query = "sum%28rate%28x%7Bjob%3D%22a%20b%22%7D%5B1m%5D%29%29%20%3E%201";
        assert_eq!(seen.line, format!("GET /prom/api/v1/query?query={query} HTTP/1.1"));
        assert_eq!(seen.header("authorization"), Some("Bearer s3cret"));
        assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"-3e9"]}}"#;
        assert_eq!(answered(scalar).await, Ok(-3e9));
        assert_eq!(answered(&vector(&["7"])).await, Ok(7.0));
    }

    #[tokio::test]
    async fn what_is_no_number_says_what_it_is() {
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        let error = r#"{"status":"error","errorType":"timeout","error":"too slow"}"#;
        for (body, wanted) in [
            (vector(&[]), "the query answered no series, want 1"),
            (vector(&["1", "2"]), "the query answered 2 series, want 1; put sum() around it"),
            (vector(&["NaN"]), "the query answered NaN, want a number"),
            (vector(&["+Inf"]), "the query answered +Inf, want a number"),
            (vector(&["-Inf"]), "the query answered -Inf, want a number"),
            (vector(&["five"]), "the query answered five, want a number"),
            (
                matrix.to_owned(),
                "the query answered a matrix, want one number; a range such as x[5m] stands in rate() or \
                                 avg_over_time()",
            ),
            (error.to_owned(), "the query failed: too slow"),
            (
                "<html>\nhi".to_owned(),
                "found \"<html> | hi\", want JSON of /api/v1/query; is the URL that of a Prometheus?",
            ),
            (String::new(), "found \"\", want JSON of /api/v1/query; is the URL that of a Prometheus?"),
            ("{}".to_owned(), "found \"{}\", want JSON of /api/v1/query; is the URL that of a Prometheus?"),
            ("[1]".to_owned(), "found \"[1]\", want JSON of /api/v1/query; is the URL that of a Prometheus?"),
            (vector(&["1"]).replace("\"value\"", "\"values\""), "found "),
            (vector(&["1"]).replace("\"1\"", "1"), "found "),
            (vector(&["1"]).replace("[1.5,\"1\"]", "{}"), "found "),
            ("[".repeat(60_000), "found "),
        ] {
            let found = answered(&body).await.unwrap_err();
            assert!(found == wanted || wanted == "found " && found.starts_with(wanted), "{found}");
        }
    }

    #[tokio::test]
    async fn a_server_that_refuses_or_says_nothing_is_told() {
        let bad = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}"#;
        for (act, wanted) in [
            (ServerAct::answer("400 Bad", bad), "status 400: parse error: unexpected end"),
            (ServerAct::answer("503 No", ""), "status 503"),
            (ServerAct::answer("401 No", "who are you?"), "status 401: who are you?"),
            (ServerAct::raw("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"), "status 302"),
            (ServerAct::Hang, "no answer within 200ms"),
            (ServerAct::raw_open("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"), "no answer within 200ms"),
        ] {
            assert_eq!(played(act, Duration::from_millis(200)).await.unwrap_err(), wanted);
        }
        let endless = played(ServerAct::Endless("200 OK"), Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(endless, "the query answered more than 65536 bytes, want 1 series; put sum() around it");
        let garbage = played(ServerAct::raw("SSH-2.0\r\n"), Duration::from_secs(60)).await.unwrap_err();
        assert!(garbage.starts_with("no HTTP answer: "), "{garbage}");
        let address = Server::nobody();
        let gone = MetricsCall { url: format!("http://{address}").parse().unwrap(), ..call(&Server::new([]).await) };
        let refused = chain(&MetricsClient::default().ask(&gone).await.unwrap_err());
        assert!(refused.starts_with("no connection: "), "{refused}");
        let no_token = MetricsCall { token_file: Some("/nonexistent/token".into()), ..gone };
        let refused = chain(&MetricsClient::default().ask(&no_token).await.unwrap_err());
        assert!(refused.starts_with("cannot read /nonexistent/token"), "{refused}");
    }
}
