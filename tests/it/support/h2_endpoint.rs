//! An endpoint that speaks HTTP/2 with prior knowledge and does on each stream what its test says.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::net::{TcpListener, TcpStream};

use super::h2::runtime;

/// One stream: its number among all of the endpoint, what was asked, and what goes back.
pub(crate) struct Asked {
    pub(crate) number: usize,
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

/// See the module.
pub(crate) struct H2Endpoint {
    pub(crate) address: SocketAddr,
    noted: Arc<Noted>,
    /// Dropping it stops the endpoint, with its connections.
    _stop: tokio::sync::oneshot::Sender<()>,
}

#[derive(Default)]
struct Noted {
    requests: AtomicUsize,
    connections: AtomicUsize,
    /// The codes that streams were reset with.
    resets: Mutex<Vec<Reason>>,
}

impl H2Endpoint {
    pub(crate) fn with<F>(serves: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        Self::built(Builder::new(), serves)
    }

    /// The same with settings of its own.
    pub(crate) fn built<F>(builder: Builder, serves: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (noted, serves) = (Arc::<Noted>::default(), Arc::new(serves));
        let notes = Arc::clone(&noted);
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let accepting = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    notes.connections.fetch_add(1, SeqCst);
                    tokio::spawn(serve(stream, builder.clone(), Arc::clone(&serves), Arc::clone(&notes)));
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = accepting => {}
                    _ = stopping => {}
                }
            });
        });
        Self { address, noted, _stop: stop }
    }

    pub(crate) fn requests(&self) -> usize {
        self.noted.requests.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.noted.connections.load(SeqCst)
    }

    /// The codes that streams were reset with while the endpoint was at work on them.
    pub(crate) fn resets(&self) -> Vec<Reason> {
        self.noted.resets.lock().unwrap().clone()
    }
}

async fn serve<F>(
    stream: TcpStream,
    builder: Builder,
    serves: Arc<impl Fn(Asked) -> F + Send + Sync + 'static>,
    noted: Arc<Noted>,
) -> Result<(), h2::Error>
where
    F: Future<Output = Result<(), h2::Error>> + Send + 'static,
{
    let mut connection = builder.handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let number = noted.requests.fetch_add(1, SeqCst);
        let served = serves(Asked { number, request, respond });
        let noted = Arc::clone(&noted);
        tokio::spawn(async move {
            if let Some(reason) = served.await.err().and_then(|error| error.reason()) {
                noted.resets.lock().unwrap().push(reason);
            }
        });
    }
    Ok(())
}

/// All of a body.
pub(crate) async fn whole_body(incoming: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(body)
}

/// Waits until the client resets a stream that was not answered, and fails with that.
pub(crate) async fn until_reset(respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let reason = poll_fn(|cx| respond.poll_reset(cx)).await?;
    Err(reason.into())
}
