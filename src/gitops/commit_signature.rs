//! Whether a commit is signed by a key that counts, and if it is not, in which words that is told; pure.
//!
//! Which key made a signature is git's to say, by `ssh-keygen` and `gpg`. What it says is one letter, a name and a key;
//! here stands what these mean where only the operator's own files of keys count.

use std::path::PathBuf;

use super::git_commit::harmless;
use crate::config::CommitSigners;

/// How git is asked who signed a commit: fields that end with a zero byte.
pub(super) const SIGNATURE_FORMAT: &str = "--format=%G?%x00%GS%x00%GK%x00%GF";

/// What a mended signature takes. The message of a commit is not changed for it: that would rewrite the branch.
const REMEDY: &str = "push a commit on top of it that is signed by one of them (`git commit --allow-empty --gpg-sign`): \
                      the newest commit is the one whose signature counts";

/// How commits are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureForm {
    Ssh,
    Pgp,
    /// By a certificate, or what will be invented.
    Other,
}

impl SignatureForm {
    /// That of a commit as git keeps it; none if it is not signed.
    pub(super) fn of(commit: &str) -> Option<Self> {
        let (head, _message) = commit.split_once("\n\n").unwrap_or((commit, ""));
        let signed = head.lines().find_map(|line| line.strip_prefix("gpgsig")?.split_once(' '));
        Some(match signed?.1 {
            "-----BEGIN SSH SIGNATURE-----" => Self::Ssh,
            "-----BEGIN PGP SIGNATURE-----" | "-----BEGIN PGP MESSAGE-----" => Self::Pgp,
            _ => Self::Other,
        })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Ssh => "an ssh signature",
            Self::Pgp => "a PGP signature",
            Self::Other => "a signature that is neither by ssh nor by PGP",
        }
    }
}

/// The file of the keys that count, and the key of the config that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeysFile {
    pub(super) key: &'static str,
    pub(super) file: PathBuf,
}

impl KeysFile {
    /// The file of the keys for signatures of this form, if there is one.
    pub(super) fn of(signers: &CommitSigners, form: SignatureForm) -> Option<Self> {
        let of = |key, file: &Option<PathBuf>| file.clone().map(|file| Self { key, file });
        match form {
            SignatureForm::Ssh => of("gitops.verify.allowed_signers", &signers.allowed_signers),
            SignatureForm::Pgp => of("gitops.verify.gpg_keys", &signers.gpg_keys),
            SignatureForm::Other => None,
        }
    }

    fn place(&self) -> String {
        format!("{} ({})", self.key, self.file.display())
    }
}

/// Why a commit's signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureFault {
    /// There is none.
    #[error("found no signature, want one by a key of {wanted}; {REMEDY}")]
    Unsigned {
        /// The keys that would do.
        wanted: String,
    },
    /// There is one of another kind than there are keys for.
    #[error("found {found}, want one by a key of {wanted}; {REMEDY}")]
    Form {
        /// Its kind.
        found: &'static str,
        /// The keys that would do.
        wanted: String,
    },
    /// It is by a key that is not listed.
    #[error(
        "found a signature with the key {key}, which is not in {wanted}; add it there if it is to count, or {REMEDY}"
    )]
    Stranger {
        /// The key.
        key: String,
        /// The keys that would do.
        wanted: String,
    },
    /// The key, or the signature, counted once.
    #[error("found a signature by {signer} with {what}, want one by a key of {wanted} that is still good; {REMEDY}")]
    Outdated {
        /// Who.
        signer: String,
        /// What is out of date.
        what: &'static str,
        /// The keys that would do.
        wanted: String,
    },
    /// It is not one of this commit, or cannot be checked.
    #[error(
        "found a signature that does not hold ({complaint}), want one by a key of {wanted}; see that ssh-keygen and gpg \
         are installed, or {REMEDY}"
    )]
    Broken {
        /// What git says.
        complaint: String,
        /// The keys that would do.
        wanted: String,
    },
    /// The keys cannot be read.
    #[error("cannot read the keys of {wanted}: {why}; commits wait until it can be read")]
    Keys {
        /// Which keys.
        wanted: String,
        /// Why.
        why: String,
    },
}

impl SignatureFault {
    /// A commit without a signature of a form that there are keys for.
    pub(super) fn of_form(form: Option<SignatureForm>, signers: &CommitSigners) -> Self {
        let keys = [SignatureForm::Ssh, SignatureForm::Pgp].into_iter().filter_map(|form| KeysFile::of(signers, form));
        let wanted = keys.map(|keys| keys.place()).collect::<Vec<_>>().join(" or ");
        match form {
            None => Self::Unsigned { wanted },
            Some(form) => Self::Form { found: form.words(), wanted },
        }
    }

    /// Keys that cannot be read.
    pub(super) fn of_keys(keys: &KeysFile, why: String) -> Self {
        Self::Keys { wanted: keys.place(), why }
    }
}

/// What git says of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignatureSaid {
    letter: String,
    signer: String,
    key: String,
}

impl SignatureSaid {
    /// Reads what git says with [`SIGNATURE_FORMAT`].
    pub(super) fn parse(said: &[u8]) -> Self {
        let text = String::from_utf8_lossy(said);
        let mut fields = text.trim_end_matches('\n').splitn(4, '\0').map(harmless);
        let mut field = || fields.next().unwrap_or_default();
        let (letter, signer, short) = (field(), field(), field());
        let print = field();
        Self { letter, signer, key: if print.is_empty() { short } else { print } }
    }

    /// Who signed, if that counts. With ssh a good signature of an unknown key is good without a name to git; of PGP
    /// keys only those that count are there, and whether one trusts them is said by that.
    pub(super) fn judge(self, form: SignatureForm, keys: &KeysFile, complaint: &str) -> Result<String, SignatureFault> {
        let wanted = keys.place();
        let Self { letter, signer, key } = self;
        let outdated = |what| Err(SignatureFault::Outdated { signer: signer.clone(), what, wanted: wanted.clone() });
        match (&*letter, form) {
            ("G", _) | ("U", SignatureForm::Pgp) => Ok(format!("{signer} with the key {key}")),
            ("U", _) | ("E", SignatureForm::Pgp) if !key.is_empty() => Err(SignatureFault::Stranger { key, wanted }),
            ("X", _) => outdated("an end that has come"),
            ("Y", _) => outdated("a key that has expired"),
            ("R", _) => outdated("a key that was revoked"),
            _ => Err(SignatureFault::Broken { complaint: complaint.to_owned(), wanted }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signers() -> CommitSigners {
        CommitSigners { allowed_signers: Some("/etc/signers".into()), gpg_keys: None }
    }

    fn judged(form: SignatureForm, said: &str) -> Result<String, String> {
        let keys = KeysFile { key: "gitops.verify.allowed_signers", file: "/etc/signers".into() };
        let said = SignatureSaid::parse(said.as_bytes());
        said.judge(form, &keys, "Could not verify signature.").map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_form_is_read_from_the_head_and_not_from_the_message() {
        let of = |head: &str, message: &str| SignatureForm::of(&format!("tree 1\n{head}author A\n\n{message}\n"));
        assert_eq!(of("gpgsig -----BEGIN SSH SIGNATURE-----\n U1N\n", ""), Some(SignatureForm::Ssh));
        assert_eq!(of("gpgsig-sha256 -----BEGIN PGP SIGNATURE-----\n iQE\n", ""), Some(SignatureForm::Pgp));
        assert_eq!(of("gpgsig -----BEGIN SIGNED MESSAGE-----\n MII\n", ""), Some(SignatureForm::Other));
        assert_eq!(of("", "gpgsig -----BEGIN SSH SIGNATURE-----"), None);
    }

    #[test]
    fn only_a_key_of_the_file_counts() {
        use SignatureForm::{Pgp, Ssh};
        assert_eq!(judged(Ssh, "G\0ada@x\0SHA256:a\0SHA256:a\n"), Ok("ada@x with the key SHA256:a".to_owned()));
        assert_eq!(judged(Pgp, "U\0Ada <ada@x>\0EF\0ABCDEF\n"), Ok("Ada <ada@x> with the key ABCDEF".to_owned()));
        for (form, said, words) in [
            (
                Ssh,
                "U\0\0SHA256:b\0SHA256:b\n",
                "with the key SHA256:b, which is not in gitops.verify.allowed_signers (/etc/s",
            ),
            (Pgp, "E\0\0EF\0\n", "with the key EF, which is not in"),
            (Pgp, "Y\0Ada\0EF\0ABCDEF\n", "by Ada with a key that has expired"),
            (Pgp, "X\0Ada\0EF\0ABCDEF\n", "by Ada with an end that has come"),
            (Pgp, "R\0Ada\0EF\0ABCDEF\n", "by Ada with a key that was revoked"),
            (Ssh, "B\0\0\0\n", "does not hold (Could not verify signature.)"),
            (Ssh, "E\0\0SHA256:b\0\n", "does not hold"),
            (Ssh, "N\0\0\0\n", "does not hold"),
            (Ssh, "", "does not hold"),
            (Ssh, "U\0\0\0\n", "does not hold"),
        ] {
            let told = judged(form, said).expect_err("it does not count");
            assert!(told.contains(words), "{said:?}: {told}");
        }
    }

    #[test]
    fn what_has_no_signature_is_told_which_keys_would_do() {
        let told = SignatureFault::of_form(None, &signers()).to_string();
        assert!(
            told.starts_with(
                "found no signature, want one by a key of gitops.verify.allowed_signers (/etc/signers); push"
            ),
            "{told}"
        );
        let both = CommitSigners { gpg_keys: Some("k".into()), ..signers() };
        let told = SignatureFault::of_form(Some(SignatureForm::Other), &both).to_string();
        assert!(told.contains("(/etc/signers) or gitops.verify.gpg_keys (k)"), "{told}");
        assert_eq!(KeysFile::of(&signers(), SignatureForm::Pgp), None);
    }
}
