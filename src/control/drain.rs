//! Waits until a drained endpoint has nothing left to do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::stats::EndpointStats;

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `endpoint`, which gets no new requests, has answered those that it has, for `longest` at most. Returns how
/// many are left.
///
/// Nothing in flight has to be seen twice in a row: a worker that drew the endpoint right before it was drained has not
/// counted its request in at the first look.
pub async fn wait(endpoint: &EndpointStats, longest: Duration) -> u32 {
    let until = Instant::now() + longest;
    let mut idle_before = false;
    loop {
        let left = endpoint.in_flight();
        if Instant::now() >= until || left == 0 && idle_before {
            return left;
        }
        idle_before = left == 0;
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_last_request_and_not_for_ever() {
        let (endpoint, long) = (EndpointStats::new(1, ([127, 0, 0, 1], 80).into()), Duration::from_secs(60));
        assert_eq!(wait(&endpoint, long).await, 0);
        endpoint.enter();
        assert_eq!(wait(&endpoint, Duration::ZERO).await, 1, "without a wait at once");
        assert_eq!(wait(&endpoint, Duration::from_millis(30)).await, 1);
        let done = async {
            sleep(Duration::from_millis(30)).await;
            endpoint.leave();
        };
        assert_eq!(tokio::join!(wait(&endpoint, long), done).0, 0);
    }
}
