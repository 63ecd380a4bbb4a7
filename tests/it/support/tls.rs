//! Ends of TLS: a client that reads and writes as it likes, and a front that makes any origin speak TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, StreamOwned};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::fault;
use super::pki::{Ca, Files};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(ca: &Ca) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca.file()).unwrap()).unwrap();
    Arc::new(roots)
}

fn pair(files: &Files) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&files.cert).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(&files.key).unwrap())
}

/// A client, which remembers sessions.
#[derive(Clone)]
pub(crate) struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Believes `ca`; shows `own` when it is asked.
    pub(crate) fn new(ca: &Ca, own: Option<&Files>, versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots(ca));
        Self(Arc::new(match own.map(pair) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        }))
    }

    /// The same client, with no session to remember.
    pub(crate) fn again(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        Self(Arc::new(config))
    }

    /// A request on a connection of its own, which it asks to close: the answer, and how the session came about.
    pub(crate) fn ask(&self, address: SocketAddr, host: &str, more: &str) -> std::io::Result<(String, HandshakeKind)> {
        self.ask_for(address, host, "GET /", more)
    }

    /// The same with another request line.
    pub(crate) fn ask_for(
        &self,
        address: SocketAddr,
        host: &str,
        line: &str,
        more: &str,
    ) -> std::io::Result<(String, HandshakeKind)> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, fault::connect(address));
        write!(stream, "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok((answer, stream.conn.handshake_kind().unwrap()))
    }
}

/// A front with TLS on a free port; what comes in goes to a plain origin.
pub(crate) struct TlsFront {
    /// Where it is.
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TlsFront {
    /// Shows `own`; wants certificates of `clients` if there is an authority for them.
    pub(crate) fn new(origin: SocketAddr, own: &Files, clients: Option<&Ca>) -> Self {
        Self::speaking(origin, own, clients, &[])
    }

    /// The same, which agrees on one of these protocols (ALPN).
    pub(crate) fn speaking(origin: SocketAddr, own: &Files, clients: Option<&Ca>, alpn: &[&str]) -> Self {
        let verifier = match clients {
            Some(ca) => WebPkiClientVerifier::builder_with_provider(roots(ca), provider()).build().unwrap(),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let (chain, key) = pair(own);
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let listener = fault::listener();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                    tokio::spawn(async move {
                        let Ok(mut stream) = acceptor.accept(stream).await else { return };
                        count.fetch_add(1, Ordering::SeqCst);
                        let mut origin = tokio::net::TcpStream::connect(origin).await.unwrap();
                        // Either side may hang up at any time.
                        tokio::io::copy_bidirectional(&mut stream, &mut origin).await.ok();
                    });
                }
            });
        });
        Self { address, connections }
    }

    /// Handshakes that succeeded.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Whether a connection has ended, waiting for it.
pub(crate) fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
