//! YAML as a tree with the line of each value. JSON is YAML too.
//!
//! The library reads the text; here its events become a tree. Aliases are put in, up to a bound: a small text can name
//! itself so often that no memory holds it.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::misfit;
use crate::problem::Problem;

/// More values than any file of these formats has.
const NODES_MAX: usize = 200_000;

/// A value.
#[derive(Clone, Debug)]
pub(super) struct YamlNode {
    pub(super) line: usize,
    content: YamlContent,
}

#[derive(Clone, Debug)]
enum YamlContent {
    Text(String),
    List(Vec<YamlNode>),
    Map(Vec<YamlEntry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
struct YamlEntry {
    key: String,
    value: YamlNode,
}

/// A list or a map that is being read.
struct YamlFrame {
    anchor: usize,
    node: YamlNode,
    /// The key whose value comes next.
    key: Option<String>,
}

/// The documents of a text.
pub(super) fn parse(text: &str) -> Result<Vec<YamlNode>, Problem> {
    let (mut open, mut documents) = (Vec::<YamlFrame>::new(), Vec::new());
    let (mut anchors, mut nodes) = (HashMap::<usize, YamlNode>::new(), 0_usize);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            misfit(error.marker().line(), format!("no YAML: {}", error.info()), "YAML", "mend it, or give another file")
        })?;
        let line = span.start.line();
        let node = |content| YamlNode { line, content };
        let (node, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => (node(YamlContent::Text(text.into_owned())), anchor),
            Event::Alias(anchor) => {
                let unknown = || misfit(line, "an alias of nothing", "an anchor before it", "write the value");
                (anchors.get(&anchor).cloned().ok_or_else(unknown)?, 0)
            }
            Event::SequenceStart(anchor, _) => {
                open.push(YamlFrame { anchor, node: node(YamlContent::List(Vec::new())), key: None });
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(YamlFrame { anchor, node: node(YamlContent::Map(Vec::new())), key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(frame) => (frame.node, frame.anchor),
                None => continue,
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        nodes += node.size();
        if nodes > NODES_MAX {
            return Err(misfit(line, format!("more than {NODES_MAX} values"), "fewer", "give a part of it"));
        }
        if anchor > 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            Some(frame) => frame.take(node)?,
            None => documents.push(node),
        }
    }
    Ok(documents)
}

impl YamlFrame {
    /// Takes the next value that stands in it.
    fn take(&mut self, value: YamlNode) -> Result<(), Problem> {
        match &mut self.node.content {
            YamlContent::List(list) => list.push(value),
            YamlContent::Map(entries) => match (self.key.take(), value.content) {
                (None, YamlContent::Text(key)) => self.key = Some(key),
                (None, YamlContent::List(_) | YamlContent::Map(_)) => {
                    return Err(misfit(value.line, "a key that is no text", "a text", "write a text"));
                }
                // Keys of another map, under those that are written here.
                (Some(key), YamlContent::Map(merged)) if key == "<<" => {
                    let known: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
                    entries.extend(merged.into_iter().filter(|entry| !known.contains(&entry.key)));
                }
                (Some(key), content) => {
                    entries.push(YamlEntry { key, value: YamlNode { line: value.line, content } });
                }
            },
            YamlContent::Text(_) => {}
        }
        Ok(())
    }
}

impl YamlNode {
    /// How many values it is; those in it were counted when they were read, but for those that aliases bring.
    fn size(&self) -> usize {
        match &self.content {
            YamlContent::Text(_) => 1,
            YamlContent::List(list) => 1 + list.iter().map(Self::size).sum::<usize>(),
            YamlContent::Map(entries) => 1 + entries.iter().map(|entry| entry.value.size()).sum::<usize>(),
        }
    }

    /// The value of a key, the last one if it is written again.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let YamlContent::Map(entries) = &self.content else { return None };
        entries.iter().rev().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value below several keys.
    pub(super) fn at(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text below several keys; none if it is empty or null.
    pub(super) fn text(&self, keys: &[&str]) -> Option<&str> {
        self.at(keys)?.as_text().filter(|text| !matches!(*text, "" | "null" | "~"))
    }

    /// The text that it is.
    pub(super) fn as_text(&self) -> Option<&str> {
        if let YamlContent::Text(text) = &self.content { Some(text) } else { None }
    }

    /// The number below several keys.
    pub(super) fn number(&self, keys: &[&str]) -> Option<u64> {
        self.text(keys)?.parse().ok()
    }

    /// Whether `true` stands below several keys.
    pub(super) fn is_true(&self, keys: &[&str]) -> bool {
        self.text(keys).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The elements of a list; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        if let YamlContent::List(list) = &self.content { list } else { &[] }
    }

    /// The elements of the list below several keys.
    pub(super) fn list(&self, keys: &[&str]) -> &[Self] {
        self.at(keys).map_or(&[], Self::items)
    }

    /// The texts of the list below several keys, or the one text.
    pub(super) fn texts(&self, keys: &[&str]) -> Vec<String> {
        let one = self.text(keys).map(str::to_owned);
        one.into_iter().chain(self.list(keys).iter().filter_map(Self::as_text).map(str::to_owned)).collect()
    }

    /// The keys of a map and their values; none of anything else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Self)> {
        let entries = if let YamlContent::Map(entries) = &self.content { entries.as_slice() } else { &[] };
        entries.iter().map(|entry| (entry.key.as_str(), &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_have_their_lines() {
        let text = "a: &x\n  b: [1, two]\nc:\n  <<: *x\n  d: true\n";
        let documents = parse(text).expect("a good text");
        let c = documents[0].get("c").expect("a map");
        assert_eq!(
            (c.texts(&["b"]), c.is_true(&["d"]), c.get("d").map(|d| d.line)),
            (vec!["1".to_owned(), "two".to_owned()], true, Some(5))
        );
        assert_eq!(documents[0].number(&["a", "b"]), None);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let problem = parse("a: 1\nb: [1\nc: }").expect_err("not closed").to_string();
        assert!(problem.contains("no YAML: "), "{problem}");
        let laughs: String =
            (1..9).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9))).collect();
        let problem = parse(&format!("a0: &a0 [1]\n{laughs}")).expect_err("too many").to_string();
        assert!(problem.contains("more than 200000 values"), "{problem}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-b:&*{}\\[\\]\"' \n-]{0,40}") {
            let _read = parse(&text);
        }
    }
}
