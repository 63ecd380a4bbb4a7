//! Faults of chaos runs: they are put in force without a revision and without the store, so that they can be taken away
//! whatever else does not work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::handle::ApplyError;
use super::Writer;
use crate::problem::Problem;
use crate::table::Name;
use crate::table::fault_table::FaultInForce;

impl Writer {
    /// Puts these faults in force, and no others.
    ///
    /// # Errors
    /// [`ApplyError::Problems`] when one that is new is on a service that is not there or is being released.
    pub(super) fn set_faults(&mut self, faults: &[Arc<FaultInForce>]) -> Result<(), ApplyError> {
        let problems: Vec<Problem> = faults.iter().filter_map(|fault| self.speaks_against(fault)).collect();
        if !problems.is_empty() {
            return Err(ApplyError::Problems(problems));
        }
        self.publisher.publish(self.publisher.table().with_faults(faults, &self.registry));
        let by_service = |fault: &Arc<FaultInForce>| (fault.target.service.clone(), Arc::clone(fault));
        self.state.faults = faults.iter().map(by_service).collect::<BTreeMap<Name, _>>();
        Ok(())
    }

    /// Why a fault cannot begin. A service that has one has no rollout: it goes on, also when its service has left the
    /// config.
    fn speaks_against(&self, fault: &FaultInForce) -> Option<Problem> {
        let service = &fault.target.service;
        if self.state.faults.contains_key(service) {
            return None;
        }
        if let Err(problem) = self.state.service("target.service", service) {
            return Some(problem);
        }
        self.registry.canary(service.as_str()).map(|_| {
            Problem::conflict(
                "target.service",
                format!("{service}, which is being rolled out"),
                "a service without a rollout",
                "wait for the rollout, or abort it (see `pointsman rollout status`)",
            )
        })
    }
}
