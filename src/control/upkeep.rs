//! Looks after the store while no caller changes anything: a file that is deleted between two changes is made anew
//! within a second, rather than lost with a process that ends before the next change.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::handle::Handle;

/// Time between two looks: three `stat` on the writer's thread.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Asks the writer to look, until `shutdown` ends or there is none.
pub(crate) async fn run(handle: Handle, shutdown: impl Future<Output = ()>) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = looks.tick() => {}
        }
        tokio::select! {
            () = &mut shutdown => return,
            looked = handle.look_after_store() => if looked.is_err() { return shutdown.await },
        }
    }
}
