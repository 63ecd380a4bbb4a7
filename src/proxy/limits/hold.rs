//! A worker's side of a [hold](crate::shared::hold): which services are held, and the requests that wait.
//!
//! While nothing is held, a request reads one flag of its own thread. A request that is held takes its snapshot of the
//! table after it was let go, so it is decided by what the hold was for. Its body is not read meanwhile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::message::RequestHead;
use crate::proxy::report::in_flight::GaugeGuard;
use crate::proxy::worker::Worker;
use crate::shared::hold::{Held as Place, Hold, Holds};
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

    fn of(&self, service: &Service, now_ms: u64) -> Option<Arc<Hold>> {
        self.open.borrow().of(&service.spec.name, now_ms).cloned()
    }

    fn has(&self, id: u64) -> bool {
        self.open.borrow().iter().any(|hold| hold.id == id)
    }
}

/// Keeps the worker's list up to date until the sender is gone.
pub(crate) async fn follow(worker: Rc<Worker>, mut published: watch::Receiver<Arc<Holds>>) {
    loop {
        let holds = Arc::clone(&published.borrow_and_update());
        worker.holds.set(&holds, worker.index);
        if published.changed().await.is_err() {
            return;
        }
    }
}

/// A request's place among those that wait for the end of a hold.
#[derive(Debug)]
pub(crate) struct HeldRequest {
    hold: Arc<Hold>,
    began: Instant,
    _place: Place,
}

/// Lets a request wait if `service` is held; `None` when it is not, or there is no room to wait.
pub(crate) fn enter(worker: &Worker, service: &Service, head: &RequestHead) -> Option<HeldRequest> {
    let began = Instant::now();
    let hold = worker.holds.of(service, worker.clock_ms(began))?;
    let place = hold.enter(head_bytes(head))?;
    Some(HeldRequest { hold, began, _place: place })
}

impl HeldRequest {
    /// Waits for the end of the hold. Returns for how long.
    pub(crate) async fn wait(self, worker: &Worker, service: &Service) -> Duration {
        let hold = &self.hold;
        let _gauge = GaugeGuard::new(&service.stats.cell(worker.index).held);
        let end = worker.settings.clock_start + Duration::from_millis(hold.bounds.until_ms);
        let mut changed = std::pin::pin!(worker.holds.changed.notified());
        changed.as_mut().enable();
        while worker.holds.has(hold.id) {
            tokio::select! {
                () = &mut changed => {
                    changed.set(worker.holds.changed.notified());
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
