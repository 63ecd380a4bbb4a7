//! The sections `[flags.NAME]`, and `flags` of a service: what users get that does not depend on a deploy.

pub(crate) mod flag_rule;
pub(crate) mod follows;
pub(crate) mod import;
pub(crate) mod imported_text;
pub(crate) mod raw_flags;
pub(crate) mod told;
pub(crate) mod variants;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use self::flag_rule::RawFlagRule;
use self::variants::RawVariants;
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::release::rollout::RawRollout;
use crate::config::service::RawService;
use crate::config::service::definition_index::DefinitionIndex;
use crate::problem::{Mismatch, listed, suggest};
use crate::table::Name;
use crate::table::spec::Segment;
use crate::table::spec::flag::{DrawSpec, FlagSource, FlagSpec, FlagSpecs};

/// What a salt begins with that is a service's.
pub(crate) const SERVICE_SALT: &str = "service:";

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawFlag {
    variants: Option<RawVariants>,
    default: Option<String>,
    enabled: Option<bool>,
    salt: Option<String>,
    rules: List<RawFlagRule>,
    follows: Option<BTreeMap<String, String>>,
    rollout: Option<RawRollout>,
}

/// What flags refer to.
pub(crate) struct FlagScope<'a> {
    /// The segments of the file.
    pub(crate) segments: &'a DefinitionIndex<Segment>,
    /// The services of the file.
    pub(crate) services: &'a BTreeMap<String, RawService>,
    /// The flags of the file.
    pub(crate) flags: &'a BTreeMap<String, RawFlag>,
    /// Those that it imports.
    pub(crate) imported: &'a [FlagSpec],
}

impl FlagScope<'_> {
    /// Whether there is a flag of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.flags.contains_key(name) || self.imported.iter().any(|flag| flag.name.as_str() == name)
    }

    /// The names of all flags.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.flags.keys().map(String::as_str).chain(self.imported.iter().map(|flag| flag.name.as_str()))
    }

    /// The names of the variants of a flag, also of those with problems.
    pub(crate) fn variants_of(&self, name: &str) -> Vec<Name> {
        if let Some(raw) = self.flags.get(name) {
            return raw.variant_names();
        }
        let imported = self.imported.iter().find(|flag| flag.name.as_str() == name);
        imported.into_iter().flat_map(|flag| &flag.variants).map(|variant| variant.name.clone()).collect()
    }
}

/// All flags, and which requests carry them.
pub(crate) fn build_all(scope: &FlagScope<'_>, build: &mut Build<'_>) -> Result<FlagSpecs, ErrorGuaranteed> {
    let at = ConfigPath::Root.key("flags");
    let flags = every(scope.flags.iter().map(|(name, raw)| raw.build(name, scope, &at.key(name), build).map(Arc::new)));
    let chains = follows::check_chains(scope.flags, &mut build.report);
    let told = told::build(scope, &mut build.report);
    let mut flags = flags?;
    chains?;
    flags.extend(scope.imported.iter().cloned().map(Arc::new));
    flags.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(FlagSpecs { flags, told: told? })
}

impl RawFlag {
    fn build(
        &self,
        name: &str,
        scope: &FlagScope<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<FlagSpec, ErrorGuaranteed> {
        let own_name = check::name(name, at, &mut build.report);
        let variants = variants::build(self.variants.as_ref(), &at.key("variants"), &mut build.report);
        let names = self.variant_names();
        let default = self.default(&names, at, &mut build.report);
        let source = match &self.follows {
            Some(follows) => self.followed(follows, scope, at, &mut build.report),
            None => self.ruled(name, scope, at, build),
        };
        let (name, variants, default) = (own_name?, variants?, default?);
        Ok(FlagSpec { name, variants, default, enabled: self.enabled.unwrap_or(true), source: source? })
    }

    /// The names of its variants, also of those with problems, in natural order.
    pub(crate) fn variant_names(&self) -> Vec<Name> {
        variants::names(self.variants.as_ref())
    }

    /// What it follows.
    pub(crate) fn follows(&self) -> Option<&BTreeMap<String, String>> {
        self.follows.as_ref()
    }

    /// How it is released, if that is written.
    pub(crate) fn rollout(&self) -> Option<&RawRollout> {
        self.rollout.as_ref()
    }

    /// What users are drawn by, as it is written; `name` is its own.
    pub(crate) fn draws_by<'a>(&'a self, name: &'a str) -> &'a str {
        self.salt.as_deref().unwrap_or(name)
    }

    /// Why the flag cannot be released, if its definition says so already; `name` is its own.
    pub(crate) fn unreleasable(&self, name: &str) -> Option<Mismatch> {
        let wanted = "a flag with rules, the last of which is moved";
        if self.follows.is_some() {
            let found = format!("{name:?}, which follows something else and has no rules");
            return Some(Mismatch::new(found, wanted, "release what it follows"));
        }
        let remedy = format!("add one to flags.{name}.rules, such as {{ name = \"launch\", serve = \"off\" }}");
        self.rules.is_empty().then(|| Mismatch::new(format!("{name:?}, which has no rule"), wanted, remedy))
    }

    /// Index of the default variant.
    fn default(&self, names: &[Name], at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<u16, ErrorGuaranteed> {
        let key = at.key("default");
        match &self.default {
            Some(text) => variant(text, names, at, &key, report),
            None if self.variants.is_none() => variant(variants::OFF, names, at, &key, report),
            None => {
                let wanted = "the variant of those whom nothing else gives one";
                Err(report.missing(&key, Mismatch::new("none", wanted, "add default = \"VARIANT\"")))
            }
        }
    }

    /// A flag that follows has nothing else to decide by.
    fn followed(
        &self,
        follows: &BTreeMap<String, String>,
        scope: &FlagScope<'_>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<FlagSource, ErrorGuaranteed> {
        for (key, there) in [("salt", self.salt.is_some()), ("rules", !self.rules.is_empty())] {
            if there {
                let mismatch = Mismatch::new(format!("{key} beside follows"), "one of them", "remove the other");
                return Err(report.problem(&at.key(key), mismatch));
            }
        }
        follows::build(follows, &self.variant_names(), scope, at, report)
    }

    fn ruled(
        &self,
        name: &str,
        scope: &FlagScope<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<FlagSource, ErrorGuaranteed> {
        let draw = self.draw(name, scope, &at.key("salt"), &mut build.report);
        let rules = flag_rule::build_all(&self.rules, &self.variant_names(), scope.segments, at, build);
        Ok(FlagSource::Rules { draw: draw?, rules: rules? })
    }

    fn draw(
        &self,
        name: &str,
        scope: &FlagScope<'_>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<DrawSpec, ErrorGuaranteed> {
        match self.salt.as_deref() {
            None => Ok(DrawSpec::Salt(name.into())),
            Some("") => {
                Err(report.problem(at, Mismatch::new("an empty text", "some letters", "leave it out for the name")))
            }
            Some(text) => match text.strip_prefix(SERVICE_SALT) {
                Some(service) => self::service(service, scope, at, report).map(DrawSpec::Service),
                None => Ok(DrawSpec::Salt(text.into())),
            },
        }
    }
}

/// The service that `text` names at `at`.
pub(crate) fn service(
    text: &str,
    scope: &FlagScope<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Name, ErrorGuaranteed> {
    if scope.services.contains_key(text) {
        // One with a bad name has its own problem.
        return Name::new(text).map_err(|bad| report.unless(&ConfigPath::Root.key("services"), at, bad.mismatch()));
    }
    let known = || scope.services.keys().map(String::as_str);
    let remedy =
        suggest(text, known()).map_or("name one of them".to_owned(), |meant| format!("did you mean {meant:?}?"));
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), format!("a service: {}", listed(known())), remedy)))
}

/// Index of the variant that `text` names at `at`, of the flag at `flag`.
pub(crate) fn variant(
    text: &str,
    names: &[Name],
    flag: &ConfigPath<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<u16, ErrorGuaranteed> {
    if let Some((index, _)) = (0..).zip(names).find(|(_, name)| name.as_str() == text) {
        return Ok(index);
    }
    let known = || names.iter().map(Name::as_str);
    let remedy = match suggest(text, known()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("add it to {}", flag.key("variants")),
    };
    let problem = Mismatch::new(format!("{text:?}"), format!("a variant of the flag: {}", listed(known())), remedy);
    Err(report.unless(&flag.key("variants"), at, problem))
}
