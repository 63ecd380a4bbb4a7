//! Flags in the format of flagd, the reference implementation of OpenFeature: from the text of a file to what a user
//! gets.
//!
//! In reading order: [`flag_file`] reads a file ([`json_document`], [`flag_reader`], [`json_pointer`],
//! [`file_report`]), [`compile_rule`] its rules ([`operators`], [`assemble`], [`logic`], [`outcomes`], [`asked_of`]);
//! [`imported_flag`] is a flag, and says what a user gets of it; [`interpret`] evaluates its rule ([`flag_context`],
//! [`datum`], [`steps`]) with operators of JSONLogic ([`arithmetic`], [`substr`]) and of flagd ([`fractional`] with
//! [`fractional_version`] and [`cbor`], [`semantic_version`]).
//!
//! No library evaluates the rules. A rule is the operator's, but the texts and lists that it goes through are any
//! client's, and a request must not be able to take all time or memory: `datalogic-rs`, the one crate that is kept, has
//! a bound on the work of an evaluation from its version 5.5 on, which wants a newer compiler than this project does;
//! before that, a `reduce` that joins its text to itself ends the process at forty items. The official evaluator
//! compiles a rule each time that it is asked. The 37 operators are a tree here, and pay for their steps ([`steps`]).
//!
//! What differs from flagd, on purpose: a file is refused whole, with all its problems, where flagd warns and answers
//! errors later; keys and variants are names as they are everywhere here; what `fractional` hashes is said by the
//! config and never changes by itself; the context as a whole (`{"var": ""}`) is null outside of lists. Beside the
//! operators of flagd there is `version_of`, which gives the version of a service that the user gets.
//!
//! What must stay true: nothing here reads a clock, a file or a random number; no input makes it panic; and a rule that
//! was read is evaluated as it is, without being read again.

pub(crate) mod arithmetic;
pub(crate) mod asked_of;
pub(crate) mod assemble;
pub(crate) mod cbor;
pub(crate) mod compile_rule;
pub(crate) mod datum;
pub(crate) mod file_report;
pub(crate) mod flag_context;
pub(crate) mod flag_file;
pub(crate) mod flag_reader;
pub(crate) mod fractional;
pub(crate) mod fractional_version;
pub(crate) mod imported_flag;
pub(crate) mod interpret;
pub(crate) mod json_document;
pub(crate) mod json_pointer;
pub(crate) mod logic;
pub(crate) mod operators;
pub(crate) mod outcomes;
pub(crate) mod semantic_version;
pub(crate) mod steps;
pub(crate) mod substr;
