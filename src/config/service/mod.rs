//! The sections `[services.NAME]` and `[segments.NAME]`: what users address, its versions, split and rules.

pub(crate) mod condition;
pub(crate) mod definition;
pub(crate) mod health;
pub(crate) mod on_shift;
pub(crate) mod outlier;
pub(crate) mod pattern;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod segment;
pub(crate) mod shield;
pub(crate) mod split;
pub(crate) mod sticky;
pub(crate) mod version;
