//! `pointsman status --watch`: the state, and what changes of it as it changes; on a terminal as a live view.
//!
//! The stream has a thread of its own there, so that keys and signals are heard while nothing changes.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::Value;

use super::event_reader::{EventReader, StreamedEvent};
use super::status_board;
use crate::cli::client::CallError;
use crate::cli::terminal::screen::{Keyboard, Screen};
use crate::cli::terminal::{colours, draws, end_signals};
use crate::cli::text::{TextTone, harmless_texts, print, show, toned};
use crate::cli::{CommandError, Remote};
use crate::document::{live_document, merge_patch};

/// The stream.
const PATH: &str = "/v1/events";

/// The pause before a connection that was lost is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How many tries in a row may find no proxy.
const MISSED_MAX: u32 = 20;

const LOST: &str = "the connection to the proxy is lost; trying again";

/// What is new.
enum StatusNews {
    /// The document is this now.
    State(Value),
    /// The connection is lost, and tried again.
    Lost,
}

/// What the live view reacts to.
enum StatusEvent {
    News(StatusNews),
    /// The window has another size.
    Redraw,
    /// It is to end.
    End,
    /// Nothing more will come.
    Over(Option<CommandError>),
}

/// Shows the state until it is interrupted.
///
/// # Errors
/// [`CommandError`] when the proxy cannot be reached for some time, refuses, or has no such service.
pub(crate) fn until_interrupted(remote: &Remote, service: Option<&str>) -> Result<(), CommandError> {
    if draws() && !remote.json {
        return live(remote, service);
    }
    follow(remote, service, |news| {
        match news {
            StatusNews::State(document) if remote.json => print(&format!("{}\n", part(&document, service))),
            StatusNews::State(document) => show(&format!("{}\n", text(&status(document), service))),
            StatusNews::Lost if remote.json => {}
            StatusNews::Lost => show(&format!("{}\n", toned(LOST, TextTone::Bad))),
        }
        ControlFlow::Continue(())
    })
}

/// The part of the document that is asked for.
fn part<'d>(document: &'d Value, service: Option<&str>) -> &'d Value {
    service.map_or(document, |service| &document["services"][service])
}

/// The status of a document, fit for a terminal.
fn status(document: Value) -> Value {
    harmless_texts(live_document::to_status(document))
}

/// The status, or a service of it, as text.
fn text(status: &Value, service: Option<&str>) -> String {
    let Some(name) = service else { return super::status_text(status) };
    let services = status["services"].as_array().into_iter().flatten();
    services.filter(|service| service["name"] == name).map(super::service_text).collect()
}

/// Tells of each state of the proxy until it is told to stop.
fn follow(
    remote: &Remote,
    service: Option<&str>,
    mut tell: impl FnMut(StatusNews) -> ControlFlow<()>,
) -> Result<(), CommandError> {
    let client = remote.client()?;
    let (mut document, mut last_id, mut missed) = (Value::Null, None::<String>, 0);
    loop {
        let (mut reader, mut stop) = (EventReader::default(), None);
        let since = last_id.clone();
        let ended = client.stream(PATH, since.as_deref(), |piece| {
            for event in reader.push(piece) {
                missed = 0;
                if !take(&mut document, &event) {
                    continue;
                }
                last_id = Some(event.id);
                if let Some(service) = service.filter(|service| document["services"].get(service).is_none()) {
                    let text = format!("there is no service {service}; `pointsman status` lists them");
                    stop = Some(Err(CommandError::Unknown(text)));
                } else if tell(StatusNews::State(document.clone())).is_break() {
                    stop = Some(Ok(()));
                }
                if stop.is_some() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if let Some(stop) = stop {
            return stop;
        }
        match ended {
            // The proxy stops, or is restarted or upgraded: what takes over is behind the same address.
            Ok(()) => {}
            Err(CallError::Unreachable { .. } | CallError::Late { .. } | CallError::NoAnswer { .. })
                if missed < MISSED_MAX && last_id.is_some() => {}
            Err(error) => return Err(error.into()),
        }
        missed += 1;
        if tell(StatusNews::Lost).is_break() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

/// Takes an event into the document; whether it says anything of it.
fn take(document: &mut Value, event: &StreamedEvent) -> bool {
    let Ok(data) = serde_json::from_str::<Value>(&event.data) else { return false };
    match event.name.as_str() {
        "snapshot" => *document = data,
        "change" => merge_patch::apply(document, data),
        // Of a later version.
        _ => return false,
    }
    true
}

/// What an event of the terminal means.
fn meaning(event: &event::Event) -> Option<StatusEvent> {
    match event {
        event::Event::Resize(..) => Some(StatusEvent::Redraw),
        event::Event::Key(key) if key.kind == KeyEventKind::Press => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            let interrupts = matches!(key.code, KeyCode::Char('c' | 'd')) && control;
            let quits = interrupts || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) && !control;
            quits.then_some(StatusEvent::End)
        }
        event::Event::Key(_) | event::Event::Mouse(_) | event::Event::FocusGained | event::Event::FocusLost => None,
    }
}

/// The live view, until a key or a signal ends it. What was shown last stays on the terminal as text.
fn live(remote: &Remote, service: Option<&str>) -> Result<(), CommandError> {
    let (events, incoming) = mpsc::channel();
    let failed = |what: &str, error: std::io::Error| CommandError::Failed(format!("{what}: {error}"));
    end_signals::watch(events.clone(), || StatusEvent::End)
        .map_err(|error| failed("cannot listen to signals", error))?;
    let (followed, name, teller) = (remote.clone(), service.map(str::to_owned), events.clone());
    thread::spawn(move || {
        let tell = |news| match teller.send(StatusEvent::News(news)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_gone) => ControlFlow::Break(()),
        };
        let ended = follow(&followed, name.as_deref(), tell);
        // The view is gone only if the process is ending anyway.
        teller.send(StatusEvent::Over(ended.err())).ok();
    });
    // The terminal is taken when there is something to show, so that an error stands where it was asked for.
    let first = match incoming.recv() {
        Ok(StatusEvent::News(StatusNews::State(document))) => status(document),
        Ok(StatusEvent::Over(Some(error))) => return Err(error),
        Ok(_) | Err(_) => return Ok(()),
    };
    let keyboard = Keyboard { events, meaning, gone: StatusEvent::End };
    let mut screen = Screen::open(keyboard, colours()).map_err(|error| failed("cannot draw on the terminal", error))?;
    let mut view = LiveView { status: only(first, service), note: None };
    let ended = view.run(&mut screen, &incoming, service);
    screen.close().map_err(|error| failed("cannot draw on the terminal", error))?;
    let ended = ended.map_err(|error| failed("cannot draw on the terminal", error))?;
    show(&text(&view.status, service));
    ended.map_or(Ok(()), Err)
}

/// The status with this service only, if one is asked for.
fn only(mut status: Value, service: Option<&str>) -> Value {
    if let (Some(name), Some(services)) = (service, status["services"].as_array_mut()) {
        services.retain(|service| service["name"] == name);
    }
    status
}

/// What is shown.
struct LiveView {
    status: Value,
    note: Option<&'static str>,
}

impl LiveView {
    /// Draws what comes until the end; the error that ended it, if one did.
    fn run(
        &mut self,
        screen: &mut Screen,
        incoming: &Receiver<StatusEvent>,
        service: Option<&str>,
    ) -> std::io::Result<Option<CommandError>> {
        loop {
            screen.draw(&status_board::lines(&self.status, self.note, screen.size()?))?;
            match incoming.recv() {
                Ok(StatusEvent::News(StatusNews::State(document))) => {
                    (self.status, self.note) = (only(status(document), service), None);
                }
                Ok(StatusEvent::News(StatusNews::Lost)) => self.note = Some(LOST),
                Ok(StatusEvent::Redraw) => {}
                Ok(StatusEvent::Over(error)) => return Ok(error),
                Ok(StatusEvent::End) | Err(_) => return Ok(None),
            }
        }
    }
}
