//! OFREP 0.3.0, OpenFeature's remote evaluation protocol: flags for those who ask for them by name.
//!
//! [`protocol_call`] is what a request asks for, [`evaluation_context`] what it says of its user, [`protocol_error`]
//! how it is refused. [`evaluation_body`] asks for flags and writes the response, [`entity_tag`] tells one response
//! from another, [`cross_origin`] is for pages of other origins, [`keyless_user`] for users without a key, and
//! [`flag_listener`] is what a listener knows of all that. Those are pure. [`change_feed`] tells clients that flags
//! have changed, [`announcer`] finds out, by [`flag_fingerprint`]; [`change_event`] is what is said.
//!
//! The workers answer these calls on their own listeners, between the admission of a request and its routing
//! ([`flag_protocol`](crate::proxy::request::flag_protocol)). A second HTTP server beside them, to which the proxy
//! forwards, was the obvious way, and it is worse in three respects. The user would have to be told to it in headers
//! that clients must not be able to send. It would know a key and attributes, and no request: a rule that asks for a
//! cookie would hold for the page and not for its flags. And all limits of a listener (connections, rates, slow
//! clients, TLS, the handover to another process) would be there twice. On the workers the flag of a page is decided by
//! the request itself, by the same table and the same function as the header that the service gets.
//!
//! Two kinds of listeners answer. One that belongs to a site ([`UserSource::Request`](flag_listener::UserSource)) knows
//! its users, and believes nothing that they say of themselves. One of its own is for programs that speak for users: it
//! believes the context, and asks for a token if it has some.
//!
//! What must stay true: the entity tag depends on the result, so on flags *and* user; a change of the table that
//! changes no flag is not told; a client that waits for changes costs one place on a channel, and no timer.

pub(crate) mod announcer;
pub(crate) mod change_event;
pub(crate) mod change_feed;
pub(crate) mod cross_origin;
pub(crate) mod entity_tag;
pub(crate) mod evaluation_body;
pub(crate) mod evaluation_context;
pub(crate) mod flag_fingerprint;
pub(crate) mod flag_listener;
pub(crate) mod keyless_user;
pub(crate) mod protocol_call;
pub(crate) mod protocol_error;
