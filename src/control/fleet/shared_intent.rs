//! What the fleet was told by files. A replica that gets a new file later than the others must not take back what was
//! changed since the first of them had it: so a file counts where it changes on a replica *and* says something that the
//! fleet was not told yet.

use std::collections::BTreeMap;

use crate::control::service_intent::ServiceIntent;
use crate::table::Name;
use crate::table::flag_state::FlagState;

/// What files have asked for last, of any replica.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SharedIntent {
    services: BTreeMap<Name, ServiceIntent>,
    flags: BTreeMap<Name, FlagState>,
}

impl SharedIntent {
    /// Of a service.
    pub(crate) fn service(&self, name: &Name) -> Option<&ServiceIntent> {
        self.services.get(name)
    }

    /// Of a flag.
    pub(crate) fn flag(&self, name: &Name) -> Option<&FlagState> {
        self.flags.get(name)
    }

    /// Remembers it of a service.
    pub(crate) fn say_service(&mut self, name: Name, said: ServiceIntent) {
        self.services.insert(name, said);
    }

    /// Remembers it of a flag.
    pub(crate) fn say_flag(&mut self, name: Name, said: FlagState) {
        self.flags.insert(name, said);
    }
}
