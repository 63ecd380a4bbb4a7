//! `redirect_https`: a listener that sends everybody to the https URL of what they asked for.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting};

/// The port of https URLs that name none.
const HTTPS_PORT: u16 = 443;

/// `true`, `false` or `{ port = 8443 }`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawRedirect {
    /// To the usual port, or not at all.
    Plain(bool),
    /// To a port.
    Port(RawPort),
}

#[derive(Clone, Copy, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawPort {
    port: Option<Setting<Quantity>>,
}

impl RawRedirect {
    /// The port, if there is a redirect.
    pub(crate) fn build(self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<u16>, ErrorGuaranteed> {
        match self {
            Self::Plain(on) => Ok(on.then_some(HTTPS_PORT)),
            Self::Port(RawPort { port }) => {
                let (default, range) =
                    (Quantity(usize::from(HTTPS_PORT)), Quantity(1)..=Quantity(usize::from(u16::MAX)));
                let port = check::setting(port, default, range, &at.key("port"), report)?;
                Ok(u16::try_from(port.0).ok())
            }
        }
    }
}

impl<'de> Deserialize<'de> for RawRedirect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RedirectVisitor)
    }
}

struct RedirectVisitor;

impl<'de> Visitor<'de> for RedirectVisitor {
    type Value = RawRedirect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a table with a port")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<RawRedirect, E> {
        Ok(RawRedirect::Plain(on))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawRedirect, A::Error> {
        RawPort::deserialize(MapAccessDeserializer::new(table)).map(RawRedirect::Port)
    }
}
