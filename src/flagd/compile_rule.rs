//! From the JSON of a rule to a rule that can be evaluated.
//!
//! Everything that can be known is checked here and not when a user asks: operators and how many arguments they take,
//! references, weights, versions. An operator that flagd would answer null for in each evaluation is a problem.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::asked_of::AskedOf;
use super::assemble::assembled;
use super::datum::Datum;
use super::file_report::{FileReport, Reported};
use super::fractional::{WEIGHTS_MAX, weight_of};
use super::fractional_version::FractionalVersion;
use super::json_pointer::JsonPointer;
use super::logic::{FractionShare, FractionalRule, Logic};
use super::operators::{OPERATORS, OperatorKind, OperatorSpec, named};
use super::semantic_version::{RELATIONS, is_version};
use crate::problem::{listed, suggest};
use crate::shared::name::Name;

/// Operators in each other, over references.
pub(crate) const DEPTH_MAX: usize = 64;

/// The member that refers to a rule of `$evaluators`.
pub(crate) const REF: &str = "$ref";

/// Reads rules.
pub(crate) struct RuleCompiler<'a> {
    /// The rules that others refer to.
    pub(crate) evaluators: &'a Map<String, Value>,
    /// Those that were read.
    read: BTreeMap<&'a str, Result<SharedRule, Reported>>,
    /// The way to the one that is read, over references.
    way: Vec<&'a str>,
    /// What `fractional` hashes.
    pub(crate) version: FractionalVersion,
    /// What is wrong.
    pub(crate) report: FileReport,
    /// What the rule looks at.
    asked: AskedOf,
}

/// A rule that others refer to.
#[derive(Clone)]
struct SharedRule {
    logic: Arc<Logic>,
    /// How many operators are in each other.
    height: usize,
    asked: AskedOf,
}

/// A rule, as it was read.
pub(crate) struct LogicRule {
    /// What is evaluated.
    pub(crate) logic: Logic,
    /// What it looks at.
    pub(crate) asked: AskedOf,
}

/// A part of a rule, and how many operators are in each other in it.
struct LogicPart {
    logic: Logic,
    height: usize,
}

impl<'a> RuleCompiler<'a> {
    /// For rules that may refer to `evaluators`.
    pub(crate) fn new(evaluators: &'a Map<String, Value>, version: FractionalVersion, report: FileReport) -> Self {
        Self { evaluators, read: BTreeMap::new(), way: Vec::new(), version, report, asked: AskedOf::default() }
    }

    /// Reads the rule at `at`.
    pub(crate) fn rule(&mut self, rule: &'a Value, at: &JsonPointer<'_>) -> Result<LogicRule, Reported> {
        self.asked = AskedOf::default();
        let part = self.operation(rule, at, 0)?;
        Ok(LogicRule { logic: part.logic, asked: std::mem::take(&mut self.asked) })
    }

    /// Reads all rules that can be referred to, also those that no flag uses.
    pub(crate) fn all_evaluators(&mut self) -> Result<(), Reported> {
        let read: Vec<_> = self.evaluators.keys().map(|name| self.evaluator(name, 0).map(|_| ())).collect();
        read.into_iter().collect()
    }

    /// The rule `name` of `$evaluators`, read once.
    fn evaluator(&mut self, name: &'a str, depth: usize) -> Result<SharedRule, Reported> {
        if let Some(read) = self.read.get(name) {
            return read.clone();
        }
        let evaluators = JsonPointer::Root.key("$evaluators");
        let at = evaluators.key(name);
        if let Some(first) = self.way.iter().position(|known| *known == name) {
            let circle = [&self.way[first..], &[name]].concat().join(" -> ");
            return Err(self.report.problem(&at, format!("a circle: {circle}"), "an end", "write one of them out"));
        }
        let Some(rule) = self.evaluators.get(name) else { return Err(self.unknown_evaluator(name, &at)) };
        self.way.push(name);
        let outside = std::mem::take(&mut self.asked);
        let part = self.operation(rule, &at, depth);
        let asked = std::mem::replace(&mut self.asked, outside);
        self.way.pop();
        let read = part.map(|LogicPart { logic, height }| SharedRule { logic: Arc::new(logic), height, asked });
        self.read.insert(name, read.clone());
        read
    }

    fn unknown_evaluator(&mut self, name: &str, at: &JsonPointer<'_>) -> Reported {
        let known = || self.evaluators.keys().map(String::as_str);
        let remedy =
            suggest(name, known()).map_or("add it to $evaluators".to_owned(), |n| format!("did you mean {n:?}?"));
        let wanted = if self.evaluators.is_empty() {
            "a rule of $evaluators, and there is none".to_owned()
        } else {
            format!("one of $evaluators: {}", listed(known()))
        };
        self.report.problem(at, format!("{name:?}"), wanted, remedy)
    }

    /// An object with one operator, or a reference.
    fn operation(&mut self, value: &'a Value, at: &JsonPointer<'_>, depth: usize) -> Result<LogicPart, Reported> {
        let wanted = "an object with one operator";
        if depth >= DEPTH_MAX {
            let found = format!("more than {DEPTH_MAX} operators in each other");
            return Err(self.report.problem(at, found, format!("at most {DEPTH_MAX}"), "take the rule apart"));
        }
        let Value::Object(members) = value else {
            return Err(self.report.problem(at, kind_of(value), wanted, "write {\"operator\": [arguments]}"));
        };
        let mut members_left = members.iter();
        let (Some((name, arguments)), None) = (members_left.next(), members_left.next()) else {
            let found = format!("an object with {} members", members.len());
            return Err(self.report.problem(at, found, wanted, "write {\"operator\": [arguments]}"));
        };
        let at_name = at.key(name);
        if name == REF {
            return self.reference(arguments, &at_name, depth);
        }
        let Some(operator) = named(name) else {
            let names = || OPERATORS.iter().map(|operator| operator.name);
            let remedy =
                suggest(name, names()).map_or("use one of them".to_owned(), |n| format!("did you mean {n:?}?"));
            let wanted = format!("one of {}", listed(names()));
            return Err(self.report.problem(&at_name, format!("unknown operator {name:?}"), wanted, remedy));
        };
        let one = std::slice::from_ref(arguments);
        let list = if let Value::Array(list) = arguments { list.as_slice() } else { one };
        if !(operator.least..=operator.most).contains(&list.len()) {
            let found = format!("{} arguments of {name:?}", list.len());
            return Err(self.report.problem(&at_name, found, operator.wanted(), "add or remove some"));
        }
        let arguments = Arguments { list, alone: !arguments.is_array(), at: at_name, depth };
        self.operator(operator, &arguments)
    }

    fn reference(&mut self, name: &'a Value, at: &JsonPointer<'_>, depth: usize) -> Result<LogicPart, Reported> {
        let Value::String(name) = name else {
            return Err(self.report.problem(at, kind_of(name), "the name of a rule of $evaluators", "write its name"));
        };
        if !self.evaluators.contains_key(name) {
            return Err(self.unknown_evaluator(name, at));
        }
        let shared = self.evaluator(name, depth + 1)?;
        if depth + shared.height >= DEPTH_MAX {
            let found = format!("more than {DEPTH_MAX} operators in each other with {name:?}");
            return Err(self.report.problem(at, found, format!("at most {DEPTH_MAX}"), "take the rule apart"));
        }
        self.asked.extend(&shared.asked);
        Ok(LogicPart { logic: Logic::Shared(shared.logic), height: shared.height + 1 })
    }

    /// An argument: a rule, a list, or a value.
    fn argument(&mut self, value: &'a Value, at: &JsonPointer<'_>, depth: usize) -> Result<LogicPart, Reported> {
        match value {
            Value::Object(_) => self.operation(value, at, depth),
            Value::Array(items) if !is_plain(value) => {
                if depth >= DEPTH_MAX {
                    return self.operation(value, at, depth);
                }
                let all: Vec<_> = items.iter().enumerate().collect();
                let all = all.into_iter().map(|(index, item)| self.argument(item, &at.item(index), depth + 1));
                let parts = every(all)?;
                let height = 1 + parts.iter().map(|part| part.height).max().unwrap_or_default();
                Ok(LogicPart { logic: Logic::List(parts.into_iter().map(|part| part.logic).collect()), height })
            }
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Ok(LogicPart { logic: Logic::Literal(value.clone()), height: 1 })
            }
        }
    }

    fn operator(&mut self, operator: &OperatorSpec, arguments: &Arguments<'a, '_>) -> Result<LogicPart, Reported> {
        if operator.kind == OperatorKind::Fractional {
            return self.fractional(arguments);
        } else if operator.kind == OperatorKind::VersionOf {
            return self.version_of(arguments);
        } else if operator.kind == OperatorKind::SemVer {
            self.check_versions(arguments)?;
        } else if matches!(operator.kind, OperatorKind::Affix(_)) {
            self.check_texts(operator, arguments)?;
        } else if operator.kind == OperatorKind::Var {
            self.asked.name(&arguments.list[0]);
        } else if matches!(operator.kind, OperatorKind::Missing | OperatorKind::MissingSome) {
            arguments.list.iter().for_each(|name| self.asked.name(name));
        }
        let parts = every((0..arguments.list.len()).map(|index| self.argument_at(arguments, index)))?;
        let height = 1 + parts.iter().map(|part| part.height).max().unwrap_or_default();
        let parts: Vec<Logic> = parts.into_iter().map(|part| part.logic).collect();
        let logic = assembled(operator.kind, parts);
        logic.map(|logic| LogicPart { logic, height }).ok_or_else(|| {
            self.report.problem(&arguments.at, "other arguments", operator.wanted(), "add or remove some")
        })
    }

    fn argument_at(&mut self, arguments: &Arguments<'a, '_>, index: usize) -> Result<LogicPart, Reported> {
        let at = arguments.at_index(index);
        self.argument(&arguments.list[index], &at, arguments.depth + 1)
    }

    /// Values that can never be a version, or a relation, are a problem.
    fn check_versions(&mut self, arguments: &Arguments<'a, '_>) -> Result<(), Reported> {
        every(arguments.list.iter().enumerate().filter(|(_, value)| !value.is_object()).map(|(index, value)| {
            let at = arguments.at_index(index);
            if index == 1 {
                if value.as_str().is_some_and(|relation| RELATIONS.contains(&relation)) {
                    return Ok(());
                }
                let wanted = format!("one of {}", listed(RELATIONS.into_iter()));
                return Err(self.report.problem(&at, value.to_string(), wanted, "write one of them"));
            }
            if is_version(&Datum::from(value)) {
                return Ok(());
            }
            Err(self.report.problem(&at, value.to_string(), "a semantic version such as \"1.2.3\"", "write one"))
        }))
        .map(|_| ())
    }

    fn check_texts(&mut self, operator: &OperatorSpec, arguments: &Arguments<'a, '_>) -> Result<(), Reported> {
        let wrong = |(_, value): &(usize, &Value)| !value.is_object() && !value.is_string();
        every(arguments.list.iter().enumerate().filter(wrong).map(|(index, value)| {
            let at = arguments.at_index(index);
            let wanted = format!("a text, or a rule that gives one: {:?} compares nothing else", operator.name);
            Err::<(), _>(self.report.problem(&at, value.to_string(), wanted, "write a text"))
        }))
        .map(|_| ())
    }

    fn version_of(&mut self, arguments: &Arguments<'a, '_>) -> Result<LogicPart, Reported> {
        let (value, at) = (&arguments.list[0], arguments.at_index(0));
        match value.as_str().map(Name::new) {
            Some(Ok(service)) => {
                self.asked.services.entry(service.clone()).or_insert_with(|| at.to_string());
                Ok(LogicPart { logic: Logic::VersionOf(service.as_str().into()), height: 1 })
            }
            Some(Err(_)) | None => {
                Err(self.report.problem(&at, value.to_string(), "the name of a service", "write one as a text"))
            }
        }
    }

    /// What the user is drawn by, if the first argument is no share, and the shares.
    fn fractional(&mut self, arguments: &Arguments<'a, '_>) -> Result<LogicPart, Reported> {
        let first_is_share = arguments.list[0].is_array();
        let mut height = 0;
        let by = if first_is_share {
            None
        } else {
            let part = self.argument_at(arguments, 0)?;
            height = part.height;
            Some(part.logic)
        };
        let from = usize::from(!first_is_share);
        if from == arguments.list.len() && arguments.list[0].as_object().is_none_or(|rule| !can_be_list(rule)) {
            let wanted = "at least one share such as [\"on\", 50]";
            return Err(self.report.problem(&arguments.at, "no share", wanted, "add one"));
        }
        let shares = every((from..arguments.list.len()).map(|index| self.share(arguments, index)))?;
        let known = |share: &SharePart| share.known;
        let sum: i128 = shares.iter().filter_map(known).sum();
        if sum > WEIGHTS_MAX {
            let found = format!("weights that sum to {sum}");
            return Err(self.report.problem(&arguments.at, found, format!("at most {WEIGHTS_MAX}"), "lower them"));
        }
        height += shares.iter().map(|share| share.height).max().unwrap_or_default();
        let shares = shares.into_iter().map(|part| part.share).collect();
        let rule = FractionalRule { version: self.version, by, shares };
        Ok(LogicPart { logic: Logic::Fractional(Box::new(rule)), height: height + 1 })
    }

    fn share(&mut self, arguments: &Arguments<'a, '_>, index: usize) -> Result<SharePart, Reported> {
        let (at, depth) = (arguments.at_index(index), arguments.depth + 1);
        let wanted = "a share: a list of a value and its weight, such as [\"on\", 50]";
        let (value, weight) = match arguments.list[index].as_array().map(Vec::as_slice) {
            Some([value]) => (value, None),
            Some([value, weight]) => (value, Some(weight)),
            Some(_) | None => {
                let found = arguments.list[index].to_string();
                return Err(self.report.problem(&at, found, wanted, "write one"));
            }
        };
        let value = self.argument(value, &at.item(0), depth)?;
        let Some(weight) = weight else {
            let share = FractionShare { value: value.logic, weight: None };
            return Ok(SharePart { share, known: Some(1), height: value.height });
        };
        let known = weight_of(&Datum::from(weight));
        if known.is_none() && !weight.is_object() {
            let wanted = format!("a whole number up to {WEIGHTS_MAX}, or a rule that gives one");
            return Err(self.report.problem(&at.item(1), weight.to_string(), wanted, "write one"));
        }
        let weight = self.argument(weight, &at.item(1), depth)?;
        let height = value.height.max(weight.height);
        Ok(SharePart { share: FractionShare { value: value.logic, weight: Some(weight.logic) }, known, height })
    }
}

/// A share, as it was read.
struct SharePart {
    share: FractionShare,
    /// Its weight, if the file says it.
    known: Option<i128>,
    height: usize,
}

/// The arguments of an operator.
struct Arguments<'a, 'p> {
    list: &'a [Value],
    /// There is one, which is not in a list.
    alone: bool,
    at: JsonPointer<'p>,
    depth: usize,
}

impl Arguments<'_, '_> {
    fn at_index(&self, index: usize) -> JsonPointer<'_> {
        if self.alone { self.at } else { self.at.item(index) }
    }
}

/// All results, if all are good: each one that is not has been reported by then.
fn every<T>(results: impl Iterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let results: Vec<_> = results.collect();
    results.into_iter().collect()
}

/// Whether a list holds values only.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => items.iter().all(is_plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Whether a rule can give a list, which is a share then.
fn can_be_list(rule: &Map<String, Value>) -> bool {
    rule.keys().any(|name| ["merge", "map", "filter", "reduce", "if", "or", "and", "var", REF].contains(&name.as_str()))
}

/// What a value is, for a sentence.
pub(crate) fn kind_of(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
