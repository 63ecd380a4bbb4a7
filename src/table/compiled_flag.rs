//! A flag, ready to be asked: names are indices, and weights are runs of slots.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::flag_state::FlagState;
use super::hash::Salt;
use super::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FollowedVariants};
use super::spec::{Condition, ServiceSpec};
use crate::shared::name::Name;

/// What the names of headers begin with that tell a service of flags.
pub(crate) const FLAG_HEADER_PREFIX: &str = "x-flag-";

/// One flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its definition.
    pub spec: Arc<FlagSpec>,
    /// Its state, as the revision has it.
    pub state: Arc<FlagState>,
    /// What decides on the variant.
    pub(crate) assignment: FlagAssignment,
    /// The experiments that run on it.
    pub(crate) experiments: FlagExperiments,
    /// How it is told.
    pub(crate) header: HeaderName,
    /// The names of the variants, as they are told.
    pub(crate) words: Box<[HeaderValue]>,
}

/// The experiments that run on a flag, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlagExperiments {
    /// Their indices.
    pub(crate) indices: Box<[u16]>,
    /// Their names.
    names: Box<[Name]>,
}

impl FlagExperiments {
    /// Of these indices and names.
    pub(crate) fn new(indices: Box<[u16]>, names: Box<[Name]>) -> Self {
        Self { indices, names }
    }

    /// The name of the one with this index, if it is one of these.
    #[must_use]
    pub(crate) fn name(&self, index: u16) -> Option<&Name> {
        let mut all = self.indices.iter().zip(&self.names);
        all.find(|(known, _)| **known == index).map(|(_, name)| name)
    }
}

/// What decides on the variant, with all names resolved.
#[derive(Clone, Debug)]
pub(crate) enum FlagAssignment {
    /// The first rule that holds.
    Rules { draw: FlagDraw, rules: Box<[FlagRule]> },
    /// The version of a service; the variant by the index of the version.
    Service { service: u32, variants: Box<[Option<u16>]> },
    /// The variant of another flag; the variant by the index of that one's.
    Flag { flag: u32, variants: Box<[Option<u16>]> },
    /// The rule that its definition has of a file.
    Imported,
    /// Nothing: what it refers to is not in this table.
    Default,
}

/// How users are drawn.
#[derive(Clone, Debug)]
pub(crate) enum FlagDraw {
    /// Under a salt of its own.
    Salt(Salt),
    /// As the service with this index draws them.
    Service(u32),
}

/// A rule, with its variants resolved.
#[derive(Clone, Debug)]
pub(crate) struct FlagRule {
    /// When it holds; none: always.
    pub(crate) when: Option<Arc<Condition>>,
    /// First slot after each run and the variant's index, ascending.
    pub(crate) runs: Box<[(u32, u16)]>,
}

/// Where the services and flags of a table are.
pub(crate) struct FlagIndices<'a> {
    pub(crate) services: HashMap<&'a str, (u32, &'a ServiceSpec)>,
    pub(crate) flags: HashMap<&'a str, (u32, &'a FlagSpec)>,
}

impl Flag {
    /// Compiles a definition under its state.
    pub(crate) fn compile(spec: &Arc<FlagSpec>, state: Arc<FlagState>, indices: &FlagIndices<'_>) -> Self {
        let header = format!("{FLAG_HEADER_PREFIX}{}", spec.name.to_ascii_lowercase());
        // Names are tokens of HTTP: neither can fail.
        let header = HeaderName::try_from(header).unwrap_or(HeaderName::from_static("x-flag"));
        let word = |name: &Name| HeaderValue::from_str(name).unwrap_or(HeaderValue::from_static(""));
        let words = spec.variants.iter().map(|variant| word(&variant.name)).collect();
        let (assignment, experiments) = (FlagAssignment::of(spec, &state, indices), FlagExperiments::default());
        Self { assignment, experiments, spec: Arc::clone(spec), state, header, words }
    }
}

impl FlagAssignment {
    fn of(spec: &FlagSpec, state: &FlagState, indices: &FlagIndices<'_>) -> Self {
        let found = match &spec.source {
            FlagSource::Rules { draw, rules } => {
                let draw = match draw {
                    DrawSpec::Salt(salt) => Some(FlagDraw::Salt(Salt::new(salt))),
                    DrawSpec::Service(name) => indices.services.get(name.as_str()).map(|(i, _)| FlagDraw::Service(*i)),
                };
                let rules = || rules.iter().map(|rule| FlagRule::of(rule, spec, state)).collect();
                draw.map(|draw| Self::Rules { draw, rules: rules() })
            }
            FlagSource::Service(name, followed) => indices.services.get(name.as_str()).map(|(service, other)| {
                let variants = other.versions.iter().map(|version| variant_for(followed, &version.name)).collect();
                Self::Service { service: *service, variants }
            }),
            FlagSource::Flag(name, followed) => indices.flags.get(name.as_str()).map(|(flag, other)| {
                let variants = other.variants.iter().map(|variant| variant_for(followed, &variant.name)).collect();
                Self::Flag { flag: *flag, variants }
            }),
            FlagSource::Imported(_) => Some(Self::Imported),
        };
        found.unwrap_or(Self::Default)
    }
}

fn variant_for(followed: &FollowedVariants, name: &Name) -> Option<u16> {
    followed.iter().find(|(known, _)| known == name).map(|(_, variant)| *variant)
}

impl FlagRule {
    fn of(rule: &FlagRuleSpec, spec: &FlagSpec, state: &FlagState) -> Self {
        let fresh;
        let slots = match state.rules.get(&rule.name) {
            Some(slots) => slots,
            None => {
                fresh = spec.laid(&rule.serve);
                &fresh
            }
        };
        // A variant that is gone is no state of this definition; the default is what is safe.
        let runs = slots.iter().map(|(_, run)| (run.until, spec.variant(&run.version).unwrap_or(spec.default)));
        Self { when: rule.when.clone(), runs: runs.collect() }
    }

    /// The variant, if it is the same for everybody.
    pub(crate) fn only(&self) -> Option<u16> {
        let (_, first) = *self.runs.first()?;
        self.runs.iter().all(|(_, variant)| *variant == first).then_some(first)
    }

    /// The variant that owns `slot`.
    pub(crate) fn owner(&self, slot: u32) -> Option<u16> {
        let index = self.runs.partition_point(|(until, _)| *until <= slot);
        self.runs.get(index).or(self.runs.last()).map(|(_, variant)| *variant)
    }
}
