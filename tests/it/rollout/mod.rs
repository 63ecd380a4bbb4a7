//! Releases on real sockets: canaries, rolling releases, groups, and the shield beside them.

mod canary;
mod cold_connections;
mod cold_endpoints;
mod evidence;
mod forged_keys;
mod full_load;
mod judge_live;
mod life;
mod own_metrics;
mod people;
mod responses;
mod rolling;
mod routes;
mod shield;
mod smoke;
