//! `pointsman status --watch`: the state, and what changes of it as it changes; redrawn in place on a terminal.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::event_reader::{EventReader, StreamedEvent};
use crate::cli::client::CallError;
use crate::cli::picture::{Erase, Picture, Size};
use crate::cli::text::{TextTone, harmless_texts, print, show, toned};
use crate::cli::{CommandError, Remote, layout};
use crate::document::{live_document, merge_patch};

/// The stream.
const PATH: &str = "/v1/events";

/// The pause before a connection that was lost is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How many tries in a row may find no proxy.
const MISSED_MAX: u32 = 20;

/// What is known of the proxy, and how it is shown.
struct StatusWatch<'a> {
    remote: &'a Remote,
    /// Only this service.
    service: Option<&'a str>,
    document: Value,
    last_id: Option<String>,
    picture: Picture,
    /// Whether it is drawn in place.
    live: bool,
}

/// Shows the state until it is interrupted.
///
/// # Errors
/// [`CommandError`] when the proxy cannot be reached for some time, refuses, or has no such service.
pub(crate) fn until_interrupted(remote: &Remote, service: Option<&str>) -> Result<(), CommandError> {
    let client = remote.client()?;
    let live = std::io::stdout().is_terminal() && !remote.json;
    let (document, picture) = (Value::Null, Picture::default());
    let mut watch = StatusWatch { remote, service, document, last_id: None, picture, live };
    let mut missed = 0;
    loop {
        let (mut reader, mut failed) = (EventReader::default(), None);
        let last_id = watch.last_id.clone();
        let ended = client.stream(PATH, last_id.as_deref(), |piece| {
            for event in reader.push(piece) {
                missed = 0;
                if let Err(error) = watch.take(event) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if let Some(error) = failed {
            return Err(error);
        }
        match ended {
            // The proxy stops, or is restarted or upgraded: what takes over is behind the same address.
            Ok(()) => {}
            Err(CallError::Unreachable { .. } | CallError::Late { .. } | CallError::NoAnswer { .. })
                if missed < MISSED_MAX && watch.last_id.is_some() => {}
            Err(error) => return Err(error.into()),
        }
        missed += 1;
        watch.lost();
        thread::sleep(PAUSE);
    }
}

impl StatusWatch<'_> {
    /// Takes an event in, and shows what is now.
    fn take(&mut self, event: StreamedEvent) -> Result<(), CommandError> {
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else { return Ok(()) };
        match event.name.as_str() {
            "snapshot" => self.document = data,
            "change" => merge_patch::apply(&mut self.document, data),
            // Of a later version.
            _ => return Ok(()),
        }
        self.last_id = Some(event.id);
        if let Some(service) = self.service.filter(|service| self.document["services"].get(service).is_none()) {
            return Err(CommandError::Unknown(format!("there is no service {service}; `pointsman status` lists them")));
        }
        self.show();
        Ok(())
    }

    fn show(&mut self) {
        let shown = match self.service {
            Some(service) => &self.document["services"][service],
            None => &self.document,
        };
        if self.remote.json {
            print(&format!("{shown}\n"));
            return;
        }
        let status = harmless_texts(live_document::to_status(self.document.clone()));
        let service = |name: &str| status["services"].as_array()?.iter().find(|service| service["name"] == *name);
        let text = match self.service {
            Some(name) => service(name).map(super::service_text).unwrap_or_default(),
            None => super::status_text(&status),
        };
        if self.live { self.draw(&text) } else { show(&format!("{text}\n")) }
    }

    fn draw(&mut self, text: &str) {
        let size = Size::now();
        match self.picture.erase(size) {
            Erase::Picture(code) => print(&code),
            Erase::Screen(code) => print(code),
        }
        print(&self.picture.draw(&layout::fit(text, Some(size.columns)), size));
    }

    /// Says that what is shown is old.
    fn lost(&mut self) {
        let text = toned("the connection to the proxy is lost; trying again", TextTone::Bad);
        if self.live {
            self.draw(&format!("{text}\n"));
        } else if !self.remote.json {
            show(&format!("{text}\n"));
        }
    }
}
