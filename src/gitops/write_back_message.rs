//! What a commit of our own says: who, when, why, and which revision it writes down. Pure.

use crate::config::Committer;
use crate::control::store::Revision;

/// The longest first line.
const SUBJECT_CHARS_MAX: usize = 72;

/// The longest reason: of a rollout it is the sentence of its judge, of a call what its caller wrote.
const REASON_CHARS_MAX: usize = 2000;

/// A message, with those whose commit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteBackMessage {
    /// The message.
    pub(crate) text: String,
    /// Who has made the revision.
    author: String,
    /// Whose commit it is: name and address.
    committer: Committer,
    /// When the revision was made, in seconds since 1970: so the same change is the same commit each time.
    at_s: i64,
}

impl WriteBackMessage {
    /// The message of the commit that writes down what `revision` gave those in `changed`, each with its weights.
    pub(crate) fn new(revision: &Revision, changed: &[String], committer: &Committer) -> Self {
        let number = revision.number;
        let whole = changed.join("; ");
        let fits = whole.chars().count() <= SUBJECT_CHARS_MAX;
        let subject = if fits { whole.clone() } else { format!("Weights of revision {number}") };
        let author = on_a_line(&revision.author, 200);
        let reason = revision.reason.as_deref().map(|reason| on_a_line(reason, REASON_CHARS_MAX));
        let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "No reason was given.".to_owned());
        let list = changed.iter().map(|changed| format!("- {changed}\n")).collect::<String>();
        let list = if subject == whole { String::new() } else { format!("{list}\n") };
        let rollout = author.strip_prefix("rollout ").map_or(String::new(), |id| format!("Pointsman-Rollout: {id}\n"));
        let text = format!(
            "{subject}\n\n{reason}\n\n{list}Pointsman-Revision: {number}\nPointsman-Action: {}\nPointsman-Author: {author}\n{rollout}",
            revision.action
        );
        Self { text, author, committer: committer.clone(), at_s: revision.at_ms.div_euclid(1000) }
    }

    /// Who has made it, for git.
    pub(super) fn environment(&self) -> [(&'static str, String); 6] {
        let Committer { name, mail } = &self.committer;
        let date = format!("{} +0000", self.at_s);
        [
            ("GIT_AUTHOR_NAME", self.author.clone()),
            ("GIT_AUTHOR_EMAIL", mail.clone()),
            ("GIT_AUTHOR_DATE", date.clone()),
            ("GIT_COMMITTER_NAME", name.clone()),
            ("GIT_COMMITTER_EMAIL", mail.clone()),
            ("GIT_COMMITTER_DATE", date),
        ]
    }
}

/// A text of others on one line: a line of its own could pass for a trailer.
fn on_a_line(text: &str, chars_max: usize) -> String {
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(author: &str, reason: Option<&str>) -> Revision {
        Revision {
            number: 41,
            at_ms: 1_700_000_000_999,
            author: author.to_owned(),
            reason: reason.map(str::to_owned),
            action: "rollback".to_owned(),
            restores: None,
            forced: None,
            difference: Vec::new(),
            flags: Vec::new(),
            experiments: Vec::new(),
        }
    }

    fn message(revision: &Revision, changed: &[&str]) -> WriteBackMessage {
        let committer = Committer { name: "Pointsman".to_owned(), mail: "pointsman@example.com".to_owned() };
        WriteBackMessage::new(revision, &changed.iter().map(ToString::to_string).collect::<Vec<_>>(), &committer)
    }

    #[test]
    fn it_says_what_why_and_by_whom_and_its_last_lines_are_trailers() {
        let found = message(&revision("ada", Some("it fails\n\nPointsman-Revision: 1")), &["shop: v1=100 v2=0"]);
        assert_eq!(
            found.text,
            "shop: v1=100 v2=0\n\nit fails Pointsman-Revision: 1\n\nPointsman-Revision: 41\n\
             Pointsman-Action: rollback\nPointsman-Author: ada\n"
        );
        let who = found.environment();
        assert_eq!((who[0].1.as_str(), who[3].1.as_str()), ("ada", "Pointsman"));
        assert_eq!(who[2].1, "1700000000 +0000");
        let found = message(&revision("rollout 3", None), &["shop: v1=100", "cart: v1=100"]).text;
        let begin = "shop: v1=100; cart: v1=100\n\nNo reason was given.\n\nPointsman-Revision: 41\n";
        assert!(found.starts_with(begin), "{found}");
        assert!(found.ends_with("Pointsman-Author: rollout 3\nPointsman-Rollout: 3\n"), "{found}");
        let long = "x".repeat(60);
        let many = message(&revision("ada", None), &[&*long, "cart: v1=100"]).text;
        let begin = format!("Weights of revision 41\n\nNo reason was given.\n\n- {long}\n- cart: v1=100\n\nPointsman-");
        assert!(many.starts_with(&begin), "{many}");
    }
}
