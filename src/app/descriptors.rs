//! Open files: the limit, and how many connections fit below it.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Proxy;

/// What a worker needs besides connections: its runtime and its listening sockets.
const DESCRIPTORS_A_WORKER: usize = 6;

/// Kept free for the admin API, the store, a config that is read again, and an upgrade in place.
const DESCRIPTORS_RESERVED: usize = 16;

/// What is assumed to be open when the system does not say.
const DESCRIPTORS_OPEN_DEFAULT: usize = 64;

/// Raises the limit of open files as far as this user may. Before anything else is opened.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => tracing::info!(from = limit.current, to = limit.maximum, "the limit of open files is raised"),
        Err(error) => tracing::warn!(%error, limit = limit.current, "cannot raise the limit of open files"),
    }
}

/// How many client connections fit, each with one to an endpoint, beside what is open now and what is yet to come.
pub(super) fn connections_max(proxy: &Proxy, workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    // One of them is the folder that is being read.
    let open = std::fs::read_dir("/proc/self/fd").map_or(DESCRIPTORS_OPEN_DEFAULT, |folder| folder.count() - 1);
    let fit = fitting(limit, open + workers * DESCRIPTORS_A_WORKER);
    let wanted = proxy.connections_max.map_or(fit, NonZeroUsize::get);
    if wanted > fit {
        tracing::warn!(wanted, fit, limit, "proxy.connections_max is more than the limit of open files allows");
    }
    tracing::debug!(limit, open, connections_max = wanted.min(fit), "room for connections");
    wanted.min(fit)
}

fn fitting(limit: usize, used: usize) -> usize {
    // At least one: a proxy that starts has to be able to answer.
    (limit.saturating_sub(used + DESCRIPTORS_RESERVED) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_stay_below_half_of_the_limit() {
        assert_eq!((fitting(1024, 40), fitting(64, 40), fitting(64, 200)), (484, 4, 1));
        for limit in [64, 256, 1 << 20] {
            assert!(fitting(limit, 0) < limit / 2);
        }
    }
}
