//! A flag of a file, and what a user gets of it.

use serde_json::{Map, Value};

use super::asked_of::AskedOf;
use super::datum::Datum;
use super::flag_context::FlagContext;
use super::fractional_version::FractionalVersion;
use super::interpret::Interpreter;
use super::logic::Logic;
use super::steps::{StepAllowance, TooMuchWork};
use crate::shared::name::Name;

/// A flag of a file.
#[derive(Debug)]
pub struct ImportedFlag {
    /// Its key.
    pub key: Name,
    /// Whether the file has it enabled.
    pub enabled: bool,
    /// Its variants, at least one, their values all of one type.
    pub variants: Vec<ImportedVariant>,
    /// Index of the variant when the rule says none, or there is no rule; none: the code that asks has a default.
    pub default: Option<u16>,
    /// What is said of it to those who ask: its own, and that of the file.
    pub metadata: Map<String, Value>,
    /// What its rule looks at.
    pub asked: AskedOf,
    /// What `fractional` hashes in it.
    pub(super) version: FractionalVersion,
    /// Its rule.
    pub(super) targeting: Option<Logic>,
}

/// One thing that a flag can be.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportedVariant {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Value,
}

/// What a user gets of a flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// Index of the variant; none: the default of the code that asks.
    pub variant: Option<u16>,
    /// Why that one.
    pub cause: ResolutionCause,
}

/// What chose the variant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResolutionCause {
    /// There is no rule.
    Static,
    /// The rule.
    TargetingMatch,
    /// The rule says none.
    Default,
    /// The rule says something that is no variant, cut after some characters.
    NoVariant(Box<str>),
    /// The rule was ended.
    TooMuchWork(TooMuchWork),
}

/// How much of a wrong result is kept.
const NO_VARIANT_CHARS: usize = 60;

impl ImportedFlag {
    /// What a user gets while the flag is enabled.
    #[must_use]
    pub fn resolve(&self, context: &dyn FlagContext) -> Resolution {
        let by_default = |cause| Resolution { variant: self.default, cause };
        let Some(rule) = &self.targeting else {
            return by_default(if self.default.is_some() { ResolutionCause::Static } else { ResolutionCause::Default });
        };
        let interpreter = Interpreter { flag: &self.key, context, steps: StepAllowance::full() };
        match interpreter.result(rule) {
            Ok(Datum::Null) => by_default(ResolutionCause::Default),
            Ok(result) => self.of_result(&result),
            Err(error) => Resolution { variant: None, cause: ResolutionCause::TooMuchWork(error) },
        }
    }

    fn of_result(&self, result: &Datum<'_>) -> Resolution {
        let name = match result {
            Datum::Null | Datum::List(_) | Datum::Object(_) => None,
            Datum::Text(text) => Some(text.clone()),
            Datum::Bool(_) | Datum::Int(_) | Datum::Float(_) => Some(result.text()),
        };
        let index = name.as_ref().and_then(|name| self.variant(name));
        if let Some(index) = index {
            return Resolution { variant: Some(index), cause: ResolutionCause::TargetingMatch };
        }
        let found = name.map_or("a list or an object".to_owned(), |name| name.chars().take(NO_VARIANT_CHARS).collect());
        Resolution { variant: None, cause: ResolutionCause::NoVariant(found.into()) }
    }

    /// Whether it has a rule.
    #[must_use]
    pub fn has_rule(&self) -> bool {
        self.targeting.is_some()
    }

    /// What `fractional` hashes in its rule.
    #[must_use]
    pub fn version(&self) -> FractionalVersion {
        self.version
    }

    /// Index of the variant of this name.
    #[must_use]
    pub fn variant(&self, name: &str) -> Option<u16> {
        (0..).zip(&self.variants).find(|(_, variant)| variant.name.as_str() == name).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests;
