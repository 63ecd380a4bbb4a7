//! Traffic that does not fit the services of a table.

use super::spec::ServiceSpec;
use crate::shared::name::Name;

/// Traffic that does not fit the services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A service without traffic.
    #[error("service {0} has no traffic state")]
    WithoutTraffic(Name),
    /// Traffic for a version that the service does not have.
    #[error("service {service} gives slots to version {version}, which the config does not have")]
    UnknownVersion {
        /// The service.
        service: Name,
        /// The version that is missing.
        version: Name,
    },
    /// Traffic for a service that the table does not have.
    #[error("there is no service {0}")]
    UnknownService(Name),
}

/// Index of the version of this name.
pub(crate) fn position(spec: &ServiceSpec, name: &Name) -> Result<u16, CompileError> {
    let found = (0..).zip(&spec.versions).find(|(_, version)| version.name == *name).map(|(index, _)| index);
    found.ok_or_else(|| CompileError::UnknownVersion { service: spec.name.clone(), version: name.clone() })
}
