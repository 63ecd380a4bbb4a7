//! The one pointer that the data plane loads, and the only place in the code that stores it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::table_reclaimer;
use super::table_reclaimer::TableReclaimer;
use crate::table::Table;

/// What the data plane holds: one load a request, at its start.
pub type Published = Arc<ArcSwap<Table>>;

/// The writer's end. It cannot be cloned: there is one writer.
#[derive(Debug)]
pub(crate) struct Publisher {
    published: Published,
    changes: watch::Sender<()>,
    /// Where tables are freed; none: where they are let go of.
    reclaimer: Option<table_reclaimer::RetiredTables>,
}

impl Publisher {
    /// Publishes a first table.
    #[must_use]
    pub(crate) fn new(table: Table) -> Self {
        let published = Arc::new(ArcSwap::from_pointee(table));
        Self { published, changes: watch::Sender::default(), reclaimer: None }
    }

    /// The readers' end.
    #[must_use]
    pub(crate) fn published(&self) -> Published {
        Arc::clone(&self.published)
    }

    /// Told after each table that is put in force: for what does not wait for a request.
    #[must_use]
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Where tables go from now on when they are replaced, to be freed.
    #[must_use]
    pub(crate) fn reclaimer(&mut self) -> TableReclaimer {
        let (sender, reclaimer) = TableReclaimer::new();
        self.reclaimer = Some(sender);
        reclaimer
    }

    /// Puts `table` in force: every request that begins after this returns is routed by it.
    pub(crate) fn publish(&self, table: Table) {
        let before = self.published.swap(Arc::new(table));
        if let Some(reclaimer) = &self.reclaimer {
            // One that the reclaimer does not take is freed here.
            reclaimer.send(before).ok();
        }
        self.changes.send_replace(());
    }

    /// The table in force.
    #[must_use]
    pub(crate) fn table(&self) -> Arc<Table> {
        self.published.load_full()
    }
}
