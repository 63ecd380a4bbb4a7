//! The series of mirrors: by service and the version that gets the copies.

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};

use super::names;
use super::series::float;
use crate::shared::mirror_difference::{MirrorDrop, MirrorKind};
use crate::stats::Registry;
use crate::table::Table;

/// The help texts.
pub(crate) fn describe() {
    describe_gauge!(names::MIRROR_SHARE, "Share of a service's requests that is copied to a version.");
    describe_counter!(names::MIRROR_PAIRS, "Requests whose copy was answered too, by which response failed.");
    describe_counter!(names::MIRROR_DIFFERENCES, "Pairs of responses that differ, by kind.");
    describe_counter!(names::MIRROR_DROPPED, "Requests that were to be copied and are not compared, by reason.");
    describe_counter!(names::MIRROR_BODIES, "Pairs whose bodies were to be compared and could not be.");
    describe_gauge!(names::MIRROR_IN_FLIGHT, "Copies under way.");
}

/// Sets what every service of `table` has mirrored since the start. Inside the local recorder.
pub(crate) fn update(table: &Table, registry: &Registry) {
    for service in table.services() {
        for (to, stats) in registry.mirrors(&service.spec.name) {
            let name = |label: &'static str, value: &str| Label::new(label, value.to_owned());
            let labels = vec![name("service", &service.spec.name), name("version", &to)];
            let with = |label: Label| [labels.clone(), vec![label]].concat();
            let share = service.traffic.mirror.as_ref().filter(|mirror| *mirror.to == *to);
            gauge!(names::MIRROR_SHARE, labels.clone()).set(share.map_or(0.0, |mirror| mirror.share.ratio()));
            gauge!(names::MIRROR_IN_FLIGHT, labels.clone()).set(float(stats.in_flight().into()));
            let totals = stats.totals();
            counter!(names::MIRROR_BODIES, labels.clone()).absolute(totals.bodies_left_out);
            let failed = totals.candidate_failed_alone + totals.baseline_failed_alone + totals.both_failed;
            for (outcome, count) in [
                ("ok", totals.pairs.saturating_sub(failed)),
                ("candidate_failed", totals.candidate_failed_alone),
                ("baseline_failed", totals.baseline_failed_alone),
                ("both_failed", totals.both_failed),
            ] {
                counter!(names::MIRROR_PAIRS, with(name("outcome", outcome))).absolute(count);
            }
            for kind in MirrorKind::ALL {
                let count = totals.differences[kind as usize];
                counter!(names::MIRROR_DIFFERENCES, with(name("kind", kind.word()))).absolute(count);
            }
            for why in MirrorDrop::ALL {
                let count = totals.dropped[why as usize];
                counter!(names::MIRROR_DROPPED, with(name("reason", why.word()))).absolute(count);
            }
        }
    }
}
