//! Waits until drained endpoints have nothing left to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::stats::EndpointStats;

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `endpoints`, which get no new requests, have answered those that they have, for `longest` at most.
/// Returns how many are left.
///
/// Nothing in flight has to be seen twice in a row: a worker that drew an endpoint right before it was drained has not
/// counted its request in at the first look.
pub(crate) async fn wait(endpoints: &[Arc<EndpointStats>], longest: Duration) -> u32 {
    let until = Instant::now() + longest;
    let mut idle_before = false;
    loop {
        let left = endpoints.iter().map(|endpoint| endpoint.in_flight()).sum();
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
        let endpoints = [1, 2].map(|last| Arc::new(EndpointStats::new(last, ([127, 0, 0, 1], 80).into())));
        let long = Duration::from_secs(60);
        assert_eq!(wait(&[], long).await, 0, "a name that stands for nothing");
        assert_eq!(wait(&endpoints, long).await, 0);
        endpoints.iter().for_each(|endpoint| endpoint.enter());
        assert_eq!(wait(&endpoints, Duration::ZERO).await, 2, "without a wait at once");
        endpoints[0].leave();
        assert_eq!(wait(&endpoints, Duration::from_millis(30)).await, 1);
        let done = async {
            sleep(Duration::from_millis(30)).await;
            endpoints[1].leave();
        };
        assert_eq!(tokio::join!(wait(&endpoints, long), done).0, 0);
    }
}
