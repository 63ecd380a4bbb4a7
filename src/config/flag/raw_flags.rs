//! `[flags]`: the flags by their names, and beside them what is said of all that are imported.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::RawFlag;

/// The section. No flag can be called like the keys beside the flags.
#[derive(Debug, Default)]
pub(crate) struct FlagSection {
    /// What is said of flags that are imported.
    pub(crate) import: RawImport,
    /// The flags.
    pub(crate) flags: BTreeMap<String, RawFlag>,
}

#[derive(Debug, Default)]
pub(crate) struct RawImport {
    /// The file that flags are imported from.
    pub(crate) import: Option<String>,
    /// What `fractional` hashes in its rules.
    pub(crate) fractional: Option<String>,
}

impl<'de> Deserialize<'de> for FlagSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FlagsVisitor)
    }
}

struct FlagsVisitor;

impl<'de> Visitor<'de> for FlagsVisitor {
    type Value = FlagSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<FlagSection, A::Error> {
        let mut raw = FlagSection::default();
        while let Some(key) = table.next_key::<String>()? {
            match key.as_str() {
                "import" => raw.import.import = Some(table.next_value()?),
                "fractional" => raw.import.fractional = Some(table.next_value()?),
                _ => drop(raw.flags.insert(key, table.next_value()?)),
            }
        }
        Ok(raw)
    }
}
