//! `[gitops.status]`: the forge that is told what became of a commit, so that it stands beside the commit there.
//!
//! What can be read off the repository's URL need not be written: the host of the API, and the project.

use std::path::{Path, PathBuf};

use http::Uri;
use serde::Deserialize;

use super::check;
use super::reader::config_path::ConfigPath;
use super::reader::report::{ErrorGuaranteed, Report};
use super::url::{self, UrlWords};
use crate::problem::Mismatch;

/// Of the URL of a forge's API.
const API: UrlWords = UrlWords {
    wanted: "the URL of the forge's API, such as \"https://git.example.com/api/v1\"",
    user: "leave it out; the token is in token_file",
};

/// How many characters a context may have: it is a label on a page.
const CONTEXT_CHARS_MAX: usize = 100;

/// A kind of forge, as far as statuses are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forge {
    /// GitHub, also on a machine of one's own.
    Github,
    /// Gitea and Forgejo.
    Gitea,
    /// GitLab, also on a machine of one's own.
    Gitlab,
}

/// Who is told of commits, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusConfig {
    /// What it is.
    pub forge: Forge,
    /// Where statuses are posted; the hash of the commit is the last part of the path.
    pub url: Uri,
    /// What lets us in.
    pub token_file: PathBuf,
    /// What the status is called there.
    pub context: String,
    /// Where its link leads.
    pub target_url: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawStatus {
    forge: Option<String>,
    api: Option<String>,
    project: Option<String>,
    token_file: Option<String>,
    context: Option<String>,
    target_url: Option<String>,
}

impl RawStatus {
    /// `repository` is what git fetches from.
    pub(super) fn build(
        &self,
        repository: Option<&str>,
        base: &Path,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<StatusConfig, ErrorGuaranteed> {
        let forge = forge(self.forge.as_deref(), &at.key("forge"), report);
        let token_file = token_file(self.token_file.as_deref(), base, &at.key("token_file"), report);
        let context = context(self.context.as_deref().unwrap_or("pointsman"), &at.key("context"), report);
        let target = self.target_url.as_deref();
        let target = target.map(|text| url::url(Some(text), url::RECEIVER, &at.key("target_url"), report)).transpose();
        let forge = forge?;
        let source = repository.and_then(ForgeSource::of);
        let api = self.api.clone().or_else(|| source.as_ref().map(|source| forge.api_of(&source.host)));
        let api = url::url(api.as_deref(), API, &at.key("api"), report);
        let project = self.project.as_deref().or(source.as_ref().map(|source| &*source.project));
        let project = project_path(project, forge, &at.key("project"), report);
        let (api, project) = (api?, project?);
        let text = format!("{}/{project}/statuses/", api.to_string().trim_end_matches('/'));
        let url = text.parse().ok().filter(|url: &Uri| url.query().is_none());
        let url = url.ok_or_else(|| {
            report
                .problem(&at.key("api"), Mismatch::new("a URL with a query", API.wanted, "leave out what is behind ?"))
        });
        Ok(StatusConfig {
            forge,
            url: url?,
            token_file: token_file?,
            context: context?,
            target_url: target?.map(|url| url.to_string()),
        })
    }
}

impl Forge {
    /// The API of the forge at a host, where it usually is.
    fn api_of(self, host: &str) -> String {
        match self {
            Self::Github if host == "github.com" => "https://api.github.com".to_owned(),
            Self::Github => format!("https://{host}/api/v3"),
            Self::Gitea => format!("https://{host}/api/v1"),
            Self::Gitlab => format!("https://{host}/api/v4"),
        }
    }
}

/// What the URL of a repository says of its forge.
#[derive(Debug, PartialEq, Eq)]
struct ForgeSource {
    host: String,
    project: String,
}

impl ForgeSource {
    fn of(repository: &str) -> Option<Self> {
        let (host, path) = if let Some(rest) = repository.strip_prefix("https://") {
            rest.split_once('/')?
        } else if let Some(rest) = repository.strip_prefix("ssh://") {
            let (authority, path) = rest.split_once('/')?;
            // The port is that of ssh.
            (authority.rsplit_once('@').map_or(authority, |(_, host)| host).split(':').next()?, path)
        } else if repository.starts_with("file:") {
            return None;
        } else {
            let (authority, path) = repository.split_once(':')?;
            (authority.rsplit_once('@')?.1, path)
        };
        let path = path.trim_end_matches('/');
        let project = path.strip_suffix(".git").unwrap_or(path);
        Some(Self { host: host.to_owned(), project: project.to_owned() })
    }
}

fn forge(text: Option<&str>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Forge, ErrorGuaranteed> {
    let wanted = "\"github\", \"gitea\" (also for Forgejo) or \"gitlab\"";
    match text {
        Some("github") => Ok(Forge::Github),
        Some("gitea") => Ok(Forge::Gitea),
        Some("gitlab") => Ok(Forge::Gitlab),
        Some(text) => Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it"))),
        None => Err(report.missing(at, Mismatch::new("none", wanted, "add forge"))),
    }
}

fn token_file(
    text: Option<&str>,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<PathBuf, ErrorGuaranteed> {
    match check::secret_file(text, base, at, report)? {
        Some(file) => Ok(file),
        None => {
            let wanted = "the file of a token that may write statuses of commits";
            Err(report.missing(at, Mismatch::new("none", wanted, "add token_file")))
        }
    }
}

fn context(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<String, ErrorGuaranteed> {
    let good = !text.is_empty() && text.chars().count() <= CONTEXT_CHARS_MAX && !text.chars().any(char::is_control);
    if good {
        return Ok(text.to_owned());
    }
    let wanted = "what the status is called, such as \"pointsman/edge-1\"";
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "1 to 100 characters on one line")))
}

/// The part of the path that names the project.
fn project_path(
    text: Option<&str>,
    forge: Forge,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<String, ErrorGuaranteed> {
    let wanted = match forge {
        Forge::Github | Forge::Gitea => "OWNER/NAME",
        Forge::Gitlab => "GROUP/NAME, or the number of the project",
    };
    let Some(text) = text else {
        return Err(
            report.missing(at, Mismatch::new("none", wanted, "add project: the repository's URL does not say it"))
        );
    };
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+".contains(&byte);
        !matches!(part, "" | "." | "..") && part.bytes().all(allowed)
    };
    let parts = text.split('/').count();
    let good = text.split('/').all(plain);
    match forge {
        Forge::Github | Forge::Gitea if good && parts == 2 => Ok(format!("repos/{text}")),
        // A path is one part of the path of the API.
        Forge::Gitlab if good && (parts > 1 || text.bytes().all(|byte| byte.is_ascii_digit())) => {
            Ok(format!("projects/{}", text.replace('/', "%2F")))
        }
        Forge::Github | Forge::Gitea | Forge::Gitlab => {
            Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "write project as the forge shows it")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GitopsWords, parse_local};

    /// The URL that comes of it, or what is wrong.
    fn read(repository: &str, status: &str) -> Result<String, String> {
        let text = format!("[gitops]\nrepository = {repository:?}\n[gitops.status]\ntoken_file = \"t\"\n{status}");
        let (read, _files) = parse_local(&text, Path::new("/etc"), &GitopsWords::default());
        match read {
            Ok(local) => Ok(local.gitops.status.expect("a status").url.to_string()),
            Err(problems) => Err(Vec::from(problems).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn the_url_of_the_repository_says_where_its_forge_is() {
        for (repository, forge, url) in [
            ("https://github.com/shop/traffic.git", "github", "https://api.github.com/repos/shop/traffic/statuses/"),
            (
                "git@git.example.com:shop/traffic.git",
                "github",
                "https://git.example.com/api/v3/repos/shop/traffic/statuses/",
            ),
            ("https://git.example.com:3000/a/b", "gitea", "https://git.example.com:3000/api/v1/repos/a/b/statuses/"),
            ("ssh://git@git.example.com:2222/a/b.git/", "gitea", "https://git.example.com/api/v1/repos/a/b/statuses/"),
            ("https://gitlab.com/a/b/c.git", "gitlab", "https://gitlab.com/api/v4/projects/a%2Fb%2Fc/statuses/"),
        ] {
            assert_eq!(read(repository, &format!("forge = {forge:?}")).as_deref(), Ok(url));
        }
        let own = "forge = \"gitlab\"\napi = \"http://127.0.0.1:8080/api/v4/\"\nproject = \"17\"";
        let url = "http://127.0.0.1:8080/api/v4/projects/17/statuses/";
        assert_eq!(read("file:///srv/traffic.git", own).as_deref(), Ok(url));
    }

    #[test]
    fn what_cannot_be_known_has_to_be_said() {
        for (repository, status, words) in [
            ("https://github.com/a/b", "", "gitops.status.forge: found none"),
            ("https://github.com/a/b", "forge = \"svn\"", "line 5: gitops.status.forge: found \"svn\""),
            ("file:///srv/a.git", "forge = \"gitea\"", "gitops.status.project: found none, want OWNER/NAME"),
            ("file:///srv/a.git", "forge = \"gitea\"", "gitops.status.api: found none"),
            ("https://git.example.com/sub/a/b", "forge = \"gitea\"", "gitops.status.project: found \"sub/a/b\""),
            ("https://github.com/a/b", "forge = \"github\"\nproject = \"a/..\"", "project: found \"a/..\""),
            (
                "https://github.com/a/b",
                "forge = \"github\"\napi = \"https://x/?a=b\"",
                "gitops.status.api: found a URL with",
            ),
            ("https://github.com/a/b", "forge = \"github\"\ncontext = \"\"", "gitops.status.context: found \"\""),
            ("https://github.com/a/b", "forge = \"github\"\ntarget_url = \"x\"", "gitops.status.target_url: found"),
        ] {
            let told = read(repository, status).expect_err("a problem");
            assert!(told.contains(words), "{status}: {told}");
        }
    }
}
