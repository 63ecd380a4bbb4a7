//! The one pointer that the data plane loads, and the only place in the code that stores it.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::table::Table;

/// What the data plane holds: one load a request, at its start.
pub type Published = Arc<ArcSwap<Table>>;

/// The writer's end. It cannot be cloned: there is one writer.
#[derive(Debug)]
pub struct Publisher(Published);

impl Publisher {
    /// Publishes a first table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    /// The readers' end.
    #[must_use]
    pub fn published(&self) -> Published {
        Arc::clone(&self.0)
    }

    /// Puts `table` in force: every request that begins after this returns is routed by it.
    pub fn publish(&self, table: Table) {
        self.0.store(Arc::new(table));
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.0.load_full()
    }
}
