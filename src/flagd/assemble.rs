//! Operators with their arguments in place.

use super::logic::{Logic, VarLogic};
use super::operators::OperatorKind;

/// What an operator becomes with its arguments; none if there are too few or too many of them.
pub(crate) fn assembled(kind: OperatorKind, parts: Vec<Logic>) -> Option<Logic> {
    Some(match kind {
        OperatorKind::Var => {
            let mut parts = parts.into_iter();
            Logic::Var(Box::new(VarLogic { name: parts.next()?, default: parts.next() }))
        }
        OperatorKind::Missing => Logic::Missing(parts.into()),
        OperatorKind::MissingSome => Logic::MissingSome(exactly(parts)?),
        OperatorKind::If => Logic::If(parts.into()),
        OperatorKind::And => Logic::And(parts.into()),
        OperatorKind::Or => Logic::Or(parts.into()),
        OperatorKind::Truth(operator) => Logic::Truth(operator, Box::new(parts.into_iter().next()?)),
        OperatorKind::Equality(operator) => Logic::Equality(operator, exactly(parts)?),
        OperatorKind::Order(operator) => Logic::Order(operator, parts.into()),
        OperatorKind::Arithmetic(operator) => Logic::Arithmetic(operator, parts.into()),
        OperatorKind::Cat => Logic::Cat(parts.into()),
        OperatorKind::Substr => Logic::Substr(parts.into()),
        OperatorKind::In => Logic::In(exactly(parts)?),
        OperatorKind::Merge => Logic::Merge(parts.into()),
        OperatorKind::Each(operator) => Logic::Each(operator, exactly(parts)?),
        OperatorKind::Reduce => Logic::Reduce(exactly(parts)?),
        OperatorKind::Affix(operator) => Logic::Affix(operator, exactly(parts)?),
        OperatorKind::SemVer => Logic::SemVer(exactly(parts)?),
        OperatorKind::Fractional | OperatorKind::VersionOf => return None,
    })
}

fn exactly<const N: usize>(parts: Vec<Logic>) -> Option<Box<[Logic; N]>> {
    parts.try_into().ok().map(Box::new)
}
