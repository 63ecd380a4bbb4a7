//! Files that other users should not be able to read, nor to guess: keys, tokens and secrets.

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

/// Shorter than this can be found by trying, however it was chosen: 16 characters of base64 are 96 bits.
const SECRET_BYTES_MIN: usize = 16;

/// What the owner of a secret should know if it is so short that others can find it by trying.
#[must_use]
pub(crate) fn short_secret(file: &Path, secret: &[u8]) -> Option<String> {
    (secret.len() < SECRET_BYTES_MIN).then(|| {
        let (file, found) = (file.display(), secret.len());
        format!(
            "others can find what is in {file} by trying: found a length of {found}, want {SECRET_BYTES_MIN} or more by \
             chance (openssl rand -hex 32)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_some_characters_is_warned_of() {
        let warned = |secret: &str| short_secret(Path::new("ops.token"), secret.as_bytes());
        let text = warned("x").expect("a warning");
        assert!(text.contains("ops.token by trying: found a length of 1, want 16 or more"), "{text}");
        assert!(warned("0123456789abcde").is_some() && warned("0123456789abcdef").is_none());
        assert!(!text.contains('\u{22}'), "nothing of it is told");
    }

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
