//! Releases on real sockets: canaries, rolling releases, groups, and the shield beside them.

mod canary;
mod cold_connections;
mod cold_endpoints;
mod evidence;
mod evidence_over_time;
mod flag_groups;
mod flag_power_cuts;
mod flags;
mod forged_keys;
mod full_load;
mod guardrails;
mod judge_live;
mod life;
mod own_metrics;
mod people;
mod responses;
mod rolling;
mod routes;
mod shield;
mod smoke;
