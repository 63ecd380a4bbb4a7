//! Shows what happens until it is ended: on a terminal as a whole view, elsewhere a line a second.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::time::Instant;

use super::demo_key::{self, DemoKey};
use super::operator::OperatorError;
use super::stage::DemoStage;
use super::view::{self, ViewState};
use super::{Event, announce, chain, program};
use crate::cli::terminal::screen::{Keyboard, Screen};
use crate::cli::terminal::{colours, draws};

/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(1);

/// How long a note stays.
const NOTE: Duration = Duration::from_secs(5);

/// Where it is shown.
enum Output {
    Screen(Box<Screen>),
    Lines,
}

/// Shows `stage` until an event ends it, or for the time given.
///
/// # Errors
/// When the terminal or the pipe is gone.
pub(crate) fn show(
    stage: &DemoStage,
    events: Sender<Event>,
    incoming: &Receiver<Event>,
    until: Option<Duration>,
) -> io::Result<()> {
    // A terminal that says it can be drawn on and then cannot still gets lines.
    let meaning = |event: &_| demo_key::meaning(event).map(Event::Key);
    let keyboard = Keyboard { events, meaning, gone: Event::End };
    let screen = if draws() { Screen::open(keyboard, colours()).ok() } else { None };
    let mut output = screen.map_or(Output::Lines, |screen| Output::Screen(Box::new(screen)));
    if let Output::Lines = output {
        announce(stage, &mut io::stdout().lock())?;
    }
    let mut live = Live::new(stage);
    let shown = live.show(&mut output, incoming, until);
    if let Output::Screen(screen) = output {
        screen.close()?;
        live.refresh();
        writeln!(io::stdout().lock(), "{}", view::plain(&live.state))?;
    }
    shown
}

/// What is shown, and until when.
struct Live<'a> {
    stage: &'a DemoStage,
    state: ViewState,
    note_until: Instant,
}

impl<'a> Live<'a> {
    fn new(stage: &'a DemoStage) -> Self {
        let (places, users) = (stage.places.clone(), stage.crowd.count());
        let state = ViewState { places, users, seed: stage.crowd.seed, ..ViewState::default() };
        Self { stage, state, note_until: Instant::now() }
    }

    fn show(&mut self, output: &mut Output, incoming: &Receiver<Event>, until: Option<Duration>) -> io::Result<()> {
        let pause = if let Output::Lines = output { LINE } else { FRAME };
        let mut next = Instant::now() + pause;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            match incoming.recv_timeout(left) {
                Ok(Event::Key(DemoKey::Change(change))) => self.change(change),
                Ok(Event::Key(DemoKey::Redraw)) => {}
                Ok(Event::Key(DemoKey::Quit) | Event::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => next = (next + pause).max(Instant::now()),
            }
            self.refresh();
            self.print(output)?;
            if until.is_some_and(|until| self.state.elapsed >= until) {
                return Ok(());
            }
        }
    }

    fn print(&self, output: &mut Output) -> io::Result<()> {
        match output {
            Output::Lines => writeln!(io::stdout().lock(), "{}", view::plain(&self.state)),
            Output::Screen(screen) => {
                let lines = view::lines(&self.state, &program(), screen.size()?);
                screen.draw(&lines)
            }
        }
    }

    /// Makes a change as a key asked for it; the answer of the API is what people see if it does not like it.
    fn change(&mut self, change: super::operator::DemoChange) {
        match self.stage.operator.change(change) {
            Ok(_) => {}
            Err(OperatorError::Call(error)) => self.note(error.words()),
            Err(error @ OperatorError::Answer { .. }) => self.note(chain(&error)),
        }
    }

    fn note(&mut self, note: String) {
        self.state.note = Some(note);
        self.note_until = Instant::now() + NOTE;
    }

    fn refresh(&mut self) {
        let now = Instant::now();
        if now >= self.note_until {
            self.state.note = None;
        }
        match self.stage.operator.traffic() {
            Ok(traffic) => self.state.traffic = traffic,
            Err(error) => self.note(chain(&error)),
        }
        self.state.elapsed = self.stage.elapsed();
        self.state.rates = self.stage.tally().rates(now);
    }
}
