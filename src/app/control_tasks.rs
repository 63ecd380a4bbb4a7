//! The tasks of the control plane's thread, each kept by the one mechanism of [`supervise`](crate::supervise).

use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::supervise::supervised_tasks::keep;
use crate::supervise::{Kind, Part, Supervisor};

/// How often the thread says that it turns.
const BEAT: Duration = Duration::from_secs(1);

/// Tasks that run until the process stops. Made and run inside a `LocalSet`.
pub(crate) struct Tasks {
    supervisor: Supervisor,
    stop: watch::Receiver<bool>,
    running: JoinSet<()>,
}

impl Tasks {
    /// None yet. `thread` is that of the tasks.
    pub(crate) fn new(supervisor: Supervisor, stop: watch::Receiver<bool>, thread: Part) -> Self {
        let mut running = JoinSet::new();
        let told = stop.clone();
        running.spawn_local(async move {
            let beating = async {
                let mut beats = interval(BEAT);
                loop {
                    beats.tick().await;
                    thread.beat();
                }
            };
            tokio::select! {
                () = stopped(told) => {}
                () = beating => {}
            }
        });
        Self { supervisor, stop, running }
    }

    /// Runs a task on `state`, and again on the same if it ends before its time.
    pub(crate) fn keep<T: 'static>(
        &mut self,
        name: &str,
        kind: Kind,
        state: T,
        run: impl AsyncFn(&mut T, watch::Receiver<bool>) + 'static,
    ) {
        let part = self.supervisor.part(name, kind);
        let (state, run, stop) = (Rc::new(Mutex::new(state)), Rc::new(run), self.stop.clone());
        let begin = move || {
            let (state, run, stop) = (Rc::clone(&state), Rc::clone(&run), stop.clone());
            // No other task has the lock; a panic sets it free.
            async move { run(&mut *state.lock().await, stop).await }
        };
        self.running.spawn_local(keep(part, self.stop.clone(), begin));
    }

    /// Waits for the end of all of them. What is no bug of one task ends the thread.
    pub(crate) async fn run(mut self) {
        while let Some(ended) = self.running.join_next().await {
            if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
                resume_unwind(panic);
            }
        }
    }
}

/// Ends when the process stops, or the sender that would say so is gone.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _told = stop.wait_for(|stop| *stop).await;
}
