//! Clients that ask once and keep quiet.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::certificate::{Certificate, HOST};
use super::origin::{BODY, SMALL};

/// Clients that connect at the same time, so that the first ones are not idle for long when the last ones come.
const OPENERS: usize = 8;

/// Where clients go, and how.
#[derive(Clone)]
pub(crate) struct Clients {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// One that has had its answer.
pub(crate) enum Client {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Clients {
    /// Clients that believe in `tls`, or do without.
    pub(crate) fn new(address: SocketAddr, tls: Option<&Certificate>) -> Self {
        let tls = tls.map(|tls| {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&tls.cert).unwrap()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
            let mut config = builder.with_root_certificates(roots).with_no_client_auth();
            // A crowd of strangers: none has been here before.
            config.resumption = rustls::client::Resumption::disabled();
            Arc::new(config)
        });
        Self { address, tls }
    }

    /// This many of them.
    pub(crate) fn open(&self, count: usize) -> Vec<Client> {
        let openers: Vec<_> = (0..OPENERS)
            .map(|_| {
                let clients = self.clone();
                thread::spawn(move || (0..count / OPENERS).map(|_| clients.ask()).collect::<Vec<_>>())
            })
            .collect();
        openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect()
    }

    fn ask(&self) -> Client {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let Some(config) = &self.tls else {
            answered(&mut stream);
            return Client::Plain(stream);
        };
        let name = ServerName::try_from(HOST).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        answered(&mut stream);
        Client::Tls(Box::new(stream))
    }
}

fn answered(stream: &mut (impl Read + Write)) {
    let request = format!("GET {SMALL} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: idle\r\naccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut buffer, mut filled) = ([0; 4096], 0);
    while !buffer[..filled].ends_with(BODY.as_bytes()) {
        let count = stream.read(&mut buffer[filled..]).unwrap();
        assert!(count > 0, "an answer, and the connection stays: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += count;
    }
}

impl Client {
    /// The connection is still there, and silent.
    pub(crate) fn assert_idle(&self) {
        let mut socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        };
        socket.set_nonblocking(true).unwrap();
        let error = socket.read(&mut [0]).expect_err("the connection is still there, and silent");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}
