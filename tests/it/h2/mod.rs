//! HTTP/2 on either side.

mod conformance_h2;
mod rules;
mod streams;
mod streams_refused;
