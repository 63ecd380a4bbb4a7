//! What the other side of a test waits at: it goes on when the test says so, and not after a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::PATIENCE;

/// Lets as many pass as it was told to; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Turnstile(Arc<Semaphore>);

impl Turnstile {
    /// One that lets none pass yet.
    pub(crate) fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// One more may pass, who waits already or comes later.
    pub(crate) fn turn(&self) {
        self.0.add_permits(1);
    }

    /// All may pass from now on.
    pub(crate) fn open(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits for its turn.
    pub(crate) async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }

    /// The same on a thread, which does not outlive its test for long.
    pub(super) fn pass_blocking(&self) {
        let deadline = Instant::now() + 4 * PATIENCE;
        while Instant::now() < deadline {
            match self.0.try_acquire() {
                Ok(permit) => return permit.forget(),
                Err(_shut) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}
