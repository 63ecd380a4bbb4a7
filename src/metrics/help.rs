//! The help text of every metric, and those that are written without the recorder.

use std::fmt::Write;
use std::time::Duration;

use metrics::{describe_counter, describe_gauge};

use super::{fleet_gauges, gitops_gauges, mirror_series, names, slo_gauges};

/// Tokens of users.
fn describe_tokens() {
    describe_counter!(names::TOKENS, "Tokens that a key or a rule looked at, by what became of them.");
    describe_gauge!(names::TOKEN_KEYS, "Keys that tokens are verified by.");
    describe_gauge!(names::TOKEN_KEYS_GOOD, "Whether the last read or fetch of the keys of tokens was good.");
    describe_counter!(names::TOKEN_KEYS_FAILURES, "Times that the keys of tokens could not be had, or were refused.");
}

/// What flags serve.
fn describe_flags() {
    describe_gauge!(names::FLAG_ENABLED, "Whether a flag is enabled; if not, all users have its default.");
    describe_gauge!(names::FLAG_WEIGHT, "Share of a variant among the users whom a rule of a flag reaches.");
}

/// Calls for flags.
fn describe_flag_calls() {
    describe_counter!(names::FLAG_CALLS, "Calls for flags by OFREP, by what became of them.");
    describe_gauge!(names::FLAG_STREAMS, "Clients of OFREP that wait for changes of flags.");
}

/// Events of users.
fn describe_events() {
    describe_counter!(names::EVENT_CALLS, "Calls with events of users, by what became of them.");
    describe_counter!(names::EVENTS, "Events of users, by what became of them for the experiments that run.");
    describe_gauge!(names::EXPERIMENT_USERS, "Users of the experiments that run.");
    describe_gauge!(
        names::EXPERIMENT_FULL,
        "Whether an experiment that runs admits no more users; gone while it does."
    );
    describe_gauge!(names::LEDGER_WRITABLE, "Whether what is seen of users in experiments is written to disk.");
    describe_counter!(
        names::LEDGER_LOST,
        "What was seen of users in experiments and is not counted: there was no room, or no disk."
    );
}

/// What rollouts wait for.
fn describe_waits() {
    describe_gauge!(names::ROLLOUT_HOLD, "Whether a service's rollout is held, by why.");
    describe_gauge!(names::ROLLOUT_MISSING, "Judged requests, or users, that a step of a rollout lacks.");
    describe_gauge!(names::ROLLOUT_SECONDS_LEFT, "How long what a rollout waits for may take yet, by what it is.");
    describe_gauge!(names::ROLLOUT_GUARDRAIL, "What is known of a guardrail of a rollout.");
    describe_gauge!(names::ROLLOUT_GUARDRAIL_USERS, "Users that a guardrail has counted in this step, by arm.");
}

/// What became of rollouts, and who was told.
fn describe_releases() {
    describe_counter!(names::ROLLOUT_ENDINGS, "Rollouts of a service that have ended, by how and why.");
    describe_gauge!(names::ROLLOUT_TASK, "Whether a service's rollout does something, or waits for it.");
    describe_gauge!(names::ROLLOUT_MOVED_TIME, "When a service's rollout last moved, in seconds since 1970.");
    describe_counter!(names::CHANGES, "Revisions that were made here, by what they were for.");
    describe_counter!(names::JUDGE_LOOKS, "Looks of the judge at rollouts under way.");
    describe_counter!(names::NOTIFICATIONS, "Notifications, by target and by what became of them.");
}

/// The time that the judge has taken, as text: counters of the recorder have whole numbers.
pub(crate) fn judge_seconds(text: &mut String, took: Duration) {
    let (name, seconds) = (names::JUDGE_SECONDS, took.as_secs_f64());
    let help = "Time that the judge's looks at rollouts took.";
    // Writing to a string does not fail.
    let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {seconds}\n");
}

/// Describes every metric.
pub(crate) fn describe() {
    use metrics::Unit::Seconds;
    describe_counter!(names::REQUESTS, "Requests that a version answered, by class of the status code.");
    describe_counter!(names::UPSTREAM_FAILURES, "Attempts that failed by the upstream's fault.");
    describe_counter!(names::FIRST_ATTEMPTS, "First attempts of requests, by the version that they were made on.");
    describe_counter!(
        names::HIDDEN_FAILURES,
        "First attempts that failed and whose users got a good response all the same."
    );
    describe_counter!(names::RETRIES, "Requests that were sent once more, by the version of the first attempt.");
    describe_gauge!(names::LONG_CONNECTIONS, "WebSockets and streams that are open on a version.");
    describe_counter!(names::PASSED_ON, "Requests that left their version because it had no usable endpoint.");
    describe_counter!(names::REFUSALS, "Requests that the proxy answered by itself, or hung up on.");
    describe_counter!(names::ADMIN_REFUSALS, "Calls that the admin API refused, and connections that it closed.");
    describe_gauge!(names::SPLIT_WEIGHT, "Share of a version, as configured and as in effect.");
    describe_gauge!(names::REVISION, "The revision in force.");
    describe_gauge!(names::ENDPOINT_HEALTHY, "Whether an endpoint takes requests.");
    describe_gauge!(names::ENDPOINT_IN_FLIGHT, "Requests that an endpoint is answering.");
    describe_gauge!(names::IN_FLIGHT, "Requests of a service that were decided and have not ended.");
    describe_gauge!(names::QUEUED, "Requests that wait for a place among those in flight.");
    describe_gauge!(names::HELD, "Requests that wait for the end of a hold.");
    describe_gauge!(names::CONNECTIONS, "Open connections, from clients and to endpoints.");
    describe_gauge!(names::PARKED_CONNECTIONS, "Client connections that are idle and keep no buffers.");
    describe_gauge!(names::CONFIG_GOOD, "Whether the last read of the config file was good.");
    describe_gauge!(names::STORE_WRITABLE, "Whether revisions can be written, as far as is known.");
    describe_counter!(names::STORE_MENDED, "Times that files of the store were gone, and were made anew.");
    describe_counter!(names::ACCEPT_PAUSES, "Times that a worker stopped accepting for want of room or descriptors.");
    describe_counter!(
        names::LOG_DROPPED,
        "Lines of the access log that were lost: they found no room or could not be written."
    );
    describe_gauge!(names::PART_RUNNING, "Whether a thread or a task of the proxy runs and makes progress.");
    describe_counter!(names::PART_ENDS, "Times that a thread or a task of the proxy has ended before its time.");
    describe_counter!(names::OWN_LOG_DROPPED, "Lines of the process's own log that were lost, for the same reasons.");
    describe_counter!(names::TLS_HANDSHAKES, "TLS handshakes of clients, full ones and resumed sessions.");
    describe_waits();
    describe_releases();
    mirror_series::describe();
    describe_tokens();
    describe_flags();
    describe_flag_calls();
    describe_events();
    describe_counter!(names::CHAOS_REQUESTS, "Requests in the slices of chaos experiments, by what their users got.");
    describe_gauge!(
        names::CHAOS_UNDO_FAILED,
        "Chaos runs whose command could not be undone, however often it was tried."
    );
    slo_gauges::describe();
    gitops_gauges::describe();
    fleet_gauges::describe();
    describe_gauge!(names::ROLLOUT_PHASE, "Whether a service's rollout is in a phase; gone a minute after its end.");
    describe_gauge!(names::ROLLOUT_WAITING, "Whether a service's rollout waits for somebody, by what they have to do.");
    describe_gauge!(
        names::JUDGE_EVIDENCE,
        "log10 of E against the new version, by test; it is turned back when one is at test=alarm."
    );
    describe_gauge!(
        names::JUDGE_FINDING,
        "Whether a class of the new version's responses is proved to be more than the old one's."
    );
    describe_gauge!(names::TLS_GOOD, "Whether the last read of the TLS files of a place in the config was good.");
    describe_gauge!(names::CERTIFICATE_EXPIRY, Seconds, "When a certificate in use ends, in seconds since 1970.");
    describe_gauge!(names::BUILD_INFO, "The version of the program, in a label.");
}
