//! The counters of calls and connections that the admin API did not serve.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::labels::AdminRefused;

/// Calls that the admin API refused, and connections that it closed, by reason.
#[derive(Debug)]
pub struct AdminStats([AtomicU64; AdminRefused::ALL.len()]);

impl Default for AdminStats {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl AdminStats {
    /// Counts one.
    pub fn refused(&self, reason: AdminRefused) {
        self.0[reason as usize].fetch_add(1, Relaxed);
    }

    /// The counts so far, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (AdminRefused, u64)> {
        AdminRefused::ALL.into_iter().zip(self.0.iter().map(|count| count.load(Relaxed)))
    }
}
