//! How far the document of a fleet was written, as far as a store knows.

/// What the store remembers of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetMark {
    /// Which fleet it is; empty: none yet.
    pub(crate) fleet: String,
    /// How often its document was written, as far as the store knows.
    pub(crate) generation: u64,
}
