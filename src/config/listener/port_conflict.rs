//! Addresses that several parts of a config listen on: each needs one of its own.
//!
//! They are compared as they are written, before anything else of their sections is looked at, so that no other problem
//! hides that two of them are the same. "All addresses" takes the port on each of them, and `[::]` those of IPv4 too,
//! as Linux has it unless `net.ipv6.bindv6only` was changed: without this check a start would blame another process for
//! a port that is taken by its own config.

use std::net::SocketAddr;

use crate::config::flag_answers::OFREP;
use crate::problem::Mismatch;

/// An address, and the name of the section that listens there.
pub(crate) struct ListenAddress<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: SocketAddr,
}

impl<'a> ListenAddress<'a> {
    /// What a section listens on, if its address can be read.
    pub(crate) fn new(name: &'a str, address: Option<&String>) -> Option<Self> {
        Some(Self { name, address: address?.parse().ok()? })
    }

    fn section(&self) -> String {
        if self.name == OFREP { OFREP.to_owned() } else { format!("listeners.{}", self.name) }
    }

    /// Why `address` cannot be listened on beside this one.
    pub(crate) fn conflict(&self, address: SocketAddr) -> Option<Mismatch> {
        if !overlap(self.address, address) {
            return None;
        }
        let (section, own) = (self.section(), self.address);
        Some(if own == address {
            Mismatch::new(format!("{address}, the address of {section} too"), "one of its own", "change or remove one")
        } else {
            let wide = if own.ip().is_unspecified() { own } else { address };
            Mismatch::new(
                format!("{address} beside {own} of {section}"),
                format!("no overlap: {wide} takes the port on all addresses"),
                "change one of the ports, or name the addresses one by one",
            )
        })
    }
}

/// Whether both cannot be listened on at the same time. Port 0 is another free port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip().to_canonical(), b.ip().to_canonical());
    // All addresses of IPv6 are all of IPv4 too, but not the other way round.
    let covers =
        |wide: std::net::IpAddr, ip: std::net::IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (one == other || covers(one, other) || covers(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_overlap_with_each() {
        for (a, b, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ] {
            let [one, other] = [a, b].map(|text| text.parse().expect("an address"));
            assert_eq!((overlap(one, other), overlap(other, one)), (wanted, wanted), "{a} {b}");
        }
    }
}
