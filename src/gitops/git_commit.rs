//! What is known of a commit.

use crate::control::file_origin::FileOrigin;

/// How many characters of a name or a subject are kept: they are written by others, and shown in a line.
const CHARS_MAX: usize = 200;

/// How git is asked for it: fields that end with a zero byte.
pub(super) const FORMAT: &str = "--format=%H%x00%an%x00%ae%x00%ct%x00%s";

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitCommit {
    /// Its full hash.
    pub hash: String,
    /// Who wrote it, with the address.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was made, in seconds since 1970.
    pub at_s: i64,
}

impl GitCommit {
    /// Reads what git says with [`FORMAT`].
    pub(super) fn parse(said: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(said);
        let mut fields = text.trim_end_matches('\n').splitn(5, '\0');
        let (hash, name, mail, at) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let good = hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let author = format!("{} <{}>", harmless(name), harmless(mail));
        let at_s = at.parse().ok().filter(|_| good)?;
        Some(Self { hash: hash.to_owned(), author, subject: harmless(fields.next()?), at_s })
    }

    /// The begin of its hash, which is enough for people.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.hash)
    }

    /// Who changes the traffic by it, and why.
    #[must_use]
    pub(crate) fn origin(&self) -> FileOrigin {
        let reason = format!("{} ({})", self.subject, self.short());
        let (author, commit) = (format!("git: {}", self.author), Some(self.hash.clone()));
        FileOrigin { author, reason, commit, insists: false }
    }
}

/// The begin of a hash.
#[must_use]
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

/// A text of others, short enough and without control characters.
pub(super) fn harmless(text: &str) -> String {
    let text: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_read_as_fields_and_shown_on_a_line() {
        let hash = "a".repeat(40);
        let said = format!("{hash}\0Ada\x1b[2J\0ada@example.com\x001700000000\0Shift to v2\0 or not\n");
        let commit = GitCommit::parse(said.as_bytes()).unwrap();
        assert_eq!((commit.short(), &*commit.author), ("aaaaaaaa", "Ada [2J <ada@example.com>"));
        assert_eq!((&*commit.subject, commit.at_s), ("Shift to v2  or not", 1_700_000_000));
        let origin = commit.origin();
        assert_eq!(origin.reason, "Shift to v2  or not (aaaaaaaa)");
        assert_eq!(origin.author, "git: Ada [2J <ada@example.com>");
        for bad in ["", "abc\0x\0y\x001\0z", "HEAD"] {
            assert_eq!(GitCommit::parse(bad.as_bytes()), None);
        }
    }
}
