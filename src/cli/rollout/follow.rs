//! Draws the progress of a rollout: redrawn in place on a terminal, else a line for everything that happens.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::show as shown;
use crate::cli::client::{Call, CallError};
use crate::cli::picture::{Erase, Picture, Size};
use crate::cli::text::{complain, json, list, member, print, show};
use crate::cli::{CommandError, Remote, layout, signals};

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
    tell_at_interrupt(id);
    let (mut told, mut picture, mut last, mut missed) = (0_usize, Picture::default(), String::new(), 0);
    loop {
        // A restart or an upgrade of the proxy takes a moment, and the rollout goes on behind it.
        let rollout = match remote.ask(Call::get(&path)) {
            Ok(rollout) => rollout,
            Err(CommandError::Call(
                CallError::Unreachable { .. } | CallError::Late { .. } | CallError::NoAnswer { .. },
            )) if missed < MISSED_MAX => {
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
        let now = format!("{}{}", shown::state(&rollout), shown::evidence(&rollout));
        if live && !over {
            let size = Size::now();
            let verdicts = shown::recent_verdicts(&rollout, size.columns);
            print(&picture.draw(&(layout::fit(&now, Some(size.columns)) + &verdicts), size));
        } else if !over && !remote.json && summary(&rollout) != last {
            last = summary(&rollout);
            show(&format!("  {last}\n"));
        }
        if over {
            return end(remote, &rollout);
        }
        thread::sleep(LOOK);
    }
}

/// Who stops to look has not stopped the rollout, and is told.
fn tell_at_interrupt(id: &str) {
    let (start, id) = (if std::io::stderr().is_terminal() { "\n" } else { "" }, id.to_owned());
    let say = move || {
        complain(&format!(
            "{start}rollout {id} goes on; to look at it: pointsman rollout status {id}\n\
             to take it back: pointsman rollout abort {id}"
        ));
    };
    // Without it Ctrl-C ends the process silently, as it does without a handler.
    signals::say_at_interrupt(say).ok();
}

/// Prints what happened since; how much that was.
fn events(rollout: &Value, told: usize) -> usize {
    let new: Vec<String> = list(rollout, "events").skip(told).map(|event| member(event, "text") + "\n").collect();
    show(&new.concat());
    new.len()
}

/// Where it is, for lines: what changes only with a stage or the judge's mind.
fn summary(rollout: &Value) -> String {
    let minds: Vec<String> = list(rollout, "evidence")
        .map(|found| format!("{} {} ({})", member(found, "service"), member(found, "ruling"), member(found, "why")))
        .collect();
    let how = shown::how_to_go_on(rollout).map_or(String::new(), |how| format!("; {how}"));
    format!("at {} %: {}{how}", member(rollout, "weight"), minds.join(", "))
}

/// What the word for an ending means.
fn ending_words(ending: &str) -> &str {
    match ending {
        "rolled_back" => "the new version was worse, and everything is on the old one again",
        "held_too_long" => "it was held for too long, and everything is on the old version again",
        "task_failed" => "what had to be done failed, and everything is on the old version again",
        "aborted" => "it was aborted, and everything is on the old version again",
        other => other,
    }
}

fn end(remote: &Remote, rollout: &Value) -> Result<(), CommandError> {
    if remote.json {
        print(&json(rollout));
    }
    match rollout["ending"].as_str() {
        Some("completed") => Ok(()),
        ending => {
            let words = ending_words(ending.unwrap_or_default());
            let of_flag = !shown::moves_versions(rollout);
            Err(CommandError::Unfinished(if of_flag { words.replace("version", "variant") } else { words.to_owned() }))
        }
    }
}
