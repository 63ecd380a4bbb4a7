//! The gauges of a service, whatever its versions.

use metrics::{Gauge, gauge};

use super::names;
use crate::table::Table;

use super::series::float;

/// With more services than this, those that have had no request have no gauges.
const IDLE_SERVICES_MAX: usize = 500;

/// Sets the gauges of every service of `table` that has had a request, or of all where they are few. Inside the local
/// recorder.
pub(crate) fn update(table: &Table) {
    let few = table.services().len() <= IDLE_SERVICES_MAX;
    for service in table.services().filter(|service| few || service.stats.is_used()) {
        let totals = service.stats.totals();
        let set = |gauge: Gauge, count| gauge.set(float(count));
        set(gauge!(names::IN_FLIGHT, "service" => service.spec.name.shared()), totals.in_flight);
        set(gauge!(names::QUEUED, "service" => service.spec.name.shared()), totals.queued);
        set(gauge!(names::HELD, "service" => service.spec.name.shared()), totals.held);
    }
}
