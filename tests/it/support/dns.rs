//! A name server on loopback that knows one answer for every name.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a name server answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These addresses, with this time to live in seconds.
    Addresses(Vec<Ipv4Addr>, u32),
    /// There is no such name.
    NoName,
    /// It failed.
    Failure,
}

/// A name server, until this is dropped.
pub(crate) struct Dns {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    queries: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Dns {
    pub(crate) fn saying(says: Says) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let dns = Self {
            address: socket.local_addr().unwrap(),
            says: Arc::new(Mutex::new(says)),
            queries: Arc::default(),
            stop: Arc::default(),
        };
        let (says, queries, stop) = (Arc::clone(&dns.says), Arc::clone(&dns.queries), Arc::clone(&dns.stop));
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while !stop.load(SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
                queries.fetch_add(1, SeqCst);
                let says = says.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = answer(&query[..length], &says) {
                    socket.send_to(&answer, from).ok();
                }
            }
        });
        dns
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn says(&self, says: Says) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = says;
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries.load(SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

/// The answer to a query with one question (RFC 1035, 4.1).
fn answer(query: &[u8], says: &Says) -> Option<Vec<u8>> {
    let name = query.get(12..)?;
    let mut end = 0;
    while name.get(end)? != &0 {
        end += usize::from(name[end]) + 1;
    }
    let question = name.get(..end + 5)?;
    let is_a = question[end + 2] == 1;
    let (code, addresses, ttl) = match says {
        Says::Addresses(addresses, ttl) if is_a => (0, addresses.as_slice(), *ttl),
        Says::Addresses(..) => (0, &[][..], 0),
        Says::NoName => (3, &[][..], 0),
        Says::Failure => (2, &[][..], 0),
    };
    let count = u8::try_from(addresses.len()).unwrap();
    // Its id; an answer, recursive as asked; one question, so many answers.
    let mut bytes = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    bytes.extend(question);
    for address in addresses {
        // The name at offset 12, type A, class IN.
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}
