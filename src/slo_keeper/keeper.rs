//! The task that looks at the counters, reads what was counted before, and writes what is new.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::slo_handle::SloHandle;
use crate::control::Handle;
use crate::control::handle::{KeepError, ReadError};
use crate::control::publish::Published;
use crate::problem::chain;

/// Time between two looks at the counters.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two writes: what is lost with a process that is killed, and a flush of the disk each.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps budgets. Clones keep the same ones.
#[derive(Clone, Debug)]
pub struct SloKeeper {
    handle: SloHandle,
    writer: Handle,
    published: Published,
    /// Whether the last read or write was good. Held during one: a write must not overtake another one.
    store_good: Arc<Mutex<bool>>,
}

impl SloKeeper {
    /// A keeper that tells what it finds by `handle`.
    pub fn new(handle: SloHandle, writer: Handle, published: Published) -> Self {
        Self { handle, writer, published, store_good: Arc::new(Mutex::new(true)) }
    }

    /// Looks and writes until `shutdown` ends, and once more then: all requests have ended by that time.
    pub(crate) async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved_at = Instant::now();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = looks.tick() => {}
            }
            self.look(now_s()).await;
            if saved_at.elapsed() >= SAVE_INTERVAL {
                saved_at = Instant::now();
                self.save().await;
            }
        }
        self.keep().await;
    }

    /// Looks at the counters at this moment, in seconds since 1970, and reads what was counted before of services that
    /// are new.
    pub async fn look(&self, now_s: u64) {
        let unread = {
            let mut book = self.handle.book();
            book.look(&self.published.load(), now_s);
            book.unread()
        };
        if unread.is_empty() {
            return;
        }
        let mut store_good = self.store_good.lock().await;
        match self.writer.slo_hours(unread.clone()).await {
            Ok(rows) => {
                self.handle.book().load(&unread, rows);
                *store_good = true;
            }
            // It is with a process that takes over; if that does not, it comes back.
            Err(ReadError::Upgrading(_)) => {}
            Err(error) => tell(&mut store_good, "cannot read what objectives have counted", &chain(&error)),
        }
    }

    /// Writes what is new.
    pub async fn save(&self) {
        let mut store_good = self.store_good.lock().await;
        let rows = self.handle.book().unsaved();
        if rows.is_empty() {
            return;
        }
        match self.writer.keep_slo_hours(rows.clone()).await {
            Ok(()) => {
                self.handle.book().note_saved(&rows);
                *store_good = true;
            }
            Err(KeepError::Upgrading(_)) => self.handle.book().lend(),
            Err(error) => tell(&mut store_good, "cannot write what objectives have counted", &chain(&error)),
        }
    }

    /// Writes everything that is counted by now.
    pub(crate) async fn keep(&self) {
        self.look(now_s()).await;
        self.save().await;
    }

    /// Takes it that another process writes from now on: what that has written is read when the store is back.
    pub(crate) fn lend(&self) {
        self.handle.book().lend();
    }
}

/// Says what is wrong, once until it is good again.
fn tell(store_good: &mut bool, what: &str, error: &str) {
    if std::mem::replace(store_good, false) {
        tracing::error!(error, "{what}; it is tried again");
    }
}

/// The time, in seconds since 1970.
fn now_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}
