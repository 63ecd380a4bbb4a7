//! The rules of a service, which come of its definition alone: no shift makes them anew.

use std::ops::Deref;
use std::sync::Arc;

use crate::shared::name::Name;
use crate::table::fast::rule_prefilter::Gate;
use crate::table::spec::{Condition, RuleSpec, ServiceSpec};

use super::{CompileError, position};

/// A rule, with its version resolved.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// When it applies.
    pub when: Arc<Condition>,
    /// Index of the version that it picks.
    pub version: u16,
}

/// The rules of a service, in order. A clone is the same list: all generations of a service share it.
#[derive(Clone, Debug)]
pub struct Rules {
    list: Arc<[Rule]>,
    /// The gates that find no place in the service's record.
    pub(crate) later_gates: Arc<[Gate]>,
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.list
    }
}

impl Rules {
    pub(crate) fn of(spec: &ServiceSpec, later_gates: Arc<[Gate]>) -> Result<Self, CompileError> {
        let rule = |rule: &RuleSpec| {
            let version = position(spec, &rule.version)?;
            Ok(Rule { name: rule.name.clone(), when: Arc::clone(&rule.when), version })
        };
        Ok(Self { list: spec.rules.iter().map(rule).collect::<Result<_, _>>()?, later_gates })
    }
}
