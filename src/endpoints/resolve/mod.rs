//! Resolves the names of endpoints, again and again, and tells the writer when an answer is another one.
//!
//! A name is asked for when a table has it, then each time the answer's time to live is over, within bounds: less than
//! a second would be a query a request, more than five minutes an outage that operators do not understand. Without a
//! good answer the addresses from before stay in use and the name is asked for again soon. The answer is the addresses
//! that exist, not the health of what listens there: that is [`endpoints`](super)'s.
//!
//! The names of the services at the start are asked for before anybody is served: a process that takes over while
//! requests flow must not answer the first ones with "no endpoint". For the same reason new names of a config file are
//! asked for before it is put in force. A name server that is silent holds either up for seconds, not for ever
//! ([`Dns::ask`] bounds it).
//!
//! An answer is no revision: the traffic did not change. The writer builds the services that name the host anew and
//! publishes them in one swap; addresses that are gone finish what they have.

mod dns;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::table::{ResolveError, ServiceSpec};

use crate::control::handle::Handle;
use crate::control::publish::Published;
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

/// The first answers to names.
#[derive(Debug, Default)]
pub(crate) struct First(HashMap<Arc<str>, QueriedHost>);

/// What came of a query.
#[derive(Debug)]
struct QueriedHost {
    /// The addresses, or why there are none.
    answer: Result<Vec<IpAddr>, ResolveError>,
    /// How long it is used, or not asked again.
    pause: Duration,
}

/// Asks for all names of `services` at the same time, once.
pub(crate) async fn first(services: &[Arc<ServiceSpec>], server: Option<SocketAddr>) -> First {
    ask_all(hosts(services), server).await
}

async fn ask_all(hosts: BTreeSet<Arc<str>>, server: Option<SocketAddr>) -> First {
    let mut queries = JoinSet::new();
    if !hosts.is_empty() {
        let dns = Dns::new(server);
        for host in hosts {
            let dns = dns.clone();
            queries.spawn(async move {
                let mut retry = RETRY_MIN;
                let asked = ask(&dns, &host, &mut retry).await;
                tell(&host, &asked.answer, false);
                (host, asked)
            });
        }
    }
    First(queries.join_all().await.into_iter().collect())
}

impl First {
    /// The hosts and their answers.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&Arc<str>, &Result<Vec<IpAddr>, ResolveError>)> {
        self.0.iter().map(|(host, asked)| (host, &asked.answer))
    }
}

/// Keeps the names of the table in force resolved.
#[derive(Clone)]
pub(crate) struct Resolver {
    /// Whose names.
    pub published: Published,
    /// Who is told.
    pub handle: Handle,
    /// The name server; none: those of the system.
    pub server: Option<SocketAddr>,
}

impl Resolver {
    /// Resolves the names of `services` that the table does not have: for those who will put them in force next.
    pub(crate) async fn ahead(&self, services: &[Arc<ServiceSpec>]) {
        let mut new = hosts(services);
        if !new.is_empty() {
            let known = self.hosts();
            new.retain(|host| !known.contains(host));
        }
        for (host, answer) in ask_all(new, self.server).await.answers() {
            // Without a writer there is no thread to put them in force either.
            self.handle.resolved(Arc::clone(host), answer.clone()).await.ok();
        }
    }

    /// Resolves the names of the table until `shutdown` ends. Those that were asked for already are asked for again
    /// when their time is over.
    pub(crate) async fn run(&self, first: &mut First, shutdown: impl Future<Output = ()>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // They end with this.
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Arc<str>, AbortHandle> = HashMap::new();
        // Made when the first name comes: who uses none needs no name servers.
        let mut dns: Option<Dns> = None;
        let mut known = None;
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {}
            }
            let table = self.published.load_full();
            while tasks.try_join_next().is_some() {}
            // One that has ended did so by a bug, and begins again.
            let all_run = running.values().all(|task| !task.is_finished());
            if all_run && known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &table)) {
                continue;
            }
            let hosts = hosts(table.services().map(|service| &service.spec));
            running.retain(|host, task| {
                let stays = hosts.contains(host) && !task.is_finished();
                if !stays {
                    task.abort();
                }
                stays
            });
            for host in hosts.into_iter().filter(|host| !running.contains_key(host)).collect::<Vec<_>>() {
                let dns = dns.get_or_insert_with(|| Dns::new(self.server)).clone();
                let asked = first.0.remove(&host);
                running.insert(Arc::clone(&host), tasks.spawn(follow(host, dns, self.handle.clone(), asked)));
            }
            known = Some(table);
        }
    }

    /// The hosts that the table names.
    fn hosts(&self) -> BTreeSet<Arc<str>> {
        hosts(self.published.load().services().map(|service| &service.spec))
    }
}

/// The hosts that services name.
fn hosts<'s>(services: impl IntoIterator<Item = &'s Arc<ServiceSpec>>) -> BTreeSet<Arc<str>> {
    let versions = services.into_iter().flat_map(|service| &service.versions);
    versions.flat_map(|version| &version.names).map(|name| Arc::clone(&name.host)).collect()
}

/// Follows one host, which was asked for already or not, for as long as the task lives.
async fn follow(host: Arc<str>, dns: Dns, handle: Handle, asked: Option<QueriedHost>) {
    let (mut retry, mut last, mut known) = (RETRY_MIN, None, false);
    if let Some(QueriedHost { answer, pause }) = asked {
        known = answer.is_ok();
        last = Some(answer);
        sleep(pause).await;
    }
    loop {
        let QueriedHost { answer, pause } = ask(&dns, &host, &mut retry).await;
        if last.as_ref() != Some(&answer) {
            tell(&host, &answer, known);
            known |= answer.is_ok();
            if handle.resolved(Arc::clone(&host), answer.clone()).await.is_err() {
                return;
            }
            last = Some(answer);
        }
        sleep(pause).await;
    }
}

/// Asks once. `retry` is the pause after no good answer, which doubles with each.
async fn ask(dns: &Dns, host: &str, retry: &mut Duration) -> QueriedHost {
    match dns.ask(host).await {
        Ok((addresses, ttl)) => {
            *retry = RETRY_MIN;
            QueriedHost { answer: Ok(addresses), pause: ttl.clamp(TTL_MIN, TTL_MAX) }
        }
        Err(problem) => {
            let pause = std::mem::replace(retry, (*retry * 2).min(RETRY_MAX));
            QueriedHost { answer: Err(problem), pause }
        }
    }
}

/// One line for each change. `known` is whether there are addresses from before.
fn tell(host: &str, answer: &Result<Vec<IpAddr>, ResolveError>, known: bool) {
    let problem = match answer {
        Ok(addresses) => return tracing::info!(host, ?addresses, "the name resolves"),
        Err(problem) => problem.to_string(),
    };
    if known {
        tracing::warn!(host, problem, "the name does not resolve: its last addresses stay in use");
    } else {
        tracing::warn!(host, problem, "the name does not resolve: no endpoint by it until it does");
    }
}
