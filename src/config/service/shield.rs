//! `shield`: `true`, or `{ stable = "v1", on_500 = "safe", body_bytes_max = "64KiB" }`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::split;
use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{ByteSize, Setting};
use crate::problem::Mismatch;
use crate::table::Name;
use crate::table::spec::{On500, Shield};

/// A form, an API call; an upload would be memory for each request of a failing version.
const BODY_BYTES_MAX: ByteSize = ByteSize::kib(64);

/// As it is written.
#[derive(Debug)]
pub(crate) enum RawShield {
    Switch(bool),
    Table(RawShieldTable),
}

#[derive(Debug, serde::Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawShieldTable {
    stable: Option<String>,
    on_500: Option<RawOn500>,
    body_bytes_max: Option<Setting<ByteSize>>,
}

impl<'de> Deserialize<'de> for RawShield {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShieldVisitor)
    }
}

/// `"safe"`, true or false.
#[derive(Debug)]
pub(crate) enum RawOn500 {
    Word(String),
    Switch(bool),
}

impl<'de> Deserialize<'de> for RawOn500 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(On500Visitor)
    }
}

struct On500Visitor;

impl Visitor<'_> for On500Visitor {
    type Value = RawOn500;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"safe\", true or false")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<RawOn500, E> {
        Ok(RawOn500::Switch(on))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawOn500, E> {
        Ok(RawOn500::Word(text.to_owned()))
    }
}

impl RawOn500 {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<On500, ErrorGuaranteed> {
        match self {
            Self::Switch(true) => Ok(On500::Idempotent),
            Self::Switch(false) => Ok(On500::Never),
            Self::Word(word) if word == "safe" => Ok(On500::Safe),
            Self::Word(word) => {
                let text = Mismatch::new(format!("\"{word}\""), "\"safe\", true or false", "leave it out for \"safe\"");
                Err(report.problem(at, text))
            }
        }
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
        RawShieldTable::deserialize(MapAccessDeserializer::new(table)).map(RawShield::Table)
    }
}

impl RawShield {
    /// `versions` are those of the service at `service`.
    pub(crate) fn build(
        &self,
        versions: &[Name],
        service: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Option<Shield>, ErrorGuaranteed> {
        let at = service.key("shield");
        let default = RawShieldTable::default();
        let raw = match self {
            Self::Switch(false) => return Ok(None),
            Self::Switch(true) => &default,
            Self::Table(raw) => raw,
        };
        let stable = raw.stable.as_ref();
        let stable = stable.map(|name| split::version(name, versions, service, &at.key("stable"), report)).transpose();
        let range = ByteSize(0)..=ByteSize::kib(1024);
        let most = setting(raw.body_bytes_max, BODY_BYTES_MAX, range, &at.key("body_bytes_max"), report);
        if versions.len() == 1 {
            let text =
                Mismatch::new("it on a service with one version", "a second one to protect users from", "remove it");
            return Err(report.problem(&at, text));
        }
        let on_500 = raw.on_500.as_ref().map_or(Ok(On500::default()), |raw| raw.build(&at.key("on_500"), report));
        Ok(Some(Shield { stable: stable?, on_500: on_500?, body_bytes_max: most?.0 }))
    }
}
