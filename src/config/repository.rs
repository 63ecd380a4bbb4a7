//! `[gitops]`: the repository whose file is the config, and the local file around it.
//!
//! A config that is in a repository is shared by machines, and cannot say what is of one machine: where its operators
//! come in, where its state is, and which repository it follows. So that is in a local file, which has nothing else,
//! and the file of a commit has the rest. No section is in both, so none can contradict the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::build::Build;
use super::check::{self, setting};
use super::commit_status::{RawStatus, StatusConfig};
use super::files::ConfigFiles;
use super::fleet::{FleetConfig, RawFleet};
use super::process::admin::{AdminConfig, RawAdmin};
use super::process::state::{RawState, StateConfig};
use super::reader;
use super::reader::config_path::ConfigPath;
use super::reader::input::Input;
use super::reader::list::List;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{Setting, TimeSpan};
use super::reader::variables::ConfigSurroundings;
use super::write_back_terms::{self, WriteBackConfig};
use crate::problem::{Mismatch, Problems};

/// How often a repository is asked by default. A hook is what makes it quick.
const INTERVAL: TimeSpan = TimeSpan::secs(60);

/// The sections of a local file that a commit must not have.
const LOCAL_SECTIONS: [&str; 3] = ["admin", "state", "fleet"];

/// What is of this machine, when the config is in a repository.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Where operators come in.
    pub admin: AdminConfig,
    /// Where revisions are kept, and beside them the clone.
    pub state: StateConfig,
    /// The replicas that it shares the traffic with, if there are any.
    pub fleet: Option<Arc<FleetConfig>>,
    /// Where the rest is.
    pub gitops: GitopsConfig,
}

/// A file in a repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GitopsConfig {
    /// What git fetches from.
    pub repository: String,
    /// The branch whose newest commit counts.
    pub branch: String,
    /// The file, from the top of the repository.
    pub path: String,
    /// How often it is looked at.
    pub interval: Duration,
    /// What hooks are signed with; none: there are no hooks.
    pub hook_secret_file: Option<PathBuf>,
    /// Where git finds its settings and credential helpers; none: nowhere.
    pub home: Option<PathBuf>,
    /// How what changes at run time is written to it; none: not at all.
    pub write_back: Option<WriteBackConfig>,
    /// Whose signatures commits have to have; none: they need not be signed.
    pub verify: Option<CommitSigners>,
    /// Who is told what became of a commit.
    pub status: Option<StatusConfig>,
    /// The variables of this machine that the file of a commit may name.
    pub environment: Vec<String>,
}

/// The keys that commits have to be signed with: of one of these files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommitSigners {
    /// Keys of ssh, a line each, as `ssh-keygen` and git read them.
    pub allowed_signers: Option<PathBuf>,
    /// Public keys of PGP, as `gpg --export` writes them.
    pub gpg_keys: Option<PathBuf>,
}

/// What the command line says of the repository; it stands above the file.
#[derive(Clone, Debug, Default)]
pub struct GitopsWords {
    /// The repository.
    pub repository: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The path.
    pub path: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawLocal {
    admin: RawAdmin,
    state: RawState,
    fleet: Option<RawFleet>,
    gitops: RawGitops,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawGitops {
    repository: Option<String>,
    branch: Option<String>,
    path: Option<String>,
    interval: Option<Setting<TimeSpan>>,
    hook_secret_file: Option<String>,
    home: Option<String>,
    write_back: Option<String>,
    committer: Option<String>,
    verify: Option<RawVerify>,
    status: Option<RawStatus>,
    environment: List<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawVerify {
    allowed_signers: Option<String>,
    gpg_keys: Option<String>,
}

/// Whether a text is that of a local file: it names a repository.
#[must_use]
pub fn is_local(text: &str) -> bool {
    Input::toml(text).is_ok_and(|input| input.value(&ConfigPath::Root.key("gitops")).is_some())
}

/// Reads a local file, with the files that it names; relative paths in it begin at its folder.
pub fn parse_local<'a>(
    text: &str,
    surroundings: impl Into<ConfigSurroundings<'a>>,
    words: &GitopsWords,
) -> (Result<LocalConfig, Problems>, ConfigFiles) {
    let surroundings = surroundings.into();
    let input = match Input::toml_with(text, surroundings.environment) {
        Ok(input) => input,
        Err(problems) => return (Err(problems), ConfigFiles::default()),
    };
    let mut report = Report::new(&input);
    let mut raw: RawLocal = reader::read::at(ConfigPath::Root, &input, &mut report).unwrap_or_default();
    let GitopsWords { repository, branch, path } = words.clone();
    raw.gitops.repository = repository.or(raw.gitops.repository);
    raw.gitops.branch = branch.or(raw.gitops.branch);
    raw.gitops.path = path.or(raw.gitops.path);
    let mut build = Build::new(report, surroundings.base);
    build.state = surroundings.state;
    let local = raw.build(&mut build);
    let files = std::mem::take(&mut build.report.files);
    (build.report.finish(local), files)
}

impl RawLocal {
    fn build(&self, build: &mut Build<'_>) -> Result<LocalConfig, ErrorGuaranteed> {
        let at = ConfigPath::Root;
        let admin = self.admin.build(&at.key("admin"), build);
        let state = self.state.build(&at.key("state"), build);
        let fleet = fleet(self.fleet.as_ref(), build);
        let gitops = self.gitops.build(&at.key("gitops"), build);
        Ok(LocalConfig { admin: admin?, state: state?, fleet: fleet?, gitops: gitops? })
    }
}

impl RawGitops {
    fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<GitopsConfig, ErrorGuaranteed> {
        let report = &mut build.report;
        let repository = repository(self.repository.as_deref(), &at.key("repository"), report);
        let branch = branch(self.branch.as_deref().unwrap_or("main"), &at.key("branch"), report);
        let path = path(self.path.as_deref().unwrap_or("pointsman.toml"), &at.key("path"), report);
        let interval =
            setting(self.interval, INTERVAL, TimeSpan::secs(1)..=TimeSpan::secs(86_400), &at.key("interval"), report);
        let home = self.home.as_deref().map(|home| check::file(home, build.base, &at.key("home"), report)).transpose();
        let secret_at = at.key("hook_secret_file");
        let hook_secret_file = check::secret_file(self.hook_secret_file.as_deref(), build.base, &secret_at, report);
        let (mode, committer) = (self.write_back.as_deref(), self.committer.as_deref());
        let write_back = write_back_terms::build(mode, committer, at, report);
        let verify_at = at.key("verify");
        let verify = self.verify.as_ref().map(|verify| verify.build(&verify_at, build.base, report)).transpose();
        let source = self.repository.as_deref();
        let status = self.status.as_ref();
        let status = status.map(|status| status.build(source, build.base, &at.key("status"), report)).transpose();
        if self.verify.is_some() && self.write_back.as_deref() == Some("commit") {
            let wanted =
                "\"branch\" beside gitops.verify: the proxy does not sign, and its own commits would be refused";
            let mismatch = Mismatch::new("\"commit\"", wanted, "let a person merge them by a commit that is signed");
            report.problem(&at.key("write_back"), mismatch);
        }
        Ok(GitopsConfig {
            repository: repository?,
            branch: branch?,
            path: path?,
            interval: interval?.0,
            hook_secret_file: hook_secret_file?,
            home: home?,
            write_back: write_back?,
            verify: verify?,
            status: status?,
            environment: self.environment.iter().map(|(_, name)| name.clone()).collect(),
        })
    }
}

impl RawVerify {
    fn build(
        &self,
        at: &ConfigPath<'_>,
        base: &Path,
        report: &mut Report<'_>,
    ) -> Result<CommitSigners, ErrorGuaranteed> {
        let Self { allowed_signers, gpg_keys } = self;
        if allowed_signers.is_none() && gpg_keys.is_none() {
            let wanted = "the file of the keys that commits are signed with";
            let remedy = "add allowed_signers = \"FILE\" for signatures by ssh, or gpg_keys = \"FILE\"";
            return Err(report.problem(at, Mismatch::new("no keys", wanted, remedy)));
        }
        let mut file = |text: &Option<String>, key: &'static str| {
            text.as_deref().map(|text| check::read_file(text, base, &at.key(key), report)).transpose()
        };
        let allowed_signers = file(allowed_signers, "allowed_signers");
        let gpg_keys = file(gpg_keys, "gpg_keys");
        Ok(CommitSigners { allowed_signers: allowed_signers?, gpg_keys: gpg_keys? })
    }
}

/// A repository of one of the protocols that are allowed. What is in it is given to git, and never to a shell.
fn repository(text: Option<&str>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<String, ErrorGuaranteed> {
    let wanted = "https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or file:///PATH";
    let Some(text) = text else {
        return Err(report.missing(at, Mismatch::new("none", wanted, "add repository")));
    };
    let shown = |text: &str| format!("{text:?}");
    let odd = text.starts_with('-') || text.chars().any(|c| c.is_control() || c == ' ');
    let rest = ["https://", "ssh://", "file:///"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    let by_ssh = text.split_once(':').filter(|(host, path)| {
        let one = |part: &str| !part.is_empty() && !part.contains('/');
        !path.is_empty()
            && !path.starts_with('/')
            && host.split_once('@').is_some_and(|(user, host)| one(user) && one(host))
    });
    if odd || rest.is_none_or(str::is_empty) && by_ssh.is_none() {
        let remedy = if text.starts_with("http://") { "write https://" } else { "correct it" };
        return Err(report.problem(at, Mismatch::new(shown(text), wanted, remedy)));
    }
    let user = rest.and_then(|rest| rest.split('/').next()?.rsplit_once('@')).map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) || user.is_some() && text.starts_with("https://") {
        let remedy = "leave it out; set gitops.home to a folder whose .gitconfig names a credential helper";
        return Err(report.problem(at, Mismatch::new("a user or a password in the URL", "a URL without", remedy)));
    }
    Ok(text.to_owned())
}

/// Whether a text can be the name of a branch, and nothing else to git.
#[must_use]
pub(crate) fn is_branch_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._/-+@#".contains(c);
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock");
    let good = text.chars().all(known) && text.split('/').all(part) && !text.starts_with('-') && !text.contains("..");
    good && text != "@"
}

/// A branch, in characters that mean nothing else to git.
fn branch(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<String, ErrorGuaranteed> {
    if is_branch_name(text) {
        return Ok(text.to_owned());
    }
    let wanted = "the name of a branch, without refs/heads/: letters, digits and any of ._/-+@#";
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "correct it")))
}

/// A path from the top of the repository.
fn path(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<String, ErrorGuaranteed> {
    let part = |part: &str| !matches!(part, "" | "." | "..");
    if text.split('/').all(part) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let wanted = "the path of a file from the top of the repository, such as \"prod/pointsman.toml\"";
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, "no / at its begin, no . and no .. in it")))
}

/// Refuses in the file of a commit what only a local file can say.
fn refuse_local(build: &mut Build<'_>) {
    for section in LOCAL_SECTIONS {
        let at = ConfigPath::Root.key(section);
        if build.report.is_written(&at) {
            let wanted = "it in the local file beside [gitops]: it is of one machine";
            build.report.problem(&at, Mismatch::new("a section of the local file", wanted, "move it there"));
        }
    }
    let flags = ConfigPath::Root.key("flags");
    let import = flags.key("import");
    if build.report.is_written(&import) {
        let text = Mismatch::new("an import", "the flags in the file itself: a commit is one file", "write them there");
        build.report.problem(&import, text);
    }
}

/// What is of this machine: it stands in the local file, or else in the config.
pub(crate) struct OfMachine {
    pub(crate) admin: Result<AdminConfig, ErrorGuaranteed>,
    pub(crate) state: Result<StateConfig, ErrorGuaranteed>,
    pub(crate) fleet: Result<Option<Arc<FleetConfig>>, ErrorGuaranteed>,
}

/// The fleet, if there is the section.
fn fleet(raw: Option<&RawFleet>, build: &mut Build<'_>) -> Result<Option<Arc<FleetConfig>>, ErrorGuaranteed> {
    raw.map(|raw| raw.build(&ConfigPath::Root.key("fleet"), build).map(Arc::new)).transpose()
}

impl OfMachine {
    /// From the local file, if there is one; the config must not have it then.
    pub(crate) fn of(
        admin: &RawAdmin,
        state: &RawState,
        of_fleet: Option<&RawFleet>,
        local: Option<&LocalConfig>,
        build: &mut Build<'_>,
    ) -> Self {
        let at = ConfigPath::Root;
        match local {
            Some(LocalConfig { admin, state, fleet, .. }) => {
                refuse_local(build);
                Self { admin: Ok(admin.clone()), state: Ok(state.clone()), fleet: Ok(fleet.clone()) }
            }
            None => Self {
                admin: admin.build(&at.key("admin"), build),
                state: state.build(&at.key("state"), build),
                fleet: fleet(of_fleet, build),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WriteBackTarget;

    fn lines(text: &str) -> Vec<String> {
        let (read, _files) = parse_local(text, Path::new("/etc"), &GitopsWords::default());
        read.map_or_else(|problems| Vec::from(problems).iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    fn of_repository(url: &str) -> Vec<String> {
        lines(&format!("[gitops]\nrepository = {url:?}"))
    }

    #[test]
    fn a_local_file_names_a_repository_and_has_defaults() {
        let text = "[gitops]\nrepository = \"file:///srv/traffic.git\"\nhome = \"git\"";
        let (read, _files) = parse_local(text, Path::new("/etc"), &GitopsWords::default());
        let gitops = read.expect("a good file").gitops;
        assert_eq!((&*gitops.branch, &*gitops.path), ("main", "pointsman.toml"));
        assert_eq!((gitops.interval, gitops.home), (Duration::from_secs(60), Some("/etc/git".into())));
        assert!(is_local(text) && !is_local("[services.shop]\nsplit = {}") && !is_local("[gitops"));
    }

    #[test]
    fn the_example_has_every_key() {
        let text = include_str!("../../config/gitops.toml");
        assert_eq!(lines(text), Vec::<String>::new());
        let keys = [
            "repository",
            "branch",
            "path",
            "interval",
            "hook_secret_file",
            "home",
            "write_back",
            "committer",
            "verify",
            "status",
            "environment",
        ];
        let has = |key: &&&str| text.contains(&format!("\n{key} = ")) || text.contains(&format!("\n[gitops.{key}]"));
        let missing: Vec<_> = keys.iter().filter(|key| !has(key)).collect();
        assert!(missing.is_empty(), "config/gitops.toml lacks {missing:?}");
        let strange = lines("[gitops]\nrepository = \"file:///a\"\nx = 1");
        let all = format!("want one of {} (", keys.join(", "));
        assert!(strange[0].contains(&all), "the list above is all: {strange:?}");
    }

    #[test]
    fn the_command_line_stands_above_the_file() {
        let words = GitopsWords { repository: Some("git@host:a/b.git".to_owned()), ..GitopsWords::default() };
        let (read, _files) = parse_local("[gitops]\nbranch = \"prod\"", Path::new(""), &words);
        let gitops = read.expect("a good file").gitops;
        assert_eq!((&*gitops.repository, &*gitops.branch), ("git@host:a/b.git", "prod"));
    }

    #[test]
    fn repositories_of_other_protocols_options_and_passwords_are_refused() {
        for good in ["https://git.example.com/a.git", "ssh://git@host/a", "git@host:a/b.git", "file:///srv/a.git"] {
            assert_eq!(of_repository(good), Vec::<String>::new(), "{good}");
        }
        for bad in ["http://host/a", "git://host/a", "ext::sh -c id", "-uid", "/srv/a", "file://", "a:b", "https://"] {
            let found = of_repository(bad);
            assert!(found.len() == 1 && found[0].starts_with("line 2: gitops.repository: found"), "{bad}: {found:?}");
        }
        for secret in ["https://token@host/a", "https://me:secret@host/a", "ssh://me:secret@host/a"] {
            let found = of_repository(secret);
            assert!(found.len() == 1 && found[0].contains("a user or a password in the URL"), "{secret}: {found:?}");
            assert!(!found[0].contains("secret"), "{found:?}");
        }
    }

    #[test]
    fn what_is_written_back_is_off_a_proposal_or_a_commit() {
        let written = |keys: &str| {
            let text = format!("[gitops]\nrepository = \"file:///a\"\n{keys}");
            parse_local(&text, Path::new("/etc"), &GitopsWords::default()).0.map(|local| local.gitops.write_back)
        };
        assert_eq!(written("write_back = \"off\"").ok(), Some(None));
        let terms = written("write_back = \"commit\"\ncommitter = \"A B <a@b>\"").ok().flatten().expect("terms");
        assert_eq!(
            (terms.target, &*terms.committer.name, &*terms.committer.mail),
            (WriteBackTarget::Branch, "A B", "a@b")
        );
        let terms = written("write_back = \"branch\"").ok().flatten().expect("terms");
        assert_eq!((terms.target, &*terms.committer.name), (WriteBackTarget::Proposal, "Pointsman"));
        let bad = "[gitops]\nrepository = \"file:///a\"\nwrite_back = \"on\"\ncommitter = \"a@b\"";
        let found = lines(bad);
        assert!(found[0].starts_with("line 3: gitops.write_back: found \"on\""), "{found:?}");
        assert!(found[1].starts_with("line 4: gitops.committer: found \"a@b\", want NAME <MAIL>"), "{found:?}");
    }

    #[test]
    fn branches_paths_and_other_sections_are_refused_with_their_lines() {
        let text = "[gitops]\nrepository = \"file:///a\"\nbranch = \"--upload-pack=x\"\npath = \"../x\"\ninterval = \"0s\"\n\
                    [services.shop]\nsplit = { v1 = 100 }";
        let found = lines(text);
        for begin in ["line 3: gitops.branch", "line 4: gitops.path", "line 5: gitops.interval", "line 6: services"] {
            assert!(found.iter().any(|line| line.starts_with(begin)), "{begin}: {found:?}");
        }
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
