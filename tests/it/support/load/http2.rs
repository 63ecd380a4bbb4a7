//! A user of HTTP/2: several streams at once on one connection, as browsers and clients of gRPC have them.
//!
//! When the proxy says that it goes away, a real client begins what was not begun on another connection; GOAWAY and
//! `REFUSED_STREAM` are the promise that nothing of it was seen (RFC 9113, 8.7). This one does that, and nothing beyond
//! it.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::{User, body, connect};
use crate::support::PATIENCE;
use crate::support::h2::{request, runtime};

/// How often a stream is begun at the most: a client that is told to go away from five connections in a row is not
/// served.
const BEGINNINGS_MAX: u32 = 5;

/// See the module.
pub(super) struct Http2 {
    proxy: SocketAddr,
    runtime: Runtime,
    connection: Option<SendRequest<Bytes>>,
}

/// What became of a stream that has no good answer.
enum Lost {
    /// The proxy promised not to have begun it.
    NotBegun,
    Failed(String),
}

impl Http2 {
    pub(super) fn new(proxy: SocketAddr) -> Self {
        Self { proxy, runtime: runtime(), connection: None }
    }
}

impl User for Http2 {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        let Self { proxy, runtime, connection } = self;
        runtime.block_on(async {
            // So that their numbers are their own, and large bodies are now the first and now the last stream's.
            let (a, b, c) = (3 * number, 3 * number + 1, 3 * number + 2);
            let mut left = vec![a, b, c];
            for _ in 0..BEGINNINGS_MAX {
                let sender = match connection.take() {
                    Some(sender) => sender,
                    None => open(*proxy).await?,
                };
                left = exchanges(&sender, &left).await?;
                if left.is_empty() {
                    *connection = Some(sender);
                    return Ok(());
                }
            }
            Err(format!("streams of request {number} were not begun on {BEGINNINGS_MAX} connections"))
        })
    }
}

async fn open(proxy: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let stream = connect(proxy)?;
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| format!("no handshake: {error}"))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Makes these exchanges at once; those that were not begun.
async fn exchanges(sender: &SendRequest<Bytes>, numbers: &[u64]) -> Result<Vec<u64>, String> {
    let mut streams = tokio::task::JoinSet::new();
    for number in numbers.iter().copied() {
        let sender = sender.clone();
        streams.spawn(async move {
            let late = || Err(Lost::Failed("no answer in time".to_owned()));
            (number, timeout(PATIENCE, exchange(sender, number)).await.unwrap_or_else(|_elapsed| late()))
        });
    }
    let mut left = Vec::new();
    for (number, ended) in streams.join_all().await {
        match ended {
            Ok(()) => {}
            Err(Lost::NotBegun) => left.push(number),
            Err(Lost::Failed(why)) => return Err(format!("stream {number}: {why}")),
        }
    }
    Ok(left)
}

async fn exchange(sender: SendRequest<Bytes>, number: u64) -> Result<(), Lost> {
    let wanted = body(number);
    let mut sender = sender.ready().await?;
    let (answer, mut stream) = sender.send_request(request("POST", "http://a/echo", &[]), false)?;
    // If the stream is over already, the answer says how.
    stream.send_data(Bytes::from(wanted.clone()), true).ok();
    let (head, mut incoming) = answer.await?.into_parts();
    let failed = |what: &str, error: &h2::Error| Lost::Failed(format!("{what}: {error}"));
    let mut found = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data.map_err(|error| failed("half an answer", &error))?;
        incoming.flow_control().release_capacity(data.len()).map_err(|error| failed("no more window", &error))?;
        found.extend_from_slice(&data);
    }
    if head.status != 200 || found != wanted.as_bytes() {
        let text = String::from_utf8_lossy(&found[..found.len().min(200)]).into_owned();
        return Err(Lost::Failed(format!("answered with {head:?} and {text:?}")));
    }
    Ok(())
}

/// How a stream ended that has no head of an answer. The library says so of streams beyond the last one that the proxy
/// named, and of new ones, only.
impl From<h2::Error> for Lost {
    fn from(error: h2::Error) -> Self {
        let left = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        match error.is_remote() && (left || refused) {
            true => Self::NotBegun,
            false => Self::Failed(format!("no answer: {error}")),
        }
    }
}
