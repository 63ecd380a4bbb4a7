//! `pointsman man`: pages of the manual, from the same definition as the help.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use jiff::Timestamp;

use super::{Cli, CommandError, text};

/// Print the page of the manual, or write it and one for each command into a folder
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman man | man -l -\n  pointsman man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Where to write pointsman.1 and a page for each command; without it the first page is printed
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints or writes the pages.
///
/// # Errors
/// [`CommandError::Failed`] when a page cannot be written.
pub fn run(args: &ManArgs) -> Result<(), CommandError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else {
        text::print(&page(command));
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| CommandError::Failed(format!("cannot make {}: {error}", folder.display())))?;
    let mut written = 0;
    write(command, folder, &mut written)?;
    text::print(&format!("wrote {written} pages to {}\n", folder.display()));
    Ok(())
}

/// Writes the page of a command and those of the commands in it.
fn write(command: Command, folder: &Path, written: &mut usize) -> Result<(), CommandError> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write(inner.clone(), folder, written)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command))
        .map_err(|error| CommandError::Failed(format!("cannot write {}: {error}", path.display())))?;
    *written += 1;
    Ok(())
}

fn page(command: Command) -> String {
    let mut page = Vec::new();
    let source = concat!("pointsman ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).date(today()).source(source).manual("Pointsman");
    // Writing into memory cannot fail.
    man.render(&mut page).unwrap_or(());
    tidied(&String::from_utf8_lossy(&page))
}

/// The day that stands on a page; who builds the same package twice says which (reproducible-builds.org).
fn today() -> String {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let at = said.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_else(Timestamp::now);
    at.strftime("%Y-%m-%d").to_string()
}

/// Without line breaks beside empty lines and ends of paragraphs, which say the same.
fn tidied(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let is_needless = |at: usize| {
        let beside = [at.checked_sub(1), at.checked_add(1)];
        lines[at] == ".br" && beside.into_iter().flatten().any(|beside| matches!(lines.get(beside), Some(&".sp" | &"")))
    };
    (0..lines.len()).filter(|at| !is_needless(*at)).flat_map(|at| [lines[at], "\n"]).collect()
}
