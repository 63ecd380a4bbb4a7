//! Every metric name, in one place: people build dashboards and alerts on them. The words of their labels are in
//! [`crate::stats::labels`], because whatever counts knows them.

/// Requests that a version answered, by class of the status code.
pub(crate) const REQUESTS: &str = "pointsman_requests_total";
/// Time from a request's head to the end of its answer, without what a hold kept it.
pub(crate) const REQUEST_DURATION: &str = "pointsman_request_duration_seconds";
/// Attempts that failed by the upstream's fault.
pub(crate) const UPSTREAM_FAILURES: &str = "pointsman_upstream_failures_total";
/// First attempts by the version that they were made on, whatever became of the request afterwards.
pub(crate) const FIRST_ATTEMPTS: &str = "pointsman_first_attempts_total";
/// First attempts that failed and whose users got a good response all the same, by what kept it from them.
pub(crate) const HIDDEN_FAILURES: &str = "pointsman_hidden_failures_total";
/// Requests that were sent once more, by the version of the first attempt.
pub(crate) const RETRIES: &str = "pointsman_retries_total";
/// Requests that left their assigned version because it had no usable endpoint.
pub(crate) const PASSED_ON: &str = "pointsman_passed_on_total";
/// WebSockets and streams that are open on a version.
pub(crate) const LONG_CONNECTIONS: &str = "pointsman_long_connections";
/// Requests that the proxy answered by itself.
pub(crate) const REFUSALS: &str = "pointsman_refusals_total";
/// Calls that the admin API refused, and connections to it that were closed for what their client did or left undone.
pub(crate) const ADMIN_REFUSALS: &str = "pointsman_admin_refusals_total";
/// Share of a version, 0 to 1.
pub(crate) const SPLIT_WEIGHT: &str = "pointsman_split_weight_ratio";
/// Whether a flag is enabled.
pub(crate) const FLAG_ENABLED: &str = "pointsman_flag_enabled";
/// Share of a variant in a rule of a flag, 0 to 1, also while the flag is disabled.
pub(crate) const FLAG_WEIGHT: &str = "pointsman_flag_weight_ratio";
/// Share of a service's requests that is copied to a version, 0 to 1.
pub(crate) const MIRROR_SHARE: &str = "pointsman_mirror_share_ratio";
/// Requests whose copy was answered too, by which of the two responses failed.
pub(crate) const MIRROR_PAIRS: &str = "pointsman_mirror_pairs_total";
/// Pairs that differ, by kind.
pub(crate) const MIRROR_DIFFERENCES: &str = "pointsman_mirror_differences_total";
/// Requests that were to be copied and are not compared, by reason.
pub(crate) const MIRROR_DROPPED: &str = "pointsman_mirror_dropped_total";
/// Pairs whose bodies were to be compared and could not be.
pub(crate) const MIRROR_BODIES: &str = "pointsman_mirror_bodies_not_compared_total";
/// Copies under way.
pub(crate) const MIRROR_IN_FLIGHT: &str = "pointsman_mirror_in_flight";
/// The revision in force.
pub(crate) const REVISION: &str = "pointsman_revision";
/// Whether an endpoint takes requests.
pub(crate) const ENDPOINT_HEALTHY: &str = "pointsman_endpoint_healthy";
/// Requests that an endpoint is answering.
pub(crate) const ENDPOINT_IN_FLIGHT: &str = "pointsman_endpoint_in_flight";
/// Requests of a service that were decided and have not ended.
pub(crate) const IN_FLIGHT: &str = "pointsman_requests_in_flight";
/// Requests that wait for a place among those in flight.
pub(crate) const QUEUED: &str = "pointsman_queued_requests";
/// Requests that wait for the end of a hold.
pub(crate) const HELD: &str = "pointsman_held_requests";
/// Open connections.
pub(crate) const CONNECTIONS: &str = "pointsman_connections";
/// Client connections that are idle and keep no buffers.
pub(crate) const PARKED_CONNECTIONS: &str = "pointsman_parked_connections";
/// Times that a worker stopped accepting connections for want of room or of descriptors.
pub(crate) const ACCEPT_PAUSES: &str = "pointsman_accept_pauses_total";
/// Whether the last reload of the config file was good.
pub(crate) const CONFIG_GOOD: &str = "pointsman_config_last_reload_successful";
/// Whether the repository that the config is in and what is in force are to each other like this.
pub(crate) const GITOPS_STATE: &str = "pointsman_gitops_state";
/// When the commit in force was made.
pub(crate) const GITOPS_COMMIT_TIME: &str = "pointsman_gitops_commit_timestamp_seconds";
/// Hooks, by what became of them.
pub(crate) const GITOPS_HOOKS: &str = "pointsman_gitops_hooks_total";
/// Statuses of commits, by whether the forge has taken them.
pub(crate) const GITOPS_STATUSES: &str = "pointsman_gitops_statuses_total";
/// When the repository last answered.
pub(crate) const GITOPS_FETCH_TIME: &str = "pointsman_gitops_fetch_timestamp_seconds";
/// Commits of the proxy's own that were pushed.
pub(crate) const GITOPS_WRITTEN: &str = "pointsman_gitops_commits_written_total";
/// Whether the weights in force could not be written to the repository the last time.
pub(crate) const GITOPS_UNWRITTEN: &str = "pointsman_gitops_write_back_failing";
/// Whether revisions can be written to the store, as far as is known: it was not opened read-only, and the last write
/// was good.
pub(crate) const STORE_WRITABLE: &str = "pointsman_store_writable";
/// Times that files of the store were gone, and were made anew with everything known.
pub(crate) const STORE_MENDED: &str = "pointsman_store_mended_total";
/// Lines of the access log that were lost: they found no room, or could not be written.
pub(crate) const LOG_DROPPED: &str = "pointsman_access_log_dropped_total";
/// Lines of the process's own log that were lost: they found no room, or could not be written.
pub(crate) const OWN_LOG_DROPPED: &str = "pointsman_log_dropped_total";
/// Whether a thread or a task that must live runs and makes progress.
pub(crate) const PART_RUNNING: &str = "pointsman_part_running";
/// Times that such a part has ended before its time.
pub(crate) const PART_ENDS: &str = "pointsman_part_ends_total";
/// TLS handshakes of clients that succeeded, by kind.
pub(crate) const TLS_HANDSHAKES: &str = "pointsman_tls_handshakes_total";
/// Whether a service's rollout is in a phase.
pub(crate) const ROLLOUT_PHASE: &str = "pointsman_rollout_phase";
/// How rollouts of a service have ended, and why.
pub(crate) const ROLLOUT_ENDINGS: &str = "pointsman_rollout_endings_total";
/// Whether a service's rollout does this, or waits for it.
pub(crate) const ROLLOUT_TASK: &str = "pointsman_rollout_task";
/// When a service's rollout last moved.
pub(crate) const ROLLOUT_MOVED_TIME: &str = "pointsman_rollout_moved_timestamp_seconds";
/// Revisions, by what they were for.
pub(crate) const CHANGES: &str = "pointsman_changes_total";
/// Looks of the judge at rollouts.
pub(crate) const JUDGE_LOOKS: &str = "pointsman_judge_looks_total";
/// What these looks took.
pub(crate) const JUDGE_SECONDS: &str = "pointsman_judge_seconds_total";
/// What became of notifications, by target.
pub(crate) const NOTIFICATIONS: &str = "pointsman_notifications_total";
/// Whether a service's rollout is held for a reason.
pub(crate) const ROLLOUT_HOLD: &str = "pointsman_rollout_hold";
/// Judged requests, or users, that a step of a service's rollout lacks.
pub(crate) const ROLLOUT_MISSING: &str = "pointsman_rollout_missing";
/// How long what a service's rollout waits for may take yet.
pub(crate) const ROLLOUT_SECONDS_LEFT: &str = "pointsman_rollout_left_seconds";
/// Whether this is known of a guardrail of a rollout.
pub(crate) const ROLLOUT_GUARDRAIL: &str = "pointsman_rollout_guardrail";
/// Users that a guardrail of a rollout has counted in this step, by arm.
pub(crate) const ROLLOUT_GUARDRAIL_USERS: &str = "pointsman_rollout_guardrail_users";
/// Whether a metrics server has answered so on a metric of a rollout's plan.
pub(crate) const ROLLOUT_METRIC: &str = "pointsman_rollout_metric";
/// What a metric of a rollout's plan is, and its limit.
pub(crate) const ROLLOUT_METRIC_NUMBER: &str = "pointsman_rollout_metric_number";
/// Whether a service's rollout waits for an operator to do something.
pub(crate) const ROLLOUT_WAITING: &str = "pointsman_rollout_waiting";
/// What speaks against a new version: the logarithm of E, by test.
pub(crate) const JUDGE_EVIDENCE: &str = "pointsman_judge_evidence";
pub(crate) const JUDGE_FINDING: &str = "pointsman_judge_finding";
/// Whether the last read of the TLS files of a place in the config was good.
pub(crate) const TLS_GOOD: &str = "pointsman_tls_last_reload_successful";
/// When a certificate ends.
pub(crate) const CERTIFICATE_EXPIRY: &str = "pointsman_certificate_expiry_timestamp_seconds";
/// Tokens that a key or a rule looked at, by what became of them.
pub(crate) const TOKENS: &str = "pointsman_tokens_total";
/// Keys that tokens are verified by.
pub(crate) const TOKEN_KEYS: &str = "pointsman_token_keys";
/// Whether the last read or fetch of these keys was good.
pub(crate) const TOKEN_KEYS_GOOD: &str = "pointsman_token_keys_last_reload_successful";
/// Times that these keys could not be had, or were refused.
pub(crate) const TOKEN_KEYS_FAILURES: &str = "pointsman_token_keys_failures_total";
/// Calls for flags (OFREP), by what became of them.
pub(crate) const FLAG_CALLS: &str = "pointsman_ofrep_calls_total";
/// Clients that wait for changes of flags (OFREP).
pub(crate) const FLAG_STREAMS: &str = "pointsman_ofrep_event_streams";
/// Calls with events of users, by what became of them.
pub(crate) const EVENT_CALLS: &str = "pointsman_event_calls_total";
/// Events of users, by what became of them.
pub(crate) const EVENTS: &str = "pointsman_events_total";
/// Users of the experiments that run.
pub(crate) const EXPERIMENT_USERS: &str = "pointsman_experiment_users";
/// Whether an experiment that runs admits no more users.
pub(crate) const EXPERIMENT_FULL: &str = "pointsman_experiment_full";
/// Whether what is seen of users in experiments is written to disk.
pub(crate) const LEDGER_WRITABLE: &str = "pointsman_experiment_ledger_writable";
/// What was seen of users in experiments and is not counted.
pub(crate) const LEDGER_LOST: &str = "pointsman_experiment_ledger_lost_total";
/// Requests in the slices of chaos experiments, by what their users got.
pub(crate) const CHAOS_REQUESTS: &str = "pointsman_chaos_requests_total";
/// Chaos runs whose command could not be undone.
pub(crate) const CHAOS_UNDO_FAILED: &str = "pointsman_chaos_undo_failed";
/// Share of the requests of a service that must be good, 0 to 1, by objective.
pub(crate) const SLO_OBJECTIVE: &str = "pointsman_slo_objective_ratio";
/// Requests that count for an objective of a service.
pub(crate) const SLO_REQUESTS: &str = "pointsman_slo_requests_total";
/// Those of them that were not good.
pub(crate) const SLO_BAD: &str = "pointsman_slo_bad_total";
/// Requests that a fault of our own met, which count for no objective.
pub(crate) const SLO_FAULTED: &str = "pointsman_slo_faulted_requests_total";
/// Those of them that were not good.
pub(crate) const SLO_FAULTED_BAD: &str = "pointsman_slo_faulted_bad_total";
/// What is left of a budget, 1 to 0, and below 0 when more is gone.
pub(crate) const SLO_BUDGET_LEFT: &str = "pointsman_slo_budget_left_ratio";
/// How fast a budget goes, by window.
pub(crate) const SLO_BURN: &str = "pointsman_slo_burn_rate";
/// Whether this replica follows its fleet.
pub(crate) const FLEET_TOGETHER: &str = "pointsman_fleet_together";
/// Live replicas of the fleet.
pub(crate) const FLEET_REPLICAS: &str = "pointsman_fleet_replicas";
/// Live replicas that have not put this one's revision in force.
pub(crate) const FLEET_LAGGING: &str = "pointsman_fleet_lagging_replicas";
/// Live replicas with another config than this one.
pub(crate) const FLEET_DIFFERING: &str = "pointsman_fleet_differing_replicas";
/// Whether this replica leads the fleet.
pub(crate) const FLEET_LEADS: &str = "pointsman_fleet_leader";
/// When etcd was last heard of.
pub(crate) const FLEET_HEARD_TIME: &str = "pointsman_fleet_heard_timestamp_seconds";
/// Build information, always 1.
pub(crate) const BUILD_INFO: &str = "pointsman_build_info";

/// Upper bounds of the buckets of [`REQUEST_DURATION`], in seconds.
pub(crate) const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
