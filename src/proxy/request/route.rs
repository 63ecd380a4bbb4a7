//! Where a request goes: a version of a service, in the table that the request holds on to.

use std::rc::Rc;

use crate::proxy::worker::{Snapshot, Worker};
use crate::stats::VersionCell;
use crate::table::{Decision, Service, Version};

/// Where a request went, in the table that it holds on to.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    table: Snapshot,
    service: u32,
    version: u16,
}

impl Destination {
    /// The place that `decision` names in `table`.
    #[must_use]
    pub(crate) fn new(table: &Snapshot, decision: &Decision<'_>) -> Self {
        Self { table: Rc::clone(table), service: decision.service_index, version: decision.version }
    }

    /// A version of a service in `table`.
    #[must_use]
    pub(crate) fn at(table: &Snapshot, service: u32, version: u16) -> Self {
        Self { table: Rc::clone(table), service, version }
    }

    /// Another version of the same service.
    #[must_use]
    pub(crate) fn to(&self, version: u16) -> Self {
        Self { table: Rc::clone(&self.table), service: self.service, version }
    }

    /// The index of the version in its service.
    #[must_use]
    pub(crate) fn version_index(&self) -> u16 {
        self.version
    }

    /// The revision of the table.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.table.revision
    }

    /// The service.
    #[must_use]
    pub(crate) fn service(&self) -> &Service {
        self.table.service(self.service)
    }

    /// The worker's counters of the version.
    pub(crate) fn cell(&self, worker: &Worker) -> &VersionCell {
        self.version().stats.cell(worker.index)
    }

    /// The version.
    #[must_use]
    pub(crate) fn version(&self) -> &Version {
        &self.service().versions[usize::from(self.version)]
    }
}
