//! `pointsman init`: a first config, from flags or from answers on a terminal.
//!
//! Each answer is put into the config at once and the config is read, so that what is wrong is said where it was typed,
//! and what is written in the end is what `check` finds good. A file that is there is never written over.

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::client::DEFAULT_ADMIN;
use super::{CommandError, text};
use crate::app;
use crate::config;

/// Write a first config, from these options or from answers on a terminal; a file that is there is left alone
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman init\n  \
    pointsman init --service shop --v1 127.0.0.1:3000 --v2 127.0.0.1:3001\n  \
    pointsman init /etc/pointsman/pointsman.toml --service shop --v1 10.0.0.1:80,10.0.0.2:80 --listen 0.0.0.0:80\n\n\
    --admin says where operators come in: IP:PORT or unix:/PATH.")]
pub struct InitArgs {
    /// The file
    #[arg(value_name = "FILE", default_value = "pointsman.toml")]
    file: PathBuf,
    /// What the service is called [default: app]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Where the version listens that users have now, IP:PORT or NAME:PORT; several with commas
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    v1: Vec<String>,
    /// Where the next version listens, which gets no traffic yet
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    v2: Vec<String>,
    /// Where users come in, IP:PORT [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// What the config is to say.
#[derive(Clone, Debug)]
struct FirstConfig {
    service: String,
    v1: Vec<String>,
    v2: Vec<String>,
    listen: String,
    admin: String,
}

/// Something that is asked on a terminal.
struct InitQuestion {
    text: &'static str,
    /// What an empty answer means.
    default: &'static str,
    put: fn(&mut FirstConfig, &str),
}

const QUESTIONS: [InitQuestion; 5] = [
    InitQuestion {
        text: "What is the service called?",
        default: "app",
        put: |config, answer| answer.clone_into(&mut config.service),
    },
    InitQuestion {
        text: "Where does the version listen that users have now? IP:PORT, several with commas",
        default: "127.0.0.1:3000",
        put: |config, answer| config.v1 = addresses(answer),
    },
    InitQuestion {
        text: "Where will the next version listen? Empty: not known yet",
        default: "",
        put: |config, answer| config.v2 = addresses(answer),
    },
    InitQuestion {
        text: "Where do users come in? IP:PORT",
        default: "0.0.0.0:8080",
        put: |config, answer| answer.clone_into(&mut config.listen),
    },
    InitQuestion {
        text: "Where do operators come in? IP:PORT",
        default: "127.0.0.1:9900",
        put: |config, answer| answer.clone_into(&mut config.admin),
    },
];

fn addresses(answer: &str) -> Vec<String> {
    answer.split([',', ' ']).filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

/// Writes the config, and says what comes next. `admin` is what the caller has written of where operators come in.
///
/// # Errors
/// [`CommandError`] when there is a file already, when the config would be wrong, and when it cannot be written.
pub fn run(admin: Option<&str>, args: InitArgs) -> Result<(), CommandError> {
    let InitArgs { file, service, v1, v2, listen } = args;
    let admin = admin.map(|admin| admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/').to_owned());
    refuse_known(&file)?;
    let asks = v1.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    if v1.is_empty() && !asks {
        let wanted = "found no --v1, want where the version listens that users have now, such as --v1 127.0.0.1:3000";
        return Err(CommandError::Usage(wanted.to_owned()));
    }
    let [_, _, _, default_listen, default_admin] = QUESTIONS.map(|question| question.default.to_owned());
    let mut config = FirstConfig {
        service: service.unwrap_or_else(|| "app".to_owned()),
        v1,
        v2,
        listen: listen.unwrap_or(default_listen),
        admin: admin.unwrap_or(default_admin),
    };
    if asks {
        config.v1 = addresses("127.0.0.1:3000");
        let (mut answers, mut out) = (io::stdin().lock(), io::stdout().lock());
        ask_all(&mut config, &mut answers, &mut out)
            .map_err(|error| CommandError::Failed(format!("no answer: {error}")))?;
    }
    let written = config.text();
    let checked = app::check(&written, file.parent().unwrap_or(Path::new("")));
    checked.config.map_err(|refused| {
        let lines: Vec<String> = refused.findings().iter().map(ToString::to_string).collect();
        CommandError::Usage(format!("the config would not be good:\n  {}", lines.join("\n  ")))
    })?;
    write_new(&file, &written)?;
    text::print(&format!("wrote {}\n{}", file.display(), config.next(&file)));
    Ok(())
}

fn refuse_known(file: &Path) -> Result<(), CommandError> {
    match std::fs::symlink_metadata(file) {
        Ok(_) => Err(known(file)),
        Err(_) => Ok(()),
    }
}

fn known(file: &Path) -> CommandError {
    let file = file.display();
    CommandError::Usage(format!("found {file}, which is never written over; name another file, or move it away"))
}

fn write_new(file: &Path, written: &str) -> Result<(), CommandError> {
    let failed = |error: io::Error| match error.kind() == io::ErrorKind::AlreadyExists {
        true => known(file),
        false => CommandError::Failed(format!("cannot write {}: {error}", file.display())),
    };
    let mut new = OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    new.write_all(written.as_bytes()).and_then(|()| new.sync_all()).map_err(failed)
}

/// Asks until each answer is good.
fn ask_all(config: &mut FirstConfig, answers: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    for question in &QUESTIONS {
        loop {
            let default = if question.default.is_empty() { String::new() } else { format!(" [{}]", question.default) };
            write!(out, "{}{default} ", question.text)?;
            out.flush()?;
            let mut answer = String::new();
            if answers.read_line(&mut answer)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = if answer.trim().is_empty() { question.default } else { answer.trim() };
            let mut changed = config.clone();
            (question.put)(&mut changed, answer);
            match config::parse(&changed.text(), Path::new("")) {
                Ok(_) => {
                    *config = changed;
                    break;
                }
                Err(problems) => {
                    for config::Problem { found, wanted, remedy, .. } in problems.as_slice() {
                        writeln!(out, "  found {found}, want {wanted} ({remedy})")?;
                    }
                }
            }
        }
    }
    Ok(())
}

impl FirstConfig {
    fn text(&self) -> String {
        let key = |name: &str| toml_edit::Key::new(name).to_string();
        let value = |text: &str| toml_edit::Value::from(text).to_string();
        let list = |texts: &[String]| texts.iter().map(|text| value(text)).collect::<Vec<_>>().join(", ");
        let service = key(&self.service);
        let mut written = format!(
            "# Read again whenever it changes. `pointsman check --config FILE` names everything that is wrong with it.\n\n\
             [listeners.public]                  # where users come in\naddress = {}\n\n\
             [admin]                             # where operators come in: status, shifts, rollouts, the console\n\
             address = {}\n\n[services.{service}]\n",
            value(&self.listen),
            value(&self.admin)
        );
        if !self.v2.is_empty() {
            written.push_str("sticky = [\"cookie\"]                 # a user stays with a version\n");
            written.push_str("split = { v1 = 100, v2 = 0 }        # per cent\n");
        }
        written.push_str(&format!("\n[services.{service}.versions.v1]\nendpoints = [{}]\n", list(&self.v1)));
        match self.v2.is_empty() {
            false => {
                written.push_str(&format!("\n[services.{service}.versions.v2]\nendpoints = [{}]\n", list(&self.v2)));
            }
            true => written.push_str(&format!(
                "\n# The next version, when there is one, with these lines under [services.{service}]:\n\
                 # sticky = [\"cookie\"]\n# split = {{ v1 = 100, v2 = 0 }}\n\
                 # [services.{service}.versions.v2]\n# endpoints = [\"127.0.0.1:3001\"]\n"
            )),
        }
        written
    }

    /// What to do now.
    fn next(&self, file: &Path) -> String {
        let mut next = format!("next:\n  pointsman run --config {}\n", file.display());
        if !self.v2.is_empty() {
            let admin = match self.admin.as_str() {
                unix if unix.starts_with("unix:") => format!(" --admin {unix}"),
                address if DEFAULT_ADMIN.ends_with(address) => String::new(),
                address => format!(" --admin http://{address}"),
            };
            let service = &self.service;
            next.push_str(&format!("and then, beside it:\n  pointsman{admin} shift {service} v1=90 v2=10\n"));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> FirstConfig {
        FirstConfig {
            service: "app".to_owned(),
            v1: addresses("127.0.0.1:3000"),
            v2: Vec::new(),
            listen: "0.0.0.0:8080".to_owned(),
            admin: "127.0.0.1:9900".to_owned(),
        }
    }

    #[test]
    fn answers_that_are_not_good_are_asked_for_again() {
        let mut config = first();
        let answers = "a b\nshop\n127.0.0.1\n10.0.0.1:80, 10.0.0.2:80\n\n\n127.0.0.1:8080\n127.0.0.1:9901\n";
        let mut said = Vec::new();
        ask_all(&mut config, &mut answers.as_bytes(), &mut said).expect("all are answered");
        let said = String::from_utf8(said).expect("UTF-8");
        assert_eq!((&*config.service, &*config.admin, &*config.listen), ("shop", "127.0.0.1:9901", "0.0.0.0:8080"));
        assert_eq!(config.v1, ["10.0.0.1:80", "10.0.0.2:80"]);
        assert!(config.v2.is_empty());
        assert_eq!(said.matches("  found ").count(), 3, "{said}");
        assert!(said.contains("add a port: ") && said.contains("found 127.0.0.1:8080 beside 0.0.0.0:8080"), "{said}");
    }

    #[test]
    fn an_end_of_the_answers_is_an_error() {
        let end = ask_all(&mut first(), &mut "shop\n".as_bytes(), &mut Vec::new());
        assert_eq!(end.expect_err("there is no more").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn names_that_are_no_bare_keys_are_quoted() {
        let mut config = first();
        config.service = "shop.eu".to_owned();
        config.v2 = addresses("127.0.0.1:3001");
        let read = config::parse(&config.text(), Path::new("")).expect("a good config");
        assert_eq!(read.services[0].name.as_str(), "shop.eu");
        assert_eq!(read.services[0].split.to_string(), "v1=100 v2=0");
    }
}
