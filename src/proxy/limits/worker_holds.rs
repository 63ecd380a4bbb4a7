//! A worker's side of a [hold](crate::shared::hold): which services are held, and the requests that wait.
//!
//! While nothing is held, a request reads one flag of its own thread. A request that is held takes its snapshot of the
//! table after it was let go, so it is decided by what the hold was for. Its body is not read meanwhile.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::message::RequestHead;
use crate::proxy::report::in_flight::GaugeGuard;
use crate::shared::count::Count;
use crate::shared::hold::{Held, Hold, Holds};
use crate::table::Service;

/// What a worker holds.
#[derive(Debug, Default)]
pub(crate) struct WorkerHolds {
    any: Cell<bool>,
    open: RefCell<Arc<Holds>>,
    changed: Notify,
}

impl WorkerHolds {
    /// Whether anything is held.
    #[must_use]
    pub(crate) fn any(&self) -> bool {
        self.any.get()
    }

    fn set(&self, holds: &Arc<Holds>, worker: usize) {
        self.any.set(!holds.is_empty());
        *self.open.borrow_mut() = Arc::clone(holds);
        // Signed only when no request of this thread can miss it any more.
        holds.iter().for_each(|hold| hold.sign(worker));
        self.changed.notify_waiters();
    }

    /// Keeps the list of worker number `worker` up to date until the sender is gone.
    pub(crate) async fn follow(&self, worker: usize, mut published: watch::Receiver<Arc<Holds>>) {
        loop {
            let holds = Arc::clone(&published.borrow_and_update());
            self.set(&holds, worker);
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets a request wait if `service` is held at `now`, which is `now_ms`; `None` when it is not, or there is no room
    /// to wait.
    pub(crate) fn enter(
        &self,
        service: &Service,
        head: &RequestHead,
        now: Instant,
        now_ms: u64,
    ) -> Option<HeldRequest> {
        let hold = self.open.borrow().of(&service.spec.name, now_ms).cloned()?;
        let held = hold.enter(head_bytes(head))?;
        Some(HeldRequest { hold, began: now, _held: held })
    }

    fn has(&self, id: u64) -> bool {
        self.open.borrow().iter().any(|hold| hold.id == id)
    }
}

/// A request's place among those that wait for the end of a hold.
#[derive(Debug)]
pub(crate) struct HeldRequest {
    hold: Arc<Hold>,
    began: Instant,
    _held: Held,
}

impl HeldRequest {
    /// Waits for the end of the hold, on a clock that began at `clock_start`. Returns for how long.
    pub(crate) async fn wait(self, holds: &WorkerHolds, gauge: &Count, clock_start: Instant) -> Duration {
        let hold = &self.hold;
        let _gauge = GaugeGuard::new(gauge);
        let end = clock_start + Duration::from_millis(hold.bounds.until_ms);
        let mut changed = std::pin::pin!(holds.changed.notified());
        changed.as_mut().enable();
        while holds.has(hold.id) {
            tokio::select! {
                () = &mut changed => {
                    changed.set(holds.changed.notified());
                    changed.as_mut().enable();
                }
                () = sleep_until(end) => break,
            }
        }
        self.began.elapsed()
    }
}

/// About what a head takes.
fn head_bytes(head: &RequestHead) -> u64 {
    let target = head.target.path_and_query().len();
    let headers: usize = head.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    (target + headers) as u64
}
