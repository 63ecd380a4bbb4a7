//! What a run does, as it is written on the command line: a file in the words of the config, and keys beside it.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::CommandError;
use crate::problem::utf8;

/// The definition of a file with these keys over it; none if neither is given.
///
/// # Errors
/// [`CommandError::Usage`] when the file cannot be read, or is neither TOML nor JSON. What its keys may be is the admin
/// API's to say.
pub(super) fn read(path: Option<&Path>, set: &[String]) -> Result<Option<Value>, CommandError> {
    if path.is_none() && set.is_empty() {
        return Ok(None);
    }
    let mut definition = path.map_or_else(|| Ok(Map::new()), file)?;
    for text in set {
        put(&mut definition, text)?;
    }
    Ok(Some(Value::Object(definition)))
}

fn file(path: &Path) -> Result<Map<String, Value>, CommandError> {
    let bad = |why: &dyn std::fmt::Display| CommandError::Usage(format!("--define {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(path).map(|found| bytes = found),
    };
    read.map_err(|error| bad(&format!("{error}; give the path of a readable file")))?;
    let text = utf8::text(bytes).map_err(|error| bad(&error))?;
    // JSON begins with a brace, which no key of TOML does.
    let object = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(&text).map_err(|error| bad(&error))?,
        false => toml::from_str(&text).map_err(|error| bad(&error))?,
    };
    Ok(whole(object))
}

/// A whole file of the config with one experiment in it is as good as its keys alone.
fn whole(mut object: Map<String, Value>) -> Map<String, Value> {
    let experiments = object.get_mut("chaos").and_then(|chaos| chaos.get_mut("experiments")?.as_object_mut());
    match experiments.filter(|experiments| experiments.len() == 1).and_then(|one| one.iter_mut().next()) {
        Some((_, Value::Object(definition))) => std::mem::take(definition),
        _ => object,
    }
}

/// Sets `key=value` or `table.key=value`; a value that is JSON is taken as it is, anything else is a text.
fn put(definition: &mut Map<String, Value>, text: &str) -> Result<(), CommandError> {
    let wrong = |found: &str, wanted: &str| CommandError::Usage(format!("--set: found {found:?}, want {wanted}"));
    let example = "KEY=VALUE, such as fault.latency.fixed=300ms";
    let Some((path, value)) = text.split_once('=').filter(|(path, _)| !path.split('.').any(str::is_empty)) else {
        return Err(wrong(text, example));
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_text| Value::from(value));
    let (tables, key) = path.rsplit_once('.').map_or((None, path), |(tables, key)| (Some(tables), key));
    let mut table = definition;
    for name in tables.into_iter().flat_map(|tables| tables.split('.')) {
        let next = table.entry(name).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = next else {
            return Err(wrong(text, &format!("no key below {name:?}, which has a value")));
        };
        table = next;
    }
    table.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(text: &str, set: &[&str]) -> Result<Option<Value>, CommandError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("try");
        std::fs::write(&path, text).expect("written");
        read(Some(&path), &set.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_file_is_toml_or_json_and_keys_stand_over_it() {
        let wanted =
            json!({"target": {"service": "pay", "share": 1}, "duration": "5m", "only": ["Mon 09:00-10:00 UTC"]});
        let toml = "duration = \"5m\"\nonly = [\"Mon 09:00-10:00 UTC\"]\n[target]\nservice = \"pay\"\nshare = 2";
        let of_config = "[chaos.experiments.try]\nduration = \"5m\"\nonly = [\"Mon 09:00-10:00 UTC\"]\n\
            target = { service = \"pay\", share = 2 }";
        for text in [toml, of_config, &wanted.to_string()] {
            assert_eq!(written(text, &["target.share=1"]).expect("good"), Some(wanted.clone()), "{text}");
        }
        let alone = read(None, &["fault.latency.fixed=300ms".to_owned(), "duration=5m".to_owned()]).expect("good");
        assert_eq!(alone, Some(json!({"fault": {"latency": {"fixed": "300ms"}}, "duration": "5m"})));
        assert_eq!(read(None, &[]).expect("good"), None, "it is one of the config");
    }

    #[test]
    fn what_is_neither_is_refused_with_what_is_wanted() {
        for (text, set, wanted) in [
            ("{", &[][..], "try: EOF while parsing"),
            ("duration = ", &[], "TOML parse error"),
            ("", &["duration"], "want KEY=VALUE, such as fault.latency.fixed=300ms"),
            ("", &["target..share=1"], "want KEY=VALUE"),
            ("", &["fault=reset", "fault.latency=1s"], "no key below \"fault\", which has a value"),
        ] {
            let error = written(text, set).expect_err("refused").to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let missing = read(Some(Path::new("/no/such/file")), &[]).expect_err("refused").to_string();
        assert!(missing.contains("give the path of a readable file"), "{missing}");
    }
}
