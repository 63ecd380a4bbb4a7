//! Pointsman is a layer-7 reverse proxy that splits the traffic of a service between its versions, moves the split
//! while requests flow, and takes it back in one swap. This page is the map: the words, the two planes, where things
//! are, and what must stay true.
//!
//! # Words
//!
//! - **Service**: what users address, by hosts and path prefixes ([`table::ServiceSpec`]).
//! - **Version**: one build of a service, a pool of endpoints ([`table::Version`]). **Endpoint**: one address of it
//!   ([`table::Endpoint`]).
//! - **Split**: the weights of a service's versions in per cent with up to three decimals, 100 together
//!   ([`table::Weights`]).
//! - **Slot**: one of [`table::SLOTS`] parts of the key space. A split owns them in runs ([`table::Slots`]), and new
//!   weights are laid over the old runs, so that no user moves who does not have to.
//! - **Key**: what makes a user the same user in the next request ([`table::spec::KeySource`]). **Salt**: what a key is
//!   hashed with; another salt is another draw of users ([`table::hash::Salt`]).
//! - **Rule**: a match on the request that picks a version before the split is asked ([`table::spec::RuleSpec`]).
//!   **Segment**: a named match that rules share ([`table::spec::Segment`]).
//! - **Objective**: how many of a service's requests must be good ([`table::spec::slo`]). **Budget**: how many need not
//!   be, and **burn rate**: how fast they go ([`slo`]).
//! - **Flag**: what a user gets that does not depend on a deploy, one of some **variants**, by rules, slots or the
//!   version ([`table::spec::flag`], [`flags`]).
//! - **Experiment**: a comparison of two versions or variants among users ([`table::spec::experiment`],
//!   [`experiment`]); a **run** of it gives its users their **arm**, control or treatment
//!   ([`table::experiment_table`]).
//! - **Traffic**: what of a service changes while requests flow: salt, runs, drained endpoints ([`table::Traffic`]).
//! - **Table**: one immutable, compiled generation of all routing ([`table::Table`]).
//! - **Decision**: service, version, cause and slot of one request ([`table::Decision`]), made by [`table::decide()`],
//!   which `explain` asks too.
//! - **Local reply**: a response of the proxy itself, with a stable word for why ([`stats::RejectReason`]).
//!   **Failure**: how an attempt failed by the upstream's fault ([`stats::UpstreamFailure`]).
//! - **Mirror**: copies of requests for another version, whose responses go to no user ([`table::spec::mirror`]).
//!   **Pair**: the two responses to one request; **difference**: in what they are not the same ([`mirror`]).
//! - **Revision**: a numbered, durable change of the traffic of some services.
//! - **Fleet**: proxies that share one traffic state, and so one history of revisions ([`mod@fleet`]). **Replica**:
//!   one of
//!   them; **leader**: the one that makes rollouts happen.
//! - **Evidence**: what became of the requests of two versions since the tick before ([`rollout::judge::Evidence`]).
//!   **Verdict**: advance, hold or roll back, with what led to it ([`rollout::judge::Verdict`]).
//!
//! # Two planes that meet in one place
//!
//! ```text
//!  data plane: one thread per core, each with its own runtime, listener (SO_REUSEPORT) and upstream pools
//!    accept -> admit -> acquire -> route -> dial -> forward -> deliver -> finish    (local reply: the one side exit)
//!                         |                                          |
//!                   ArcSwap<Table>                            per-worker counters
//!                         ^                                          v
//!  control plane: its own small runtime, the only writer
//!    config file, admin REST, health -> state (durable revision) -> table (compile) -> one store
//! ```
//!
//! A request takes one snapshot of the table at its start and keeps it. A change of any number of services is one
//! revision, durable before it is acknowledged, and one pointer store: no request sees half of it. Workers share
//! nothing that a request writes; the control plane sums their counters when a caller asks.
//!
//! # Where things are
//!
//! From the bottom up; a module imports from below only.
//!
//! - [`tls`]: certificates, keys and authorities from files to rustls, and again when they change. A leaf.
//! - [`tokens`]: secrets by which callers are known, and their files.
//! - [`message`]: heads of messages, as text with the places of its lines. A leaf.
//! - [`http1`]: HTTP/1.1 as bytes, for both sides of the proxy. It sees `message` only.
//! - [`http2`]: bodies, tunnels and pings on streams of HTTP/2, for both sides of the proxy. A leaf.
//! - [`log`]: the process's own log, which never waits for who reads it, and the writing of the access log. A leaf.
//! - [`database`]: files of SQLite that are this process's alone, and where their path leads. A leaf.
//! - [`supervise`]: what must live: threads and tasks, begun again when they end, and looked at. A leaf.
//! - [`stats`]: per-worker counters, latencies, endpoint states, and the words of their labels.
//! - [`jwt`]: tokens of users, verified by the keys of their issuer.
//! - [`flagd`]: flags in the format of flagd: from a file to what a user gets, pure.
//! - [`table`]: pure routing, from a request to a version. Reading order: [`table::spec`], [`table::weights`],
//!   [`table::slots`], [`table::hash`], [`table::traffic`], [`table::router`], [`table::matcher`], [`table::key`],
//!   [`table::service`], [`table::table`], [`table::decide`](mod@table::decide).
//! - [`flags`]: which variant of a flag a user has, pure, over the parts of [`table`].
//! - [`mirror`]: in what the responses to a request and to its copy differ, pure.
//! - [`rollout`]: releases, pure: what a plan is, where a release stands, and its judgement, from counts to a verdict
//!   with its evidence. [`release`] makes it happen.
//! - [`experiment`]: which of two arms is better, pure: from sums over users to intervals and one sentence.
//! - [`chaos`]: what is believed of a service when something fails on purpose, and whether it was true, pure.
//! - [`ledger`]: what experiments that run have counted, owned by one thread, durable.
//! - [`events`]: what programs tell of users, in batches.
//! - [`ofrep`]: flags for those who ask for them by name, by OpenFeature's remote evaluation protocol.
//! - [`upstream`]: connections to endpoints, balancing between them.
//! - [`proxy`]: the life of a request; its files are the stages of the picture.
//! - [`config`]: from text to a validated config, with all problems at once.
//! - [`simulation`]: what a plan will do, before it is used: many simulated releases, for the API and for [`cli`].
//! - [`problem`]: what is wrong with what a person wrote, for the terminal and for the API. A leaf.
//! - [`files`]: files that change while the process runs: when to look, when to read, whether it is all of it.
//! - [`document`]: the state of the proxy as a document, and what has to be said when it changes.
//! - [`outbound`]: requests of our own: webhooks, notifications, hooks, smoke requests, queries of metrics, and the one
//!   client that sends them and the calls of [`cli`].
//! - [`slo`]: error budgets, pure: what users got against what they were promised, by hours, and how fast it goes.
//! - [`control`]: the only writer: changes, revisions, the store, the published table, the watch on the config file.
//! - [`endpoints`]: what keeps endpoints up to date: health checks, name resolution, outliers, slow start.
//! - [`slo_keeper`]: keeps budgets: looks at the counters of objectives, and has the writer store them.
//! - [`mod@fleet`]: replicas that share the traffic state in one key of etcd, and know of each other.
//! - [`gitops`]: the config from a repository: a clone by the git program, the newest commit of a branch in force, and
//!   commits of what changes at run time.
//! - [`metrics`]: every metric name, what Prometheus reads, and the rates of the last seconds.
//! - [`release`]: makes rollouts happen.
//! - [`trial_exchange`]: how the replicas of a fleet come to have the same users in their experiments.
//! - [`chaos_runner`]: makes chaos runs happen.
//! - [`admin`]: the HTTP API on top; only `app` imports it.
//! - [`app`]: binds everything and runs it; nothing else wires parts together.
//! - [`cli`]: the subcommands, one file each.
//!
//! # What must stay true
//!
//! The order of imports, the sizes and the things of which there is one are checked by `tests/tidy` on the sources;
//! where another test keeps a line, it is named.
//!
//! - Imports follow the list above. `proxy` and `upstream` meet the control plane in `app` only. Files of one module
//!   import each other in one direction, but for a folder's page and its parts.
//! - [`stats`], [`flagd`], [`table`], [`flags`], [`mirror`], [`rollout`], [`experiment`], [`chaos`], [`slo`] and
//!   `config` have no async, no I/O, no clock and no randomness of their own: time and chance are arguments.
//! - One store publishes a table; a request loads once, at its start, and keeps that snapshot.
//! - [`table::decide()`] and the decision on a flag, unless it is imported, do not allocate (`tests/alloc/decide.rs`),
//!   lock, log or wait.
//! - A change of weights moves ½·Σ|Δw| of the users, and only from versions that shrink to versions that grow (property
//!   tests of [`table::slots`]).
//! - A status code of the proxy's own is built in `proxy/request/local_reply.rs`, `ofrep/protocol_error.rs`,
//!   `events/event_refusal.rs` and `admin` only.
//! - Metric names stand in [`metrics::names`], the words of their labels in [`stats::labels`]; handles are resolved
//!   when a table is built, never by string in a request.
//! - Only `config` and `admin` know serde shapes; the types behind them cannot hold an invalid value. What is
//!   stored of a rollout ([`release::saved`]) is an exception: its state machine's own words; and so is what is shown
//!   of an experiment, which the API and the command line have in the same words ([`experiment::result_view`]), and a
//!   chaos run, which is kept as it is shown ([`chaos::chaos_record`]).
//! - No function above 70 lines, no file above 400 without its tests.

mod admin;
pub mod app;
mod chaos;
mod chaos_runner;
pub mod cli;
pub mod config;
mod control;
mod database;
mod document;
mod endpoints;
mod events;
mod experiment;
mod files;
mod flagd;
mod flags;
mod fleet;
mod gitops;
mod http1;
mod http2;
mod jwt;
mod ledger;
mod log;
mod message;
mod metrics;
mod mirror;
mod ofrep;
mod outbound;
mod problem;
mod proxy;
mod release;
mod rollout;
mod shared;
mod simulation;
mod slo;
mod slo_keeper;
mod stats;
mod supervise;
mod table;
#[doc(hidden)]
pub mod testing;
mod tls;
mod tokens;
mod trial_exchange;
mod upstream;
