//! What a config is made of besides its own text: files that are read before it, and are refused and in force with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::flag::imported_text::{ImportedText, UnreadableImport};

/// The files that belong to a config, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesBeside {
    /// The file that flags are imported from.
    pub imported: Option<Arc<ImportedText>>,
    /// The pages that rules respond and errors have.
    pub pages: PagesBeside,
}

/// What is known of the files of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PagesBeside {
    /// None can be read, such as in a commit.
    #[default]
    OutOfReach,
    /// They are not looked at: only the text is judged.
    Unread,
    /// What is in them.
    Read(Arc<PageFiles>),
}

/// Pages by their paths.
pub type PageFiles = BTreeMap<PathBuf, Result<Arc<str>, UnreadableImport>>;

impl FilesBeside {
    /// Their paths.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let imported = self.imported.iter().map(|imported| &imported.path);
        let pages = match &self.pages {
            PagesBeside::OutOfReach | PagesBeside::Unread => None,
            PagesBeside::Read(pages) => Some(pages.keys()),
        };
        imported.chain(pages.into_iter().flatten())
    }
}
