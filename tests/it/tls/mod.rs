//! TLS with clients, with endpoints, and of the admin API.

mod admin_api;
mod shared_tickets;
mod with_clients;
mod with_endpoints;
