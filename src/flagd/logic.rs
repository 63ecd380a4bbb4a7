//! A rule, ready to be evaluated: a tree of operators with their arguments in place.

use std::sync::Arc;

use serde_json::Value;

use super::fractional_version::FractionalVersion;

/// A rule, or a part of one.
#[derive(Debug)]
pub(crate) enum Logic {
    /// What the file has there.
    Literal(Value),
    /// A list of which some items are rules.
    List(Box<[Self]>),
    /// A rule that others refer to as well.
    Shared(Arc<Self>),
    /// A value of what is known.
    Var(Box<VarLogic>),
    /// Which of these names have no value.
    Missing(Box<[Self]>),
    /// The same, or none if enough of them have one.
    MissingSome(Box<[Self; 2]>),
    /// Conditions with what follows from each, and what holds otherwise.
    If(Box<[Self]>),
    /// The first that is not true, or the last.
    And(Box<[Self]>),
    /// The first that is true, or the last.
    Or(Box<[Self]>),
    /// Whether the argument is true, or is not.
    Truth(TruthOperator, Box<Self>),
    /// Whether two values are equal.
    Equality(EqualityOperator, Box<[Self; 2]>),
    /// Whether two values are in order, or three.
    Order(OrderOperator, Box<[Self]>),
    /// A number of numbers.
    Arithmetic(ArithmeticOperator, Box<[Self]>),
    /// Texts, joined.
    Cat(Box<[Self]>),
    /// A part of a text: from where, and how much of it.
    Substr(Box<[Self]>),
    /// Whether a list has a value, or a text another.
    In(Box<[Self; 2]>),
    /// Lists, joined.
    Merge(Box<[Self]>),
    /// Of a list, what the body says of each item.
    Each(EachOperator, Box<[Self; 2]>),
    /// Of a list, what the body makes of each item and what it made of those before: list, body, first value.
    Reduce(Box<[Self; 3]>),
    /// One of several values, drawn.
    Fractional(Box<FractionalRule>),
    /// Whether a text begins or ends with another.
    Affix(AffixOperator, Box<[Self; 2]>),
    /// Whether two semantic versions are in the relation that stands between them.
    SemVer(Box<[Self; 3]>),
    /// The version of this service that the user gets.
    VersionOf(Box<str>),
}

/// A value of what is known, and what stands for it if it is not.
#[derive(Debug)]
pub(crate) struct VarLogic {
    /// Its name, with dots for what is inside of it.
    pub(crate) name: Logic,
    /// What it is otherwise.
    pub(crate) default: Option<Logic>,
}

/// The arguments of a draw.
#[derive(Debug)]
pub(crate) struct FractionalRule {
    /// What is hashed.
    pub(crate) version: FractionalVersion,
    /// What the user is drawn by; none: by the key. If it is a list, it is the first share.
    pub(crate) by: Option<Logic>,
    /// What can be drawn.
    pub(crate) shares: Box<[FractionShare]>,
}

impl FractionalRule {
    /// Whether users are drawn by their key if there is no value that they could be drawn by. What was meant by a rule
    /// of `v3` is not known then.
    pub(crate) fn falls_back(&self) -> bool {
        self.version == FractionalVersion::V2
    }
}

/// A value, and how much of the users have it.
#[derive(Debug)]
pub(crate) struct FractionShare {
    /// The value.
    pub(crate) value: Logic,
    /// Its weight; none: 1.
    pub(crate) weight: Option<Logic>,
}

/// Operators on truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TruthOperator {
    /// `!`
    Not,
    /// `!!`
    Is,
}

/// Operators on equality.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EqualityOperator {
    /// Whether the types have to be the same.
    pub(crate) strict: bool,
    /// Whether it asks for the opposite.
    pub(crate) negated: bool,
}

/// Operators on order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OrderOperator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Operators on numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `min`
    Min,
    /// `max`
    Max,
}

/// Operators on all items of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EachOperator {
    /// `map`
    Map,
    /// `filter`
    Filter,
    /// `all`
    All,
    /// `some`
    Some,
    /// `none`
    None,
}

/// Operators on the ends of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AffixOperator {
    /// `starts_with`
    StartsWith,
    /// `ends_with`
    EndsWith,
}
