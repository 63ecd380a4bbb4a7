//! Open files: the limit, and how many connections fit below it.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin::CONNECTIONS_MAX;
use crate::config::ProxyConfig;
use crate::endpoints::CHECKS_MAX;

/// What a worker needs besides connections: its runtime and its listening sockets.
const DESCRIPTORS_A_WORKER: usize = 6;

/// Kept free for the store, a config that is read again, and an upgrade in place.
const DESCRIPTORS_RESERVED: usize = 12;

/// The part of the limit that connections to the admin API may have, if it is less than what they may have anyway.
const ADMIN_PART: usize = 16;

/// With less it could not be reached while an operator watches it.
const ADMIN_CONNECTIONS_MIN: usize = 4;

/// The part of the limit that health checks may have, and tries of paused endpoints as well.
const CHECKS_PART: usize = 64;

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

/// How many connections fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Room {
    /// Of clients.
    pub(crate) clients: usize,
    /// To endpoints: at least as many.
    pub(crate) endpoints: usize,
}

/// How many client connections fit, each with one to an endpoint, beside what is open now and what is yet to come.
pub(crate) fn room(proxy: &ProxyConfig, workers: usize) -> Room {
    let limit = limit();
    // One of them is the folder that is being read.
    let open = std::fs::read_dir("/proc/self/fd").map_or(DESCRIPTORS_OPEN_DEFAULT, |folder| folder.count() - 1);
    let fit = fitting(limit, open + workers * DESCRIPTORS_A_WORKER);
    let wanted = proxy.connections_max.map_or(fit, NonZeroUsize::get);
    if wanted > fit {
        tracing::warn!(wanted, fit, limit, "proxy.connections_max is more than the limit of open files allows");
    }
    let clients = wanted.min(fit);
    let room = Room { clients, endpoints: 2 * fit - clients };
    tracing::debug!(limit, open, ?room, "room for connections");
    room
}

fn limit() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// How many connections the admin API may have.
pub(crate) fn admin_connections_max() -> usize {
    admin_fitting(limit())
}

/// How many health checks may be under way, and how many tries of paused endpoints.
pub(crate) fn checks_max() -> usize {
    checks_fitting(limit())
}

fn checks_fitting(limit: usize) -> usize {
    (limit / CHECKS_PART).clamp(1, CHECKS_MAX)
}

fn admin_fitting(limit: usize) -> usize {
    (limit / ADMIN_PART).clamp(ADMIN_CONNECTIONS_MIN, CONNECTIONS_MAX)
}

fn fitting(limit: usize, used: usize) -> usize {
    // At least one: a proxy that starts has to be able to answer.
    let others = DESCRIPTORS_RESERVED + admin_fitting(limit) + 2 * checks_fitting(limit);
    (limit.saturating_sub(used + others) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_stay_below_half_of_the_limit() {
        assert_eq!((fitting(1024, 40), fitting(64, 40), fitting(64, 200)), (438, 3, 1));
        assert_eq!((admin_fitting(64), admin_fitting(1024), admin_fitting(1 << 20)), (4, 64, CONNECTIONS_MAX));
        for limit in [64, 256, 1 << 20] {
            assert!(fitting(limit, 0) < limit / 2);
        }
    }
}
