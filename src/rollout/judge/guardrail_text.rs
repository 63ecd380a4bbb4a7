//! What is known of guardrails, in words.

use super::figures::{percent, thousands};
use super::guardrail::{ArmNumber, GuardrailArm, GuardrailFinding, GuardrailStanding};
use super::metric_text::figure;
use super::verdict::{JudgeFindings, Names};

/// What the guardrail says that speaks against the candidate, or that it has too few users for.
pub(crate) fn leading(findings: &JudgeFindings, names: &Names<'_>) -> String {
    findings.guardrail.as_ref().map_or_else(String::new, |found| told(found, names))
}

/// What every guardrail has counted, behind a verdict that lets the candidate go on.
pub(crate) fn all(findings: &JudgeFindings, names: &Names<'_>) -> String {
    findings.guardrails.iter().map(|found| format!("; {}", told(found, names))).collect()
}

/// `guardrail purchase: 41 of 1,020 users (4 %) against 102 of 1,003 (10.2 %) on v1`, with why nothing can be said.
#[must_use]
pub(crate) fn told(found: &GuardrailFinding, names: &Names<'_>) -> String {
    let metric = &found.guardrail.metric;
    let numbers = numbers(found, names);
    match found.standing {
        GuardrailStanding::Worse | GuardrailStanding::Suspected | GuardrailStanding::Unharmed => {
            format!("guardrail {metric}: {numbers}")
        }
        GuardrailStanding::Lopsided => {
            let [candidate, baseline] =
                [found.arms.candidate.users, found.arms.baseline.users].map(|users| thousands(users as f64));
            format!(
                "guardrail {metric} cannot be compared: {candidate} users on {} and {baseline} on {} are not what the \
                 split gives them; something loses or moves users",
                names.candidate, names.baseline
            )
        }
        GuardrailStanding::TooFewUsers => {
            let arms = &found.arms;
            let (users, on) = match arms.candidate.users <= arms.baseline.users {
                true => (arms.candidate.users, names.candidate),
                false => (arms.baseline.users, names.baseline),
            };
            let (users, needed) = (thousands(users as f64), thousands(found.guardrail.users_min as f64));
            format!("not enough users for guardrail {metric}: {users} of {needed} on {on}")
        }
    }
}

/// `41 of 1,020 users (4 %) against 102 of 1,003 (10.2 %) on v1, 5 % less is tolerated`.
fn numbers(found: &GuardrailFinding, names: &Names<'_>) -> String {
    let tolerate = found.guardrail.tolerate.value();
    let tolerated = if tolerate > 0.0 { format!(" ({} worse is tolerated)", percent(tolerate)) } else { String::new() };
    let candidate = number(&found.arms.candidate, " users");
    format!("{candidate} against {} on {}{tolerated}", number(&found.arms.baseline, ""), names.baseline)
}

fn number(arm: &GuardrailArm, what: &str) -> String {
    let users = thousands(arm.users as f64);
    match arm.number {
        ArmNumber::Unknown => format!("nothing of {users} users"),
        ArmNumber::Conversions(count) => {
            let part = if arm.users == 0 { 0.0 } else { count as f64 / arm.users as f64 };
            format!("{} of {users}{what} ({})", thousands(count as f64), percent(part))
        }
        ArmNumber::Mean(mean) => format!("{} of {users} users", figure(mean)),
    }
}
