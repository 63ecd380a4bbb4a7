//! A result as scripts read it: the one shape that the API and the command line have for it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::effect::EffectInterval;
use super::estimate::{ArmEstimate, Measure};
use super::experiment_result::{ExperimentResult, ExperimentWarning};
use super::metric_result::{Better, EffectResult, ExperimentFinding, MetricResult};
use super::metric_sums::MetricSums;
use super::rare_conversions::ExactRatio;
use super::sentence::{headline, of_metric, of_warning};

/// What an experiment has come to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ExperimentResult)]
pub(crate) struct ResultView {
    /// All of it in a sentence.
    pub(crate) sentence: String,
    /// Whether the arms can be compared at all: they have the users that were planned.
    pub(crate) comparable: bool,
    /// Of the intervals: 0.95 unless the config says otherwise.
    pub(crate) confidence: f64,
    /// The arm that is as it was.
    pub(crate) control: ArmUsersView,
    /// The arm with what is tried.
    pub(crate) treatment: ArmUsersView,
    /// Users that were seen in both arms, and are in no sum.
    pub(crate) in_both_arms: u64,
    /// Exposures of users for whom there was no room.
    pub(crate) not_admitted: u64,
    /// The tests of users by arm.
    pub(crate) sample_ratio: SampleRatioView,
    /// What is wrong with the experiment itself.
    pub(crate) warnings: Vec<WarningView>,
    /// What the metrics say.
    pub(crate) metrics: Vec<MetricResultView>,
}

/// An arm and its users.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ArmUsers)]
pub(crate) struct ArmUsersView {
    /// The version or variant.
    pub(crate) name: String,
    /// Users that were first seen in it.
    pub(crate) users: u64,
}

/// Whether the arms have the users that were planned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = SampleRatio)]
pub(crate) struct SampleRatioView {
    /// The logarithm of the evidence that they have not.
    pub(crate) ln_evidence: f64,
    /// Whether that is enough: of a thousand experiments at most one ever raises it by chance.
    pub(crate) alarm: bool,
    /// The test for one look; none without users.
    pub(crate) chi_square: Option<ChiSquareView>,
}

/// A chi-square test.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ChiSquare)]
pub(crate) struct ChiSquareView {
    /// The statistic.
    pub(crate) value: f64,
    /// How surprising it would be with the right ratio.
    pub(crate) p: f64,
}

/// Something that is wrong with an experiment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ExperimentWarning)]
pub(crate) struct WarningView {
    /// `sample_ratio`, `in_both_arms` or `full`.
    pub(crate) kind: String,
    /// In words.
    pub(crate) sentence: String,
}

/// What a metric says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = MetricResult)]
pub(crate) struct MetricResultView {
    /// Its name.
    pub(crate) name: String,
    /// `conversion`, `mean`, `adjusted_mean` or `ratio`.
    pub(crate) kind: String,
    /// Which difference is good: `higher` or `lower`.
    pub(crate) better: String,
    /// Whether it must not get worse, instead of being what is to get better.
    pub(crate) guardrail: bool,
    /// `too_early`, `open`, `treatment_better` or `treatment_worse`.
    pub(crate) finding: String,
    /// In words.
    pub(crate) sentence: String,
    /// The arm that is as it was.
    pub(crate) control: ArmView,
    /// The arm with what is tried.
    pub(crate) treatment: ArmView,
    /// The difference; none while there are no arms to compare.
    pub(crate) absolute: Option<EffectView>,
    /// The same as a part of the control; none also where the control is zero.
    pub(crate) relative: Option<EffectView>,
    /// How many times as often users convert; of conversions only, and none before the first.
    pub(crate) exact_ratio: Option<ExactRatioView>,
}

/// A metric in one arm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ArmResult)]
pub(crate) struct ArmView {
    /// Users that are in the sum.
    pub(crate) users: u64,
    /// The sum of their values: of a conversion, the users that did it.
    pub(crate) sum: f64,
    /// The metric; none while there are too few users.
    pub(crate) estimate: Option<f64>,
    /// Its standard error.
    pub(crate) standard_error: Option<f64>,
}

/// A difference with its intervals.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Effect)]
pub(crate) struct EffectView {
    /// The difference.
    pub(crate) estimate: f64,
    /// The interval that holds at all looks at once; none while there are too few users or conversions for it.
    pub(crate) whenever_you_look: Option<IntervalView>,
    /// The interval for one look at a planned number of users.
    pub(crate) looking_once: IntervalView,
}

/// An interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Interval)]
pub(crate) struct IntervalView {
    /// From here.
    pub(crate) low: f64,
    /// To here.
    pub(crate) high: f64,
    /// The smallest alpha whose interval leaves zero out.
    pub(crate) p: f64,
}

/// How many times as often as in the control users convert.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ExactRatio)]
pub(crate) struct ExactRatioView {
    /// From here.
    pub(crate) low: f64,
    /// To here; none: any number.
    pub(crate) high: Option<f64>,
    /// How surprising what was seen would be if the arms were equal.
    pub(crate) p: f64,
}

/// The word for arms that cannot be compared.
pub(crate) const SAMPLE_RATIO: &str = "sample_ratio";

/// The word for a treatment that is better.
pub(crate) const BETTER: &str = "treatment_better";

/// The word for a treatment that is worse.
pub(crate) const WORSE: &str = "treatment_worse";

impl ResultView {
    /// Of a result.
    pub(crate) fn of(result: &ExperimentResult) -> Self {
        let ExperimentResult { names, users, .. } = result;
        Self {
            sentence: headline(result),
            comparable: result.is_comparable(),
            confidence: 1.0 - result.alpha,
            control: ArmUsersView { name: names.control.clone(), users: users.control },
            treatment: ArmUsersView { name: names.treatment.clone(), users: users.treatment },
            in_both_arms: result.crossed,
            not_admitted: result.turned_away,
            sample_ratio: SampleRatioView {
                ln_evidence: result.sample_ratio.ln_evidence(),
                alarm: !result.is_comparable(),
                chi_square: result.chi_square.map(|test| ChiSquareView { value: test.value, p: test.p }),
            },
            warnings: result.warnings.iter().map(|warning| WarningView::of(result, *warning)).collect(),
            metrics: result.metrics.iter().map(|metric| MetricResultView::of(result, metric)).collect(),
        }
    }
}

impl ResultView {
    /// The same with the replicas that have not said for a while whom they have counted.
    pub(crate) fn with_silent(mut self, silent: &[String]) -> Self {
        let told = silent.iter().map(|sentence| WarningView { kind: "silent".to_owned(), sentence: sentence.clone() });
        self.warnings.extend(told);
        self
    }
}

impl WarningView {
    fn of(result: &ExperimentResult, warning: ExperimentWarning) -> Self {
        let kind = match warning {
            ExperimentWarning::SampleRatio => SAMPLE_RATIO,
            ExperimentWarning::Crossed(_) => "in_both_arms",
            ExperimentWarning::Full(_) => "full",
        };
        Self { kind: kind.to_owned(), sentence: of_warning(result, warning) }
    }
}

impl MetricResultView {
    fn of(result: &ExperimentResult, metric: &MetricResult) -> Self {
        let kind = match metric.plan.measure {
            Measure::Conversion => "conversion",
            Measure::Mean => "mean",
            Measure::AdjustedMean => "adjusted_mean",
            Measure::Ratio => "ratio",
        };
        let finding = match metric.finding {
            ExperimentFinding::TooEarly(_) => "too_early",
            ExperimentFinding::Open => "open",
            ExperimentFinding::TreatmentBetter => BETTER,
            ExperimentFinding::TreatmentWorse => WORSE,
        };
        let better = match metric.plan.better {
            Better::Higher => "higher",
            Better::Lower => "lower",
        };
        let arms = metric.arms.as_ref();
        Self {
            name: metric.plan.name.clone(),
            kind: kind.to_owned(),
            better: better.to_owned(),
            guardrail: metric.plan.guardrail,
            finding: finding.to_owned(),
            sentence: of_metric(result, metric),
            control: ArmView::of(&metric.sums.control, arms.map(|arms| &arms.control)),
            treatment: ArmView::of(&metric.sums.treatment, arms.map(|arms| &arms.treatment)),
            absolute: metric.absolute.as_ref().map(EffectView::of),
            relative: metric.relative.as_ref().map(EffectView::of),
            exact_ratio: metric.exact.map(ExactRatioView::of),
        }
    }
}

impl ArmView {
    fn of(sums: &MetricSums, estimate: Option<&ArmEstimate>) -> Self {
        Self {
            users: sums.users,
            sum: sums.x,
            estimate: estimate.map(|arm| arm.mean),
            standard_error: estimate.map(|arm| arm.variance.sqrt()),
        }
    }
}

impl EffectView {
    fn of(effect: &EffectResult) -> Self {
        let interval = |found: EffectInterval| IntervalView { low: found.low, high: found.high, p: found.p };
        Self {
            estimate: effect.effect.value,
            whenever_you_look: effect.always.map(interval),
            looking_once: interval(effect.fixed),
        }
    }
}

impl ExactRatioView {
    fn of(exact: ExactRatio) -> Self {
        let high = Some(exact.interval.high).filter(|high| high.is_finite());
        Self { low: exact.interval.low, high, p: exact.p }
    }
}
