//! Tables that are out of force, freed where no request waits for it.
//!
//! The thread that lets go of a table last frees it. Left alone that is the worker that looked at the next one last: it
//! would free every service of a large config after a reload, and whatever the writer allocated on another core after a
//! flip, while all its connections wait. So a table that goes out of force is kept here until no other thread has it.
//! Nothing is told when that is; the tables are looked at every second, and what a flip leaves behind is small.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::table::Table;

/// How often it is looked whether anybody still has them.
const EVERY: Duration = Duration::from_secs(1);

/// Where tables go when they are replaced.
pub(crate) type RetiredTables = mpsc::UnboundedSender<Arc<Table>>;

/// Tables that requests which began under them may still have.
#[derive(Debug)]
pub struct TableReclaimer {
    inbox: mpsc::UnboundedReceiver<Arc<Table>>,
    held: Vec<Arc<Table>>,
}

impl TableReclaimer {
    /// None yet, and where they are sent.
    #[must_use]
    pub fn new() -> (RetiredTables, Self) {
        let (sender, inbox) = mpsc::unbounded_channel();
        (sender, Self { inbox, held: Vec::new() })
    }

    /// Frees them until `shutdown` ends.
    pub async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => self.free(),
            }
        }
    }

    /// Frees those that no other thread has. No thread can come to have one again: it is not in force.
    fn free(&mut self) {
        while let Ok(table) = self.inbox.try_recv() {
            self.held.push(table);
        }
        self.held.retain(|table| Arc::strong_count(table) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::publish::Publisher;
    use super::*;

    #[test]
    fn a_table_is_freed_here_and_not_by_the_last_request_that_has_it() {
        let mut publisher = Publisher::new(Table::empty());
        let mut reclaimer = publisher.reclaimer();
        let request = publisher.table();
        let table = Arc::downgrade(&request);
        publisher.publish(Table::empty());
        reclaimer.free();
        assert!(table.upgrade().is_some(), "a request has it");
        drop(request);
        assert!(table.upgrade().is_some(), "the request did not free it");
        reclaimer.free();
        assert!(table.upgrade().is_none(), "nobody has it any more");
        assert!(reclaimer.held.is_empty());
    }

    #[test]
    fn without_anybody_who_frees_them_tables_are_not_kept() {
        let mut publisher = Publisher::new(Table::empty());
        for gone in [false, true] {
            if gone {
                drop(publisher.reclaimer());
            }
            let table = Arc::downgrade(&publisher.table());
            publisher.publish(Table::empty());
            assert!(table.upgrade().is_none());
        }
    }
}
