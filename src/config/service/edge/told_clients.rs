//! `version_to_clients` and `request_id_to_clients`: who is told.

use serde::Deserialize;

use crate::table::spec::edge::ToldClients;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawToldClients {
    Never,
    Trusted,
    Always,
}

impl From<RawToldClients> for ToldClients {
    fn from(raw: RawToldClients) -> Self {
        match raw {
            RawToldClients::Never => Self::Never,
            RawToldClients::Trusted => Self::Trusted,
            RawToldClients::Always => Self::Always,
        }
    }
}
