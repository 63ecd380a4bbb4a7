//! The operators that a rule may use, and how many arguments each takes.

use super::logic::{AffixOperator, ArithmeticOperator, EachOperator, EqualityOperator, OrderOperator, TruthOperator};

/// An operator, by what it becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OperatorKind {
    Var,
    Missing,
    MissingSome,
    If,
    And,
    Or,
    Truth(TruthOperator),
    Equality(EqualityOperator),
    Order(OrderOperator),
    Arithmetic(ArithmeticOperator),
    Cat,
    Substr,
    In,
    Merge,
    Each(EachOperator),
    Reduce,
    Fractional,
    Affix(AffixOperator),
    SemVer,
    VersionOf,
}

/// An operator.
#[derive(Debug)]
pub(crate) struct OperatorSpec {
    /// As the file has it.
    pub(crate) name: &'static str,
    /// What it becomes.
    pub(crate) kind: OperatorKind,
    /// How few arguments it takes.
    pub(crate) least: usize,
    /// How many.
    pub(crate) most: usize,
}

const fn operator(name: &'static str, kind: OperatorKind, least: usize, most: usize) -> OperatorSpec {
    OperatorSpec { name, kind, least, most }
}

const fn equality(strict: bool, negated: bool) -> OperatorKind {
    OperatorKind::Equality(EqualityOperator { strict, negated })
}

/// As many as there are.
pub(crate) const ANY: usize = usize::MAX;

/// The closed list of flagd's schema, and `version_of`, which is ours.
pub(crate) const OPERATORS: [OperatorSpec; 38] = [
    operator("var", OperatorKind::Var, 1, 2),
    operator("missing", OperatorKind::Missing, 0, ANY),
    operator("missing_some", OperatorKind::MissingSome, 2, 2),
    operator("if", OperatorKind::If, 1, ANY),
    operator("and", OperatorKind::And, 1, ANY),
    operator("or", OperatorKind::Or, 1, ANY),
    operator("!", OperatorKind::Truth(TruthOperator::Not), 1, 1),
    operator("!!", OperatorKind::Truth(TruthOperator::Is), 1, 1),
    operator("==", equality(false, false), 2, 2),
    operator("!=", equality(false, true), 2, 2),
    operator("===", equality(true, false), 2, 2),
    operator("!==", equality(true, true), 2, 2),
    operator("<", OperatorKind::Order(OrderOperator::Less), 2, 3),
    operator("<=", OperatorKind::Order(OrderOperator::LessOrEqual), 2, 3),
    operator(">", OperatorKind::Order(OrderOperator::Greater), 2, 2),
    operator(">=", OperatorKind::Order(OrderOperator::GreaterOrEqual), 2, 2),
    operator("+", OperatorKind::Arithmetic(ArithmeticOperator::Add), 1, ANY),
    operator("-", OperatorKind::Arithmetic(ArithmeticOperator::Subtract), 1, 2),
    operator("*", OperatorKind::Arithmetic(ArithmeticOperator::Multiply), 1, ANY),
    operator("/", OperatorKind::Arithmetic(ArithmeticOperator::Divide), 2, 2),
    operator("%", OperatorKind::Arithmetic(ArithmeticOperator::Remainder), 2, 2),
    operator("min", OperatorKind::Arithmetic(ArithmeticOperator::Min), 1, ANY),
    operator("max", OperatorKind::Arithmetic(ArithmeticOperator::Max), 1, ANY),
    operator("cat", OperatorKind::Cat, 1, ANY),
    operator("substr", OperatorKind::Substr, 2, 3),
    operator("in", OperatorKind::In, 2, 2),
    operator("merge", OperatorKind::Merge, 0, ANY),
    operator("map", OperatorKind::Each(EachOperator::Map), 2, 2),
    operator("filter", OperatorKind::Each(EachOperator::Filter), 2, 2),
    operator("all", OperatorKind::Each(EachOperator::All), 2, 2),
    operator("some", OperatorKind::Each(EachOperator::Some), 2, 2),
    operator("none", OperatorKind::Each(EachOperator::None), 2, 2),
    operator("reduce", OperatorKind::Reduce, 3, 3),
    operator("fractional", OperatorKind::Fractional, 1, ANY),
    operator("starts_with", OperatorKind::Affix(AffixOperator::StartsWith), 2, 2),
    operator("ends_with", OperatorKind::Affix(AffixOperator::EndsWith), 2, 2),
    operator("sem_ver", OperatorKind::SemVer, 3, 3),
    operator("version_of", OperatorKind::VersionOf, 1, 1),
];

/// The operator of this name.
pub(crate) fn named(name: &str) -> Option<&'static OperatorSpec> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

impl OperatorSpec {
    /// `exactly 2 arguments`
    pub(crate) fn wanted(&self) -> String {
        let Self { least, most, .. } = self;
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        match (*least, *most) {
            (least, ANY) => format!("at least {least} {}", plural(least)),
            (least, most) if least == most => format!("exactly {least} {}", plural(least)),
            (least, most) => format!("{least} to {most} {}", plural(most)),
        }
    }
}
