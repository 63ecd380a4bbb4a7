//! The user of a request that the split has drawn by chance.

use std::borrow::Cow;
use std::sync::Arc;

use crate::flagd::datum::Datum;
use crate::flags::RequestUser;
use crate::flags::user::FlagUser;
use crate::table::RequestView;
use crate::table::compiled_flag::FlagDraw;
use crate::table::spec::Attribute;
use crate::table::user_facts::UserFacts;

/// A user whose service found no key in the request. For the request itself the draw of the split counts; for a call
/// that asks what later requests will be it does not, as the next one is drawn anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeylessUser<'a>(pub(crate) RequestUser<'a>);

impl UserFacts for KeylessUser<'_> {
    fn request(&self) -> Option<&RequestView<'_>> {
        self.0.request()
    }

    fn with_attribute<R>(&self, attribute: &Attribute, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.with_attribute(attribute, then)
    }
}

impl FlagUser for KeylessUser<'_> {
    fn slot(&self, draw: &FlagDraw) -> Option<u32> {
        RequestUser { slot: None, ..self.0 }.slot(draw)
    }

    fn version(&self, service: u32) -> Option<u16> {
        if service == self.0.service { None } else { self.0.version(service) }
    }

    fn with_user_key<R>(&self, then: impl Fn(&[u8]) -> R) -> Option<R> {
        self.0.with_user_key(then)
    }

    fn key(&self) -> Option<Cow<'_, str>> {
        self.0.key()
    }

    fn known(&self, name: &str, attributes: &[Arc<Attribute>]) -> Option<Datum<'_>> {
        self.0.known(name, attributes)
    }

    fn seconds(&self) -> i64 {
        self.0.seconds()
    }
}
