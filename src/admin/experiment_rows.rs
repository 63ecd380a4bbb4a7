//! A user of an experiment as a line of CSV or NDJSON, in the words of OpenTelemetry's `feature_flag.evaluation` where
//! it has some, so that a warehouse can join it with what other sources say of flags. Pure.

use serde_json::{Map, Value, json};

use crate::experiment::definition::ExperimentSpec;
use crate::experiment::estimate::Measure;
use crate::ledger::ledger_handle::TrialUser;
use crate::shared::per_arm::{ExperimentArm, PerArm};

use super::revisions::timestamp;

/// What OpenTelemetry calls this.
const EVENT_NAME: &str = "feature_flag.evaluation";

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExportFormat {
    /// A JSON object a line.
    Ndjson,
    /// Comma-separated values with a heading (RFC 4180).
    Csv,
}

impl ExportFormat {
    /// The format of this word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Ndjson, Self::Csv].into_iter().find(|format| format.word() == word)
    }

    /// Its word, which is also the ending of a file's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// What a caller is told that it is.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// Writes the users of one run.
#[derive(Clone, Debug)]
pub(crate) struct RowWriter {
    format: ExportFormat,
    experiment: String,
    subject: String,
    names: PerArm<String>,
    metrics: Vec<ExportedMetric>,
}

/// A metric of the run.
#[derive(Clone, Debug)]
struct ExportedMetric {
    name: String,
    /// What the second value is called; none if there is none.
    second: Option<&'static str>,
}

impl RowWriter {
    /// Of an experiment whose arms had these names in the run, and whose metrics were these.
    pub(crate) fn new(format: ExportFormat, spec: &ExperimentSpec, names: PerArm<String>, metrics: &[String]) -> Self {
        let metric = |name: &String| {
            let measure =
                spec.metrics.iter().find(|metric| metric.plan.name == *name).map(|metric| metric.plan.measure);
            let second = match measure {
                Some(Measure::Ratio) => Some("denominator"),
                Some(Measure::AdjustedMean) => Some("covariate"),
                Some(Measure::Conversion | Measure::Mean) | None => None,
            };
            ExportedMetric { name: name.clone(), second }
        };
        let (experiment, subject) = (spec.name().to_string(), spec.assignment.subject.name().to_string());
        Self { format, experiment, subject, names, metrics: metrics.iter().map(metric).collect() }
    }

    /// What stands before the first line.
    pub(crate) fn heading(&self) -> String {
        if self.format == ExportFormat::Ndjson {
            return String::new();
        }
        let fixed = [
            "timestamp",
            "event.name",
            "feature_flag.key",
            "feature_flag.result.variant",
            "feature_flag.result.reason",
            "feature_flag.context.id",
            "experiment",
            "arm",
            "share",
            "in_both_arms",
        ];
        let mut columns: Vec<String> = fixed.map(str::to_owned).into();
        for metric in &self.metrics {
            columns.push(metric.name.clone());
            columns.extend(metric.second.map(|second| format!("{}.{second}", metric.name)));
        }
        columns.join(",") + "\r\n"
    }

    /// A line for each of these users.
    pub(crate) fn lines(&self, users: &[TrialUser]) -> String {
        users
            .iter()
            .map(|user| if self.format == ExportFormat::Csv { self.csv(user) } else { self.json(user) })
            .collect()
    }

    fn arm(&self, arm: ExperimentArm) -> (&'static str, &str) {
        match arm {
            ExperimentArm::Control => ("control", &self.names.control),
            ExperimentArm::Treatment => ("treatment", &self.names.treatment),
        }
    }

    fn json(&self, user: &TrialUser) -> String {
        let (arm, variant) = self.arm(user.arm);
        let mut values = Map::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let (value, second) = user.values.get(index).copied().unwrap_or_default();
            values.insert(metric.name.clone(), json!(value));
            values.extend(metric.second.map(|name| (format!("{}.{name}", metric.name), json!(second))));
        }
        let line = json!({
            "timestamp": at(user),
            "event.name": EVENT_NAME,
            "feature_flag.key": self.subject,
            "feature_flag.result.variant": variant,
            "feature_flag.result.reason": "split",
            "feature_flag.context.id": user.user.to_string(),
            "experiment": self.experiment,
            "arm": arm,
            "share": percent(user),
            "in_both_arms": user.crossed,
            "values": Value::Object(values),
        });
        format!("{line}\n")
    }

    /// No cell needs quotation marks: names have letters, digits and a few signs, and the others are ours.
    fn csv(&self, user: &TrialUser) -> String {
        let (arm, variant) = self.arm(user.arm);
        let mut line = format!(
            "{},{EVENT_NAME},{},{variant},split,{},{},{arm},{},{}",
            at(user),
            self.subject,
            user.user,
            self.experiment,
            percent(user),
            user.crossed
        );
        for (index, metric) in self.metrics.iter().enumerate() {
            let (value, second) = user.values.get(index).copied().unwrap_or_default();
            line += &format!(",{value}");
            line.extend(metric.second.map(|_| format!(",{second}")));
        }
        line + "\r\n"
    }
}

fn at(user: &TrialUser) -> String {
    timestamp(i64::try_from(user.first_ms).unwrap_or(i64::MAX))
}

/// The treatment's share in per cent.
fn percent(user: &TrialUser) -> f64 {
    // A thousandth of a per cent is a slot.
    (user.share.value() * 100_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::name_hash::NameHash;
    use crate::shared::probability::Probability;

    fn writer(format: ExportFormat) -> RowWriter {
        RowWriter {
            format,
            experiment: "button".to_owned(),
            subject: "shop".to_owned(),
            names: PerArm { control: "v1".to_owned(), treatment: "v2".to_owned() },
            metrics: vec![
                ExportedMetric { name: "purchase".to_owned(), second: None },
                ExportedMetric { name: "basket".to_owned(), second: Some("denominator") },
            ],
        }
    }

    fn user(arm: ExperimentArm, values: &[(f64, f64)]) -> TrialUser {
        TrialUser {
            user: NameHash::of("abc"),
            arm,
            crossed: values.is_empty(),
            share: Probability::HALF,
            first_ms: 1_793_534_400_000,
            values: values.to_vec(),
        }
    }

    #[test]
    fn users_are_lines_in_the_words_of_opentelemetry() {
        let users = [user(ExperimentArm::Treatment, &[(1.0, 0.0), (12.5, 2.0)]), user(ExperimentArm::Control, &[])];
        let csv = writer(ExportFormat::Csv);
        assert_eq!(
            csv.heading() + &csv.lines(&users),
            "timestamp,event.name,feature_flag.key,feature_flag.result.variant,feature_flag.result.reason,\
             feature_flag.context.id,experiment,arm,share,in_both_arms,purchase,basket,basket.denominator\r\n\
             2026-11-01T12:00:00Z,feature_flag.evaluation,shop,v2,split,ba7816bf8f01cfea,button,treatment,50,false,1,12.5,2\r\n\
             2026-11-01T12:00:00Z,feature_flag.evaluation,shop,v1,split,ba7816bf8f01cfea,button,control,50,true,0,0,0\r\n"
        );
        let json = writer(ExportFormat::Ndjson);
        assert_eq!(json.heading(), "");
        let lines = json.lines(&users);
        let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["feature_flag.context.id"], "ba7816bf8f01cfea");
        assert_eq!(first["feature_flag.result.variant"], "v2");
        assert_eq!(first["values"], json!({ "purchase": 1.0, "basket": 12.5, "basket.denominator": 2.0 }));
        assert_eq!(lines.lines().count(), 2);
    }
}
