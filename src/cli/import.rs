//! `pointsman import`: the config of another proxy, as one of ours. Text in, text out; nothing is called.
//!
//! Each format has a [reader](nginx) that fills a [draft](config_draft), which knows how a config is written. What has
//! no counterpart stands as a comment at the top of the config, with its line: nothing is lost without a word. What
//! comes out is what `check` finds good, so that all that is left to do is to read it.

mod config_draft;
mod haproxy;
mod haproxy_lines;
mod haproxy_pools;
mod haproxy_rules;
mod ingress_nginx;
mod kamal;
mod measures;
mod nginx;
mod nginx_blocks;
mod nginx_targets;
mod yaml;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use self::config_draft::ConfigDraft;
use super::{CommandError, text};
use crate::problem::{Problem, utf8};

/// Turn the config of another proxy into one of ours, with comments on what has no counterpart
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman import nginx /etc/nginx/nginx.conf > pointsman.toml\n  \
    pointsman import haproxy /etc/haproxy/haproxy.cfg\n  \
    kubectl get ingress --all-namespaces --output yaml > ingress.yaml && pointsman import ingress-nginx ingress.yaml\n  \
    pointsman import kamal config/deploy.yml\n\n\
    Nothing is called and nothing is written. Then: pointsman check --config pointsman.toml")]
pub struct ImportArgs {
    /// Whose config it is
    #[arg(value_enum)]
    from: ForeignFormat,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Whose config is read.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ForeignFormat {
    /// nginx.conf: upstreams, split_clients, maps, servers and their locations
    Nginx,
    /// haproxy.cfg: frontends, backends, weights, ACLs and maps
    Haproxy,
    /// Ingresses in YAML, with the canary annotations of ingress-nginx
    IngressNginx,
    /// deploy.yml of Kamal, or the state of kamal-proxy with its rollouts (kamal-proxy.state)
    Kamal,
}

/// Reads the file and prints what it becomes.
///
/// # Errors
/// [`CommandError::Usage`] when the file cannot be read, or is not what it should be.
pub fn run(args: &ImportArgs) -> Result<(), CommandError> {
    let content = read(&args.file)?;
    let draft = args.from.read(&content, &|name| beside(&args.file, name));
    let draft = draft.map_err(|problem| CommandError::Usage(format!("{}: {problem}", args.file.display())))?;
    let config = draft.text(args.from.title());
    text::print(&config);
    crate::config::parse(&config, Path::new("")).map(drop).map_err(|problems| {
        CommandError::Failed(format!("what came out is no good config yet, and has to be mended by hand:\n{problems}"))
    })
}

impl ForeignFormat {
    /// Reads a text; `beside` reads a file that it names.
    fn read(self, content: &str, beside: &dyn Fn(&str) -> Option<String>) -> Result<ConfigDraft, Problem> {
        match self {
            Self::Nginx => nginx::import(content),
            Self::Haproxy => haproxy::import(content, beside),
            Self::IngressNginx => ingress_nginx::import(content),
            Self::Kamal => kamal::import(content),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::IngressNginx => "ingress-nginx",
            Self::Kamal => "kamal",
        }
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    let unreadable = |error| CommandError::Usage(format!("cannot read {}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(unreadable)?;
    utf8::text(bytes).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
}

/// A file that another one names: where it says, or by its last name in the folder of that file.
fn beside(file: &Path, name: &str) -> Option<String> {
    let here = file.parent().unwrap_or(Path::new("")).join(Path::new(name).file_name()?);
    read(Path::new(name)).or_else(|_| read(&here)).ok()
}

/// A text that is not what it should be.
fn misfit(line: usize, found: impl Into<String>, wanted: &str, remedy: &str) -> Problem {
    Problem { line: Some(line), ..Problem::invalid("", found, wanted, remedy) }
}
