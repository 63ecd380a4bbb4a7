//! What an idle keep-alive connection costs in memory.
//!
//! Many clients (`IDLE_CONNECTIONS`) connect, plain and then with TLS 1.3, ask once, and keep quiet. What the process's
//! anonymous memory has grown by, as the kernel counts it, is divided by them: right after the last answer, and later
//! (`IDLE_SECONDS`), when allocators and timers have had their time. The kernel's own memory for sockets is the same
//! for everybody and not counted. nginx sets aside the table of its connections at its start, so it is not in the
//! growth.

use std::fs;
use std::thread;
use std::time::Duration;

use super::clients::Clients;
use super::origin::Origin;
use super::proxies::{Peer, Proxy, Purpose};
use super::settings::Settings;
use super::table::Table;

/// The table, of which each proxy is two rows.
pub(crate) fn table(settings: &Settings) -> Table {
    let each = format!("KiB each of {}, at once", settings.idle_connections);
    Table::new(["proxy".to_owned(), "clients".to_owned(), each, format!("after {} s", settings.idle.as_secs())])
}

/// Measures a proxy and adds its rows, each of a fresh process.
///
/// # Errors
/// It does not start.
pub(crate) fn measure(
    settings: &Settings,
    proxy: &'static dyn Proxy,
    origin: &Origin,
    table: &mut Table,
) -> Result<(), String> {
    for scheme in ["plain", "TLS"] {
        let peer = Peer::start(proxy, origin, Purpose::Load, settings.idle_connections)?;
        let clients = match scheme {
            "TLS" => Clients::new(peer.setup.tls, Some(&origin.certificate)),
            _ => Clients::new(peer.setup.plain, None),
        };
        let (at_once, later) = growth(&peer, &clients, settings);
        eprintln!("idle: {}, {scheme}, {at_once:.1} KiB, then {later:.1} KiB", proxy.name());
        table.row([proxy.name().to_owned(), scheme.to_owned(), format!("{at_once:.1}"), format!("{later:.1}")]);
    }
    Ok(())
}

/// KiB a connection, at once and after a while.
fn growth(peer: &Peer, clients: &Clients, settings: &Settings) -> (f64, f64) {
    // What is needed once is there before.
    drop(clients.open(64));
    thread::sleep(Duration::from_secs(1));
    let before = anonymous(peer);
    let open = clients.open(settings.idle_connections);
    #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
    let each = || (anonymous(peer) - before) / open.len() as f64;
    let at_once = each();
    thread::sleep(settings.idle);
    let later = each();
    open.iter().for_each(|client| client.assert_idle());
    (at_once, later)
}

/// What it has allocated and touched, in KiB, swapped out or not. Pages of its program's file come and go as the
/// kernel likes, and have nothing to do with connections.
fn anonymous(peer: &Peer) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", peer.running.id())).unwrap();
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, kib);
    of("Pss_Anon:") + of("SwapPss:")
}

fn kib(value: &str) -> f64 {
    value.trim().trim_end_matches(" kB").parse().unwrap()
}
