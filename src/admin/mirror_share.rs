//! The version that gets copies of requests, and of how many, as the API shows it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::table::MirrorShare;

/// The version that gets copies, and its share.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MirrorShareView {
    /// The version.
    pub(crate) to: String,
    /// The part of the requests, in per cent.
    pub(crate) share: f64,
}

impl MirrorShareView {
    /// A share that is in force, or was.
    pub(crate) fn of(mirror: &MirrorShare) -> Self {
        Self { to: mirror.to.to_string(), share: mirror.share.percent() }
    }
}
