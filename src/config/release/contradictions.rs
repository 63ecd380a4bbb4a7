//! Keys of a rollout section that contradict each other: each is good alone, and together they mean nothing, or a
//! release that can never be completed.
//!
//! Who wrote both believes that both do something. A default is not what anybody wrote: where one of the two is a
//! default, it is a problem only if the release could never go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::TimeSpan;
use crate::problem::Mismatch;
use crate::rollout::judge::own_metric::OwnMetric;
use crate::rollout::judge::response_rules::ResponseRules;
use crate::rollout::release::{Release, Releases, Shape};
use crate::table::{Name, ServiceSpec, Weight};

/// A section that is checked.
struct CheckedSection<'a, 't> {
    release: &'a Release,
    at: &'a ConfigPath<'a>,
    report: &'a mut Report<'t>,
    checked: Result<(), ErrorGuaranteed>,
}

/// Reports every contradiction of a section.
pub(crate) fn check(release: &Release, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<(), ErrorGuaranteed> {
    let mut section = CheckedSection { release, at, report, checked: Ok(()) };
    section.errors_max();
    section.baseline_ill();
    section.catches();
    section.responses();
    section.warm_up();
    section.tolerate_burst();
    let metrics = Arc::clone(&release.metrics);
    let metrics_at = at.key("metrics");
    for (index, metric) in metrics.iter().enumerate() {
        section.metric(metric, &metrics_at.item(index));
    }
    section.checked
}

/// Services, with the flags that they list.
#[derive(Clone, Copy)]
pub(crate) struct TimedServices<'c> {
    pub(crate) services: &'c [Arc<ServiceSpec>],
    pub(crate) told: &'c BTreeMap<Name, Vec<Name>>,
}

impl<'c> TimedServices<'c> {
    /// The service that waits for the shortest time, of those and of those that list a flag.
    fn hastiest(self, services: &[Name], flags: &[&Name]) -> Option<&'c Arc<ServiceSpec>> {
        let lists = |name: &Name| self.told.get(name).is_some_and(|told| told.iter().any(|flag| flags.contains(&flag)));
        let judged = |service: &&Arc<ServiceSpec>| services.contains(&service.name) || lists(&service.name);
        self.services.iter().filter(judged).min_by_key(|service| service.policy.response_timeout)
    }
}

/// Reports ceilings on slow requests that no request can reach, because it has failed by then.
pub(crate) fn check_timeouts(
    timed: TimedServices<'_>,
    releases: &Releases,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let (services_at, groups_at) = (ConfigPath::Root.key("services"), ConfigPath::Root.key("groups"));
    let mut checked = Ok(());
    for service in timed.services {
        let Some(release) = releases.services.get(&service.name) else { continue };
        checked = checked.and(check_timeout(release, Some(service), &services_at.key(&service.name), report));
    }
    for (flag, release) in &releases.flags {
        let at = ConfigPath::Root.key("flags");
        checked = checked.and(check_timeout(release, timed.hastiest(&[], &[flag]), &at.key(flag), report));
    }
    for group in releases.groups.values() {
        let hastiest = timed.hastiest(&group.services, &group.flags.iter().collect::<Vec<_>>());
        checked = checked.and(check_timeout(&group.release, hastiest, &groups_at.key(&group.name), report));
    }
    checked
}

fn check_timeout(
    release: &Release,
    service: Option<&Arc<ServiceSpec>>,
    section: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let (Some(slow), Some(service)) = (release.judge.ceilings.slow, service) else { return Ok(()) };
    if slow.longer_than < service.policy.response_timeout {
        return Ok(());
    }
    let (found, timeout) = (TimeSpan(slow.longer_than), TimeSpan(service.policy.response_timeout));
    let text = Mismatch::new(
        format!("{found}, and what takes {timeout} has failed (services.{}.response_timeout)", service.name),
        format!("less than {timeout}"),
        "lower it, or raise that",
    );
    let rollout = section.key("rollout");
    Err(report.problem(&rollout.key("judge").key("slow_max").key("longer_than"), text))
}

impl CheckedSection<'_, '_> {
    fn writes(&self, key: &str) -> bool {
        self.report.is_written(&self.at.key(key))
    }

    fn judge_writes(&self, key: &str) -> bool {
        self.report.is_written(&self.at.key("judge").key(key))
    }

    fn problem_of_judge(&mut self, key: &str, mismatch: Mismatch) {
        self.checked = Err(self.report.problem(&self.at.key("judge").key(key), mismatch));
    }

    /// The part of the requests that may fail beside a version that never fails.
    fn tolerated(&self) -> f64 {
        self.release.judge.margin.tolerated(0.0)
    }

    fn errors_max(&mut self) {
        let (ceiling, tolerated) = (self.release.judge.ceilings.failures, self.tolerated());
        let Some(ceiling) = ceiling.map(|ceiling| ceiling.value()).filter(|ceiling| *ceiling < tolerated) else {
            return;
        };
        if self.judge_writes("errors_max") && self.judge_writes("tolerate_increase") {
            let found = format!("{ceiling}, below the {tolerated} that tolerate_increase grants");
            let text = Mismatch::new(found, format!("{tolerated} or more"), "raise it, or lower tolerate_increase");
            self.problem_of_judge("errors_max", text);
        }
    }

    fn baseline_ill(&mut self) {
        let (ill, tolerated) = (self.release.judge.baseline_unhealthy.value(), self.tolerated());
        if ill <= tolerated && self.judge_writes("baseline_ill") && self.judge_writes("tolerate_increase") {
            let found = format!("{ill}, by which a version is ill that tolerate_increase lets pass ({tolerated})");
            let text = Mismatch::new(found, format!("more than {tolerated}"), "raise it, or lower tolerate_increase");
            self.problem_of_judge("baseline_ill", text);
        }
    }

    fn catches(&mut self) {
        let (catches, tolerated) = (self.release.judge.catches.value(), self.tolerated());
        if self.release.judge.requests_min.is_none() && catches + tolerated >= 1.0 {
            let found = format!("{catches} more than the {tolerated} that are tolerated");
            let wanted = "less than 1 for both together: nothing fails more often than always";
            self.problem_of_judge("catches", Mismatch::new(found, wanted, "lower it, or tolerate_increase"));
        }
    }

    fn responses(&mut self) {
        if self.release.judge.responses == ResponseRules::OFF && !self.release.except.is_empty() {
            let found = "paths that are left out, beside a status, a length and a type that are \"off\"";
            let text = Mismatch::new(found, "something to leave them out of", "remove it, or switch one of them on");
            let at = self.at.key("judge");
            self.checked = Err(self.report.problem(&at.key("responses").key("except"), text));
        }
        if self.release.judge.failed_calls.has_ok() {
            let text = Mismatch::new("0, which is OK", "statuses of calls that failed, 1 to 16", "remove it");
            self.problem_of_judge("grpc_failures", text);
        }
    }

    fn warm_up(&mut self) {
        let (warm_up, hold_max) = (self.release.judge.warm_up, self.release.judge.hold_max);
        let Some(first) = bakes(&self.release.shape).first().map(|bake| *bake + hold_max) else { return };
        if warm_up > first && self.judge_writes("warm_up") && self.writes("hold_max") {
            let found = format!("{}, and the first step is given up after {}", TimeSpan(warm_up), TimeSpan(first));
            let wanted = "less than the step's time and hold_max: nothing is judged before";
            self.problem_of_judge("warm_up", Mismatch::new(found, wanted, "lower it, or raise hold_max"));
        }
    }

    fn tolerate_burst(&mut self) {
        let burst = self.release.judge.tolerate_burst;
        let all: Duration = bakes(&self.release.shape).iter().sum();
        let timed = self.writes("bake") || self.writes("watch");
        // What is rolling is watched once for each batch, and their number is not known here.
        let counted = !matches!(self.release.shape, Shape::Rolling(_));
        if counted && burst >= all && timed && burst > Duration::ZERO && self.judge_writes("tolerate_burst") {
            let found = format!("{}, and the whole release takes {}", TimeSpan(burst), TimeSpan(all));
            let wanted = "a shorter time: all of the release would count as one burst";
            self.problem_of_judge("tolerate_burst", Mismatch::new(found, wanted, "lower it, or watch for longer"));
        }
    }

    fn metric(&mut self, metric: &OwnMetric, at: &ConfigPath<'_>) {
        let hold_max = self.release.judge.hold_max;
        let Some(step) = bakes(&self.release.shape).iter().min().map(|bake| *bake + hold_max) else { return };
        let row = metric.interval * metric.failures.saturating_sub(1);
        if metric.interval > step {
            let (interval, step) = (TimeSpan(metric.interval), TimeSpan(step));
            let found = format!("{interval}, and the shortest step is given up after {step}");
            let text = Mismatch::new(found, "an answer in each step", "lower it, or raise hold_max");
            self.checked = Err(self.report.problem(&at.key("interval"), text));
        } else if row > hold_max && hold_max > Duration::ZERO && self.writes("hold_max") {
            let (failures, row) = (metric.failures, TimeSpan(row));
            let found = format!("{failures} answers in a row, which take {row}");
            let wanted = format!("them within hold_max, {}: a bad answer holds no longer", TimeSpan(hold_max));
            let text = Mismatch::new(found, wanted, "lower it or interval, or raise hold_max");
            self.checked = Err(self.report.problem(&at.key("failures"), text));
        }
    }
}

/// How long each step is watched at the least.
fn bakes(shape: &Shape) -> Vec<Duration> {
    match shape {
        Shape::Canary(canary) => {
            let part = canary.steps.last().is_some_and(|step| step.weight < Weight::FULL);
            canary.steps.iter().map(|step| step.bake).chain(part.then_some(canary.watch)).collect()
        }
        Shape::BlueGreen { watch, .. } => vec![*watch],
        Shape::Rolling(rolling) => vec![rolling.watch],
    }
}
