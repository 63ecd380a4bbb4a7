//! Resolves the names of endpoints, again and again, and tells the writer when an answer is another one.
//!
//! A name is asked for when a table has it, then each time the answer's time to live is over, within bounds: less than a
//! second would be a query a request, more than five minutes an outage that nobody understands. Without a good answer the
//! addresses from before stay in use and the name is asked for again soon. The answer is the addresses that exist, not
//! the health of what listens there: that is [`health`](super::health)'s.
//!
//! An answer is no revision: the traffic did not change. The writer builds the services that name the host anew and
//! publishes them in one swap; addresses that are gone finish what they have.

mod dns;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::table::Table;

use super::handle::Handle;
use super::publish::Published;
use dns::Dns;

/// How often a new table is looked for.
const TICK: Duration = Duration::from_millis(100);

/// The shortest time that an answer is used.
const TTL_MIN: Duration = Duration::from_secs(1);

/// The longest time that an answer is used.
const TTL_MAX: Duration = Duration::from_secs(300);

/// The pause after the first query without a good answer; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two queries without a good answer.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Resolves the names of the table in force until `shutdown` ends, by the name server `server` or those of the system.
pub async fn run(published: Published, handle: Handle, server: Option<SocketAddr>, shutdown: impl Future<Output = ()>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running: HashMap<Arc<str>, JoinHandle<()>> = HashMap::new();
    // Made when the first name comes: who uses none needs no name servers.
    let mut dns: Option<Dns> = None;
    let mut known: Option<Arc<Table>> = None;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        let table = published.load_full();
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &table)) {
            continue;
        }
        let hosts = hosts(&table);
        running.retain(|host, task| {
            let stays = hosts.contains(host);
            if !stays {
                task.abort();
            }
            stays
        });
        for host in hosts.into_iter().filter(|host| !running.contains_key(host)).collect::<Vec<_>>() {
            let dns = dns.get_or_insert_with(|| Dns::new(server)).clone();
            running.insert(Arc::clone(&host), tokio::spawn(follow(host, dns, handle.clone())));
        }
        known = Some(table);
    }
}

/// The hosts that a table names.
fn hosts(table: &Table) -> BTreeSet<Arc<str>> {
    let versions = table.services().flat_map(|service| &service.spec.versions);
    versions.flat_map(|version| &version.names).map(|name| Arc::clone(&name.host)).collect()
}

/// Follows one host for as long as the task lives.
async fn follow(host: Arc<str>, dns: Dns, handle: Handle) {
    let mut retry = RETRY_MIN;
    let mut last = None;
    loop {
        let (answer, pause) = match dns.ask(&host).await {
            Ok((addresses, ttl)) => {
                retry = RETRY_MIN;
                (Ok(addresses), ttl.clamp(TTL_MIN, TTL_MAX))
            }
            Err(problem) => {
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                (Err(problem), pause)
            }
        };
        if last.as_ref() != Some(&answer) {
            tell(&host, &answer, last.is_none());
            if handle.resolved(Arc::clone(&host), answer.clone()).await.is_err() {
                return;
            }
            last = Some(answer);
        }
        sleep(pause).await;
    }
}

/// One line for each change.
fn tell(host: &str, answer: &Result<Vec<std::net::IpAddr>, String>, first: bool) {
    match answer {
        Ok(addresses) => tracing::info!(host, ?addresses, "the name resolves"),
        Err(problem) if first => {
            tracing::warn!(host, problem, "the name does not resolve: no endpoint by it until it does")
        }
        Err(problem) => tracing::warn!(host, problem, "the name does not resolve: its last addresses stay in use"),
    }
}
