//! The state that sections share while they are built: the problems so far, and what only one of them may have.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use regex::Regex;

use super::files_beside::PagesBeside;
use super::flag::imported_text::ImportedText;
use super::reader::report::Report;
use super::service::attribute;
use super::service::definition_index::DefinitionIndex;
use crate::table::spec::{Attribute, HostPattern, PathPrefix};

/// The problems so far, and what is known across sections.
pub(crate) struct Build<'t> {
    /// Where problems go.
    pub(crate) report: Report<'t>,
    /// The folder that relative paths begin at.
    pub(crate) base: &'t Path,
    /// The folder of the state, unless the config says where it is; none: `base`.
    pub(crate) state: Option<&'t Path>,
    /// Hosts (`None` is any) and paths that a service answers already, and its name.
    pub(crate) routes: HashMap<(Option<HostPattern>, PathPrefix), String>,
    /// Regular expressions by their text: compiling is what costs, so that equal ones are compiled once.
    pub(crate) regexes: HashMap<String, Result<Regex, regex::Error>>,
    /// What conditions can ask of a user.
    pub(crate) attributes: DefinitionIndex<Attribute>,
    /// The file that flags are imported from.
    pub(crate) imported: Option<Arc<ImportedText>>,
    /// The pages that rules respond and errors have.
    pub(crate) pages: PagesBeside,
}

impl<'t> Build<'t> {
    /// Nothing built yet.
    pub(crate) fn new(report: Report<'t>, base: &'t Path) -> Self {
        Self {
            report,
            base,
            state: None,
            routes: HashMap::new(),
            regexes: HashMap::new(),
            attributes: attribute::index(),
            imported: None,
            pages: PagesBeside::OutOfReach,
        }
    }
}
