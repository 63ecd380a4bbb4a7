//! What is known of pairs, in words.

use super::figures::{percent, thousands};
use super::judge_settings::JudgeSettings;
use super::pair_counts::PairFindings;
use super::pairs::PairTest;
use super::verdict::{HoldReason, InCharge, JudgeDecision, Names};

/// A decision on pairs in one sentence.
pub(crate) fn of(
    in_charge: InCharge,
    decision: JudgeDecision,
    test: &PairTest,
    settings: &JudgeSettings,
    names: &Names<'_>,
) -> String {
    let (pairs, warm_up_left) = (&test.findings(), test.warm_up_left());
    let Names { service, candidate, .. } = names;
    let (failed, e) = (failed(pairs, names), e_text(pairs));
    if in_charge != InCharge::Judge {
        return format!("watching copies on {service} {candidate}: {failed}, E {e}");
    }
    match decision {
        JudgeDecision::RollBack(_) => {
            let odds = thousands((1.0 / settings.alpha.value()).round());
            format!(
                "rolled back {service} {candidate}: {failed}, odds of chance below 1 in {odds} (E {e}); no user was touched"
            )
        }
        JudgeDecision::Advance => {
            format!("advanced {service} {candidate}: {failed}, {}, E {e}; no user was touched", differing(pairs))
        }
        JudgeDecision::Hold { why, expired } => {
            let last = if expired { ", held as long as allowed" } else { "" };
            let why = match why {
                HoldReason::Suspicion => {
                    format!("{} <= E ({e}): {failed}", thousands(settings.ln_suspicion().exp().round()))
                }
                HoldReason::Differences => {
                    let most = percent(pairs.differ_max);
                    format!("{}, more than the allowed {most}: promote or abort", differing(pairs))
                }
                HoldReason::WarmingUp => {
                    format!("warming up, {:.0} s left", warm_up_left.map_or(0.0, |left| left.as_secs_f64().ceil()))
                }
                HoldReason::NotEnoughData { judged, needed } => {
                    let needed = needed.map_or_else(|| "too many".to_owned(), |needed| thousands(needed as f64));
                    format!("not enough data: {} of {needed} pairs", thousands(judged as f64))
                }
                HoldReason::SilentReplica => "a replica of the fleet does not say what it has counted".to_owned(),
                HoldReason::Baking
                | HoldReason::Responses
                | HoldReason::Metric
                | HoldReason::NoMetricData
                | HoldReason::Guardrail
                | HoldReason::NoGuardrailData
                | HoldReason::Budget
                | HoldReason::BaselineUnhealthy => format!("baking: {failed}, {}, E {e}", differing(pairs)),
            };
            format!("holding {service} {candidate}: {why}{last}")
        }
    }
}

/// `9 of 2,120 copies failed where v1 did not (0.42 %), 1 the other way round`.
fn failed(pairs: &PairFindings, names: &Names<'_>) -> String {
    let counts = &pairs.counts;
    let part = counts.candidate_failed_alone as f64 / counts.pairs.max(1) as f64;
    format!(
        "{} of {} copies failed where {} did not ({}), {} the other way round",
        thousands(counts.candidate_failed_alone as f64),
        thousands(counts.pairs as f64),
        names.baseline,
        percent(part),
        thousands(counts.baseline_failed_alone as f64)
    )
}

/// `21 of 2,120 pairs differ (1 %)`.
fn differing(pairs: &PairFindings) -> String {
    let step = &pairs.step;
    let part = step.differing as f64 / step.pairs.max(1) as f64;
    let [some, all] = [step.differing, step.pairs].map(|count| thousands(count as f64));
    format!("{some} of {all} pairs differ ({})", percent(part))
}

fn e_text(pairs: &PairFindings) -> String {
    let e = pairs.ln_e.exp();
    match e {
        _ if pairs.ln_e > 100.0 => format!("10^{:.0}", pairs.ln_e / std::f64::consts::LN_10),
        e if e >= 10.0 => thousands(e.floor()),
        e if e >= 0.01 => format!("{e:.2}"),
        _ => "below 0.01".to_owned(),
    }
}
