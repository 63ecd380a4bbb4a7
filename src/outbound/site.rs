//! A place that a URL or a path names, and how it is asked: once, or for as long as it has something to say.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{ExchangeError, ExchangeLimits, OutboundAnswer, over_http1};
use crate::tls::{ClientSettings, Load};

/// A place that a URL or a path names. It is asked over HTTP/1.1.
#[derive(Clone, Debug)]
pub(crate) enum Site<'a> {
    /// `HOST:PORT`.
    Tcp(&'a str),
    /// TLS with `HOST:PORT`.
    Tls {
        /// `HOST:PORT`; the certificate has to be for the host.
        authority: &'a str,
        /// Our side. Its files are read each time: calls are few, and a new authority counts at once.
        settings: ClientSettings,
    },
    /// A unix socket.
    Unix(&'a Path),
}

impl Site<'_> {
    /// Connects, sends `request`, which has all of its headers, and gives as much of the answer as is wanted.
    ///
    /// # Errors
    /// [`ExchangeError`] when there is no answer, or it breaks off before that.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        limits: ExchangeLimits,
    ) -> Result<OutboundAnswer, ExchangeError> {
        let wanted = limits.wanted();
        let read = async |answer| wanted.read(answer).await;
        wanted.in_time(Box::pin(self.exchange(request, wanted.deadline, read))).await
    }

    /// The same for an answer that goes on for as long as it is wanted: if it is a success, `take` gets each piece of
    /// its body as it comes, until it breaks off or the body ends. Of an answer that is none, the limits are those of
    /// [`Site::ask`], and it is read as there.
    ///
    /// # Errors
    /// [`ExchangeError`] when there is no answer, when it breaks off, or when there is no piece of it for `silence`.
    pub(crate) async fn stream(
        &self,
        request: Request<Full<Bytes>>,
        limits: ExchangeLimits,
        silence: Duration,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<OutboundAnswer, ExchangeError> {
        let wanted = limits.wanted();
        let begun = Notify::new();
        let read = async |answer: Response<Incoming>| {
            begun.notify_one();
            if !answer.status().is_success() {
                return wanted.in_time(wanted.read(answer)).await;
            }
            let (head, mut body) = answer.into_parts();
            while let Some(frame) =
                timeout(silence, body.frame()).await.map_err(|_elapsed| ExchangeError::Late(silence))?
            {
                if frame?.data_ref().is_some_and(|data| take(data).is_break()) {
                    break;
                }
            }
            Ok(OutboundAnswer { head, body: Vec::new() })
        };
        let mut exchange = Box::pin(self.exchange(request, wanted.deadline, read));
        tokio::select! {
            biased;
            ended = &mut exchange => return ended,
            late = timeout_at(wanted.deadline, begun.notified()) => {
                late.map_err(|_elapsed| ExchangeError::Late(limits.time))?;
            }
        }
        exchange.await
    }

    /// Connects, asks and reads, in the time that its caller gives it; a connection is looked for until `deadline`.
    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<OutboundAnswer, ExchangeError>,
    ) -> Result<OutboundAnswer, ExchangeError> {
        match self {
            Self::Tcp(authority) => over_http1(connect(authority, deadline).await?, request, read).await,
            Self::Tls { authority, settings } => {
                let stream = connect(authority, deadline).await?;
                over_http1(secured(authority, settings, stream).await?, request, read).await
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(ExchangeError::Connect)?;
                over_http1(stream, request, read).await
            }
        }
    }
}

/// Tries one address of `HOST:PORT` after the other, each for its part of the time: the first of them may be one that
/// swallows packets.
async fn connect(authority: &str, deadline: Instant) -> Result<TcpStream, ExchangeError> {
    let addresses: Vec<SocketAddr> = lookup_host(authority).await.map_err(ExchangeError::Resolve)?.collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let share = left / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(late) => failed = late.into(),
        }
    }
    Err(ExchangeError::Connect(failed))
}

/// TLS with the host of `authority`.
async fn secured(
    authority: &str,
    settings: &ClientSettings,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, ExchangeError> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())?;
    let settings = settings.clone();
    // Reading hundreds of certificates takes milliseconds, from a disk.
    let loaded = spawn_blocking(move || settings.load(None)).await?.map_err(ExchangeError::Files)?;
    TlsConnector::from(loaded.config).connect(name, stream).await.map_err(ExchangeError::Handshake)
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::super::client::BodyWanted;
    use super::*;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::super::fixture::{Server, ServerAct};

    const LONG: Duration = Duration::from_secs(60);

    fn request() -> Request<Full<Bytes>> {
        Request::get("/").header(HOST, "localhost").body(Full::default()).unwrap()
    }

    async fn asked(act: ServerAct, time: Duration, body: BodyWanted) -> Result<OutboundAnswer, ExchangeError> {
        let server = Server::new([act]).await;
        Site::Tcp(&server.address.to_string()).ask(request(), ExchangeLimits { time, body }).await
    }

    #[tokio::test]
    async fn as_much_of_a_body_is_read_as_is_wanted() {
        let read = async |body| asked(ServerAct::answer("200 OK", "hello"), LONG, body).await;
        for (wanted, text) in [
            (BodyWanted::Nothing, ""),
            (BodyWanted::Beginning(2), "he"),
            (BodyWanted::Glimpse { bytes_max: 3, wait: LONG }, "hel"),
            (BodyWanted::Whole(5), "hello"),
        ] {
            assert_eq!(read(wanted).await.unwrap().body, text.as_bytes(), "{wanted:?}");
        }
        assert!(matches!(read(BodyWanted::Whole(4)).await, Err(ExchangeError::TooLong(4))));
        let endless = asked(ServerAct::Endless("200 OK"), LONG, BodyWanted::Whole(1000)).await;
        assert!(matches!(endless, Err(ExchangeError::TooLong(1000))), "{endless:?}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_unless_the_head_decides() {
        let half = || ServerAct::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        for wanted in [BodyWanted::Beginning(10), BodyWanted::Whole(10)] {
            let found = asked(half(), LONG, wanted).await;
            assert!(matches!(found, Err(ExchangeError::Http(_))), "{found:?}");
        }
        let glimpse = BodyWanted::Glimpse { bytes_max: 10, wait: LONG };
        assert_eq!(asked(half(), LONG, glimpse).await.unwrap().body, b"half");
    }

    #[tokio::test]
    async fn an_exchange_ends_within_its_limit() {
        let time = Duration::from_millis(200);
        let half = ServerAct::raw_open("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        for act in [ServerAct::Hang, half] {
            let error = asked(act, time, BodyWanted::Whole(10)).await.unwrap_err();
            assert!(matches!(error, ExchangeError::Late(limit) if limit == time) && error.is_late(), "{error:?}");
        }
        let endless = Duration::MAX;
        asked(ServerAct::answer("200 OK", ""), endless, BodyWanted::Whole(0)).await.unwrap();
    }

    #[tokio::test]
    async fn errors_say_which_step_it_was_and_keep_the_cause() {
        let limits = ExchangeLimits { time: LONG, body: BodyWanted::Nothing };
        let closed = Server::nobody().to_string();
        let error = Site::Tcp(&closed).ask(request(), limits).await.unwrap_err();
        let ExchangeError::Connect(cause) = &error else { panic!("{error:?}") };
        assert!(cause.kind() == io::ErrorKind::ConnectionRefused && !error.is_late(), "{error:?}");
        let error = Site::Tcp("no-port").ask(request(), limits).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Resolve(_)), "{error:?}");
        let error = Site::Unix(Path::new("/no/such/socket")).ask(request(), limits).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Connect(_)), "{error:?}");
        let error = asked(ServerAct::raw("SSH-2.0-OpenSSH\r\n"), LONG, BodyWanted::Nothing).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Http(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_unix_socket_is_asked_like_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            assert!(stream.read(&mut bytes).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        });
        let limits = ExchangeLimits { time: LONG, body: BodyWanted::Whole(2) };
        assert_eq!(Site::Unix(&path).ask(request(), limits).await.unwrap().body, b"hi");
    }
}
