//! From a TOML tree to the raw sections, with *every* fault on the way.
//!
//! serde stops at the first error. Rather than give up derived structs, [`at`] notes the fault, leaves the faulty node
//! out, and reads again; raw sections have no required field, so what is left always fits in the end. Services are read
//! one by one, so that reading one again does not read 2,000 again.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeValue};
use toml::map::Iter;

use super::config_path::Place;
use super::document::Document;
use super::fault::Fault;
use super::report::Report;
use super::suggest::nearest;

/// What [`Pass`] calls for the innermost node that does not fit.
type Note<'p> = &'p dyn Fn(&Fault, &Place<'_>, NodeId);

/// A node's address: the tree does not move while it is read.
type NodeId = usize;

/// Reads what stands at `place` into `T`, reporting each value in it that does not fit and going on as if it were not
/// there; `None` when the whole of it does not fit.
pub(crate) fn at<T: DeserializeOwned>(place: Place<'_>, document: &Document<'_>, report: &mut Report<'_>) -> Option<T> {
    let value = document.value(&place)?;
    let mut left_out = HashSet::new();
    loop {
        let (noted, reporting) = (Cell::new(None), RefCell::new(&mut *report));
        let note = |fault: &Fault, place: &Place<'_>, node: NodeId| {
            // Outer nodes fail because the inner one did.
            if noted.replace(Some(noted.get().unwrap_or(node))).is_none() {
                report_fault(fault, place, &mut reporting.borrow_mut());
            }
        };
        match once(value, place, &left_out, &note) {
            Ok(raw) => return Some(raw),
            Err(fault) => match noted.get() {
                Some(node) if !report.is_full() && left_out.insert(node) => {}
                Some(_) => return None,
                None => {
                    report_fault(&fault, &place, report);
                    return None;
                }
            },
        }
    }
}

/// Reads `value` without the nodes that are `left_out`, up to the first fault.
pub(crate) fn once<T: DeserializeOwned>(
    value: &DeValue<'_>,
    place: Place<'_>,
    left_out: &HashSet<NodeId>,
    note: Note<'_>,
) -> Result<T, Fault> {
    T::deserialize(Node { value, place, absent: false, pass: &Pass { left_out, note } })
}

/// Reports `fault`, and that a misspelt key is not missing.
fn report_fault(fault: &Fault, place: &Place<'_>, report: &mut Report<'_>) {
    report.problem(place, fault.text.as_str());
    if let (Some(known), Place::Key(table, key)) = (fault.known, place)
        && let Some(meant) = nearest(key, known.iter().copied())
    {
        report.excuse(&table.key(meant));
    }
}

/// One reading of the tree.
struct Pass<'p> {
    left_out: &'p HashSet<NodeId>,
    note: Note<'p>,
}

impl Pass<'_> {
    fn leaves_out(&self, value: &DeValue<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&id(value))
    }

    /// Notes that `value` at `place` does not fit, if it does not.
    fn check<T>(&self, result: Result<T, Fault>, value: &DeValue<'_>, place: &Place<'_>) -> Result<T, Fault> {
        result.inspect_err(|fault| (self.note)(fault, place, id(value)))
    }
}

fn id(value: &DeValue<'_>) -> NodeId {
    std::ptr::from_ref(value).addr()
}

/// A value of the tree, as a deserializer.
#[derive(Clone, Copy)]
struct Node<'p> {
    value: &'p DeValue<'p>,
    place: Place<'p>,
    /// An element that was left out: it keeps its number, so that the elements after it keep theirs.
    absent: bool,
    pass: &'p Pass<'p>,
}

impl Node<'_> {
    /// How serde calls what this is.
    fn unexpected(&self) -> Unexpected<'_> {
        match self.value {
            DeValue::String(text) => Unexpected::Str(text),
            DeValue::Integer(number) => integer(number).map_or(Unexpected::Other(number.as_str()), Unexpected::Signed),
            DeValue::Float(number) => number.as_str().parse().map_or(Unexpected::Other("a number"), Unexpected::Float),
            DeValue::Boolean(value) => Unexpected::Bool(*value),
            DeValue::Datetime(_) => Unexpected::Other("a date or time"),
            DeValue::Array(_) => Unexpected::Seq,
            DeValue::Table(_) => Unexpected::Map,
        }
    }
}

/// The value of an integer, unless it is larger than any setting can be.
fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Integer(number) => match integer(number) {
                Some(number) => visitor.visit_i64(number),
                None => Err(Fault::invalid_type(self.unexpected(), &visitor)),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(Fault::invalid_type(self.unexpected(), &visitor)),
            },
            DeValue::Datetime(_) => Err(Fault::invalid_type(self.unexpected(), &visitor)),
            DeValue::Array(list) => visitor.visit_seq(Elements { list, next: 0, of: self }),
            DeValue::Table(table) => visitor.visit_map(Entries { rest: table.iter(), value: None, of: self }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.absent { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Without a look inside.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            DeValue::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                let quoted: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
                let wanted = format!("one of {}", quoted.join(", "));
                Err(Fault::invalid_type(self.unexpected(), &wanted.as_str()))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// The entries of a table.
struct Entries<'p> {
    rest: Iter<'p, Spanned<DeString<'p>>, Spanned<DeValue<'p>>>,
    value: Option<(&'p str, &'p DeValue<'p>)>,
    of: Node<'p>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let pass = self.of.pass;
        let Some((key, value)) = self.rest.find(|(_, value)| !pass.leaves_out(value.get_ref())) else {
            return Ok(None);
        };
        let (key, value) = (key.get_ref().as_ref(), value.get_ref());
        self.value = Some((key, value));
        pass.check(seed.deserialize(StrDeserializer::new(key)), value, &self.of.place.key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, value) = self.value.take().ok_or_else(|| Fault::custom("a value is read before its key"))?;
        let place = self.of.place.key(key);
        let node = Node { value, place, absent: false, pass: self.of.pass };
        self.of.pass.check(seed.deserialize(node), value, &place)
    }
}

/// The elements of a list.
struct Elements<'p> {
    list: &'p [Spanned<DeValue<'p>>],
    next: usize,
    of: Node<'p>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(value) = self.list.get(self.next).map(Spanned::get_ref) else {
            return Ok(None);
        };
        let (pass, place) = (self.of.pass, self.of.place.item(self.next));
        self.next += 1;
        let node = Node { value, place, absent: pass.leaves_out(value), pass };
        pass.check(seed.deserialize(node), value, &place).map(Some)
    }
}
