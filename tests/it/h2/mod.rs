//! HTTP/2 on either side.

mod conformance_h2;
mod endpoint_frames;
mod endpoint_hints;
mod endpoint_streams;
mod endpoint_windows;
mod rules;
mod streams;
mod streams_refused;
