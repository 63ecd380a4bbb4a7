//! Draws the progress of a rollout: redrawn in place on a terminal, else a line for everything that happens.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::picture::{Erase, Picture, Size};
use super::show;
use crate::cli::client::{Call, CallError};
use crate::cli::text::{json, list, member, print};
use crate::cli::{CommandError, Remote};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How many looks in a row may find no proxy.
const MISSED_MAX: u32 = 20;

/// Follows a rollout to its end.
///
/// # Errors
/// [`CommandError`] when it cannot be looked at, or was not completed.
pub(crate) fn until_over(remote: &Remote, id: &str) -> Result<(), CommandError> {
    let path = format!("/v1/rollouts/{id}");
    let live = std::io::stdout().is_terminal() && !remote.json;
    let (mut told, mut picture, mut last, mut missed) = (0_usize, Picture::default(), String::new(), 0);
    loop {
        // A restart or an upgrade of the proxy takes a moment, and the rollout goes on behind it.
        let rollout = match remote.ask(Call::get(&path)) {
            Ok(rollout) => rollout,
            Err(CommandError::Call(CallError::Unreachable { .. } | CallError::NoAnswer { .. }))
                if missed < MISSED_MAX =>
            {
                missed += 1;
                thread::sleep(LOOK);
                continue;
            }
            Err(error) => return Err(error),
        };
        missed = 0;
        let over = rollout["phase"] == "finished";
        if live {
            let size = Size::now();
            match picture.erase(size) {
                Erase::Picture(code) => print(&code),
                Erase::Screen(code) => {
                    print(code);
                    // As far as they have room above the picture.
                    told = told.saturating_sub(size.rows / 4);
                }
            }
        }
        if !remote.json {
            told += events(&rollout, told);
        }
        let now = format!("{}{}", show::state(&rollout), show::evidence(&rollout));
        if live && !over {
            print(&picture.draw(&now, Size::now()));
        } else if !over && !remote.json && summary(&rollout) != last {
            last = summary(&rollout);
            print(&format!("  {last}\n"));
        }
        if over {
            return end(remote, &rollout);
        }
        thread::sleep(LOOK);
    }
}

/// Prints what happened since; how much that was.
fn events(rollout: &Value, told: usize) -> usize {
    let new: Vec<String> = list(rollout, "events").skip(told).map(|event| member(event, "text") + "\n").collect();
    print(&new.concat());
    new.len()
}

/// Where it is, for lines: what changes only with a stage or the judge's mind.
fn summary(rollout: &Value) -> String {
    let minds: Vec<String> = list(rollout, "evidence")
        .map(|found| format!("{} {} ({})", member(found, "service"), member(found, "ruling"), member(found, "why")))
        .collect();
    let how = show::how_to_go_on(rollout).map_or(String::new(), |how| format!("; {how}"));
    format!("at {} %: {}{how}", member(rollout, "weight"), minds.join(", "))
}

fn end(remote: &Remote, rollout: &Value) -> Result<(), CommandError> {
    if remote.json {
        print(&json(rollout));
    }
    match rollout["ending"].as_str() {
        Some("completed") => Ok(()),
        ending => Err(CommandError::Unfinished(ending.unwrap_or("unknown").to_owned())),
    }
}
