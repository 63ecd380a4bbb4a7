//! What a request is decided by.

use super::acquire::TableView;
use super::admit::Admitted;
use super::header_edits::RequestId;
use crate::table::RequestView;

/// What a request is decided by.
pub(crate) struct RouteQuery<'q> {
    /// The table, and what the target is there.
    pub acquired: &'q TableView,
    /// What admission found.
    pub admitted: &'q Admitted,
    /// What rules and keys look at.
    pub view: RequestView<'q>,
    /// The id of the request.
    pub id: &'q RequestId,
}
