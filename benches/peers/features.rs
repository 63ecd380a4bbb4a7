//! Looks whether a proxy does what all of them are asked to do, before anything is measured.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use super::answer::{Answer, first};
use super::certificate::HOST;
use super::load::USERS;
use super::origin::{ECHO, SMALL};
use super::proxies::{Peer, SPLIT};

/// How far the share of v2 among [`USERS`] requests may be from what is wanted, in per cent: five standard deviations.
const TOLERANCE: f64 = 5.0;

/// Asks once for each user and compares.
///
/// # Errors
/// What it does not do.
pub(crate) fn check(peer: &Peer) -> Result<(), String> {
    let name = peer.proxy.name();
    let (place, path) = peer.proxy.metrics(&peer.setup);
    place.ask("GET", path, "").map_err(|problem| format!("{name}, metrics: {problem}"))?;
    let mut connection = TcpStream::connect(peer.setup.plain).map_err(|error| format!("{name}: {error}"))?;
    connection.set_read_timeout(Some(Duration::from_secs(5))).ok();
    let mut second = 0;
    for user in 1..=USERS {
        let answer = ask(&mut connection, SMALL, user).map_err(|problem| format!("{name}: {problem}"))?;
        second += usize::from(answer.version == "v2");
    }
    let saw = ask(&mut connection, ECHO, 1).map_err(|problem| format!("{name}: {problem}"))?.forwarded_for;
    if !peer.proxy.sees_requests() {
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "a count up to a thousand")]
    let share = second as f64 * 100.0 / USERS as f64;
    if (share - f64::from(SPLIT[1])).abs() > TOLERANCE {
        return Err(format!("{name} gives v2 {share} % of the requests, want {}", SPLIT[1]));
    }
    // Envoy writes an address of the machine where the client's is of loopback.
    if saw.as_ref().is_none_or(|saw| saw.parse::<IpAddr>().is_err()) {
        return Err(format!("{name}: the origin saw X-Forwarded-For {saw:?}, want an address"));
    }
    Ok(())
}

fn ask(connection: &mut TcpStream, path: &str, user: usize) -> Result<Answer, String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nx-user: user-{user}\r\n\r\n");
    connection.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let (mut buffer, mut filled) = ([0; 4096], 0);
    loop {
        let count = connection.read(&mut buffer[filled..]).map_err(|error| error.to_string())?;
        filled += count;
        match first(&buffer[..filled])? {
            Some(answer) if answer.status == 200 => return Ok(answer),
            None if count > 0 => {}
            _ => return Err(format!("want an answer of 200, found {:?}", String::from_utf8_lossy(&buffer[..filled]))),
        }
    }
}
