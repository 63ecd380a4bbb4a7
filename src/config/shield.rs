//! `shield`: `true`, or `{ stable = "v1", on_500 = true, body_bytes_max = "64KiB" }`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::check::setting;
use super::place::Place;
use super::report::{Report, Reported};
use super::split;
use super::units::{Read, Size};
use crate::table::Name;
use crate::table::spec::Shield;

/// A form, an API call; an upload would be memory for each request of a failing version.
const BODY_BYTES_MAX: Size = Size::kib(64);

/// As it is written.
#[derive(Debug)]
pub(super) enum RawShield {
    Switch(bool),
    Table(RawTable),
}

#[derive(Debug, serde::Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct RawTable {
    stable: Option<String>,
    on_500: Option<bool>,
    body_bytes_max: Option<Read<Size>>,
}

impl<'de> Deserialize<'de> for RawShield {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShieldVisitor)
    }
}

struct ShieldVisitor;

impl<'de> Visitor<'de> for ShieldVisitor {
    type Value = RawShield;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false, or a table such as { stable = \"v1\" }")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<RawShield, E> {
        Ok(RawShield::Switch(on))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawShield, A::Error> {
        RawTable::deserialize(MapAccessDeserializer::new(table)).map(RawShield::Table)
    }
}

impl RawShield {
    /// `versions` are those of the service at `service`.
    pub(super) fn build(
        &self,
        versions: &[Name],
        service: &Place<'_>,
        report: &mut Report<'_>,
    ) -> Result<Option<Shield>, Reported> {
        let at = service.key("shield");
        let default = RawTable::default();
        let raw = match self {
            Self::Switch(false) => return Ok(None),
            Self::Switch(true) => &default,
            Self::Table(raw) => raw,
        };
        let stable = raw.stable.as_ref();
        let stable = stable.map(|name| split::version(name, versions, service, &at.key("stable"), report)).transpose();
        let range = Size(0)..=Size::kib(1024);
        let most = setting(raw.body_bytes_max, BODY_BYTES_MAX, range, &at.key("body_bytes_max"), report);
        if versions.len() == 1 {
            let text = "found it on a service with one version, want a second one to protect users from (remove it)";
            return Err(report.problem(&at, text));
        }
        let on_500 = raw.on_500.unwrap_or(false);
        Ok(Some(Shield { stable: stable?, on_500, body_bytes_max: most?.0 }))
    }
}
