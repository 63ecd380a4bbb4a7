//! `pointsman completions`: what a shell offers on the tab key, from the same definition as the help.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::{Cli, text};

/// Print the completions of a shell, to be put where it looks for them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    pointsman completions bash > /etc/bash_completion.d/pointsman\n  \
    pointsman completions zsh > /usr/local/share/zsh/site-functions/_pointsman\n  \
    pointsman completions fish > ~/.config/fish/completions/pointsman.fish")]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: CompletionShell,
}

/// Shells that have been tried.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

impl From<CompletionShell> for Shell {
    fn from(shell: CompletionShell) -> Self {
        match shell {
            CompletionShell::Bash => Self::Bash,
            CompletionShell::Zsh => Self::Zsh,
            CompletionShell::Fish => Self::Fish,
        }
    }
}

/// Prints them.
pub fn run(args: &CompletionsArgs) {
    let mut script = Vec::new();
    generate(Shell::from(args.shell), &mut Cli::command(), "pointsman", &mut script);
    text::print(&String::from_utf8_lossy(&script));
}
