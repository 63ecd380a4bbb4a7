//! State that both planes touch while requests flow. Each type here is written by one plane and read by the other,
//! without locks on the request path.
//!
//! [`endpoint_health`] says whether an endpoint takes requests, [`unhealthy_counters`] whether any endpoint of a
//! service does not, [`canary_stats`] counts what a rollout is judged on ([`canary_terms`], [`canary_outcome`],
//! [`arm_counters`], `canary_counting`; [`arm_latencies`] where versions do not), [`flights`] are the requests that it
//! waits for and [`latency_thresholds`] what they are compared with ([`threshold_count`]: how many),
//! [`response_class`], [`response_counters`] and [`usual_responses`] say how responses differ that did not fail,
//! [`route_stats`] counts by page ([`canary_routes`]), of those that [`busy_routes`] has found ([`route_name`],
//! [`route_number`]), [`endpoint_tallies`] by endpoint ([`canary_endpoints`], [`canary_end`]), [`canary_clients`] whose
//! outcomes are evidence, [`hold`] is a moment in which requests wait, [`slot_set`] is a bit for each slot of the key
//! space, [`user_sets`] is what each of them has said already ([`sightings`], `canary_testimony`, `route_testimony`:
//! told to another replica), [`failure_runs`] for how long it has had nothing but failures, [`fault_stats`] what a
//! chaos run counts, [`mirror_stats`] what a mirror has found ([`mirror_difference`]), [`count`] is a counter with one
//! writer, [`additive`] sums and differences of counts, [`octaves`] buckets that grow with the value, [`murmur3`] the
//! hash that users are drawn with, [`sem_ver`] the order of versions of an app, [`name`] what users call services and
//! versions, [`trial_key`] what users are counted for ([`trial`]: by workers), and [`probability`] how many of them get
//! the treatment.

pub(crate) mod additive;
pub(crate) mod arm_counters;
pub(crate) mod arm_latencies;
pub(crate) mod busy_routes;
pub(crate) mod canary_clients;
mod canary_counting;
pub(crate) mod canary_end;
pub(crate) mod canary_endpoints;
pub(crate) mod canary_outcome;
pub(crate) mod canary_routes;
pub(crate) mod canary_stats;
pub(crate) mod canary_terms;
mod canary_testimony;
pub(crate) mod client_prefix;
pub(crate) mod count;
pub(crate) mod endpoint_health;
pub(crate) mod endpoint_tallies;
pub(crate) mod failure_runs;
pub(crate) mod fault_stats;
pub(crate) mod flights;
pub(crate) mod hold;
pub(crate) mod latency_thresholds;
pub(crate) mod mirror_difference;
pub(crate) mod mirror_stats;
pub(crate) mod murmur3;
pub(crate) mod name;
pub(crate) mod octaves;
pub(crate) mod per_arm;
pub(crate) mod probability;
pub(crate) mod response_class;
pub(crate) mod response_counters;
pub(crate) mod route_name;
pub(crate) mod route_number;
pub(crate) mod route_stats;
mod route_testimony;
pub(crate) mod sem_ver;
pub(crate) mod shortage;
pub(crate) mod sightings;
pub(crate) mod slot_set;
pub(crate) mod threshold_count;
pub(crate) mod token_payload;
pub(crate) mod trial;
pub(crate) mod trial_key;
pub(crate) mod unhealthy_counters;
pub(crate) mod user_sets;
pub(crate) mod usual_responses;
