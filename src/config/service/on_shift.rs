//! `on_shift`: `"keep"`, `"close"`, or `{ after = "30s" }`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::spec::OnShift;

/// As it is written.
#[derive(Debug)]
pub(crate) enum RawOnShift {
    Word(String),
    Table(RawAfter),
}

#[derive(Debug, serde::Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawAfter {
    after: Option<Setting<TimeSpan>>,
}

impl<'de> Deserialize<'de> for RawOnShift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnShiftVisitor)
    }
}

const WANTED: &str = "\"keep\", \"close\", or { after = \"30s\" }";

struct OnShiftVisitor;

impl<'de> Visitor<'de> for OnShiftVisitor {
    type Value = RawOnShift;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WANTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawOnShift, E> {
        Ok(RawOnShift::Word(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawOnShift, A::Error> {
        RawAfter::deserialize(MapAccessDeserializer::new(table)).map(RawOnShift::Table)
    }
}

impl RawOnShift {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<OnShift, ErrorGuaranteed> {
        match self {
            Self::Word(word) if word == "keep" => Ok(OnShift::Keep),
            Self::Word(word) if word == "close" => Ok(OnShift::Close),
            Self::Word(word) => {
                let found = format!("{word:?}");
                Err(report.problem(at, Mismatch::new(found, WANTED, "choose one of them")))
            }
            Self::Table(table) if table.after.is_none() => {
                Err(report.missing(at, Mismatch::new("no time", "one", "write { after = \"30s\" }")))
            }
            Self::Table(table) => {
                let range = TimeSpan::millis(1)..=TimeSpan::secs(604_800);
                let after = setting(table.after, TimeSpan::secs(30), range, &at.key("after"), report)?;
                Ok(OnShift::After(after.0))
            }
        }
    }
}
