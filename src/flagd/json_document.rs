//! A JSON document in which every member has a name of its own.
//!
//! Of two members of one name, a parser keeps one, and says nothing: one of two flags would be gone.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::json_pointer::JsonPointer;

/// Reads a document, and says where a name stands for the second time.
pub(crate) fn read(text: &str) -> Result<(Value, Vec<String>), serde_json::Error> {
    let twice = RefCell::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Place { at: JsonPointer::Root, twice: &twice }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, twice.into_inner()))
}

/// The value at a place.
struct Place<'a> {
    at: JsonPointer<'a>,
    twice: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| Error::custom("a number that is too large"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Place { at: self.at.item(items.len()), twice: self.twice })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let at = self.at.key(&name);
            if members.contains_key(&name) {
                self.twice.borrow_mut().push(at.to_string());
            }
            let value = object.next_value_seed(Place { at, twice: self.twice })?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_told_with_its_place() {
        let (value, twice) = read(r#"{"a": [{"b": 1, "b": 2.5}], "a": null, "c": "x", "d": -1, "e": true}"#).unwrap();
        assert_eq!(value, json!({"a": null, "c": "x", "d": -1, "e": true}));
        assert_eq!(twice, ["/a/0/b", "/a"]);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in ["", "{", "{} {}", "[1,]", &"[".repeat(200), "1e999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
