//! The steps of one request.
//!
//! [`proxy_request`] is the list of steps on one [`context`]: [`admit`] the head, [`acquire`] a permit, verify its
//! token ([`bearer`]), decide the [`route`] to a [`destination`], [`dial`] an endpoint, note what it says of its user
//! ([`user_trials`]), edit the head ([`header_edits`], [`flag_headers`]), [`forward`] the request, [`deliver`] the
//! response, [`finish`].
//!
//! Beside the steps: [`upstream_connection`] is what a request is sent on, which may be [`private`] to its client;
//! [`send`] is one try; [`fallback`] is the attempt on the stable version; [`interim`] responses pass while the request
//! waits; [`cache_headers`] is what a response tells caches. While a chaos run is on a service, [`chaos_draw`] says
//! which requests are in it, [`chaos_attempt`] what is done to their attempts, [`chaos_request`] what is known of one,
//! and [`chaos_context`] what its context has to do with it. An [`own_call`] is one that the proxy itself answers, as
//! an [`own_request`] whose [body](call_body) is read whole: for flags ([`flag_protocol`]), and with events
//! ([`event_protocol`], by what an [`event_listener`] knows). An [`edge_request`] is what the edge of a service edits
//! of one, and an [`edge_reply`] what a rule responds, as a [`configured_reply`]; a [`route_query`] is what decides on
//! one. A request that is not forwarded ends with a [`local_reply`], which may have a page of the service
//! ([`error_reply`]), or with an [`early_response`] that says where to go.

pub(crate) mod acquire;
pub(crate) mod admit;
pub(crate) mod bearer;
pub(crate) mod cache_headers;
pub(crate) mod call_body;
pub(crate) mod chaos_attempt;
pub(crate) mod chaos_context;
pub(crate) mod chaos_draw;
pub(crate) mod chaos_request;
pub(crate) mod configured_reply;
pub(crate) mod context;
pub(crate) mod deliver;
pub(crate) mod destination;
pub(crate) mod dial;
pub(crate) mod early_response;
pub(crate) mod edge_reply;
pub(crate) mod edge_request;
pub(crate) mod error_reply;
pub(crate) mod event_listener;
pub(crate) mod event_protocol;
pub(crate) mod fallback;
pub(crate) mod finish;
pub(crate) mod flag_headers;
pub(crate) mod flag_protocol;
pub(crate) mod forward;
pub(crate) mod header_edits;
pub(crate) mod interim;
pub(crate) mod local_reply;
mod objectives;
pub(crate) mod own_call;
pub(crate) mod own_request;
pub(crate) mod private;
pub(crate) mod proxy_request;
pub(crate) mod route;
pub(crate) mod route_query;
pub(crate) mod send;
pub(crate) mod upstream_connection;
pub(crate) mod user_trials;
