//! A config's text and all files that it names, looked at together: what `check` and `run` say before anything is
//! bound, and what a reload says before anything changes.
//!
//! A reload puts only the services in force, but it refuses what the next start would refuse: an operator who is told
//! that a config is good restarts with it, perhaps weeks later. What runs already is not looked at again there: its
//! files have a watch and words of their own ([`renew`](super::certificate_reloader)), and one team's broken renewal
//! must not keep another team's routes from being changed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::settings;
use crate::admin::upgrade_calls::CheckFinding;
use crate::config::{
    self, AdminAddress, CallerToken, Config, ConfigEnvironment, ConfigFiles, ConfigKey, ConfigSurroundings,
    FilesBeside, FlagAnswers, GitopsWords, ImportedText, LocalConfig, PagesBeside, Remark, TlsFiles, UnreadableImport,
};
use crate::control::watch::ConfigText;
use crate::files::identity;
use crate::jwt;
use crate::outbound::secret::Secret;
use crate::problem::{PROBLEMS_MAX, Problem, Problems, chain, more_problems};
use crate::tls::{Certificate, Clients, Examined, KeyPair, Load, ServerSettings, TlsPart};
use crate::tokens::{AccessToken, examine_tokens};

/// What there is to say of a config.
#[derive(Debug)]
pub struct Checked<C = Config> {
    /// The config, or everything that is wrong with its text and its files.
    pub config: Result<C, RefusedConfig>,
    /// What its owner should know either way.
    pub warnings: Vec<Remark>,
}

/// Everything that is wrong with a config, at least one thing, in the order of its lines.
#[derive(Debug)]
pub struct RefusedConfig(Vec<Finding>);

/// One thing that is wrong.
#[derive(Debug)]
enum Finding {
    /// With the text.
    Text(Problem),
    /// With a file that it names.
    File(Remark),
}

impl RefusedConfig {
    /// Each thing, as it is told to programs.
    #[must_use]
    pub fn findings(self) -> Vec<CheckFinding> {
        let told = |finding: Finding| match finding {
            Finding::Text(problem) => CheckFinding::Problem(problem),
            Finding::File(Remark { key: ConfigKey { line, path }, text }) => CheckFinding::Remark { path, line, text },
        };
        self.0.into_iter().map(told).collect()
    }

    /// A line for each thing.
    #[must_use]
    pub(crate) fn lines(self) -> Vec<String> {
        self.findings().iter().map(ToString::to_string).collect()
    }
}

impl Finding {
    fn line(&self) -> Option<usize> {
        match self {
            Self::Text(problem) => problem.line,
            Self::File(remark) => remark.key.line,
        }
    }
}

/// Reads a config and the files that it names; relative paths begin at `base`.
#[must_use]
pub fn check(text: &str, base: &Path) -> Checked {
    let state = state_folder(base);
    let (config, files) = config::parse_with_files(text, around(base, state.as_deref()), files_beside(text, base));
    looked_at(config, &files)
}

/// The same of the file of a commit, beside what is `local`.
#[must_use]
pub(crate) fn check_beside(text: &str, base: &Path, local: &Arc<LocalConfig>) -> Checked {
    let surroundings = of_commits(around(base, None), local);
    let (config, files) = config::parse_beside(text, surroundings, FilesBeside::default(), Some(Arc::clone(local)));
    looked_at(config, &files)
}

/// The same of a local file, beside which the config is in a repository.
#[must_use]
pub fn check_local(text: &str, base: &Path, words: &GitopsWords) -> Checked<LocalConfig> {
    let state = state_folder(base);
    let (config, files) = config::parse_local(text, around(base, state.as_deref()), words);
    looked_at(config, &files)
}

/// The file of the state, by default.
const STATE_FILE: &str = "pointsman.db";

/// Where the state is, unless the config says so: in the folder that systemd has made for it, if it has, and else in
/// that of the config. A state that is there already is taken, so that nothing is forgotten when a unit comes to have
/// such a folder.
fn state_folder(base: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("STATE_DIRECTORY")?;
    let folder = std::env::split_paths(&folders).next().filter(|folder| folder.is_absolute())?;
    let is_at = |folder: &Path| folder.join(STATE_FILE).exists();
    (is_at(&folder) || !is_at(base)).then_some(folder)
}

/// What a config is read with: this process's environment. It is that of its start also at a reload, and the one that
/// takes over in an upgrade in place has the same.
fn around<'a>(base: &'a Path, state: Option<&'a Path>) -> ConfigSurroundings<'a> {
    ConfigSurroundings { base, state, environment: ConfigEnvironment { value: &variable, lent: None } }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Who may write to the repository must not read all variables of this machine.
fn of_commits<'a>(surroundings: ConfigSurroundings<'a>, local: &'a LocalConfig) -> ConfigSurroundings<'a> {
    let environment = ConfigEnvironment { lent: Some(&local.gitops.environment), ..surroundings.environment };
    ConfigSurroundings { environment, ..surroundings }
}

/// What was read, with the files that it names.
fn looked_at<C>(config: Result<C, Problems>, files: &ConfigFiles) -> Checked<C> {
    let FileFindings { problems, mut warnings } = FileFindings::of(files);
    warnings.sort_by_key(|warning| warning.key.line);
    Checked { config: joined(config, problems), warnings }
}

/// Reads a config alone, with the files that belong to it; relative paths begin at `base`.
///
/// # Errors
/// All problems of the text and of the flags.
pub fn parse_with_import(text: &str, base: &Path) -> Result<Config, Problems> {
    config::parse_with_files(text, around(base, None), files_beside(text, base)).0
}

/// The files that belong to a config, as they are now.
pub(crate) fn files_beside(text: &str, base: &Path) -> FilesBeside {
    let read = |path: &Path| identity::read(path).map_err(|error| UnreadableImport(chain(&error)));
    let imported = config::flag_import(text, around(base, None)).map(|path| {
        let text = read(&path);
        Arc::new(ImportedText { path, text })
    });
    let pages = config::page_files(text, around(base, None)).into_iter();
    let pages = pages.map(|path| {
        let page = read(&path).map(Arc::from);
        (path, page)
    });
    FilesBeside { imported, pages: PagesBeside::Read(Arc::new(pages.collect())) }
}

/// Reads the next config of a process that runs under another one, and the files that are new in it.
pub(crate) fn reloaded(
    read: &ConfigText,
    base: &Path,
    running: &Config,
    clients: &Clients,
) -> Result<Config, RefusedConfig> {
    let state = state_folder(base);
    let surroundings = around(base, state.as_deref());
    let surroundings = running.local.as_deref().map_or(surroundings, |local| of_commits(surroundings, local));
    let local = running.local.clone();
    let (config, mut files) = config::parse_beside(&read.text, surroundings, read.beside.clone(), local);
    let serves = |settings: &ServerSettings| {
        let listeners = running.listeners.iter().map(|listener| &listener.tls);
        listeners.chain([&running.admin.tls]).any(|tls| tls.as_ref() == Some(settings))
    };
    files.servers.retain(|tls| !serves(&tls.settings));
    files.clients.retain(|tls| clients.config(&tls.settings).is_none());
    if files.tokens.iter().all(|(_, token)| running.admin.tokens.contains(token)) {
        files.tokens.clear();
    }
    let known = |token: &CallerToken| {
        let access = running.listeners.iter().map(|listener| &listener.flags);
        access
            .into_iter()
            .any(|flags| matches!(flags, FlagAnswers::OfContexts(access) if access.tokens.contains(token)))
    };
    if files.flag_tokens.iter().all(|(_, token)| known(token)) {
        files.flag_tokens.clear();
    }
    if files.event_tokens.iter().all(|(_, token)| running.events.tokens.contains(token)) {
        files.event_tokens.clear();
    }
    let made = |file: &Path| {
        let admin = matches!(&running.admin.address, AdminAddress::Unix(path) if path == file);
        admin || running.state.path == file || running.access_log.path.as_deref() == Some(file)
    };
    files.made.retain(|(_, file)| !made(file));
    let verifies = |file: &Path| {
        let keys = running.jwt.as_ref().map(|jwt| &jwt.keys);
        matches!(keys, Some(config::JwtKeys::File(running)) if running == file)
    };
    files.token_keys.retain(|(_, file)| !verifies(file));
    let signs = |file: &Path| running.releases.notify.iter().any(|notify| notify.secret_file.as_deref() == Some(file));
    files.secrets.retain(|(_, file)| !signs(file));
    let found = FileFindings::of(&files);
    found.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    joined(config, found.problems)
}

/// The config, if neither its text nor its files have problems.
fn joined<C>(config: Result<C, Problems>, of_files: Vec<Remark>) -> Result<C, RefusedConfig> {
    let (config, of_text) = match config {
        Ok(config) => (Some(config), Vec::new()),
        Err(problems) => (None, Vec::from(problems)),
    };
    if let Some(config) = config.filter(|_| of_files.is_empty()) {
        return Ok(config);
    }
    let is_cut = !of_files.is_empty() && of_text.len() + of_files.len() > PROBLEMS_MAX;
    let mut findings: Vec<_> = of_text.into_iter().map(Finding::Text).collect();
    findings.extend(of_files.into_iter().map(Finding::File));
    if is_cut {
        findings.truncate(PROBLEMS_MAX);
        findings.push(Finding::Text(more_problems()));
    }
    findings.sort_by_key(|finding| finding.line().unwrap_or(usize::MAX));
    Err(RefusedConfig(findings))
}

/// What the files of a config come to.
#[derive(Debug, Default)]
struct FileFindings {
    problems: Vec<Remark>,
    warnings: Vec<Remark>,
}

impl FileFindings {
    fn of(files: &ConfigFiles) -> Self {
        let mut found = Self::default();
        for tls in &files.servers {
            let examined = tls.settings.examine();
            found.tls(tls, &examined);
            found.keys(tls, tls.settings.exposed());
            found.choices(tls, &examined.certificates);
        }
        // Many versions speak TLS in the same way.
        let mut known = HashMap::new();
        for tls in &files.clients {
            let examined = known.entry(&tls.settings).or_insert_with(|| tls.settings.examine());
            found.tls(tls, examined);
            found.keys(tls, tls.settings.exposed());
        }
        found.tokens(&files.tokens.iter().map(|(key, token)| (key, settings::token(token))).collect::<Vec<_>>());
        for tokens in [&files.flag_tokens, &files.event_tokens] {
            let tokens = tokens.iter().map(|(key, token)| (key, settings::caller_token(token)));
            found.tokens(&tokens.collect::<Vec<_>>());
        }
        found.secrets(&files.secrets);
        found.token_keys(&files.token_keys);
        found.warnings.extend(files.remarks.iter().cloned());
        found.folders(&files.made);
        found.readable(&files.read);
        found
    }

    /// What is wrong with the files of one end of TLS, and certificates that have ended or soon will.
    fn tls<S>(&mut self, tls: &TlsFiles<S>, Examined { certificates, errors }: &Examined) {
        self.problems.extend(errors.iter().map(|error| tls.key_of(error.part).remark(error.line())));
        let now = jiff::Timestamp::now().as_second();
        for (index, certificate) in certificates.iter().enumerate() {
            let warning = certificate.as_ref().and_then(|certificate| certificate.warning(now));
            self.warnings.extend(warning.map(|text| tls.key_of(TlsPart::Certificate(index)).remark(text)));
        }
    }

    /// Keys that others can read.
    fn keys<S>(&mut self, tls: &TlsFiles<S>, exposed: Vec<(TlsPart, String)>) {
        self.warnings.extend(exposed.into_iter().map(|(part, text)| tls.key_of(part).remark(text)));
    }

    /// Certificates of a server that no client would ever get.
    fn choices(&mut self, tls: &TlsFiles<ServerSettings>, certificates: &[Option<Certificate>]) {
        let pairs: &[KeyPair] = &tls.settings.certificates;
        for (index, (pair, certificate)) in pairs.iter().zip(certificates).enumerate() {
            let file = pair.certificate.display();
            let same = pairs[..index].iter().position(|other| other == pair);
            let text = if let Some(same) = same {
                let first = &tls.key_of(TlsPart::Certificate(same)).path;
                format!("{file}: the same certificate and key as {first}; remove one of the two")
            } else if certificate.as_ref().is_some_and(|certificate| nameless(index, certificate)) {
                format!(
                    "{file}: the certificate has no host name (subjectAltName), so that no client gets it for its name; \
                     issue it again with the hosts that it is for"
                )
            } else {
                continue;
            };
            self.warnings.push(tls.key_of(TlsPart::Certificate(index)).remark(text));
        }
    }

    fn secrets(&mut self, secrets: &[(ConfigKey, PathBuf)]) {
        for (key, file) in secrets {
            match Secret::read(file) {
                Ok(secret) => self.warnings.extend(secret.warning.map(|text| key.remark(text))),
                Err(fault) => self.problems.push(key.remark(fault.to_string())),
            }
        }
    }

    fn token_keys(&mut self, keys: &[(ConfigKey, PathBuf)]) {
        for (key, file) in keys {
            match jwt::read_keys(file) {
                Ok(set) => self.warnings.extend(set.remarks.into_iter().map(|text| key.remark(text))),
                Err(fault) => self.problems.push(key.remark(chain(&fault))),
            }
        }
    }

    /// Files that another program could not read.
    fn readable(&mut self, read: &[(ConfigKey, PathBuf)]) {
        for (key, file) in read {
            if let Err(error) = std::fs::File::open(file) {
                let file = file.display();
                let text =
                    format!("cannot read {file} ({error}); make it exist and be readable by the user of this process");
                self.problems.push(key.remark(text));
            }
        }
    }

    /// Files that cannot be made where they are to be.
    fn folders(&mut self, made: &[(ConfigKey, PathBuf)]) {
        for (key, file) in made {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let found = match std::fs::metadata(folder) {
                Ok(found) if found.is_dir() => continue,
                Ok(_) => "a file where the folder should be".to_owned(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => "no such folder".to_owned(),
                Err(error) => error.to_string(),
            };
            let (folder, file) = (folder.display(), file.display());
            self.problems.push(key.remark(format!(
                "{folder}: found {found}, want the folder that {file} is made in; make the folder or choose another path"
            )));
        }
    }

    fn tokens(&mut self, tokens: &[(&ConfigKey, AccessToken)]) {
        let files: Vec<_> = tokens.iter().map(|(_, token)| token.clone()).collect();
        let found = examine_tokens(&files);
        let key = |name: &str| tokens.iter().find(|(_, token)| token.name == name).map(|(key, _)| key);
        let at = |name: &str, text: String| key(name).map(|key| key.remark(text));
        self.problems.extend(found.bad.iter().filter_map(|bad| at(&bad.name, bad.fault.to_string())));
        self.warnings.extend(found.warnings.into_iter().filter_map(|(name, text)| at(&name, text)));
    }
}

/// Whether a certificate fits no name. The first one is also for clients that connect by address.
fn nameless(index: usize, certificate: &Certificate) -> bool {
    certificate.hosts.is_empty() && (index > 0 || !certificate.has_address)
}
