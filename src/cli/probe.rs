//! `pointsman probe`: whether a proxy takes requests, for what starts and watches processes and has no HTTP client.

use clap::Args;
use serde_json::Value;

use super::client::{Call, CallError};
use super::{CommandError, Remote, text};

/// Ask whether the proxy takes requests: exit with 0 when it does, with 1 when it does not
#[derive(Args, Debug)]
#[command(after_help = "Example, in a Dockerfile:\n  HEALTHCHECK CMD [\"/pointsman\", \"probe\"]\n\n\
    It asks /readyz of the admin API, which wants no token.")]
pub struct ProbeArgs {}

/// Asks.
///
/// # Errors
/// [`CommandError`] when the proxy takes none, or does not answer.
pub fn run(remote: &Remote, _: &ProbeArgs) -> Result<(), CommandError> {
    match remote.lines(Call::get("/readyz")) {
        Ok(ready) => {
            text::print(&ready.text);
            Ok(())
        }
        // The reason is a text, and no problem document.
        Err(CommandError::Call(CallError::Refused { problem: Value::String(why), .. })) => {
            Err(CommandError::Failed(why.trim_end().to_owned()))
        }
        Err(error) => Err(error),
    }
}
