//! `import` of `[flags]`: a file of flags in flagd's format, which the others refer to like those of the config.
//!
//! The file is part of the config: it is read with it, refused with it and in force with it, so that a service never
//! lists a flag that is not there. Nothing in here reads it; its text is handed in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::RawFlag;
use super::raw_flags::{FlagSection, RawImport};
use crate::config::build::Build;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::variables::ConfigSurroundings;
use crate::config::service::RawService;
use crate::flagd::flag_file;
use crate::flagd::fractional_version::FractionalVersion;
use crate::flagd::imported_flag::{ImportedFlag, ImportedVariant};
use crate::problem::{Mismatch, Problem, ProblemKind, listed};
use crate::table::spec::flag::{FlagSource, FlagSpec, ImportedSource, Variant};

/// The file that the config of this text imports flags from, if it does.
#[must_use]
pub fn flag_import<'a>(text: &str, surroundings: impl Into<ConfigSurroundings<'a>>) -> Option<PathBuf> {
    let ConfigSurroundings { base, environment, .. } = surroundings.into();
    let input = Input::toml_with(text, environment).ok()?;
    let flags = ConfigPath::Root.key("flags");
    Report::new(&input).written(&flags.key("import")).filter(|file| !file.is_empty()).map(|file| base.join(file))
}

/// The flags of the file; none, if the config names none.
pub(crate) fn build(
    raw: &FlagSection,
    services: &BTreeMap<String, RawService>,
    build: &mut Build<'_>,
) -> Result<Vec<FlagSpec>, ErrorGuaranteed> {
    let flags = ConfigPath::Root.key("flags");
    let at = flags.key("import");
    let version = version(&raw.import, &flags.key("fractional"), &mut build.report);
    let Some(file) = &raw.import.import else {
        if raw.import.fractional.is_some() {
            let mismatch = Mismatch::new("it without `import`", "a file that it is for", "add import, or remove it");
            return Err(build.report.unless(&at, &flags.key("fractional"), mismatch));
        }
        return Ok(Vec::new());
    };
    let text = match build.imported.as_ref().map(|imported| imported.text.clone()) {
        Some(Ok(text)) => text,
        Some(Err(error)) => {
            let mismatch = Mismatch::new(format!("{file:?}: {error}"), "a file that can be read", "mend the path");
            return Err(build.report.problem(&at, mismatch));
        }
        None => {
            let mismatch = Mismatch::new(format!("{file:?}"), "no file: none can be read here", "remove it");
            return Err(build.report.problem(&at, mismatch));
        }
    };
    let parsed = flag_file::parse(&text, version?);
    let mut place = FilePlace { file, at: &at, report: &mut build.report };
    match parsed {
        Ok(parsed) => {
            let checked = check(&parsed.flags, &raw.flags, services, &mut place);
            checked.map(|()| parsed.flags.into_iter().map(|flag| spec(flag, build)).collect())
        }
        Err(problems) => {
            let told = Vec::from(problems).into_iter().map(|problem| place.problem(problem)).last();
            Err(told.unwrap_or_else(|| place.unreadable()))
        }
    }
}

/// Where something stands in the file.
struct FilePlace<'a, 't> {
    file: &'a str,
    at: &'a ConfigPath<'a>,
    report: &'a mut Report<'t>,
}

impl FilePlace<'_, '_> {
    /// Reports a problem of the file at its key in the config.
    fn problem(&mut self, problem: Problem) -> ErrorGuaranteed {
        let key = self.report.key(self.at);
        let path = format!("{}: {}#{}", key.path, self.file, problem.path);
        self.report.add(Problem { path, line: key.line, ..problem })
    }

    fn at(&mut self, pointer: &str, mismatch: Mismatch) -> ErrorGuaranteed {
        self.problem(mismatch.at(pointer, ProblemKind::Invalid))
    }

    fn unreadable(&mut self) -> ErrorGuaranteed {
        self.at("", Mismatch::new("a file that cannot be read", "flags", "mend it"))
    }
}

/// What is wrong with the flags beside the config.
fn check(
    flags: &[ImportedFlag],
    own: &BTreeMap<String, RawFlag>,
    services: &BTreeMap<String, RawService>,
    place: &mut FilePlace<'_, '_>,
) -> Result<(), ErrorGuaranteed> {
    let mut checked = Ok(());
    for flag in flags {
        if own.contains_key(flag.key.as_str()) {
            let found = format!("a flag that the config has as well, in [flags.{}]", flag.key);
            let mismatch = Mismatch::new(found, "each name once", "rename or remove one of the two");
            checked = Err(place.at(&format!("/flags/{}", flag.key), mismatch));
        }
        for (service, pointer) in &flag.asked.services {
            if !services.contains_key(service.as_str()) {
                let wanted = format!("a service: {}", listed(services.keys().map(String::as_str)));
                let mismatch = Mismatch::new(format!("{:?}", service.as_str()), wanted, "name one of them");
                checked = Err(place.at(pointer, mismatch));
            }
        }
    }
    checked
}

/// The flag as those of the config are.
fn spec(flag: ImportedFlag, build: &Build<'_>) -> FlagSpec {
    let json =
        |variant: &ImportedVariant| Variant { name: variant.name.clone(), json: variant.value.to_string().into() };
    let attributes = build.attributes.good().filter(|attribute| flag.asked.may_ask(&attribute.name)).collect();
    FlagSpec {
        name: flag.key.clone(),
        variants: flag.variants.iter().map(json).collect(),
        default: flag.default.unwrap_or_default(),
        enabled: flag.enabled,
        source: FlagSource::Imported(ImportedSource { flag: Arc::new(flag), attributes }),
    }
}

fn version(
    raw: &RawImport,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<FractionalVersion, ErrorGuaranteed> {
    match raw.fractional.as_deref() {
        None => Ok(FractionalVersion::default()),
        Some("v2") => Ok(FractionalVersion::V2),
        Some("v3") => Ok(FractionalVersion::V3),
        Some(other) => {
            let wanted = "\"v2\", as flagd drew until autumn 2026, or \"v3\"";
            Err(report.problem(at, Mismatch::new(format!("{other:?}"), wanted, "write one of the two")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flag::imported_text::{ImportedText, UnreadableImport};
    use std::path::Path;

    use crate::config::{Config, FilesBeside, parse_with_files};
    use crate::problem::Problems;

    const CONFIG: &str = "[listeners.public]\naddress = \"127.0.0.1:1\"\n\
        [attributes]\nemail = \"header:x-email\"\nplan = \"header:x-plan\"\n\
        [services.shop]\nsplit = { v1 = 90, v2 = 10 }\n\
        versions.v1.endpoints = [\"10.0.0.1:80\"]\nversions.v2.endpoints = [\"10.0.0.2:80\"]\n";

    fn parsed(more: &str, file: Result<&str, &str>) -> Result<Config, Problems> {
        let text = file.map(str::to_owned).map_err(|error| UnreadableImport(error.to_owned()));
        let base = Path::new("/etc/pointsman");
        let config = format!("{CONFIG}{more}");
        let imported = flag_import(&config, base).map(|path| Arc::new(ImportedText { path, text }));
        parse_with_files(&config, base, FilesBeside { imported, ..FilesBeside::default() }).0
    }

    fn problems(more: &str, file: Result<&str, &str>) -> Vec<String> {
        let problems = parsed(more, file).expect_err("a bad config");
        problems.as_slice().iter().map(ToString::to_string).collect()
    }

    const FILE: &str = r#"{"flags": {
        "theme": {
            "state": "ENABLED",
            "variants": {"new": "n", "old": "o"},
            "targeting": {"if": [{"ends_with": [{"var": "email"}, "@us"]}, "new", {"version_of": "shop"}]}
        },
        "off": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"}
    }}"#;

    #[test]
    fn imported_flags_stand_among_those_of_the_config() {
        let more = "flags = [\"theme\", \"own\"]\n[flags]\nimport = \"flags.json\"\n\
            [flags.own]\n[flags.zz]\nfollows = { flag = \"theme\", new = \"on\" }\n";
        let config = parsed(more, Ok(FILE)).unwrap_or_else(|problems| panic!("{problems}"));
        let names: Vec<_> = config.flags.flags.iter().map(|flag| flag.name.as_str()).collect();
        assert_eq!(names, ["off", "own", "theme", "zz"]);
        assert_eq!(config.beside.imported.expect("a file").path, Path::new("/etc/pointsman/flags.json"));
        let FlagSource::Imported(source) = &config.flags.flags[2].source else { panic!("an imported flag") };
        let attributes: Vec<_> = source.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
        assert_eq!(attributes, ["email"], "only what the rule looks at");
        assert_eq!(source.flag.version(), FractionalVersion::V3);
        assert_eq!((config.flags.flags[0].enabled, config.flags.flags[2].enabled), (false, true));
        assert_eq!(config.flags.told.values().flatten().count(), 2);
    }

    #[test]
    fn what_is_wrong_with_the_file_or_its_keys_refuses_the_config() {
        let import = "[flags]\nimport = \"flags.json\"\n";
        let (line, of_file) = ("line 11: flags.import: ", "line 11: flags.import: flags.json#");
        for (more, file, wanted) in [
            (import, Ok("{"), format!("{of_file}: found no JSON: ")),
            (import, Err("no such file"), format!("{line}found \"flags.json\": no such file, want a file")),
            (
                import,
                Ok(r#"{"flags": {"a": {"state": "ENABLED", "variants": {"on": true}, "targeting": {"no": 1}}}}"#),
                format!("{of_file}/flags/a/targeting/no: found unknown operator \"no\""),
            ),
            (
                import,
                Ok(
                    r#"{"flags": {"a": {"state": "ENABLED", "variants": {"v1": 1}, "targeting": {"version_of": "b"}}}}"#,
                ),
                format!("{of_file}/flags/a/targeting/version_of: found \"b\", want a service: shop"),
            ),
            (
                "[flags]\nimport = \"flags.json\"\n[flags.theme]\n",
                Ok(FILE),
                format!("{of_file}/flags/theme: found a flag that the config has as well, in [flags.theme]"),
            ),
            (
                "[flags]\nfractional = \"v1\"\nimport = \"flags.json\"\n",
                Ok(FILE),
                "line 11: flags.fractional: found \"v1\", want \"v2\"".to_owned(),
            ),
            (
                "[flags]\nfractional = \"v2\"\n",
                Ok(""),
                "line 11: flags.fractional: found it without `import`".to_owned(),
            ),
            ("[flags]\nimport = 3\n", Ok(""), "line 11: flags.import: found 3, want a string".to_owned()),
            ("flags = [\"them\"]\n[flags]\nimport = \"flags.json\"\n", Ok(FILE), "did you mean \"theme\"?".to_owned()),
        ] {
            let found = problems(more, file);
            assert!(found.len() == 1 && found[0].contains(&wanted), "{more}\n{found:#?}\n{wanted}");
        }
    }

    #[test]
    fn a_config_without_an_import_names_no_file() {
        assert_eq!(flag_import(CONFIG, Path::new("")), None);
        assert_eq!(flag_import("[flags.import]\n", Path::new("")), None);
        assert_eq!(flag_import("not TOML", Path::new("")), None);
    }
}
