//! Attributes and segments of users, flags, and flags over HTTP, through a whole proxy; flags in flagd's format, beside
//! its own evaluators.

mod at_run_time;
mod attributes;
mod flagd_case;
mod flagd_import;
mod flagd_inputs;
mod flagd_oracle;
mod flagd_testbed;
mod ofrep;
mod ofrep_browser;
mod ofrep_clients;
mod ofrep_events;
mod told;
