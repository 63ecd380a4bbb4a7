//! The accept loop: a worker's thread, its listeners, and the loop that accepts connections.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::listener_policy::ListenerSettings;
use super::waiting::WaitingList;
use crate::proxy::connection;
use crate::proxy::connection::client_connection::ClientConnection;
use crate::proxy::drain;
use crate::proxy::drain::AcceptQueue;
use crate::proxy::worker::{Worker, WorkerSettings};
use crate::shared::hold::Holds;
use crate::stats::Registry;
use crate::supervise::Part;
use crate::table::Table;

/// First pause after accepting failed for want of descriptors; it doubles up to [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);

/// Longest pause between two tries to accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often old idle connections and old tables are let go.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two closings of long connections whose time has come one after the other: each looks at all.
const REVIEW_PAUSE: Duration = Duration::from_millis(10);

/// A listening socket of one worker.
#[derive(Debug)]
pub(crate) struct WorkerListener {
    /// The socket, bound and listening.
    pub socket: std::net::TcpListener,
    /// What its connections have in common.
    pub settings: ListenerSettings,
}

/// What a worker's thread runs on.
#[derive(Debug)]
pub(crate) struct WorkerParts {
    /// Its number.
    pub index: usize,
    pub settings: WorkerSettings,
    /// Its sockets.
    pub listeners: Vec<WorkerListener>,
    /// The routing.
    pub table: Arc<ArcSwap<Table>>,
    /// Told after each table that is put in force.
    pub changes: watch::Receiver<()>,
    /// The services whose requests wait.
    pub holds: watch::Receiver<Arc<Holds>>,
    /// The counters.
    pub registry: Arc<Registry>,
    /// Turns true when the worker has to drain and end.
    pub shutdown: watch::Receiver<bool>,
    /// How long draining may take.
    pub drain_max: Duration,
    /// Told when the worker listens.
    pub listening: mpsc::Sender<()>,
    /// What is told that it turns.
    pub part: Part,
}

/// Runs a worker on this thread until `shutdown`, then until its connections are gone or `drain_max` has passed.
/// Returns the number of connections that had to be cut.
///
/// # Errors
/// When the runtime or a socket cannot be set up, or one of its own tasks has ended before its time: without it the
/// others would go on without serving a connection. Its connections are cut then.
pub(crate) fn run(parts: WorkerParts) -> io::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async move {
        let WorkerParts { index, settings, listeners, table, changes, holds, registry, .. } = parts;
        let (mut shutdown, drain_max, listening) = (parts.shutdown, parts.drain_max, parts.listening);
        let worker = Rc::new(Worker::new(index, settings, table, &registry));
        let mut following = spawn_local(follow_holds(Rc::clone(&worker), holds));
        let (mut accepting, mut displacing) = (JoinSet::new(), JoinSet::new());
        for listener in listeners {
            listener.socket.set_nonblocking(true)?;
            let socket = TcpListener::from_std(listener.socket)?;
            let listener = Rc::new(listener.settings);
            let waiting = listener.waiting(&worker);
            // It ends with the runtime.
            displacing.spawn_local(Rc::clone(&waiting).serve());
            accepting.spawn_local(accept(Rc::clone(&worker), socket, listener, waiting, shutdown.clone()));
        }
        let mut sweeping = spawn_local(sweep(Rc::clone(&worker), changes, parts.part));
        // The receiver is gone when another worker has failed.
        listening.send(()).ok();
        let dead = tokio::select! {
            biased;
            // An error says that the sender is gone: that is the end as well.
            _told = shutdown.wait_for(|stop| *stop) => None,
            Some(ended) = accepting.join_next() => Some(("accepts connections", ended.err())),
            Some(ended) = displacing.join_next() => Some(("makes room for connections", ended.err())),
            ended = &mut sweeping => Some(("looks after connections", ended.err())),
            // It ends in order with the sender of holds.
            Err(error) = &mut following => Some(("follows holds", Some(error))),
        };
        if let Some((what, error)) = dead.filter(|_| !*shutdown.borrow() && shutdown.has_changed().is_ok()) {
            let why = error.map_or("its end".to_owned(), |error| error.to_string());
            return Err(io::Error::other(format!("the task that {what} has ended: {why}")));
        }
        drain::drain(&worker, accepting, Instant::now() + drain_max).await;
        sweeping.abort();
        following.abort();
        Ok(worker.stats.connections())
    })
}

/// Keeps the worker's list of holds up to date.
async fn follow_holds(worker: Rc<Worker>, holds: watch::Receiver<Arc<Holds>>) {
    worker.holds.follow(worker.index, holds).await;
}

/// Lets go what is old: idle connections every second, long ones when a new table or their time says so.
async fn sweep(worker: Rc<Worker>, mut changes: watch::Receiver<()>, part: Part) {
    let mut ticks = interval(SWEEP_INTERVAL);
    let budget = &worker.settings.budget;
    let mut waits = budget.waits();
    loop {
        part.beat();
        let now = Instant::now();
        let due = worker.long_lived.review(&worker.snapshot(), now);
        // One that was routed by an old table may be due sooner than the rest: the next tick finds it.
        let due = due.map(|due| due.max(now + REVIEW_PAUSE));
        tokio::select! {
            _ = ticks.tick() => worker.pools.sweep(Instant::now()),
            () = budget.wanted() => {}
            () = worker.long_lived.concerned(&mut changes) => {}
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
        }
        // A request, perhaps of another worker, waits for a permit that an idle connection has.
        if budget.waits() != waits {
            waits = budget.waits();
            worker.pools.close_idle();
        }
    }
}

/// Accepts until `stop`, and then the connections that the kernel has let in by then.
async fn accept(
    worker: Rc<Worker>,
    socket: TcpListener,
    listener: Rc<ListenerSettings>,
    waiting: Rc<WaitingList>,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = ACCEPT_PAUSE_MIN;
    let mut queue = AcceptQueue::Open(socket);
    loop {
        let limit = &worker.settings.connection_limit;
        if limit.is_reached() {
            worker.stats.accept_paused();
            let told = *stop.borrow();
            tokio::select! {
                () = limit.room(|| worker.clock_ms(Instant::now())) => {}
                // Idle connections are closed then, and who waits at the socket finds room.
                _told_or_gone = stop.wait_for(|stop| *stop), if !told => {}
            }
        }
        match queue.next(&mut stop).await {
            Ok(Some((mut stream, address))) => {
                pause = ACCEPT_PAUSE_MIN;
                let Some(mut permit) = listener.policy.enter(&worker) else { continue };
                let global_permit = limit.enter();
                let (worker, listener, waiting) = (Rc::clone(&worker), Rc::clone(&listener), Rc::clone(&waiting));
                spawn_local(async move {
                    let _global_permit = global_permit;
                    let identifying = Box::pin(listener.policy.identify(&worker, &mut stream, address.ip()));
                    let Some(Some(address)) = drain::with_drain_deadline(&worker, identifying).await else { return };
                    let peer = match listener.claim(&mut permit, address, &waiting) {
                        Ok(client) => Rc::new(ClientConnection::new(address, listener, client, waiting)),
                        Err(reason) => return worker.stats.refused(reason),
                    };
                    connection::serve(worker, stream, peer).await;
                    drop(permit);
                });
            }
            Ok(None) => return,
            // The connection was gone before it was ours.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                // Most likely out of descriptors: accepting again at once would fail again at once, for ever.
                worker.stats.accept_paused();
                tracing::warn!(%error, ?pause, "cannot accept connections; trying again after a pause");
                sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
