//! Requests of our own: everything that this process asks or tells other programs.
//!
//! [`client`] sends one request, that of the command line too, to an endpoint or a [`site`]. [`webhook`] posts JSON
//! ([signed](sign) with a [`secret`]), [`notify`] tells people what rollouts do, [`hook`] runs the commands of a
//! rolling release, [`smoke`] tries a candidate before users do, [`prometheus`] asks a metrics server for a number, and
//! [`jwks`] fetches the keys of tokens.
//! [`url_target`] is what a URL of the config comes to, and [`excerpt`] keeps what others say short enough for a log
//! line. Each ends within a time that its caller knows.

pub(crate) mod client;
pub(crate) mod excerpt;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod hook;
pub(crate) mod jwks;
pub(crate) mod notify;
pub(crate) mod prometheus;
pub(crate) mod secret;
pub(crate) mod sign;
pub(crate) mod site;
pub(crate) mod smoke;
pub(crate) mod url_target;
pub(crate) mod webhook;
