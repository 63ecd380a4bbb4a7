//! Limits of listeners, of services and of the proxy: how much is worked on at a time. Limits that contradict each
//! other are refused: one of them would never be reached, and its author believes in it.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::check::setting;
use super::reader::config_path::ConfigPath;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{ByteSize, Quantity, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::ServiceSpec;
use crate::table::spec::limits::{BodyRate, InFlightLimit, Limits};

/// Requests in flight, unless the config says otherwise: at some 30 KiB each (both connections' buffers and the
/// exchange) they take 2 GiB. It is there for the memory; what an origin can bear is for its service to say.
pub const IN_FLIGHT_DEFAULT: usize = 65_536;

/// Connections of a listener: at 20 to 40 KiB each (plain and TLS) they take some 400 MiB, which the smallest machine
/// has.
const CONNECTIONS_MAX: Quantity = Quantity(10_000);

/// Connections of one address. What has to fit is what stands behind one address of a carrier or a large company: some
/// hundred people who are at the site at the same moment, with the six connections that a browser opens over HTTP/1.1.
/// And it takes ten addresses to fill a listener.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 1000;

/// No count of things at a time is larger.
const COUNT_MAX: Quantity = Quantity(10_000_000);

/// Who waits longer for a place has left.
const QUEUE_TIMEOUT: TimeSpan = TimeSpan::secs(2);

/// What a mobile client in a tunnel needs; slow enough attacks to be cheap.
const BODY_RATE_GRACE: TimeSpan = TimeSpan::secs(10);

/// Nothing waits longer than a day.
const DAY: TimeSpan = TimeSpan::secs(86_400);

/// How much a listener takes at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerLimits {
    /// Connections, over all workers.
    pub connections_max: usize,
    /// Connections of one address (of a /64 of IPv6).
    pub connections_per_address_max: usize,
    /// Requests over time.
    pub rate: Option<RequestRate>,
}

/// A number of requests in a time, and a number at once after a pause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestRate {
    /// Requests, at least one.
    pub requests: u32,
    /// The time.
    pub per: Duration,
    /// Requests at once, at least [`RequestRate::requests`].
    pub burst: u32,
    /// Whose requests are counted together.
    pub by: RateBy,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateBy {
    /// Those of a client's address (of a /64 of IPv6), by the rules for trusted proxies.
    #[default]
    Address,
    /// All of the listener.
    Listener,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { requests = 100, per = \"1s\" }")]
pub(crate) struct RawRate {
    requests: Option<Setting<Quantity>>,
    per: Option<Setting<TimeSpan>>,
    burst: Option<Setting<Quantity>>,
    by: Option<RateBy>,
}

/// A count that may be left out, which is no limit.
pub(crate) fn optional_count(
    raw: Option<Setting<Quantity>>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Option<usize>, ErrorGuaranteed> {
    let count = setting(raw, Quantity(1), Quantity(1)..=COUNT_MAX, at, report)?;
    Ok(raw.map(|_| count.0))
}

/// The limits of a listener, as they are written.
pub(crate) struct RawListenerLimits<'a> {
    pub(crate) connections_max: Option<Setting<Quantity>>,
    pub(crate) connections_per_address_max: Option<Setting<Quantity>>,
    pub(crate) rate: Option<&'a RawRate>,
}

impl RawListenerLimits<'_> {
    /// The limits of the listener at `at`.
    pub(crate) fn build(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<ListenerLimits, ErrorGuaranteed> {
        let range = Quantity(1)..=COUNT_MAX;
        let connections = setting(self.connections_max, CONNECTIONS_MAX, range, &at.key("connections_max"), report);
        let key = at.key("connections_per_address_max");
        let per_address = optional_count(self.connections_per_address_max, &key, report);
        let rate = self.rate.map(|rate| rate.build(&at.key("rate"), report)).transpose();
        let (connections_max, connections_per_address_max) = (connections?.0, per_address?);
        if let Some(found) = connections_per_address_max.filter(|found| *found > connections_max) {
            let text = Mismatch::new(
                format!("{found}"),
                format!("at most connections_max, {connections_max}"),
                "lower it or raise that",
            );
            return Err(report.problem(&key, text));
        }
        let connections_per_address_max =
            connections_per_address_max.unwrap_or(CONNECTIONS_PER_ADDRESS_MAX.min(connections_max));
        Ok(ListenerLimits { connections_max, connections_per_address_max, rate: rate? })
    }
}

impl RawRate {
    /// A rate of callers that are known by something else than their address.
    pub(crate) fn of_callers(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<RequestRate, ErrorGuaranteed> {
        let built = self.build(at, report);
        if self.by.is_some() {
            let text = Mismatch::new("by", "a rate of each token", "remove it");
            return Err(report.problem(&at.key("by"), text));
        }
        built
    }

    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<RequestRate, ErrorGuaranteed> {
        let most = Quantity(1_000_000);
        let requests = match self.requests {
            Some(_) => setting(self.requests, Quantity(1), Quantity(1)..=most, &at.key("requests"), report),
            None => Err(report.missing(&at.key("requests"), Mismatch::new("none", "a number", "add requests = 100"))),
        };
        let per = setting(self.per, TimeSpan::secs(1), TimeSpan::millis(1)..=DAY, &at.key("per"), report);
        let burst_key = at.key("burst");
        let burst = setting(self.burst, Quantity(1), Quantity(1)..=most, &burst_key, report);
        let (requests, per, burst) = (requests?, per?, burst?);
        let burst = if self.burst.is_some() { burst } else { requests };
        if burst < requests {
            let text = Mismatch::new(
                format!("{burst}"),
                format!("at least requests, {requests}, which may come together"),
                "raise it or leave it out",
            );
            return Err(report.problem(&burst_key, text));
        }
        let count = |count: Quantity| u32::try_from(count.0).unwrap_or(u32::MAX);
        Ok(RequestRate { requests: count(requests), per: per.0, burst: count(burst), by: self.by.unwrap_or_default() })
    }
}

/// The limits of a service, as they are written.
pub(crate) struct RawLimits {
    pub(crate) requests_in_flight_max: Option<Setting<Quantity>>,
    pub(crate) queue_max: Option<Setting<Quantity>>,
    pub(crate) queue_timeout: Option<Setting<TimeSpan>>,
    pub(crate) body_bytes_max: Option<Setting<ByteSize>>,
    pub(crate) body_rate_min: Option<Setting<ByteSize>>,
    pub(crate) body_rate_grace: Option<Setting<TimeSpan>>,
}

impl RawLimits {
    /// The limits of the service at `at`.
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Limits, ErrorGuaranteed> {
        let in_flight = self.in_flight(at, report);
        let size = self.body_bytes_max;
        let range = ByteSize(0)..=ByteSize::kib(1 << 40);
        let body_bytes_max = setting(size, ByteSize(0), range, &at.key("body_bytes_max"), report);
        let body_rate = self.body_rate(at, report);
        let body_bytes_max = body_bytes_max?.0 as u64;
        Ok(Limits { in_flight: in_flight?, body_bytes_max: size.map(|_| body_bytes_max), body_rate: body_rate? })
    }

    fn in_flight(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Option<InFlightLimit>, ErrorGuaranteed> {
        let Self { requests_in_flight_max: max, queue_max, queue_timeout, .. } = *self;
        let max_read = optional_count(max, &at.key("requests_in_flight_max"), report);
        // As many again: a request in the queue waits about as long as a request takes.
        let default = Quantity(max.map_or(0, |max| max.0.0).min(COUNT_MAX.0));
        let (queue_key, timeout_key) = (at.key("queue_max"), at.key("queue_timeout"));
        let queue = setting(queue_max, default, Quantity(0)..=COUNT_MAX, &queue_key, report);
        let timeout = setting(queue_timeout, QUEUE_TIMEOUT, TimeSpan::millis(1)..=DAY, &timeout_key, report);
        let without = |written: bool, key: &ConfigPath<'_>, report: &mut Report<'_>| match written && max.is_none() {
            true => {
                let text = Mismatch::new(
                    "a queue before nothing",
                    "requests_in_flight_max as well",
                    "add it or leave this out",
                );
                Err(report.problem(key, text))
            }
            false => Ok(()),
        };
        let queue_alone = without(queue_max.is_some(), &queue_key, report);
        let timeout_alone = without(queue_timeout.is_some(), &timeout_key, report);
        let (max, queue, timeout) = (max_read?, queue?, timeout?);
        queue_alone.and(timeout_alone)?;
        if queue.0 == 0 && queue_timeout.is_some() {
            let text =
                Mismatch::new("a wait in a queue of none", "queue_max of at least 1", "raise it or leave this out");
            return Err(report.problem(&timeout_key, text));
        }
        Ok(max.map(|max| InFlightLimit { max, queue_max: queue.0, queue_timeout: timeout.0 }))
    }

    fn body_rate(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<BodyRate>, ErrorGuaranteed> {
        let Self { body_rate_min: rate, body_rate_grace: grace, .. } = *self;
        let grace_key = at.key("body_rate_grace");
        let rate_read =
            setting(rate, ByteSize(1), ByteSize(1)..=ByteSize::kib(1 << 20), &at.key("body_rate_min"), report);
        let grace_read = setting(grace, BODY_RATE_GRACE, TimeSpan::millis(100)..=DAY, &grace_key, report);
        if rate.is_none() && grace.is_some() {
            let text = Mismatch::new("a grace for nothing", "body_rate_min as well", "add it or leave this out");
            return Err(report.problem(&grace_key, text));
        }
        let (bytes, grace) = (rate_read?.0 as u64, grace_read?.0);
        Ok(rate.map(|_| BodyRate { bytes_per_second_min: bytes, grace }))
    }
}

/// No service may have more in flight than the proxy lets in, which is `all`.
pub(crate) fn check_services(
    services: &[Arc<ServiceSpec>],
    all: Option<usize>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let Some(all) = all else { return Ok(()) };
    let mut checked = Ok(());
    for service in services {
        let found = service.policy.limits.in_flight.map_or(0, |limit| limit.max);
        if found > all {
            let text = Mismatch::new(
                format!("{found}"),
                format!("at most proxy.requests_in_flight_max, {all}"),
                "lower it or raise that",
            );
            checked = Err(report.problem(&at.key(&service.name).key("requests_in_flight_max"), text));
        }
    }
    checked
}
