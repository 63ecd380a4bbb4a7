//! Where a replica stands with the place that all share.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet_mark::FleetMark;
use super::fleet_port::{FleetPort, FleetUpdate};
use super::shared_state::SharedTables;
use crate::control::file_origin::FileOrigin;
use crate::table::Name;

/// The writer's link to the fleet.
#[derive(Debug)]
pub(crate) struct FleetLink {
    /// The place.
    pub(crate) port: Box<dyn FleetPort>,
    /// What this replica is called.
    pub(crate) name: String,
    /// What is known of the document; none while the replica is apart.
    pub(crate) position: Option<FleetPosition>,
    /// Why it is apart.
    pub(crate) apart: String,
    /// What the document says, as far as this replica knows.
    pub(crate) tables: SharedTables,
    /// Services whose traffic this replica cannot have as the fleet does, and why: its config is another one.
    pub(crate) misfits: BTreeMap<Name, String>,
    /// Services that are served as the file says, until the fleet can be told of them.
    pub(crate) provisional: BTreeSet<Name>,
    /// Who has written the file that the fleet could not be told of.
    pub(crate) untold: Option<FileOrigin>,
    /// Whether the store has missed what the document says.
    pub(crate) store_lags: bool,
}

/// What a writer begins with in a fleet.
#[derive(Debug)]
pub(crate) struct FleetBegin {
    /// The link.
    pub(crate) link: FleetLink,
    /// What was found.
    pub(crate) found: FleetFound,
}

/// What a replica that starts has found in the place that all share.
#[derive(Debug)]
pub(crate) enum FleetFound {
    /// What the others have.
    News(Box<FleetUpdate>),
    /// Nothing, and it has never been in a fleet: it begins one.
    Nothing,
    /// It could not look, or what it was in is not there.
    Apart(String),
}

/// What is known of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FleetPosition {
    /// Its version, for the next swap.
    pub(crate) seen: u64,
    /// Which fleet it is.
    pub(crate) fleet: String,
    /// How often it was written.
    pub(crate) generation: u64,
}

impl FleetLink {
    /// A link that knows nothing yet.
    #[must_use]
    pub(crate) fn new(port: Box<dyn FleetPort>, name: String) -> Self {
        Self {
            port,
            name,
            position: None,
            apart: "etcd was not asked yet".to_owned(),
            tables: SharedTables::default(),
            misfits: BTreeMap::new(),
            provisional: BTreeSet::new(),
            untold: None,
            store_lags: false,
        }
    }
}

/// Where a replica stands with the fleet, as the writer knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FleetStanding {
    /// What the store remembers.
    pub(crate) mark: FleetMark,
    /// The revision in force.
    pub(crate) revision: u64,
    /// What of the fleet's traffic it cannot have, each with the service and why.
    pub(crate) misfits: Vec<String>,
}

/// Why a document must not be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FleetRefusal {
    /// It is of another fleet.
    #[error(
        "found the fleet {found} below this prefix, want {wanted}, in which this replica was; mend fleet.prefix or \
         fleet.etcd, or start with another state file to come to the fleet that is there"
    )]
    Other {
        /// Which.
        found: String,
        /// The one of before.
        wanted: String,
    },
    /// It is older than what this replica has.
    #[error(
        "found the shared state of {found} writes, and this replica has that of {known}: etcd was restored from a copy, \
         and what was acknowledged since is not in it; `pointsman fleet restore` puts this replica's state there, on the \
         replica that has the most"
    )]
    Back {
        /// What was found.
        found: u64,
        /// What is known.
        known: u64,
    },
    /// It cannot be read.
    #[error("{0}")]
    Bad(String),
    /// The store is with another process.
    #[error("an upgrade in place is going on")]
    Upgrading,
}
