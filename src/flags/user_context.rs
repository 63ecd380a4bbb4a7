//! A user, as rules of imported flags see one.

use std::borrow::Cow;
use std::sync::Arc;

use super::user::FlagUser;
use crate::flagd::datum::Datum;
use crate::flagd::flag_context::FlagContext;
use crate::table::Table;
use crate::table::spec::Attribute;

/// A user whom a rule is evaluated for.
pub(crate) struct UserContext<'a, U> {
    /// The table that is asked.
    pub(crate) table: &'a Table,
    /// Who asks.
    pub(crate) user: &'a U,
    /// Where a request has what the rule looks at.
    pub(crate) attributes: &'a [Arc<Attribute>],
}

impl<U: FlagUser> FlagContext for UserContext<'_, U> {
    fn targeting_key(&self) -> Option<Cow<'_, str>> {
        self.user.key()
    }

    fn attribute(&self, name: &str) -> Option<Datum<'_>> {
        self.user.known(name, self.attributes)
    }

    fn version_of(&self, service: &str) -> Option<Cow<'_, str>> {
        let index = self.table.index_of(service)?;
        let version = self.user.version(index)?;
        let version = self.table.service(index).spec.versions.get(usize::from(version))?;
        Some(Cow::Borrowed(version.name.as_str()))
    }

    fn seconds(&self) -> i64 {
        self.user.seconds()
    }
}
