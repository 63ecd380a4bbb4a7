//! Files that other users should not be able to read: keys, tokens and secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whom a private file is kept from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeptFrom {
    /// Everybody but its owner: what is made for this program alone.
    All,
    /// Everybody but its owner and its group: keys are shared with other servers by a group of their own (`ssl-cert` of
    /// Debian), and a warning that is always there is not read.
    Others,
}

/// What the owner of `file` should know if others can read it; nothing if it cannot be looked at, which is told
/// elsewhere.
#[must_use]
pub(crate) fn warning(file: &Path, from: KeptFrom) -> Option<String> {
    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o7777;
    let (refused, wanted) = match from {
        KeptFrom::All => (0o077, "0600 (chmod 600)"),
        KeptFrom::Others => (0o007, "0600 or 0640 (chmod o-rwx)"),
    };
    (mode & refused != 0)
        .then(|| format!("other users can read {file}, mode {mode:04o}, want {wanted}", file = file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_its_groups_and_a_token_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert_eq!(warning(&file, KeptFrom::All), None, "there is none");
        fs::write(&file, "x").unwrap();
        for (mode, all, others) in [
            (0o600, false, false),
            (0o400, false, false),
            (0o640, true, false),
            (0o644, true, true),
            (0o604, true, true),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let warned = [KeptFrom::All, KeptFrom::Others].map(|from| warning(&file, from));
            assert_eq!(warned.each_ref().map(Option::is_some), [all, others], "{mode:o}");
            assert!(warned.iter().flatten().all(|text| text.contains(&format!("mode {mode:04o}"))), "{warned:?}");
        }
    }
}
