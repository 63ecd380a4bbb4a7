//! What a run compares, as a number that is stored with it: another number is another comparison, and the users of one
//! must not be counted for the other.
//!
//! It is made of a text of its own and not of what the compiler derives: a field that a later build adds to a condition
//! must not end the runs of those who do not use it. So each part stands in it only where there is something of it.

use std::fmt::{self, Write};

use super::definition::{ExperimentSpec, MetricSource, MetricSpec};
use super::name_hash::NameHash;
use crate::table::experiment_run::Fingerprint;
use crate::table::spec::experiment::{ExperimentSubject, RequestMatch};
use crate::table::spec::{Attribute, Condition, Pattern};

/// What `spec` compares: who is in, who gets what, and what is counted. How many users it takes, and how its numbers
/// are judged, is no part of that.
#[must_use]
pub(crate) fn fingerprint(spec: &ExperimentSpec) -> Fingerprint {
    let mut text = String::new();
    // A string takes what is written to it.
    write(&mut text, spec).ok();
    Fingerprint(NameHash::of(&text).number())
}

fn write(text: &mut String, spec: &ExperimentSpec) -> fmt::Result {
    let assignment = &spec.assignment;
    match &assignment.subject {
        ExperimentSubject::Service(name) => write!(text, "service {name}")?,
        ExperimentSubject::Flag(name) => write!(text, "flag {name}")?,
    }
    write!(text, " {} {}", assignment.arms.control, assignment.arms.treatment)?;
    if let Some(layer) = &assignment.layer {
        write!(text, " layer {layer}")?;
    }
    if let Some(segment) = &assignment.segment {
        condition(text, segment)?;
    }
    spec.metrics.iter().try_for_each(|metric| of_metric(text, metric))
}

fn of_metric(text: &mut String, metric: &MetricSpec) -> fmt::Result {
    let MetricSpec { plan, source, denominator, window_ms } = metric;
    write!(text, " metric {:?} {:?} {window_ms}", plan.name, plan.measure)?;
    match source {
        MetricSource::Event(name) => write!(text, " event {name:?}")?,
        MetricSource::Request(counted) => of_request(text, counted)?,
    }
    if let Some(denominator) = denominator { write!(text, " by {denominator:?}") } else { Ok(()) }
}

fn of_request(text: &mut String, counted: &RequestMatch) -> fmt::Result {
    let RequestMatch { methods, path, statuses } = counted;
    text.write_str(" request")?;
    methods.iter().try_for_each(|method| write!(text, " method {method}"))?;
    path.iter().try_for_each(|pattern| part(text, "path", "", pattern))?;
    statuses.iter().try_for_each(|range| write!(text, " status {}-{}", range.first, range.last))
}

/// Each part is named here, so that a new one cannot be forgotten.
fn condition(text: &mut String, when: &Condition) -> fmt::Result {
    let Condition { headers, cookies, query, methods, path, clients, segments, attributes, any, not } = when;
    headers.iter().try_for_each(|(name, pattern)| part(text, "header", name.as_str(), pattern))?;
    cookies.iter().try_for_each(|(name, pattern)| part(text, "cookie", name, pattern))?;
    query.iter().try_for_each(|(name, pattern)| part(text, "query", name, pattern))?;
    methods.iter().try_for_each(|method| write!(text, " method {method}"))?;
    path.iter().try_for_each(|pattern| part(text, "path", "", pattern))?;
    clients.iter().try_for_each(|client| write!(text, " client {client}"))?;
    for (attribute, pattern) in attributes {
        let Attribute { name, sources } = &**attribute;
        part(text, "attribute", name, pattern)?;
        write!(text, " of {sources:?}")?;
    }
    segments.iter().try_for_each(|segment| inside(text, "segment", &segment.when))?;
    any.iter().try_for_each(|one| inside(text, "any", one))?;
    not.iter().try_for_each(|not| inside(text, "not", not))
}

fn inside(text: &mut String, what: &str, when: &Condition) -> fmt::Result {
    write!(text, " {what} (")?;
    condition(text, when)?;
    text.write_char(')')
}

fn part(text: &mut String, what: &str, name: &str, pattern: &Pattern) -> fmt::Result {
    write!(text, " {what} {name:?} {pattern:?}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn of(experiment: &str) -> Fingerprint {
        let text = format!(
            r#"[listeners.public]
address = "127.0.0.1:0"
[attributes]
plan = ["header:x-plan"]
[segments.beta]
header = {{ "x-beta" = {{ regex = "^a+$" }} }}
[segments.pro]
attribute = {{ plan = ["pro", "team"] }}
[services.shop]
sticky = ["header:x-user"]
split = {{ v1 = 100, v2 = 0, v3 = 0 }}
[services.shop.versions]
v1.endpoints = ["127.0.0.1:1"]
v2.endpoints = ["127.0.0.1:2"]
v3.endpoints = ["127.0.0.1:3"]
[experiments.button]
{experiment}
"#
        );
        let config = config::parse(&text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}"));
        fingerprint(&config.experiments[0])
    }

    const METRIC: &str = "metrics = [{ name = \"purchase\", kind = \"conversion\", when = { path = \"/orders\" } }]";

    fn shop(more: &str) -> String {
        format!("service = \"shop\"\narms = {{ control = \"v1\", treatment = \"v2\" }}\n{more}\n{METRIC}")
    }

    /// Runs are stored with it: an upgrade in which one of these changes ends the runs of users, who have done nothing.
    #[test]
    fn what_is_stored_stays_what_it_is() {
        for (experiment, wanted) in [
            (shop(""), 0x7c98_07cc_674d_1727_u64),
            (shop("segment = \"beta\"\nlayer = \"checkout\""), 0xdb3f_8c7d_60e6_0904),
            (shop("segment = \"pro\""), 0xecc8_615b_d0a2_a89b),
        ] {
            let found = of(&experiment);
            assert_eq!(format!("{:016x}", found.0), format!("{wanted:016x}"), "{experiment}");
        }
    }

    #[test]
    fn only_what_is_compared_counts() {
        let plain = of(&shop(""));
        for same in ["share = 40", "alpha = 0.01", "users_max = 5000"] {
            assert_eq!(of(&shop(same)), plain, "{same}");
        }
        let guardrail = METRIC.replace("kind", "better = \"lower\", kind");
        assert_eq!(of(&shop("").replace(METRIC, &guardrail)), plain, "which difference is good");
        let mut others = vec![plain];
        for (what, by) in [
            ("treatment = \"v2\"", "treatment = \"v3\""),
            ("\"purchase\"", "\"order\""),
            ("\"/orders\"", "\"/order\""),
            ("kind", "window = \"24h\", kind"),
            ("kind", "guardrail = false, kind"),
            (METRIC, "segment = \"beta\"\nMETRIC"),
            (METRIC, "segment = \"pro\"\nMETRIC"),
            (METRIC, "layer = \"checkout\"\nMETRIC"),
            (METRIC, "metrics = [{ name = \"purchase\", kind = \"mean\", event = \"value\" }]"),
        ] {
            let other = of(&shop("").replace(what, &by.replace("METRIC", METRIC)));
            assert_eq!(others.contains(&other), by.contains("guardrail"), "{by}");
            others.push(other);
        }
    }
}
