//! The way to a file: every folder in which a name decides where the path leads, and those names.
//!
//! The kernel's own walk, one name at a time: a symlink is replaced by what it says, so that a swap of any link, of
//! any folder on the way, and of the file itself is a change of one of these names in one of these folders. A watch on
//! the file's folder alone misses Kubernetes' `..data`, `current -> releases/2` and a folder that is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// More symlinks than this on one way are a loop, as the kernel has it.
const SYMLINKS_MAX: usize = 40;

/// Where a path leads now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The folders on the way, without links, and the names in them that the way goes by.
    pub folders: BTreeMap<PathBuf, BTreeSet<OsString>>,
    /// The folder of the last name: the one in which the file is, or would come to be.
    pub home: Option<PathBuf>,
    /// The end of the way, without links; none when there is nothing, or a folder.
    pub file: Option<PathBuf>,
}

impl Way {
    /// Walks to `path`.
    #[must_use]
    pub(crate) fn to(path: &Path) -> Self {
        let mut way = Self::default();
        let (mut here, mut links) = (PathBuf::from("/"), 0);
        // Without a working folder there is no way, and nothing to watch either.
        let mut names = std::path::absolute(path).map(|path| names(&path)).unwrap_or_default();
        while let Some(name) = names.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            way.folders.entry(here.clone()).or_default().insert(name);
            let found = fs::symlink_metadata(&next);
            if names.is_empty() {
                way.home = Some(here.clone());
            }
            let Ok(found) = found else { return way };
            if found.is_symlink() {
                links += 1;
                let Some(target) = fs::read_link(&next).ok().filter(|_| links <= SYMLINKS_MAX) else { return way };
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                names.extend(self::names(&target));
            } else if names.is_empty() && !found.is_dir() {
                way.file = Some(next);
            } else {
                here = next;
            }
        }
        way
    }
}

/// The names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names by folder, from `root` on.
    fn below(root: &Path, way: &Way) -> Vec<String> {
        let inside = way.folders.iter().filter_map(|(folder, names)| Some((folder.strip_prefix(root).ok()?, names)));
        inside
            .flat_map(|(folder, names)| names.iter().map(move |name| folder.join(name).display().to_string()))
            .collect()
    }

    #[test]
    fn every_name_that_decides_is_on_the_way() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        fs::create_dir_all(at("mount/..2024")).unwrap();
        fs::write(at("mount/..2024/tls.crt"), "").unwrap();
        symlink("..2024", at("mount/..data")).unwrap();
        symlink("..data/tls.crt", at("mount/tls.crt")).unwrap();
        symlink(at("mount"), at("current")).unwrap();
        symlink("current/../current/tls.crt", at("link")).unwrap();
        let way = Way::to(&at("link"));
        let wanted =
            ["current", "link", "mount", "mount/..2024", "mount/..data", "mount/tls.crt", "mount/..2024/tls.crt"];
        assert_eq!(below(&root, &way), wanted);
        assert_eq!(way.file, Some(at("mount/..2024/tls.crt")));
        assert!(way.folders.contains_key(Path::new("/")), "a mount over a folder near the root is a change too");
    }

    #[test]
    fn a_way_ends_where_nothing_is() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let gone = Way::to(&root.join("gone/below/file"));
        assert_eq!((below(&root, &gone), gone.file), (vec!["gone".to_owned()], None), "its coming back is seen");
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(Way::to(&root.join("loop")).file, None);
        assert_eq!(Way::to(&root).file, None, "a folder is no file");
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(Way::to(&root.join("file/below")).file, None);
    }
}
