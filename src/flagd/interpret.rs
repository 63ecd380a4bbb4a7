//! The evaluation of a rule for a user.
//!
//! Nothing here can fail but by the work that it takes: what an operator cannot make sense of is null, as in flagd. The
//! depth of the recursion is that of the rule, which is bounded when the file is read.

use std::borrow::Cow;

use super::arithmetic::{arithmetic, in_order};
use super::datum::{Datum, DatumList, TEXT_BYTES_PER_STEP};
use super::flag_context::FlagContext;
use super::fractional::{drawn, hash_of, hash_of_user, weight_of};
use super::logic::{AffixOperator, EachOperator, FractionShare, FractionalRule, Logic, TruthOperator, VarLogic};
use super::semantic_version;
use super::steps::{MADE_DEPTH_MAX, StepAllowance, TooMuchWork};
use super::substr::substr;

/// One evaluation.
pub(crate) struct Interpreter<'a> {
    /// The key of the flag.
    pub(crate) flag: &'a str,
    /// What is known of the user.
    pub(crate) context: &'a dyn FlagContext,
    /// What it may still do.
    pub(crate) steps: StepAllowance,
}

/// What names mean.
enum LogicScope<'a> {
    /// The context.
    Context,
    /// An item of a list, inside of an operator on all of them.
    Item(Datum<'a>),
    /// An item and what was made of those before, inside of `reduce`.
    Reduction { current: Datum<'a>, accumulator: Datum<'a> },
}

impl<'a> Interpreter<'a> {
    /// What the rule says.
    pub(crate) fn result(&self, rule: &'a Logic) -> Result<Datum<'a>, TooMuchWork> {
        self.eval(rule, &LogicScope::Context)
    }

    fn eval(&self, logic: &'a Logic, scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        self.steps.spend(1)?;
        match logic {
            Logic::Literal(value) => Ok(Datum::from(value)),
            Logic::Shared(logic) => self.eval(logic, scope),
            Logic::List(items) => self.made(self.eval_all(items, scope)?),
            Logic::Var(var) => self.var(var, scope),
            Logic::Missing(names) => self.missing(names, scope),
            Logic::MissingSome(arguments) => self.missing_some(arguments, scope),
            Logic::If(arguments) => self.conditional(arguments, scope),
            Logic::And(arguments) => self.first(arguments, false, scope),
            Logic::Or(arguments) => self.first(arguments, true, scope),
            Logic::Truth(operator, argument) => {
                Ok(Datum::Bool(self.eval(argument, scope)?.is_true() == (*operator == TruthOperator::Is)))
            }
            Logic::Equality(operator, sides) => {
                let [one, other] = self.both(sides, scope)?;
                self.steps.look(&one)?;
                self.steps.look(&other)?;
                let equal = if operator.strict { one.equals_strictly(&other) } else { one.equals_loosely(&other) };
                Ok(Datum::Bool(equal != operator.negated))
            }
            Logic::Order(operator, arguments) => {
                let arguments = self.eval_all(arguments, scope)?;
                arguments.iter().try_for_each(|argument| self.steps.look(argument))?;
                let holds = arguments.windows(2).all(|pair| in_order(*operator, &pair[0], &pair[1]));
                Ok(Datum::Bool(holds))
            }
            Logic::Arithmetic(operator, arguments) => {
                let arguments = self.eval_all(arguments, scope)?;
                arguments.iter().try_for_each(|argument| self.steps.look(argument))?;
                Ok(arithmetic(*operator, &arguments))
            }
            Logic::Cat(arguments) => self.cat(arguments, scope),
            Logic::Substr(arguments) => {
                let arguments = self.eval_all(arguments, scope)?;
                arguments.first().map_or(Ok(()), |text| self.steps.look(text))?;
                Ok(substr(&arguments))
            }
            Logic::In(sides) => self.contains(sides, scope),
            Logic::Merge(arguments) => self.merge(arguments, scope),
            Logic::Each(operator, arguments) => self.each(*operator, arguments, scope),
            Logic::Reduce(arguments) => self.reduce(arguments, scope),
            Logic::Fractional(rule) => self.fractional(rule, scope),
            Logic::Affix(operator, sides) => self.affix(*operator, sides, scope),
            Logic::SemVer(arguments) => self.semantic_version(arguments, scope),
            Logic::VersionOf(service) => Ok(self.context.version_of(service).map_or(Datum::Null, Datum::Text)),
        }
    }

    fn eval_all(&self, arguments: &'a [Logic], scope: &LogicScope<'a>) -> Result<Vec<Datum<'a>>, TooMuchWork> {
        arguments.iter().map(|argument| self.eval(argument, scope)).collect()
    }

    fn both(&self, sides: &'a [Logic; 2], scope: &LogicScope<'a>) -> Result<[Datum<'a>; 2], TooMuchWork> {
        Ok([self.eval(&sides[0], scope)?, self.eval(&sides[1], scope)?])
    }

    /// A list of these items.
    fn made(&self, items: Vec<Datum<'a>>) -> Result<Datum<'a>, TooMuchWork> {
        self.steps.spend(items.len())?;
        let list = DatumList::made(items);
        if list.depth() > MADE_DEPTH_MAX { Err(TooMuchWork::Depth) } else { Ok(Datum::List(list)) }
    }

    fn var(&self, var: &'a VarLogic, scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let name = self.eval(&var.name, scope)?;
        let found = self.value_of(&name, scope)?;
        match (found, &var.default) {
            // An item that is null is not missing.
            (Datum::Null, Some(default)) if !name.text().is_empty() => self.eval(default, scope),
            (found, _) => Ok(found),
        }
    }

    /// The value of a name; null if there is none.
    fn value_of(&self, name: &Datum<'a>, scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        self.steps.look(name)?;
        let name = name.text();
        if name.is_empty() {
            // The context as a whole is not made: values are asked for by name.
            let LogicScope::Item(item) = scope else { return Ok(Datum::Null) };
            self.steps.spend(item.text_steps())?;
            return Ok(item.clone());
        }
        let mut parts = name.split('.');
        let first = parts.next().unwrap_or_default();
        let found = match scope {
            LogicScope::Item(item) => item.member(first),
            LogicScope::Reduction { current, accumulator } => match first {
                "current" => current.clone(),
                "accumulator" => accumulator.clone(),
                _ => Datum::Null,
            },
            LogicScope::Context => match first {
                "targetingKey" => self.context.targeting_key().map_or(Datum::Null, Datum::Text),
                "$flagd" => match parts.next() {
                    Some("flagKey") => Datum::Text(Cow::Borrowed(self.flag)),
                    Some("timestamp") => Datum::Int(i128::from(self.context.seconds())),
                    Some(_) | None => Datum::Null,
                },
                _ => self.context.attribute(first).unwrap_or(Datum::Null),
            },
        };
        let found = parts.try_fold(found, |found, part| {
            self.steps.spend(found.text_steps())?;
            Ok(found.member(part))
        })?;
        self.steps.spend(found.text_steps())?;
        Ok(found)
    }

    fn missing(&self, names: &'a [Logic], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let mut names = self.eval_all(names, scope)?;
        if let Some(Datum::List(list)) = names.first() {
            names = list.iter().collect();
        }
        let missing = self.missing_of(names, scope)?;
        self.made(missing)
    }

    fn missing_some(&self, arguments: &'a [Logic; 2], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let [wanted, names] = self.both(arguments, scope)?;
        let Datum::List(names) = names else { return self.made(Vec::new()) };
        let missing = self.missing_of(names.iter().collect(), scope)?;
        #[expect(clippy::cast_precision_loss, reason = "as many names as fit into a file")]
        let found = (names.len() - missing.len()) as f64;
        self.made(if found >= wanted.number() { Vec::new() } else { missing })
    }

    fn missing_of(&self, names: Vec<Datum<'a>>, scope: &LogicScope<'a>) -> Result<Vec<Datum<'a>>, TooMuchWork> {
        let mut missing = Vec::new();
        for name in names {
            if self.value_of(&name, scope)?.is_missing() {
                missing.push(name);
            }
        }
        Ok(missing)
    }

    fn conditional(&self, arguments: &'a [Logic], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let mut rest = arguments;
        while let [condition, then, others @ ..] = rest {
            if self.eval(condition, scope)?.is_true() {
                return self.eval(then, scope);
            }
            rest = others;
        }
        rest.first().map_or(Ok(Datum::Null), |otherwise| self.eval(otherwise, scope))
    }

    /// The first argument that is true, or not; otherwise the last.
    fn first(&self, arguments: &'a [Logic], wanted: bool, scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let mut found = Datum::Null;
        for argument in arguments {
            found = self.eval(argument, scope)?;
            if found.is_true() == wanted {
                break;
            }
        }
        Ok(found)
    }

    fn cat(&self, arguments: &'a [Logic], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let mut text = String::new();
        for argument in arguments {
            let part = self.eval(argument, scope)?;
            self.steps.look(&part)?;
            part.write(&mut text, self.steps.text_bytes());
        }
        self.steps.spend(text.len() / TEXT_BYTES_PER_STEP)?;
        Ok(Datum::Text(Cow::Owned(text)))
    }

    fn contains(&self, sides: &'a [Logic; 2], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let [wanted, all] = self.both(sides, scope)?;
        self.steps.look(&wanted)?;
        self.steps.look(&all)?;
        Ok(Datum::Bool(match (&wanted, &all) {
            (wanted, Datum::List(all)) => all.iter().any(|item| item.equals_strictly(wanted)),
            // What is not there is in no text, although its own text is empty.
            (Datum::Null | Datum::List(_) | Datum::Object(_), _) => false,
            (wanted, Datum::Text(all)) => all.contains(&*wanted.text()),
            _ => false,
        }))
    }

    fn merge(&self, arguments: &'a [Logic], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let mut items = Vec::new();
        for argument in self.eval_all(arguments, scope)? {
            if let Datum::List(list) = argument {
                self.steps.spend(list.len())?;
                items.extend(list.iter());
            } else {
                items.push(argument);
            }
        }
        self.made(items)
    }

    fn each(
        &self,
        operator: EachOperator,
        arguments: &'a [Logic; 2],
        scope: &LogicScope<'a>,
    ) -> Result<Datum<'a>, TooMuchWork> {
        let [list, body] = arguments;
        let list = self.eval(list, scope)?;
        let of_item = |item: Datum<'a>| self.eval(body, &LogicScope::Item(item));
        let Datum::List(list) = list else {
            return match operator {
                EachOperator::Map | EachOperator::Filter => self.made(Vec::new()),
                EachOperator::All | EachOperator::Some => Ok(Datum::Bool(false)),
                EachOperator::None => Ok(Datum::Bool(true)),
            };
        };
        match operator {
            EachOperator::Map => {
                let items = list.iter().map(of_item).collect::<Result<_, _>>()?;
                self.made(items)
            }
            EachOperator::Filter => {
                let mut kept = Vec::new();
                for item in list.iter() {
                    if of_item(item.clone())?.is_true() {
                        kept.push(item);
                    }
                }
                self.made(kept)
            }
            EachOperator::All | EachOperator::Some | EachOperator::None => {
                let ends_with = operator != EachOperator::All;
                for item in list.iter() {
                    if of_item(item)?.is_true() == ends_with {
                        return Ok(Datum::Bool(operator == EachOperator::Some));
                    }
                }
                // Of no items, not all are true.
                let all = operator == EachOperator::All && list.len() > 0;
                Ok(Datum::Bool(all || operator == EachOperator::None))
            }
        }
    }

    fn reduce(&self, arguments: &'a [Logic; 3], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let [list, body, first] = arguments;
        let list = self.eval(list, scope)?;
        let mut accumulator = self.eval(first, scope)?;
        if let Datum::List(list) = list {
            for current in list.iter() {
                accumulator = self.eval(body, &LogicScope::Reduction { current, accumulator })?;
            }
        }
        Ok(accumulator)
    }

    fn fractional(&self, rule: &'a FractionalRule, scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let by = rule.by.as_ref().map(|by| self.eval(by, scope)).transpose()?;
        let shorthand = match &by {
            None | Some(Datum::List(_)) => true,
            // flagd's v2 falls back to the key.
            Some(Datum::Null) => rule.falls_back(),
            Some(_) => false,
        };
        let hash = match &by {
            Some(by) if !shorthand => {
                self.steps.look(by)?;
                hash_of(rule.version, by)
            }
            Some(_) | None => self.hash_of_user(rule, scope),
        };
        let Some(hash) = hash else { return Ok(Datum::Null) };
        let computed = match by {
            Some(Datum::List(share)) => Some(share),
            Some(_) | None => None,
        };
        let mut weights = Vec::with_capacity(rule.shares.len() + 1);
        if let Some(share) = &computed {
            let one = if share.len() == 1 { Some(Datum::Int(1)) } else { share.get(1).filter(|_| share.len() == 2) };
            weights.push(one.as_ref().and_then(weight_of));
        }
        for share in &rule.shares {
            weights.push(self.weight(share, scope)?);
        }
        let Some(weights) = weights.into_iter().collect::<Option<Vec<i128>>>() else { return Ok(Datum::Null) };
        let Some(index) = drawn(hash, &weights) else { return Ok(Datum::Null) };
        match computed {
            Some(share) if index == 0 => Ok(share.get(0).unwrap_or(Datum::Null)),
            computed => self.eval(&rule.shares[index - usize::from(computed.is_some())].value, scope),
        }
    }

    fn weight(&self, share: &'a FractionShare, scope: &LogicScope<'a>) -> Result<Option<i128>, TooMuchWork> {
        share.weight.as_ref().map_or(Ok(Some(1)), |weight| Ok(weight_of(&self.eval(weight, scope)?)))
    }

    /// The hash of the user's key; inside of a list there is none.
    fn hash_of_user(&self, rule: &FractionalRule, scope: &LogicScope<'a>) -> Option<u32> {
        let key = self.context.targeting_key().filter(|key| matches!(scope, LogicScope::Context) && !key.is_empty())?;
        Some(hash_of_user(rule.version, self.flag, &key))
    }

    fn affix(
        &self,
        operator: AffixOperator,
        sides: &'a [Logic; 2],
        scope: &LogicScope<'a>,
    ) -> Result<Datum<'a>, TooMuchWork> {
        let [Datum::Text(text), Datum::Text(affix)] = self.both(sides, scope)? else { return Ok(Datum::Null) };
        Ok(Datum::Bool(match operator {
            AffixOperator::StartsWith => text.starts_with(&*affix),
            AffixOperator::EndsWith => text.ends_with(&*affix),
        }))
    }

    fn semantic_version(&self, arguments: &'a [Logic; 3], scope: &LogicScope<'a>) -> Result<Datum<'a>, TooMuchWork> {
        let [one, relation, other] = arguments;
        let (one, relation) = (self.eval(one, scope)?, self.eval(relation, scope)?);
        let other = self.eval(other, scope)?;
        self.steps.look(&one)?;
        self.steps.look(&other)?;
        Ok(semantic_version::compare(&one, &relation, &other).map_or(Datum::Null, Datum::Bool))
    }
}
