//! The terminal: what the view means in colours, and what keys mean. Everything that it changes is put back by
//! [`Screen::close`], and by ratatui's hook if there is a panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::{Color, Style};
use ratatui::text;
use ratatui::widgets::Paragraph;

use super::Event;
use super::operator::DemoChange;
use super::shop::ShopVersion;
use super::view::{ViewLine, ViewTone};

/// How soon the keyboard's thread notices that it is to end.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemoKey {
    /// End.
    Quit,
    /// Move the traffic.
    Change(DemoChange),
    /// The window has another size.
    Redraw,
}

/// The terminal while it is ours.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    colours: bool,
    closing: Arc<AtomicBool>,
    keyboard: JoinHandle<()>,
}

impl Screen {
    /// Takes the terminal; keys become events.
    ///
    /// # Errors
    /// When the terminal cannot be drawn on; then nothing is changed.
    pub(crate) fn open(events: Sender<Event>, colours: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| give_back())?;
        let closing = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&closing);
        let keyboard = thread::Builder::new().name("keyboard".to_owned()).spawn(move || read_keys(&events, &until));
        let keyboard = keyboard.inspect_err(|_| give_back())?;
        Ok(Self { terminal, colours, closing, keyboard })
    }

    /// How many cells a line has, and how many lines fit.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn size(&self) -> io::Result<(usize, usize)> {
        let size = self.terminal.size()?;
        Ok((usize::from(size.width), usize::from(size.height)))
    }

    /// Shows `lines`.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn draw(&mut self, lines: &[ViewLine]) -> io::Result<()> {
        let colours = self.colours;
        let lines: Vec<_> = lines.iter().map(|line| painted(line, colours)).collect();
        self.terminal.draw(|frame| frame.render_widget(Paragraph::new(lines), frame.area()))?;
        Ok(())
    }

    /// Gives the terminal back as it was.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn close(self) -> io::Result<()> {
        self.closing.store(true, Ordering::Relaxed);
        // A panic of that thread was printed, and the terminal has to be put back all the same.
        let _ended = self.keyboard.join();
        ratatui::try_restore()
    }
}

/// Gives the terminal back after an error, which is what is told: another one is not, and `ratatui::restore` would print it.
fn give_back() {
    ratatui::try_restore().ok();
}

/// Reads keys until `closing`, or until the receiver or the terminal is gone.
fn read_keys(events: &Sender<Event>, closing: &AtomicBool) {
    while !closing.load(Ordering::Relaxed) {
        let event = match event::poll(KEY_WAIT) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let event = match event {
            Ok(event) => meaning(&event).map(Event::Key),
            Err(_gone) => Some(Event::End),
        };
        let gone = event == Some(Event::End);
        if event.is_some_and(|event| events.send(event).is_err()) || gone {
            return;
        }
    }
}

fn meaning(event: &event::Event) -> Option<DemoKey> {
    match event {
        event::Event::Key(key) if key.kind == KeyEventKind::Press => key_meaning(*key),
        event::Event::Resize(..) => Some(DemoKey::Redraw),
        event::Event::Key(_)
        | event::Event::FocusGained
        | event::Event::FocusLost
        | event::Event::Mouse(_)
        | event::Event::Paste(_) => None,
    }
}

/// What a key does; none: nothing.
fn key_meaning(key: KeyEvent) -> Option<DemoKey> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(DemoKey::Quit);
    }
    if key.code == KeyCode::Esc {
        return Some(DemoKey::Quit);
    }
    let KeyCode::Char(letter) = key.code else { return None };
    match letter {
        'q' => Some(DemoKey::Quit),
        'f' => Some(DemoKey::Change(DemoChange::Flip(ShopVersion::V2))),
        'r' => Some(DemoKey::Change(DemoChange::Rollback)),
        '0' => Some(DemoKey::Change(DemoChange::Flip(ShopVersion::V1))),
        '1'..='9' => {
            let tens = letter.to_digit(10).and_then(|digit| u8::try_from(digit).ok())?;
            Some(DemoKey::Change(DemoChange::Shift(tens * 10)))
        }
        _ => None,
    }
}

fn painted(line: &ViewLine, colours: bool) -> text::Line<'_> {
    line.0.iter().map(|span| text::Span::styled(span.text.as_str(), style(span.tone, colours))).collect()
}

fn style(tone: ViewTone, colours: bool) -> Style {
    let plain = Style::new();
    let coloured = |colour: Color| if colours { plain.fg(colour) } else { plain };
    match tone {
        ViewTone::Plain => plain,
        ViewTone::Dim => plain.dim(),
        ViewTone::Title => plain.bold(),
        ViewTone::Command | ViewTone::V1 => coloured(Color::Cyan),
        ViewTone::V2 => coloured(Color::Yellow),
        ViewTone::Good => coloured(Color::Green),
        ViewTone::Bad => coloured(Color::Red).bold(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<DemoKey> {
        meaning(&event::Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn keys() {
        let plain = |letter| press(KeyCode::Char(letter), KeyModifiers::NONE);
        assert_eq!(plain('1'), Some(DemoKey::Change(DemoChange::Shift(10))));
        assert_eq!(plain('9'), Some(DemoKey::Change(DemoChange::Shift(90))));
        assert_eq!(plain('0'), Some(DemoKey::Change(DemoChange::Flip(ShopVersion::V1))));
        assert_eq!(plain('f'), Some(DemoKey::Change(DemoChange::Flip(ShopVersion::V2))));
        assert_eq!(plain('r'), Some(DemoKey::Change(DemoChange::Rollback)));
        assert_eq!(plain('x'), None);
        assert_eq!(plain('q'), Some(DemoKey::Quit));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE), Some(DemoKey::Quit));
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(DemoKey::Quit));
        assert_eq!(press(KeyCode::Char('r'), KeyModifiers::CONTROL), None, "not a rollback");
    }

    #[test]
    fn without_colours_there_are_none() {
        for tone in [
            ViewTone::Plain,
            ViewTone::Title,
            ViewTone::Command,
            ViewTone::V1,
            ViewTone::V2,
            ViewTone::Good,
            ViewTone::Bad,
        ] {
            assert_eq!(style(tone, false).fg, None, "{tone:?}");
        }
        assert_eq!(style(ViewTone::Bad, true).fg, Some(Color::Red));
    }
}
