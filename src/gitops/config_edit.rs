//! Other weights in the text of a config. Comments, order and everything else in it stay as they are. Pure.
//!
//! The text is changed where the weights stand, in the way they are written there. A config can be written in many
//! ways; who calls this reads the result again, as a config, before anything comes of it.

use std::collections::BTreeMap;

use toml_edit::{DocumentMut, Formatted, InlineTable, Item, TableLike, Value};

use crate::control::weight_marks::WeightSubject;
use crate::table::{Name, Weight, Weights};

/// What a service or a flag is to have in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WeightsToWrite {
    /// The split of a service.
    Split(Weights),
    /// A flag.
    Flag {
        /// Whether it is enabled.
        enabled: bool,
        /// What its rules serve.
        rules: BTreeMap<Name, Weights>,
    },
}

/// Why a text cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigEditError {
    /// It is no TOML.
    #[error("it is no TOML: {0}")]
    Text(String),
    /// It is written for two systems.
    #[error("found lines that end in two ways, want one of them: all others would change too")]
    LineEnds,
    /// The key is not there, or is something else.
    #[error("found {found} at {place}, want {wanted} to write other weights to")]
    Shape {
        /// The key.
        place: String,
        /// What is there.
        found: String,
        /// What can be changed.
        wanted: &'static str,
    },
}

/// The text after `subject` has these weights in it.
///
/// # Errors
/// [`ConfigEditError`] when the text has no place for them that is known.
pub(crate) fn edited(text: &str, subject: &WeightSubject, wanted: &WeightsToWrite) -> Result<String, ConfigEditError> {
    let ends = line_ends(text)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| ConfigEditError::Text(error.message().to_owned()))?;
    let (section, name) = match subject {
        WeightSubject::Service(name) => ("services", name),
        WeightSubject::Flag(name) => ("flags", name),
    };
    let place = format!("{section}.{name}");
    let found = document.get_mut(section).and_then(Item::as_table_like_mut).and_then(|all| all.get_mut(name.as_str()));
    let table = found.and_then(Item::as_table_like_mut).ok_or_else(|| shape(&place, "nothing", "a table"))?;
    match wanted {
        WeightsToWrite::Split(weights) => write_split(table, &place, weights)?,
        WeightsToWrite::Flag { enabled, rules } => {
            if is_enabled(table) != *enabled {
                put(table, "enabled", (*enabled).into());
            }
            for (rule, serve) in rules {
                write_rule(table, &place, rule, serve)?;
            }
        }
    }
    let text = document.to_string();
    Ok(if ends == "\n" { text } else { text.replace('\n', ends) })
}

/// How the lines of a text end; they are read without that.
fn line_ends(text: &str) -> Result<&'static str, ConfigEditError> {
    match (text.matches("\r\n").count(), text.matches('\n').count()) {
        (0, _) => Ok("\n"),
        (windows, all) if windows == all => Ok("\r\n"),
        _ => Err(ConfigEditError::LineEnds),
    }
}

fn shape(place: &str, found: &str, wanted: &'static str) -> ConfigEditError {
    ConfigEditError::Shape { place: place.to_owned(), found: found.to_owned(), wanted }
}

/// Whether a flag is enabled by its text.
fn is_enabled(flag: &dyn TableLike) -> bool {
    flag.get("enabled").and_then(Item::as_bool).unwrap_or(true)
}

fn write_split(service: &mut dyn TableLike, place: &str, weights: &Weights) -> Result<(), ConfigEditError> {
    match service.get_mut("split") {
        Some(split) => {
            let found = split.type_name();
            let split = split.as_table_like_mut();
            write_weights(split.ok_or_else(|| shape(&format!("{place}.split"), found, "a table"))?, weights);
        }
        None => drop(service.insert("split", Item::Value(inline(weights)))),
    }
    Ok(())
}

fn write_rule(flag: &mut dyn TableLike, place: &str, rule: &Name, serve: &Weights) -> Result<(), ConfigEditError> {
    let place = format!("{place}.rules");
    let rules = flag.get_mut("rules").ok_or_else(|| shape(&place, "nothing", "a list of rules"))?;
    let found = rules.type_name();
    let is_it = |index: usize, table: &dyn TableLike| match table.get("name").and_then(Item::as_str) {
        Some(name) => name == rule.as_str(),
        None => *rule.as_str() == *format!("rule-{}", index + 1),
    };
    let table: Option<&mut dyn TableLike> = match rules {
        Item::ArrayOfTables(rules) => {
            let mut rules = rules.iter_mut().enumerate();
            rules.find_map(|(index, table)| is_it(index, table).then_some(table as &mut dyn TableLike))
        }
        Item::Value(Value::Array(rules)) => {
            let mut rules = rules.iter_mut().enumerate();
            rules.find_map(|(index, value)| {
                let table = value.as_inline_table_mut()?;
                is_it(index, table).then_some(table as &mut dyn TableLike)
            })
        }
        // A single rule may stand without a list.
        Item::Table(table) => is_it(0, table).then_some(table as &mut dyn TableLike),
        Item::Value(Value::InlineTable(table)) => is_it(0, table).then_some(table as &mut dyn TableLike),
        Item::Value(_) | Item::None => None,
    };
    let table = table.ok_or_else(|| shape(&format!("{place}.{rule}"), found, "a rule of this name"))?;
    write_serve(table, serve);
    Ok(())
}

/// What a rule serves: one variant is written as its name where one was.
fn write_serve(rule: &mut dyn TableLike, serve: &Weights) {
    let mut given = serve.iter().filter(|(_, weight)| *weight != Weight::ZERO);
    let only = given.next().filter(|_| given.next().is_none()).map(|(name, _)| name);
    match (rule.get_mut("serve").filter(|found| found.is_table_like()), only) {
        (Some(table), _) => {
            if let Some(table) = table.as_table_like_mut() {
                write_weights(table, serve);
            }
        }
        (None, Some(only)) => put(rule, "serve", only.as_str().into()),
        (None, None) => put(rule, "serve", inline(serve)),
    }
}

/// Writes weights over those of a table. What gets nothing and is not named there is not named after it either.
fn write_weights(table: &mut dyn TableLike, weights: &Weights) {
    for (name, weight) in weights.iter() {
        let is_named = table.get(name.as_str());
        let is_same = is_named.and_then(number).is_some_and(|found| found == weight);
        if !is_same && (is_named.is_some() || weight != Weight::ZERO) {
            put(table, name.as_str(), percent(weight));
        }
    }
    // A version that is not among them is none of the config that is in force: it gets nothing.
    let strange: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
    for name in strange.iter().filter(|name| weights.iter().all(|(known, _)| known.as_str() != **name)) {
        put(table, name, percent(Weight::ZERO));
    }
}

/// Puts a value where another one was, with the space and the comment around it, or at the end.
fn put(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(before) => {
            *value.decor_mut() = before.decor().clone();
            *before = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

fn inline(weights: &Weights) -> Value {
    let mut table = InlineTable::new();
    for (name, weight) in weights.iter() {
        table.insert(name.as_str(), percent(weight));
    }
    Value::InlineTable(table)
}

/// A weight in per cent, as a person would write it.
fn percent(weight: Weight) -> Value {
    let text = weight.to_string();
    match text.parse::<i64>() {
        Ok(whole) => Value::Integer(Formatted::new(whole)),
        Err(_fraction) => Value::Float(Formatted::new(weight.percent())),
    }
}

fn number(item: &Item) -> Option<Weight> {
    #[expect(clippy::cast_precision_loss, reason = "a weight is at most 100")]
    let whole = || item.as_integer().map(|whole| whole as f64);
    Weight::from_percent(item.as_float().or_else(whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::{name, weights};

    const SHOP: &str = "# The shop.\n[listeners.public]\naddress = \"127.0.0.1:80\"\n\n[services.shop]   # of all users\n\
                        split = { v1 = 95, v2 = 5 } # careful\nhosts = [\"a\"]\n\n[services.cart.split]\nv1 = 100.0  # all\n\
                        # not yet\nv2 = 0\n";

    fn split(text: &str, service: &str, split: &str) -> Result<String, String> {
        let wanted = WeightsToWrite::Split(weights(split));
        edited(text, &WeightSubject::Service(name(service)), &wanted).map_err(|error| error.to_string())
    }

    fn flag(text: &str, enabled: bool, rules: &[(&str, &str)]) -> Result<String, String> {
        let rules = rules.iter().map(|(rule, serve)| (name(rule), weights(serve))).collect();
        let wanted = WeightsToWrite::Flag { enabled, rules };
        edited(text, &WeightSubject::Flag(name("dark")), &wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_weights_of_the_service_change_in_the_text() {
        let moved = SHOP.replace("v1 = 95, v2 = 5", "v1 = 66.667, v2 = 33.333");
        assert_eq!(split(SHOP, "shop", "v1=66.667 v2=33.333"), Ok(moved));
        let moved = SHOP.replace("v1 = 100.0", "v1 = 0").replace("v2 = 0\n", "v2 = 100\n");
        assert_eq!(split(SHOP, "cart", "v1=0 v2=100"), Ok(moved));
        assert_eq!(split(SHOP, "cart", "v1=100 v2=0 v3=0").as_deref(), Ok(SHOP), "nothing is new");
        let windows = |text: &str| text.replace('\n', "\r\n");
        let moved = windows(&SHOP.replace("v1 = 95, v2 = 5", "v1 = 5, v2 = 95"));
        assert_eq!(split(&windows(SHOP), "shop", "v1=5 v2=95"), Ok(moved));
    }

    #[test]
    fn weights_that_are_not_there_are_added_in_all_ways_of_writing() {
        for (text, wanted) in [
            (
                "[services.shop]\nversions.v1.endpoints = []\n",
                "[services.shop]\nversions.v1.endpoints = []\nsplit = { v1 = 40, v2 = 60 }\n",
            ),
            ("[services]\nshop.split.v1 = 100\n", "[services]\nshop.split.v1 = 40\nshop.split.v2 = 60\n"),
            (
                "services = { shop = { split = { v1 = 100 } } }\n",
                "services = { shop = { split = { v1 = 40 , v2 = 60 } } }\n",
            ),
        ] {
            let found = split(text, "shop", "v1=40 v2=60").expect("a text");
            let squeezed = |text: &str| text.replace(" ,", ",");
            assert_eq!(squeezed(&found), squeezed(wanted));
        }
    }

    #[test]
    fn flags_are_written_rule_by_rule_and_switched() {
        let text = "[flags.dark]\nenabled = false # later\nrules = [\n  { name = \"staff\", when = {}, serve = \"on\" }, # us\n  \
                    { serve = { on = 10, off = 90 } },\n]\n";
        let moved = text.replace("on = 10, off = 90", "on = 50, off = 50").replace("false", "true");
        assert_eq!(flag(text, true, &[("staff", "off=0 on=100"), ("rule-2", "off=50 on=50")]), Ok(moved));
        let moved = text.replace("serve = \"on\"", "serve = { off = 50, on = 50 }");
        assert_eq!(flag(text, false, &[("staff", "off=50 on=50")]), Ok(moved));
        let text = "[flags.dark]\n[[flags.dark.rules]]\nname = \"launch\"\nserve = \"off\"\n";
        let moved = text.replace("\"off\"", "\"on\"").replace("[flags.dark]\n", "[flags.dark]\nenabled = false\n");
        assert_eq!(flag(text, false, &[("launch", "off=0 on=100")]), Ok(moved));
    }

    #[test]
    fn a_text_without_a_place_for_them_is_told() {
        let found = |text: &str| split(text, "shop", "v1=100").unwrap_err();
        assert_eq!(found("[services.cart]"), "found nothing at services.shop, want a table to write other weights to");
        assert_eq!(
            found("services.shop.split = 5"),
            "found integer at services.shop.split, want a table to write other weights to"
        );
        assert!(found("services = [").starts_with("it is no TOML: "));
        assert!(found("[services.shop]\r\nsplit = { v1 = 0 }\n").starts_with("found lines that end in two ways"));
        let found = flag("[flags.dark]\nrules = []\n", true, &[("launch", "off=100 on=0")]).unwrap_err();
        assert_eq!(found, "found array at flags.dark.rules.launch, want a rule of this name to write other weights to");
    }
}
