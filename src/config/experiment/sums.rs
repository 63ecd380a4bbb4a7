//! The sums of an experiment that was counted elsewhere, as a person or a query writes them down, in TOML or JSON.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::kind::{MetricKind, RawBetter};
use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::list::List;
use crate::config::reader::read;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Quantity, Scalar, Setting};
use crate::experiment::estimate::Measure;
use crate::experiment::experiment_result::{ExperimentCounts, MetricCounts, ShareUsers};
use crate::experiment::metric_result::{Better, MetricPlan, ShareSums};
use crate::experiment::metric_sums::MetricSums;
use crate::problem::{Mismatch, Problem, ProblemKind, Problems};
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

/// What a metric's sums are, by its kind.
const WANTED_OF: &str = "conversions of a conversion, or sum and squares of a mean or ratio";

/// An experiment that was counted elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WrittenSums {
    /// How people call the arms.
    pub names: PerArm<String>,
    /// What was counted.
    pub counts: ExperimentCounts,
    /// 1 less the confidence of the intervals.
    pub alpha: Probability,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawSums {
    alpha: Option<Setting<Level>>,
    share: Option<Setting<TreatmentPercent>>,
    control: RawArm,
    treatment: RawArm,
    crossed: Option<Setting<Quantity>>,
    metrics: List<RawMetricSums>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawArm {
    name: Option<String>,
    users: Option<Setting<Quantity>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawMetricSums {
    name: Option<String>,
    kind: Option<MetricKind>,
    better: Option<RawBetter>,
    guardrail: bool,
    control: RawArmSums,
    treatment: RawArmSums,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawArmSums {
    conversions: Option<Setting<Quantity>>,
    sum: Option<Setting<Sum>>,
    squares: Option<Setting<Sum>>,
    denominator: Option<RawSecond>,
    covariate: Option<RawSecond>,
}

/// A second value of each user.
#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawSecond {
    sum: Option<Setting<Sum>>,
    squares: Option<Setting<Sum>>,
    products: Option<Setting<Sum>>,
}

/// 1 less the confidence of an interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level(pub(super) Probability);

impl FromScalar for Level {
    const WANTED: &'static str = "a number above 0 and below 1, such as 0.05";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        crate::config::reader::units::number(scalar).and_then(Probability::new).map(Self)
    }
}

/// The part of the users that get the treatment.
#[derive(Clone, Copy, Debug)]
struct TreatmentPercent(Probability);

impl FromScalar for TreatmentPercent {
    const WANTED: &'static str = "per cent of the users in treatment, above 0 and below 100, such as 50";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let percent = crate::config::reader::units::number(scalar)?;
        Probability::new(percent / 100.0).map(Self)
    }
}

/// A sum over users, which may be billions.
#[derive(Clone, Copy, Debug)]
struct Sum(f64);

impl FromScalar for Sum {
    const WANTED: &'static str = "a number";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let number = match scalar {
            Scalar::Text(_) => return None,
            #[expect(clippy::cast_precision_loss, reason = "sums above 2^53 are rounded")]
            Scalar::Whole(number) => number as f64,
            Scalar::Fraction(number) => number,
        };
        Some(Self(number)).filter(|sum| sum.0.is_finite())
    }
}

/// Reads sums; a text that begins with `{` is JSON, any other TOML.
///
/// # Errors
/// All problems of the text.
pub(crate) fn parse_sums(text: &str) -> Result<WrittenSums, Problems> {
    let json;
    let input = if text.trim_start().starts_with('{') {
        json = serde_json::from_str(text).map_err(|error| Problems::new(vec![no_json(&error)], false))?;
        Input::json(&json)
    } else {
        Input::toml(text)?
    };
    let mut report = Report::new(&input);
    let raw: RawSums = read::at(ConfigPath::Root, &input, &mut report).unwrap_or_default();
    let built = raw.build(&mut report);
    report.finish(built)
}

fn no_json(error: &serde_json::Error) -> Problem {
    let mismatch = Mismatch::new(format!("no JSON: {error}"), "an object", "correct it");
    Problem { line: Some(error.line()), ..mismatch.at("", ProblemKind::Invalid) }
}

impl RawSums {
    fn build(&self, report: &mut Report<'_>) -> Result<WrittenSums, ErrorGuaranteed> {
        let at = ConfigPath::Root;
        let users = PerArm {
            control: self.control.users(&at.key("control"), report),
            treatment: self.treatment.users(&at.key("treatment"), report),
        };
        let share = self.share.map_or(Probability::HALF, |share| share.0.0);
        let name = |raw: &RawArm, usual: &str| raw.name.clone().unwrap_or_else(|| usual.to_owned());
        let names = PerArm { control: name(&self.control, "control"), treatment: name(&self.treatment, "treatment") };
        if names.control == names.treatment {
            let found = format!("{:?} for both arms", names.treatment);
            let text = Mismatch::new(found, "a name of its own for each arm", "rename one of the two");
            report.problem(&at.key("treatment").key("name"), text);
        }
        let users = PerArm { control: users.control?, treatment: users.treatment? };
        let crossed = self.crossed.map_or(0, |crossed| crossed.0.0 as u64);
        let seen = users.total().saturating_add(crossed);
        let users = ShareUsers { share, users };
        let metrics = self.metrics(&users, &at.key("metrics"), report)?;
        let counts = ExperimentCounts { users: vec![users], seen, crossed, turned_away: 0, metrics };
        Ok(WrittenSums { names, counts, alpha: self.alpha.map_or(Probability::FIVE_PER_CENT, |alpha| alpha.0.0) })
    }

    fn metrics(
        &self,
        seen: &ShareUsers,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Vec<MetricCounts>, ErrorGuaranteed> {
        let mut names = BTreeSet::new();
        let mut one = |index: usize, raw: &RawMetricSums, report: &mut Report<'_>| {
            let at = at.item(index);
            let name = raw.name.clone().unwrap_or_else(|| format!("metric-{}", index + 1));
            if !names.insert(name.clone()) {
                let found = format!("{name:?} for the second time");
                let text = Mismatch::new(found, "each name once", "rename one of the two");
                return Err(report.problem(&at.key("name"), text));
            }
            raw.build(name, seen, &at, report)
        };
        every(self.metrics.iter().map(|(index, raw)| one(index, raw, report)).collect::<Vec<_>>())
    }
}

impl RawArm {
    fn users(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<u64, ErrorGuaranteed> {
        let missing = Mismatch::new("none", "how many users the arm has", "add users = 1000");
        self.users.map(|users| users.0.0 as u64).ok_or_else(|| report.missing(&at.key("users"), missing))
    }
}

impl RawMetricSums {
    fn build(
        &self,
        name: String,
        seen: &ShareUsers,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<MetricCounts, ErrorGuaranteed> {
        let Some(kind) = self.kind else {
            let text = Mismatch::new("none", "\"conversion\", \"mean\" or \"ratio\"", "add kind = \"conversion\"");
            return Err(report.missing(&at.key("kind"), text));
        };
        let control = self.control.build(kind, seen.users.control, &at.key("control"), report);
        let treatment = self.treatment.build(kind, seen.users.treatment, &at.key("treatment"), report);
        let (control, treatment) = (control?, treatment?);
        let measure = match kind {
            MetricKind::Conversion => Measure::Conversion,
            MetricKind::Ratio => Measure::Ratio,
            MetricKind::Mean => match (&self.control.covariate, &self.treatment.covariate) {
                (Some(_), Some(_)) => Measure::AdjustedMean,
                (None, None) => Measure::Mean,
                _ => {
                    let text = Mismatch::new("a covariate of one arm", "one of both arms", "add the other one");
                    return Err(report.problem(at, text));
                }
            },
        };
        let better = self.better.map_or(Better::default(), Into::into);
        let plan = MetricPlan { name, measure, better, guardrail: self.guardrail };
        Ok(MetricCounts { plan, sums: vec![ShareSums { share: seen.share, arms: PerArm { control, treatment } }] })
    }
}

impl RawArmSums {
    fn build(
        &self,
        kind: MetricKind,
        users: u64,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<MetricSums, ErrorGuaranteed> {
        self.check_keys(kind, at, report)?;
        let sums = match (kind, self.conversions, self.sum, self.squares) {
            (MetricKind::Conversion, Some(conversions), _, _) => {
                let conversions = conversions.0.0 as u64;
                if conversions > users {
                    let wanted = format!("at most the {users} users of the arm");
                    let remedy = "count each user once, or make it a mean";
                    let text = Mismatch::new(conversions.to_string(), wanted, remedy);
                    return Err(report.problem(&at.key("conversions"), text));
                }
                MetricSums::of_conversions(users, conversions)
            }
            (MetricKind::Mean | MetricKind::Ratio, None, Some(x), Some(squares)) => {
                let sums = MetricSums { users, x: x.0.0, x_squares: squares.0.0, ..MetricSums::default() };
                match self.second(kind) {
                    Some(second) => second.add_to(sums, &at.key(second_name(kind)), report)?,
                    None => sums,
                }
            }
            _ => return Err(report.missing(at, Mismatch::new("too little", WANTED_OF, "add what is missing"))),
        };
        match sums.fault() {
            Some(fault) => Err(report.problem(at, fault)),
            None => Ok(sums),
        }
    }

    fn second(&self, kind: MetricKind) -> Option<&RawSecond> {
        match kind {
            MetricKind::Conversion => None,
            MetricKind::Mean => self.covariate.as_ref(),
            MetricKind::Ratio => self.denominator.as_ref(),
        }
    }

    /// That there are no sums of another kind, and the denominator of a ratio.
    fn check_keys(
        &self,
        kind: MetricKind,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<(), ErrorGuaranteed> {
        let values = [("sum", self.sum.is_some()), ("squares", self.squares.is_some())];
        let (conversion, ratio) = (kind == MetricKind::Conversion, kind == MetricKind::Ratio);
        let strange = [
            ("conversions", self.conversions.is_some() && !conversion),
            ("denominator", self.denominator.is_some() && !ratio),
            ("covariate", self.covariate.is_some() && kind != MetricKind::Mean),
        ];
        let strange = strange.into_iter().chain(values.map(|(key, written)| (key, written && conversion)));
        if let Some((key, _)) = strange.into_iter().find(|(_, strange)| *strange) {
            let text = Mismatch::new(format!("{key} in a metric of another kind"), WANTED_OF, "remove it");
            return Err(report.problem(&at.key(key), text));
        }
        if ratio && self.denominator.is_none() {
            let remedy = "add denominator = { sum, squares, products }";
            let text = Mismatch::new("none", "the sums of what the value is divided by", remedy);
            return Err(report.missing(&at.key("denominator"), text));
        }
        Ok(())
    }
}

fn second_name(kind: MetricKind) -> &'static str {
    if kind == MetricKind::Ratio { "denominator" } else { "covariate" }
}

impl RawSecond {
    fn add_to(
        &self,
        sums: MetricSums,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<MetricSums, ErrorGuaranteed> {
        let (Some(sum), Some(squares), Some(products)) = (self.sum, self.squares, self.products) else {
            let wanted = "sum, squares, and products with the metric's own value";
            return Err(report.missing(at, Mismatch::new("too little", wanted, "add what is missing")));
        };
        Ok(MetricSums { y: sum.0.0, y_squares: squares.0.0, products: products.0.0, ..sums })
    }
}
