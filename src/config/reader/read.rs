//! From a tree to the raw sections of a config or the body of a call, with *every* fault on the way.
//!
//! serde stops at the first error. Rather than give up derived structs, [`at`] notes the fault, leaves the faulty node
//! out, and reads again; what is read has no required field, so what is left always fits in the end. Services are read
//! one by one, so that reading one again does not read 2,000 again.
//!
//! A key that a struct does not have is refused here, for each struct, so that none can forget to refuse it. `null`,
//! which only JSON has, is a key that is left out; in a list it is a value that does not fit.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::config_path::ConfigPath;
use super::input::Input;
use super::read_fault::{ReadFault, one_quoted};
use super::report::Report;
use super::tree::{Content, Entries, NodeId, Notation, Tree};
use crate::problem::suggest;

/// What [`Pass`] calls for the innermost node that does not fit.
type Note<'p> = &'p dyn Fn(&ReadFault, &ConfigPath<'_>, NodeId);

/// Reads what stands at `path` into `T`, reporting each value in it that does not fit and going on as if it were not
/// there; `None` when the whole of it does not fit.
pub(crate) fn at<T: DeserializeOwned>(path: ConfigPath<'_>, input: &Input<'_>, report: &mut Report<'_>) -> Option<T> {
    all(input.value(&path)?, path, report)
}

/// Reads `value`, whose problems are reported at `path` and below it, like [`at`].
pub(crate) fn all<T: DeserializeOwned>(value: Tree<'_>, path: ConfigPath<'_>, report: &mut Report<'_>) -> Option<T> {
    let notation = value.notation();
    let mut left_out = report.left_out();
    loop {
        let (noted, reporting) = (Cell::new(None), RefCell::new(&mut *report));
        let note = |fault: &ReadFault, path: &ConfigPath<'_>, node: NodeId| {
            // Outer nodes fail because the inner one did.
            if noted.replace(Some(noted.get().unwrap_or(node))).is_none() {
                report_fault(fault, notation, path, &mut reporting.borrow_mut());
            }
        };
        match once(value, path, &left_out, &note) {
            Ok(raw) => return Some(raw),
            Err(fault) => match noted.get() {
                Some(node) if !report.is_full() && left_out.insert(node) => {}
                Some(_) => return None,
                None => {
                    report_fault(&fault, notation, &path, report);
                    return None;
                }
            },
        }
    }
}

/// Reads `value` without the nodes that are `left_out`, up to the first fault.
pub(crate) fn once<T: DeserializeOwned>(
    value: Tree<'_>,
    path: ConfigPath<'_>,
    left_out: &HashSet<NodeId>,
    note: Note<'_>,
) -> Result<T, ReadFault> {
    T::deserialize(Node { value, path, role: Role::Value, pass: &Pass { left_out, note } })
}

/// Reports `fault`, and that a misspelt key is not missing.
fn report_fault(fault: &ReadFault, notation: Notation, path: &ConfigPath<'_>, report: &mut Report<'_>) {
    let mut mismatch = fault.mismatch(notation);
    if fault.wants_no_text() && report.is_of_variables(path) {
        "write the value itself: variables make texts only".clone_into(&mut mismatch.remedy);
    }
    report.problem(path, mismatch);
    if let (Some(known), ConfigPath::Key(table, key)) = (fault.known(), path)
        && let Some(meant) = suggest(key, known.iter().copied())
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
    fn leaves_out(&self, value: Tree<'_>) -> bool {
        !self.left_out.is_empty() && self.left_out.contains(&value.id())
    }

    /// Notes that `value` at `path` does not fit, if it does not.
    fn check<T>(&self, result: Result<T, ReadFault>, value: Tree<'_>, path: &ConfigPath<'_>) -> Result<T, ReadFault> {
        result.inspect_err(|fault| (self.note)(fault, path, value.id()))
    }
}

/// What a node is to what it stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The whole, or the value of a key.
    Value,
    /// An element of a list.
    Element,
    /// An element that was left out: it keeps its number, so that the elements after it keep theirs.
    Hole,
}

/// A value of the tree, as a deserializer.
#[derive(Clone, Copy)]
struct Node<'p> {
    value: Tree<'p>,
    path: ConfigPath<'p>,
    role: Role,
    pass: &'p Pass<'p>,
}

impl<'p> Node<'p> {
    /// How serde calls what this is.
    fn unexpected(&self) -> Unexpected<'p> {
        match self.value.content() {
            Content::Null => Unexpected::Unit,
            Content::Bool(value) => Unexpected::Bool(value),
            Content::Whole(number) => Unexpected::Signed(number),
            Content::Huge(number) => Unexpected::Unsigned(number),
            Content::Fraction(number) => Unexpected::Float(number),
            Content::Text(text) => Unexpected::Str(text),
            Content::Other(what) => Unexpected::Other(what),
            Content::List => Unexpected::Seq,
            Content::Table => Unexpected::Map,
        }
    }

    fn fields(self, known: Option<&'static [&'static str]>) -> Fields<'p> {
        Fields { rest: self.value.entries(), known, value: None, of: self }
    }
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = ReadFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        match self.value.content() {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(value),
            Content::Whole(number) => visitor.visit_i64(number),
            Content::Huge(number) => visitor.visit_u64(number),
            Content::Fraction(number) => visitor.visit_f64(number),
            Content::Text(text) => visitor.visit_str(text),
            Content::Other(_) => Err(ReadFault::invalid_type(self.unexpected(), &visitor)),
            Content::List => visitor.visit_seq(Elements { next: 0, of: self }),
            Content::Table => visitor.visit_map(self.fields(None)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadFault> {
        // serde would also take a list, by the order of the keys in the source.
        let Content::Table = self.value.content() else {
            return Err(ReadFault::invalid_type(self.unexpected(), &visitor));
        };
        visitor.visit_map(self.fields(Some(known)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let is_null = matches!(self.value.content(), Content::Null) && self.role == Role::Value;
        if is_null || self.role == Role::Hole { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadFault> {
        visitor.visit_newtype_struct(self)
    }

    /// Without a look inside.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadFault> {
        let Content::Text(text) = self.value.content() else {
            return Err(ReadFault::invalid_type(self.unexpected(), &one_quoted(choices).as_str()));
        };
        visitor.visit_enum(StrDeserializer::new(text))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

/// The entries of a table.
struct Fields<'p> {
    rest: Entries<'p>,
    /// The keys that it may have; none: any.
    known: Option<&'static [&'static str]>,
    value: Option<(&'p str, Tree<'p>)>,
    of: Node<'p>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = ReadFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadFault> {
        let pass = self.of.pass;
        let Some((key, value)) = self.rest.find(|(_, value)| !pass.leaves_out(*value)) else {
            return Ok(None);
        };
        self.value = Some((key, value));
        let read = match self.known {
            Some(known) if !known.contains(&key) => Err(ReadFault::unknown_field(key, known)),
            Some(_) | None => seed.deserialize(StrDeserializer::new(key)),
        };
        pass.check(read, value, &self.of.path.key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadFault> {
        let (key, value) = self.value.take().ok_or_else(|| ReadFault::custom("a value is read before its key"))?;
        let path = self.of.path.key(key);
        let node = Node { value, path, role: Role::Value, pass: self.of.pass };
        self.of.pass.check(seed.deserialize(node), value, &path)
    }
}

/// The elements of a list.
struct Elements<'p> {
    next: usize,
    of: Node<'p>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = ReadFault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadFault> {
        let Some(value) = self.of.value.item(self.next) else {
            return Ok(None);
        };
        let (pass, path) = (self.of.pass, self.of.path.item(self.next));
        self.next += 1;
        let role = if pass.leaves_out(value) { Role::Hole } else { Role::Element };
        let node = Node { value, path, role, pass };
        pass.check(seed.deserialize(node), value, &path).map(Some)
    }
}
