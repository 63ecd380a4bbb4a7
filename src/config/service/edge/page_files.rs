//! The files of pages: which ones a config names, and what is in one.

use std::path::PathBuf;

use bytes::Bytes;
use http::HeaderValue;

use crate::config::build::Build;
use crate::config::check;
use crate::config::files_beside::PagesBeside;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::input::Input;
use crate::config::reader::report::ErrorGuaranteed;
use crate::config::reader::tree::{Content, Tree};
use crate::config::reader::variables::ConfigSurroundings;
use crate::problem::Mismatch;
use crate::table::spec::fixed_response::PageContent;

/// A page is held in memory and sent to every client that asks for it.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The files of pages that the config of this text names.
#[must_use]
pub fn page_files<'a>(text: &str, surroundings: impl Into<ConfigSurroundings<'a>>) -> Vec<PathBuf> {
    // Most configs have none, and are not read twice for that.
    if !text.contains("respond") && !text.contains("error_pages") {
        return Vec::new();
    }
    let ConfigSurroundings { base, environment, .. } = surroundings.into();
    let Ok(input) = Input::toml_with(text, environment) else { return Vec::new() };
    let services = input.value(&ConfigPath::Root.key("services"));
    let mut found: Vec<PathBuf> = Vec::new();
    for (_, service) in services.into_iter().flat_map(Tree::entries) {
        let of_rules = items(service, "rules").filter_map(|rule| written(rule.key("respond")?, "file"));
        let of_errors = items(service, "error_pages");
        let of_errors =
            of_errors.flat_map(|page| ["html", "json", "text"].into_iter().filter_map(move |key| written(page, key)));
        found.extend(of_rules.chain(of_errors).filter(|file| !file.is_empty()).map(|file| base.join(file)));
    }
    found.sort();
    found.dedup();
    found
}

/// The elements of the list at a key.
fn items<'t>(table: Tree<'t>, key: &str) -> impl Iterator<Item = Tree<'t>> {
    let list = table.key(key);
    (0..).map_while(move |index| list?.item(index))
}

/// The text at a key.
fn written<'t>(table: Tree<'t>, key: &str) -> Option<&'t str> {
    let Content::Text(text) = table.key(key)?.content() else { return None };
    Some(text)
}

/// The content of a file.
pub(super) fn content(
    file: &str,
    kind: HeaderValue,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<PageContent, ErrorGuaranteed> {
    let path = check::file(file, build.base, at, &mut build.report)?;
    let read = match &build.pages {
        PagesBeside::Unread => return Ok(PageContent { kind, bytes: Bytes::new() }),
        PagesBeside::OutOfReach => None,
        PagesBeside::Read(pages) => Some(pages.get(&path)),
    };
    let mismatch = match read {
        None => Mismatch::new(format!("{file:?}"), "no file: none can be read here", "write the page as text"),
        Some(None) => Mismatch::new(format!("{file:?}"), "a file that can be read", "mend the path"),
        Some(Some(Err(error))) => {
            let wanted = "a file that can be read";
            Mismatch::new(format!("{file:?}: {error}"), wanted, "put the file there, or mend the path")
        }
        Some(Some(Ok(text))) if text.len() > PAGE_BYTES_MAX => {
            let found = format!("{file:?} with {} bytes", text.len());
            let wanted = format!("at most {PAGE_BYTES_MAX} bytes");
            Mismatch::new(found, wanted, "make it smaller, or let an endpoint serve it")
        }
        Some(Some(Ok(text))) => return Ok(PageContent { kind, bytes: Bytes::copy_from_slice(text.as_bytes()) }),
    };
    Err(build.report.problem(at, mismatch))
}
