//! What is stored of the flags of a rollout, and what the two sides are called that are compared in a service.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The flag that is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFlag {
    /// Its name.
    pub name: String,
    /// The rule that is moved: the last one when the rollout began.
    pub rule: String,
}

/// A flag of a group that is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedGroupFlag {
    /// Its name, and the rule that is moved.
    #[serde(flatten)]
    pub flag: SavedFlag,
    /// The baseline: a variant.
    pub from: String,
    /// The candidate.
    pub to: String,
    /// The services in which its variants are compared, and not versions.
    pub services: Vec<String>,
}

/// The two that are compared in a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComparedNames<'s> {
    /// The flag, if they are variants.
    pub flag: Option<&'s str>,
    /// The baseline.
    pub from: &'s str,
    /// The candidate.
    pub to: &'s str,
}

impl<'s> ComparedNames<'s> {
    /// What the candidate is called among other services and flags: the version, or the flag with its variant.
    #[must_use]
    pub fn candidate(&self) -> Cow<'s, str> {
        self.side(self.to)
    }

    /// The same of the baseline.
    #[must_use]
    pub fn baseline(&self) -> Cow<'s, str> {
        self.side(self.from)
    }

    fn side(&self, name: &'s str) -> Cow<'s, str> {
        match self.flag {
            None => name.into(),
            Some(flag) => format!("{flag}={name}").into(),
        }
    }
}
