//! Shows a run until it is over: redrawn in place on a terminal, else a line now and then, and for each new state.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::chaos_show as shown;
use crate::cli::client::{Call, CallError};
use crate::cli::picture::{Erase, Picture, Size};
use crate::cli::text::{complain, json, member, print, show};
use crate::cli::{CommandError, Remote, layout, signals};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How many looks have one line where nothing is drawn.
const LOOKS_PER_LINE: u32 = 20;

/// How many looks in a row may find no proxy.
const MISSED_MAX: u32 = 20;

/// Follows a run to its end.
///
/// # Errors
/// [`CommandError`] when it cannot be looked at, or the hypothesis did not hold.
pub(super) fn until_over(remote: &Remote, id: &str) -> Result<(), CommandError> {
    let path = format!("/v1/chaos/{id}");
    let live = std::io::stdout().is_terminal() && !remote.json;
    tell_at_interrupt(id);
    let (mut picture, mut state, mut looks, mut missed) = (Picture::default(), String::new(), 0_u32, 0);
    loop {
        // A restart of the proxy takes a moment; it ends the run, and its record says so.
        let run = match remote.ask(Call::get(&path)) {
            Ok(run) => run,
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
        if live {
            let size = Size::now();
            match picture.erase(size) {
                Erase::Picture(code) => print(&code),
                Erase::Screen(code) => print(code),
            }
        }
        if run["state"] == "ended" {
            return end(remote, &run);
        }
        if live {
            let size = Size::now();
            print(&picture.draw(&layout::fit(&shown::one(&run), Some(size.columns)), size));
        } else if !remote.json && (looks.is_multiple_of(LOOKS_PER_LINE) || member(&run, "state") != state) {
            state = member(&run, "state");
            show(&format!("{}\n", shown::summary(&run)));
        }
        looks += 1;
        thread::sleep(LOOK);
    }
}

/// Who stops to look has not stopped the run, and is told.
fn tell_at_interrupt(id: &str) {
    let (start, id) = (if std::io::stderr().is_terminal() { "\n" } else { "" }, id.to_owned());
    let say = move || {
        complain(&format!(
            "{start}run {id} goes on until its end; to look at it: pointsman chaos status {id}\n\
             to end it now: pointsman chaos stop {id}"
        ));
    };
    // Without it Ctrl-C ends the process silently, as it does without a handler.
    signals::say_at_interrupt(say).ok();
}

fn end(remote: &Remote, run: &Value) -> Result<(), CommandError> {
    if remote.json {
        print(&json(run));
    } else {
        show(&shown::one(run));
    }
    match run["ending"].as_str() {
        Some("held") => Ok(()),
        Some("broken") => Err(CommandError::NotHeld("the hypothesis is broken: users were worse off".to_owned())),
        _ => Err(CommandError::NotHeld(format!(
            "there was not enough data to tell (ended by {})",
            shown::ended_by(&member(run, "ended_by"))
        ))),
    }
}
