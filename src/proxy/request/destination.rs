//! The destination of a request: a version of a service, in the table that the request holds on to.
//!
//! Two indices and a counted reference, not references into the table: the destination outlives the decision, and a
//! request keeps the generation of the table that it was decided by.

use std::rc::Rc;

use crate::proxy::report::canary_sample::ComparedService;
use crate::proxy::worker::{Snapshot, Worker};
use crate::stats::VersionCell;
use crate::table::flag_table::ToldFlags;
use crate::table::spec::edge::EdgeSpec;
use crate::table::{Decision, Service, Table, Version};

/// A version of a service in a table.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    table: Snapshot,
    service: u32,
    version: u16,
}

impl Destination {
    /// The version that `decision` chose in `table`.
    #[must_use]
    pub(crate) fn of_decision(table: &Snapshot, decision: &Decision<'_>) -> Self {
        Self::at(table, decision.service_index, decision.version)
    }

    /// A version of a service in `table`, by their indices.
    #[must_use]
    pub(crate) fn at(table: &Snapshot, service: u32, version: u16) -> Self {
        Self { table: Rc::clone(table), service, version }
    }

    /// Another version of the same service.
    #[must_use]
    pub(crate) fn to(&self, version: u16) -> Self {
        Self::at(&self.table, self.service, version)
    }

    #[must_use]
    pub(crate) fn version_index(&self) -> u16 {
        self.version
    }

    /// The revision of the table.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.table.revision
    }

    /// The snapshot that it is in.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Snapshot {
        Rc::clone(&self.table)
    }

    /// The table that it is in.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    #[must_use]
    pub(crate) fn service_index(&self) -> u32 {
        self.service
    }

    #[must_use]
    pub(crate) fn service(&self) -> &Service {
        self.table.service(self.service)
    }

    /// What is changed of its messages, if anything.
    #[must_use]
    pub(crate) fn edge(&self) -> Option<&EdgeSpec> {
        self.service().spec.edge.as_deref()
    }

    /// The service, with what a rollout compares of its requests.
    #[must_use]
    pub(crate) fn compared(&self) -> ComparedService<'_> {
        ComparedService::at(&self.table, self.service)
    }

    /// The flags that requests of the service carry, if there are any.
    #[must_use]
    pub(crate) fn told_flags(&self) -> Option<&ToldFlags> {
        self.table.flags().told(self.service)
    }

    #[must_use]
    pub(crate) fn version(&self) -> &Version {
        &self.service().versions[usize::from(self.version)]
    }

    /// The service and the version, by one look at the table.
    #[must_use]
    pub(crate) fn both(&self) -> (&Service, &Version) {
        let service = self.service();
        (service, &service.versions[usize::from(self.version)])
    }

    /// The worker's counters of the version.
    pub(crate) fn cell(&self, worker: &Worker) -> &VersionCell {
        self.version().stats.cell(worker.index)
    }
}
