//! Who asks for a flag: a request, or someone known by a key and attributes.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::flagd::datum::Datum;
use crate::table::compiled_flag::FlagDraw;
use crate::table::key::OwnKey;
use crate::table::rules::CompiledTarget;
use crate::table::spec::Attribute;
use crate::table::user_facts::UserFacts;
use crate::table::{RequestView, Table};

/// A user whom a flag is decided for.
pub(crate) trait FlagUser: UserFacts {
    /// The slot that the user's key falls on; none without a key.
    fn slot(&self, draw: &FlagDraw) -> Option<u32>;

    /// Index of the version that the user gets of the service with this index; none without a key, unless a rule picks
    /// one.
    fn version(&self, service: u32) -> Option<u16>;

    /// Hands the user's key to `then`; none without one.
    fn with_user_key<R>(&self, then: impl Fn(&[u8]) -> R) -> Option<R>;

    /// The user's key, as a text.
    fn key(&self) -> Option<Cow<'_, str>>;

    /// What is known of the user by this name; of a request, if one of these attributes has it.
    fn known(&self, name: &str, attributes: &[Arc<Attribute>]) -> Option<Datum<'_>>;

    /// The time, in seconds since 1970.
    fn seconds(&self) -> i64;
}

/// The user of a request that has been routed.
#[derive(Clone, Copy, Debug)]
pub struct RequestUser<'a> {
    /// The table that the request was routed by.
    pub table: &'a Table,
    /// The request, as rules see it.
    pub view: &'a RequestView<'a>,
    /// Index of its service.
    pub service: u32,
    /// Index of the version that responds.
    pub version: u16,
    /// The slot that the request was routed by; none if a rule chose.
    pub slot: Option<u32>,
    /// The key that the client is given with the response, if it had none.
    pub new_key: Option<OwnKey>,
    /// Tells the time in seconds since 1970, to rules that look at it.
    pub clock: fn() -> i64,
}

impl RequestUser<'_> {
    /// Hands the key that the user has for a service to `then`.
    fn with_key<R>(&self, service: u32, then: impl Fn(&[u8]) -> R) -> Option<R> {
        let mut sources = self.table.service(service).spec.sticky.iter();
        sources.find_map(|source| {
            let given = || self.new_key.filter(|_| source.is_own_cookie());
            source.with_key(self.view, &then).or_else(|| given().map(|key| then(key.as_bytes())))
        })
    }

    /// The slot by the keys of a service, under its salt.
    fn slot_of(&self, service: u32) -> Option<u32> {
        let routed = self.slot.filter(|_| service == self.service);
        routed.or_else(|| self.with_key(service, |key| self.table.entry(service).slot(key)))
    }
}

impl UserFacts for RequestUser<'_> {
    fn request(&self) -> Option<&RequestView<'_>> {
        Some(self.view)
    }

    fn with_attribute<R>(&self, attribute: &Attribute, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.view.with_attribute(attribute, then)
    }
}

impl FlagUser for RequestUser<'_> {
    fn slot(&self, draw: &FlagDraw) -> Option<u32> {
        match draw {
            FlagDraw::Salt(salt) => self.with_key(self.service, |key| salt.slot(key)),
            FlagDraw::Service(service) => self.slot_of(*service),
        }
    }

    fn version(&self, service: u32) -> Option<u16> {
        if service == self.service {
            return Some(self.version);
        }
        let rule = rule_of(self.table, service, self);
        let experiment = || self.with_key(service, |key| self.table.experiments().version(service, self, key))?;
        let split = || self.slot_of(service).map(|slot| self.table.entry(service).owner(slot));
        rule.or_else(|| experiment().map(|given| given.choice)).or_else(split)
    }

    fn with_user_key<R>(&self, then: impl Fn(&[u8]) -> R) -> Option<R> {
        self.with_key(self.service, then)
    }

    fn key(&self) -> Option<Cow<'_, str>> {
        self.with_key(self.service, |key| Cow::Owned(String::from_utf8_lossy(key).into_owned()))
    }

    fn known(&self, name: &str, attributes: &[Arc<Attribute>]) -> Option<Datum<'_>> {
        let attribute = attributes.iter().find(|attribute| attribute.name.as_str() == name)?;
        let text = |value: &[u8]| Datum::Text(Cow::Owned(String::from_utf8_lossy(value).into_owned()));
        self.with_attribute(attribute, text)
    }

    fn seconds(&self) -> i64 {
        (self.clock)()
    }
}

/// A user who is known by a key and attributes, without a request.
#[derive(Clone, Debug)]
pub(crate) struct KnownUser<'t> {
    /// The table that is asked.
    pub(crate) table: &'t Table,
    /// The key, if there is one; it is that of every service.
    pub(crate) key: Option<Box<str>>,
    /// What else is known.
    pub(crate) context: Map<String, Value>,
    /// Tells the time in seconds since 1970, to rules that look at it.
    pub(crate) clock: fn() -> i64,
}

impl UserFacts for KnownUser<'_> {
    fn request(&self) -> Option<&RequestView<'_>> {
        None
    }

    fn with_attribute<R>(&self, attribute: &Attribute, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        // Numbers as they are written, `true` and `false`; nothing else is one value.
        let value = match self.context.get(attribute.name.as_str())? {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        (!value.is_empty()).then(|| then(value.as_bytes()))
    }
}

impl FlagUser for KnownUser<'_> {
    fn slot(&self, draw: &FlagDraw) -> Option<u32> {
        let key = self.key.as_deref().filter(|key| !key.is_empty())?.as_bytes();
        Some(match draw {
            FlagDraw::Salt(salt) => salt.slot(key),
            FlagDraw::Service(service) => self.table.entry(*service).slot(key),
        })
    }

    fn version(&self, service: u32) -> Option<u16> {
        let experiment = || self.with_user_key(|key| self.table.experiments().version(service, self, key))?;
        let split = || self.slot(&FlagDraw::Service(service)).map(|slot| self.table.entry(service).owner(slot));
        rule_of(self.table, service, self).or_else(|| experiment().map(|given| given.choice)).or_else(split)
    }

    fn with_user_key<R>(&self, then: impl Fn(&[u8]) -> R) -> Option<R> {
        self.key.as_deref().filter(|key| !key.is_empty()).map(|key| then(key.as_bytes()))
    }

    fn key(&self) -> Option<Cow<'_, str>> {
        self.key.as_deref().map(Cow::Borrowed)
    }

    fn known(&self, name: &str, _: &[Arc<Attribute>]) -> Option<Datum<'_>> {
        self.context.get(name).map(Datum::from)
    }

    fn seconds(&self) -> i64 {
        (self.clock)()
    }
}

/// Someone of whom nothing is known but the version of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionUser {
    /// Index of the service.
    pub(crate) service: u32,
    /// Index of the version.
    pub(crate) version: u16,
}

impl UserFacts for VersionUser {
    fn request(&self) -> Option<&RequestView<'_>> {
        None
    }

    fn with_attribute<R>(&self, _: &Attribute, _: impl FnOnce(&[u8]) -> R) -> Option<R> {
        None
    }
}

impl FlagUser for VersionUser {
    fn slot(&self, _: &FlagDraw) -> Option<u32> {
        None
    }

    fn version(&self, service: u32) -> Option<u16> {
        (service == self.service).then_some(self.version)
    }

    fn with_user_key<R>(&self, _: impl Fn(&[u8]) -> R) -> Option<R> {
        None
    }

    fn key(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn known(&self, _: &str, _: &[Arc<Attribute>]) -> Option<Datum<'_>> {
        None
    }

    fn seconds(&self) -> i64 {
        0
    }
}

/// The version that a rule of a service picks.
fn rule_of(table: &Table, service: u32, facts: &impl UserFacts) -> Option<u16> {
    match table.service(service).rules.iter().find(|rule| rule.when.holds(facts))?.target {
        CompiledTarget::Version(version) => Some(version),
        CompiledTarget::Split | CompiledTarget::Respond => None,
    }
}
