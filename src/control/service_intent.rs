//! What the config file said of a service's traffic when it was last applied.

use std::collections::BTreeMap;
use std::fmt;

use crate::table::{MirrorShare, Name, ServiceSpec, Weight, Weights};

/// The split and the mirror that the file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceIntent {
    /// The split.
    pub split: Weights,
    /// The mirror, if there is one.
    pub mirror: Option<MirrorShare>,
}

/// A stored text that is no intent.
#[derive(Debug, thiserror::Error)]
#[error(
    "found the split {0:?}, want `version=percent` items that sum to 100, perhaps `mirror:version*slots` after them"
)]
pub struct BadIntent(String);

/// What is before a mirror in the text. No name of a version has a colon.
const MIRROR: &str = "mirror:";

impl ServiceIntent {
    /// What a definition asks for.
    #[must_use]
    pub fn of(spec: &ServiceSpec) -> Self {
        let mirror = spec.mirror.as_ref().filter(|mirror| mirror.share != Weight::ZERO);
        let mirror = mirror.map(|mirror| MirrorShare { to: mirror.to.clone(), share: mirror.share });
        Self { split: spec.split.clone(), mirror }
    }

    /// Reads what its `Display` wrote.
    ///
    /// # Errors
    /// [`BadIntent`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, BadIntent> {
        let bad = || BadIntent(text.to_owned());
        let (split, mirror) = match text.rsplit_once(' ') {
            Some((split, last)) if last.starts_with(MIRROR) => (split, Some(&last[MIRROR.len()..])),
            _ => (text, None),
        };
        let item = |item: &str| {
            let (version, percent) = item.split_once('=')?;
            Some((Name::new(version).ok()?, Weight::from_percent(percent.parse().ok()?)?))
        };
        let versions: Option<BTreeMap<_, _>> = split.split(' ').map(item).collect();
        let split = versions.and_then(|versions| Weights::new(versions).ok()).ok_or_else(bad)?;
        let mirror = mirror.map(|mirror| MirrorShare::parse(mirror).ok().ok_or_else(bad)).transpose()?;
        Ok(Self { split, mirror })
    }
}

/// `v1=90 v2=10`, or `v1=90 v2=10 mirror:v3*10000`.
impl fmt::Display for ServiceIntent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mirror {
            None => write!(f, "{}", self.split),
            Some(mirror) => write!(f, "{} {MIRROR}{mirror}", self.split),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_survives_its_text() {
        for text in ["v1=100", "v1=33.333 v2=66.667", "v1=100 v2=0", "v1=100 v2=0 mirror:v2*500"] {
            assert_eq!(ServiceIntent::parse(text).expect("an intent").to_string(), text);
        }
        for bad in ["", "v1", "v1=90", "v1=90 v2=20", "v1=x", "v 1=100", "v1=100 mirror:v2", "mirror:v2*5", "v1=100 "] {
            assert!(ServiceIntent::parse(bad).is_err(), "{bad:?}");
        }
    }
}
