//! The one pointer that the data plane loads, and the only place in the code that stores it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::table::Table;

/// What the data plane holds: one load a request, at its start.
pub type Published = Arc<ArcSwap<Table>>;

/// The writer's end. It cannot be cloned: there is one writer.
#[derive(Debug)]
pub struct Publisher {
    published: Published,
    changes: watch::Sender<()>,
}

impl Publisher {
    /// Publishes a first table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { published: Arc::new(ArcSwap::from_pointee(table)), changes: watch::Sender::default() }
    }

    /// The readers' end.
    #[must_use]
    pub fn published(&self) -> Published {
        Arc::clone(&self.published)
    }

    /// Told after each table that is put in force: for what does not wait for a request.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Puts `table` in force: every request that begins after this returns is routed by it.
    pub fn publish(&self, table: Table) {
        self.published.store(Arc::new(table));
        self.changes.send_replace(());
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.published.load_full()
    }
}
