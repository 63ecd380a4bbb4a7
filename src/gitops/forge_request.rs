//! What a forge is posted about a commit, in the words and the limits of each forge; pure.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, InvalidHeaderValue};
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::{Map, Value, json};

use crate::config::{Forge, StatusConfig};

/// The longest description that all forges take: GitHub's.
const DESCRIPTION_CHARS_MAX: usize = 140;

/// What has become of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitState {
    /// It waits for something.
    Pending,
    /// It is in force.
    Success,
    /// It is refused, or rejected.
    Failure,
}

/// What is told of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitStatus {
    /// Its hash.
    pub(crate) commit: String,
    /// What has become of it.
    pub(crate) state: CommitState,
    /// Why, in a sentence.
    pub(crate) description: String,
}

/// A post of it.
#[derive(Debug)]
pub(super) struct ForgePost {
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForgePostError {
    /// The hash cannot be in a URL.
    #[error(transparent)]
    Url(#[from] InvalidUri),
    /// The token cannot be in a header.
    #[error("the token cannot be sent: it has characters that no header may have; write it anew")]
    Token(#[from] InvalidHeaderValue),
}

impl CommitState {
    fn word(self, forge: Forge) -> &'static str {
        match (self, forge) {
            (Self::Pending, _) => "pending",
            (Self::Success, _) => "success",
            (Self::Failure, Forge::Gitlab) => "failed",
            (Self::Failure, Forge::Github | Forge::Gitea) => "failure",
        }
    }
}

impl CommitStatus {
    /// A status; the sentence is cut where forges would refuse it.
    pub(super) fn new(commit: &str, state: CommitState, sentence: &str) -> Self {
        let description = match sentence.char_indices().nth(DESCRIPTION_CHARS_MAX) {
            None => sentence.to_owned(),
            Some(_) => sentence.chars().take(DESCRIPTION_CHARS_MAX - 1).chain(['…']).collect(),
        };
        Self { commit: commit.to_owned(), state, description }
    }

    /// The post of it.
    pub(super) fn post(&self, to: &StatusConfig, branch: &str, token: &[u8]) -> Result<ForgePost, ForgePostError> {
        let StatusConfig { forge, url, context, target_url, .. } = to;
        let mut body = Map::new();
        let mut say = |key: &str, value: &str| drop(body.insert(key.to_owned(), json!(value)));
        say("state", self.state.word(*forge));
        say("description", &self.description);
        match forge {
            Forge::Github | Forge::Gitea => say("context", context),
            Forge::Gitlab => {
                say("name", context);
                say("ref", branch);
            }
        }
        if let Some(target) = target_url {
            say("target_url", target);
        }
        let url = format!("{url}{}", self.commit).parse()?;
        Ok(ForgePost { url, headers: headers(*forge, token)?, body: Value::Object(body).to_string().into() })
    }
}

/// By which headers each lets us in.
fn headers(forge: Forge, token: &[u8]) -> Result<HeaderMap, InvalidHeaderValue> {
    let (name, scheme): (HeaderName, &[u8]) = match forge {
        Forge::Github => (AUTHORIZATION, b"Bearer "),
        Forge::Gitea => (AUTHORIZATION, b"token "),
        Forge::Gitlab => (HeaderName::from_static("private-token"), b""),
    };
    let mut secret = HeaderValue::from_bytes(&[scheme, token].concat())?;
    secret.set_sensitive(true);
    let mut headers = HeaderMap::from_iter([(name, secret)]);
    let accepted = match forge {
        Forge::Github => "application/vnd.github+json",
        Forge::Gitea | Forge::Gitlab => "application/json",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    if forge == Forge::Github {
        headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_cut_where_forges_would_refuse_it() {
        let of = |count: usize| CommitStatus::new("a", CommitState::Failure, &"ü".repeat(count)).description;
        assert_eq!(of(140), "ü".repeat(140));
        assert_eq!(of(141), format!("{}…", "ü".repeat(139)));
    }

    #[test]
    fn a_token_that_no_header_can_have_is_told_without_it() {
        let error = headers(Forge::Gitea, b"a\nb").expect_err("a line break");
        let told = ForgePostError::from(error).to_string();
        assert!(told.contains("the token cannot be sent"), "{told}");
        let good = headers(Forge::Gitlab, b"secret").expect("good");
        assert!(!format!("{good:?}").contains("secret"), "{good:?}");
    }
}
