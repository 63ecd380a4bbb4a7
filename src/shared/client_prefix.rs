//! The addresses that count as one client, wherever clients are counted.

use std::net::IpAddr;

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, which is the least that a subscriber
/// gets.
#[must_use]
pub(crate) fn block(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_is_a_64() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let same = |a: &str, b: &str| block(address(a)) == block(address(b));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2") && same("10.0.0.1", "::ffff:10.0.0.1"));
        for (a, b) in [("2001:db8:0:1::1", "2001:db8:0:2::1"), ("10.0.0.1", "10.0.0.2"), ("::1", "0.0.0.1")] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
