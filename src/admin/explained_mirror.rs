//! What `explain` says of the mirror of a service: whether a request like this one is copied, and if not, why.

use serde::Serialize;
use utoipa::ToSchema;

use crate::message::Headers;
use crate::message::known_headers::{UPGRADE, X_MIRROR};
use crate::table::{Decision, RequestView, Version};

/// The mirror of the service, and what it does with the request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ExplainedMirror {
    /// The version that gets copies.
    to: String,
    /// The part of the requests that is copied, in per cent.
    share: f64,
    /// Whether such requests are copied.
    pub(super) copied: bool,
    /// That, or why not, in words.
    pub(super) why: String,
}

/// What the mirror does with the request that `decision` is about, if its service has one. It is answered by one of
/// `answering`: by the only one, unless chance decides.
pub(crate) fn explained_mirror(
    view: &RequestView<'_>,
    decision: &Decision<'_>,
    answering: &[&str],
) -> Option<ExplainedMirror> {
    let mirror = decision.service.mirror.as_deref()?;
    let Version { name: to, .. } = &decision.service.versions[usize::from(mirror.to)];
    let share = mirror.share.percent();
    let named = || mirror.spec.methods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let why_not = if answering == [to.as_str()] {
        Some(format!("{to} answers it itself"))
    } else if !mirror.spec.copies(view.method) {
        Some(format!("{} is none of the methods that are copied ({})", view.method, named()))
    } else {
        of_headers(view.headers).map(str::to_owned)
    };
    let copied = why_not.is_none();
    let why = match why_not {
        Some(why_not) => format!("not copied to {to}: {why_not}"),
        None if answering.contains(&to.as_str()) => {
            format!("{share} % of such requests are copied to {to}, unless it answers them itself")
        }
        None => format!("{share} % of such requests are copied to {to}"),
    };
    Some(ExplainedMirror { to: to.to_string(), share, copied, why })
}

/// Why a request with these headers is not copied.
fn of_headers(headers: &Headers) -> Option<&'static str> {
    if headers.contains(UPGRADE) {
        return Some("it asks for another protocol (upgrade)");
    }
    let is_marked = headers.contains(X_MIRROR);
    is_marked
        .then_some("it is a copy itself (x-pointsman-mirror), if a trusted proxy says so; from others it is copied")
}
