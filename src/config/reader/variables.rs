//! Variables of the environment in the texts of a config: `"${NAME}"`, `"${NAME:-default}"`, and `$${` for `${` itself.
//!
//! They are put in when the text has become a tree and before any of it is read. So the value of a variable is a text
//! whatever is in it, every check sees what will be used, and the file, its history and what is written back keep what
//! a person wrote.
//!
//! Why not in the whole text first, as a shell does: a quote or a line break in a value would be TOML, and a variable
//! in a comment would have to be set.
//!
//! The environment is handed in. A value that cannot be made is a problem of its key, and is left out for all readers.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use toml::de::{DeString, DeValue};

use super::config_path::ConfigPath;
use super::tree::{NodeId, Tree};
use crate::problem::{Mismatch, Problem, ProblemKind, listed};

/// Where a config is read.
#[derive(Clone, Copy, Debug)]
pub struct ConfigSurroundings<'a> {
    /// The folder that relative paths begin at.
    pub base: &'a Path,
    /// The folder of the state, unless the config says where it is; none: `base`.
    pub state: Option<&'a Path>,
    /// The variables that its texts may name.
    pub environment: ConfigEnvironment<'a>,
}

/// The variables that the texts of a config may name.
#[derive(Clone, Copy)]
pub struct ConfigEnvironment<'a> {
    /// The value of a variable, if it is set.
    pub value: &'a dyn Fn(&str) -> Option<OsString>,
    /// The only ones that may be named; none: all.
    pub lent: Option<&'a [String]>,
}

/// With no variables.
impl<'a> From<&'a Path> for ConfigSurroundings<'a> {
    fn from(base: &'a Path) -> Self {
        Self { base, state: None, environment: ConfigEnvironment { value: &|_| None, lent: None } }
    }
}

impl fmt::Debug for ConfigEnvironment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigEnvironment").field("lent", &self.lent).finish_non_exhaustive()
    }
}

/// What became of the variables of a config.
#[derive(Debug, Default)]
pub(super) struct PutIn {
    /// The texts that were changed, by their paths, as they are written.
    pub(super) written: HashMap<String, String>,
    /// Those that could not be made.
    pub(super) left_out: HashSet<NodeId>,
    /// Why, each with the offset of its key.
    pub(super) faults: Vec<VariableFault>,
}

/// A text that could not be made.
#[derive(Debug)]
pub(super) struct VariableFault {
    pub(super) path: String,
    /// Where in the config its key begins.
    pub(super) offset: usize,
    pub(super) mismatch: Mismatch,
}

impl PutIn {
    /// Puts the values into every text of `root`.
    pub(super) fn new(root: &mut DeValue<'_>, environment: ConfigEnvironment<'_>) -> Self {
        let mut put_in = Self::default();
        put_in.walk(root, ConfigPath::Root, 0, environment);
        put_in
    }

    fn walk(
        &mut self,
        value: &mut DeValue<'_>,
        path: ConfigPath<'_>,
        offset: usize,
        environment: ConfigEnvironment<'_>,
    ) {
        if let DeValue::Table(table) = value {
            for (key, value) in table.iter_mut() {
                self.walk(value.get_mut(), path.key(key.get_ref()), key.span().start, environment);
            }
        } else if let DeValue::Array(list) = value {
            for (index, element) in list.iter_mut().enumerate() {
                let start = element.span().start;
                self.walk(element.get_mut(), path.item(index), start, environment);
            }
        } else if let DeValue::String(text) = value {
            let mismatch = match expand(text, environment) {
                Ok(None) => return,
                Ok(Some(expanded)) => {
                    let written = std::mem::replace(text, DeString::Owned(expanded)).into_owned();
                    drop(self.written.insert(path.to_string(), written));
                    return;
                }
                Err(mismatch) => mismatch,
            };
            self.left_out.insert(Tree::Toml(value).id());
            self.faults.push(VariableFault { path: path.to_string(), offset, mismatch });
        }
    }
}

impl VariableFault {
    pub(super) fn problem(&self, line: usize) -> Problem {
        Problem { line: Some(line), ..self.mismatch.clone().at(&*self.path, ProblemKind::Invalid) }
    }
}

/// `text` with the values of its variables; none if there is nothing to put in.
fn expand(text: &str, environment: ConfigEnvironment<'_>) -> Result<Option<String>, Mismatch> {
    if !text.contains("${") {
        return Ok(None);
    }
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = &from["${".len()..];
            continue;
        }
        expanded.push_str(before);
        let named = NamedVariable::read(from)?;
        expanded.push_str(&named.value(environment)?);
        rest = named.rest;
    }
    expanded.push_str(rest);
    Ok(Some(expanded))
}

/// A variable, as it stands in a text.
struct NamedVariable<'t> {
    name: &'t str,
    /// What stands for it when it is not set or empty.
    default: Option<&'t str>,
    /// What comes after it.
    rest: &'t str,
}

impl<'t> NamedVariable<'t> {
    /// The one that `from` begins with.
    fn read(from: &'t str) -> Result<Self, Mismatch> {
        const LITERAL: &str = "write $${ where the two characters themselves are meant";
        let inside = &from["${".len()..];
        let Some((inside, rest)) = inside.split_once('}') else {
            let found = format!("{from:?}, which is not closed");
            return Err(Mismatch::new(found, "${NAME} or ${NAME:-default}", format!("add a }}, or {LITERAL}")));
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let first = name.bytes().next();
        let is_name = first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            let found = format!("\"${{{inside}}}\"");
            let wanted = "${NAME} or ${NAME:-default}, with a name of letters, digits and _";
            return Err(Mismatch::new(found, wanted, format!("name a variable, or {LITERAL}")));
        }
        if default.is_some_and(|default| default.contains("${")) {
            let found = format!("\"${{{inside}}}\", a variable within a default");
            return Err(Mismatch::new(found, "a default without variables", "name one variable, or write the default"));
        }
        Ok(Self { name, default, rest })
    }

    fn value(&self, environment: ConfigEnvironment<'_>) -> Result<String, Mismatch> {
        let name = self.name;
        if let Some(lent) = environment.lent
            && !lent.iter().any(|lent| lent == name)
        {
            let known = match lent.is_empty() {
                true => "no variable: the file of this machine lets commits use none".to_owned(),
                false => format!(
                    "one of those that the file of this machine lets commits use: {}",
                    listed(lent.iter().map(String::as_str))
                ),
            };
            let remedy = format!("add {name:?} to gitops.environment in that file, and restart");
            return Err(Mismatch::new(format!("${{{name}}}"), known, remedy));
        }
        let value = (environment.value)(name).map(OsString::into_string);
        match (value, self.default) {
            (Some(Err(_)), _) => {
                let found = format!("${{{name}}}, whose value is not UTF-8");
                Err(Mismatch::new(found, "a variable with a text", format!("set {name} to a text")))
            }
            (Some(Ok(value)), Some(default)) if value.is_empty() => Ok(default.to_owned()),
            (Some(Ok(value)), _) => Ok(value),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => {
                let found = format!("${{{name}}}, which is not set in the environment of this process");
                let remedy = format!("set {name}, or write \"${{{name}:-DEFAULT}}\"");
                Err(Mismatch::new(found, "a variable that is set", remedy))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::reader::input::Input;

    fn all(name: &str) -> Option<OsString> {
        match name {
            "EMPTY" => Some(OsString::new()),
            "QUOTE" => Some("a\"]\nb = \"${A}".into()),
            _ if name.starts_with("UNSET") => None,
            _ => Some(format!("<{name}>").into()),
        }
    }

    fn put(text: &str) -> Result<String, String> {
        let environment = ConfigEnvironment { value: &all, lent: None };
        expand(text, environment).map(|found| found.unwrap_or(text.to_owned())).map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn what_stands_in_a_text_becomes_its_value() {
        for (text, wanted) in [
            ("", ""),
            ("$A ${", "$A ${"),
            ("${A}", "<A>"),
            ("http://${HOST}:${PORT_2}/", "http://<HOST>:<PORT_2>/"),
            ("${UNSET:-10.0.0.1:80}", "10.0.0.1:80"),
            ("${EMPTY:-x}${EMPTY}${UNSET:-}", "x"),
            ("${A:-}", "<A>"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("a$b$", "a$b$"),
            ("${QUOTE}", "a\"]\nb = \"${A}"),
        ] {
            let found = put(text);
            if text.ends_with("${") {
                assert!(found.is_err_and(|why| why.contains("not closed")), "{text}");
            } else {
                assert_eq!(found.as_deref(), Ok(wanted), "{text}");
            }
        }
    }

    #[test]
    fn a_commit_names_only_what_it_is_lent() {
        let lent = ["A".to_owned()];
        let environment = ConfigEnvironment { value: &all, lent: Some(&lent) };
        assert_eq!(expand("${A}", environment).expect("lent").as_deref(), Some("<A>"));
        for text in ["${B}", "${B:-default}", "${UNSET}"] {
            let why = expand(text, environment).expect_err("not lent").to_string();
            assert!(why.contains("lets commits use: A") && !why.contains("<B>"), "{why}");
        }
    }

    /// The value is a text wherever it stands, and the tree has the shape that was written.
    #[test]
    fn a_value_cannot_become_anything_else() {
        let mut input = Input::toml("list = [\"x\", \"${QUOTE}\"]\n[t]\nk = \"${A}\"\nn = 5\n").expect("TOML");
        input.put_in(ConfigEnvironment { value: &all, lent: None });
        let root = input.value(&ConfigPath::Root).expect("a tree");
        let keys: Vec<_> = root.entries().map(|(key, _)| key).collect();
        assert_eq!(keys, ["list", "t"]);
        let list = root.key("list").expect("a list");
        assert!(list.item(1).is_some() && list.item(2).is_none());
    }

    /// A piece of a text, and what becomes of it.
    fn piece() -> impl Strategy<Value = (String, String)> {
        let name =
            "[A-Z_][A-Z0-9_]{0,5}".prop_map(|name| if name.starts_with("UNSET") { "A".to_owned() } else { name });
        let name = name.prop_map(|name| if matches!(&*name, "EMPTY" | "QUOTE") { "A".to_owned() } else { name });
        let default = "[^}$]{0,6}";
        prop_oneof![
            "[^${]{1,6}".prop_map(|text| (text.clone(), text)),
            name.clone().prop_map(|name| (format!("${{{name}}}"), format!("<{name}>"))),
            (name, default).prop_map(|(name, default)| (format!("${{{name}:-{default}}}"), format!("<{name}>"))),
            default.prop_map(|default| (format!("${{UNSET:-{default}}}"), default)),
            Just(("$${".to_owned(), "${".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn texts_of_pieces_become_what_their_pieces_do(pieces in prop::collection::vec(piece(), 0..8)) {
            let (text, wanted): (String, String) = pieces.into_iter().unzip();
            prop_assert_eq!(put(&text), Ok(wanted));
        }

        #[test]
        fn any_text_has_a_value_or_a_problem(text in "[${}:A-C \\-]{0,24}") {
            match put(&text) {
                Ok(found) if !text.contains("${") => prop_assert_eq!(found, text),
                Ok(_) => {}
                Err(why) => prop_assert!(text.contains("${") && why.contains("want"), "{}", why),
            }
        }
    }
}
