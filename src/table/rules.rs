//! The rules of a service, which come of its definition alone: no shift makes them anew.

use std::ops::Deref;
use std::sync::Arc;

use crate::shared::name::Name;
use crate::table::fast::rule_prefilter::RulePrefilter;
use crate::table::spec::edge::RuleTarget;
use crate::table::spec::{Condition, RuleSpec, ServiceSpec};

use super::compile_error::{CompileError, position};

/// A rule, with its version resolved.
#[derive(Debug)]
pub struct CompiledRule {
    /// Its name.
    pub name: Name,
    /// When it applies.
    pub when: Arc<Condition>,
    /// What it does.
    pub target: CompiledTarget,
}

/// What a rule does with a request that it holds for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompiledTarget {
    /// Picks the version with this index.
    Version(u16),
    /// Leaves the choice to the split.
    Split,
    /// Responds, as its definition says.
    Respond,
}

/// The rules of a service, in order. A clone is the same list: all generations of a service share it.
#[derive(Clone, Debug)]
pub struct Rules {
    list: Arc<[CompiledRule]>,
    /// The prefilters that find no place in the service's record.
    pub(crate) further_prefilters: Arc<[RulePrefilter]>,
}

impl Deref for Rules {
    type Target = [CompiledRule];

    fn deref(&self) -> &[CompiledRule] {
        &self.list
    }
}

impl Rules {
    pub(crate) fn of(spec: &ServiceSpec, further_prefilters: Arc<[RulePrefilter]>) -> Result<Self, CompileError> {
        let rule = |rule: &RuleSpec| {
            let target = match &rule.target {
                RuleTarget::Version(version) => CompiledTarget::Version(position(spec, version)?),
                RuleTarget::Split => CompiledTarget::Split,
                RuleTarget::Respond(_) => CompiledTarget::Respond,
            };
            Ok(CompiledRule { name: rule.name.clone(), when: Arc::clone(&rule.when), target })
        };
        Ok(Self { list: spec.rules.iter().map(rule).collect::<Result<_, _>>()?, further_prefilters })
    }
}
