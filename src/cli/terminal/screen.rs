//! The terminal that a view is drawn on: what its tones are in colours, its keys, and how it is put back.
//!
//! Lines are written one below the other by escape sequences, and each is cleared to its end, so that nothing flickers.
//! A widget library would lay out and compare cells for a view that is a list of lines. What is changed of the terminal
//! is put back by [`Screen::close`], by the drop of [`TakenTerminal`] or by the panic hook, whichever comes first.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event;
use crossterm::style::{Attribute, Color, ContentStyle, PrintStyledContent, StyledContent};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};

use super::view_line::{ViewLine, ViewSize, ViewTone};
use crate::cli::layout::width_of;

/// How soon the keyboard's thread notices that it is to end.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// How often it is looked at the end whether that thread has noticed.
const LAST_LOOKS: u32 = 10;

/// What becomes of keys: what an event of the terminal means, if anything, and what is said when the terminal is gone.
#[derive(Debug)]
pub(crate) struct Keyboard<E> {
    /// Where it is said.
    pub(crate) events: Sender<E>,
    /// What an event means.
    pub(crate) meaning: fn(&event::Event) -> Option<E>,
    /// The terminal is gone.
    pub(crate) gone: E,
}

/// The terminal while it is ours.
#[derive(Debug)]
pub(crate) struct Screen {
    taken: TakenTerminal,
    colours: bool,
    closing: Arc<AtomicBool>,
    keyboard: JoinHandle<()>,
}

/// The terminal in raw mode with a screen of its own, until this is dropped.
#[derive(Debug)]
struct TakenTerminal;

/// Whether the terminal has to be put back. Its screen is left once: at the second time the cursor goes where it was
/// before, over a message that was printed in between.
static TAKEN: AtomicBool = AtomicBool::new(false);

impl TakenTerminal {
    fn new() -> io::Result<Self> {
        let before = panic::take_hook();
        // A message that is printed on the other screen, in raw mode, is one that its reader never sees.
        panic::set_hook(Box::new(move |info| {
            give_back(&mut io::stdout(), &TAKEN).ok();
            before(info);
        }));
        terminal::enable_raw_mode()?;
        TAKEN.store(true, Ordering::Relaxed);
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for TakenTerminal {
    fn drop(&mut self) {
        // Of two errors the first is told; this would be the second.
        give_back(&mut io::stdout(), &TAKEN).ok();
    }
}

/// Puts the terminal back as it was, if it is `taken`.
fn give_back(out: &mut impl Write, taken: &AtomicBool) -> io::Result<()> {
    if !taken.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    let shown = execute!(out, Show, LeaveAlternateScreen);
    terminal::disable_raw_mode().and(shown)
}

impl Screen {
    /// Takes the terminal; keys become events.
    ///
    /// # Errors
    /// When the terminal cannot be drawn on; then nothing is changed.
    pub(crate) fn open<E: Send + 'static>(keyboard: Keyboard<E>, colours: bool) -> io::Result<Self> {
        let taken = TakenTerminal::new()?;
        let closing = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&closing);
        let keyboard = thread::Builder::new().name("keyboard".to_owned()).spawn(move || read_keys(keyboard, &until))?;
        Ok(Self { taken, colours, closing, keyboard })
    }

    /// How many cells a line has, and how many lines fit.
    ///
    /// # Errors
    /// When the terminal is gone.
    #[expect(clippy::unused_self, reason = "the size of the terminal that was taken")]
    pub(crate) fn size(&self) -> io::Result<ViewSize> {
        let (width, height) = terminal::size()?;
        Ok(ViewSize { width: usize::from(width), height: usize::from(height) })
    }

    /// Shows `lines`.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn draw(&mut self, lines: &[ViewLine]) -> io::Result<()> {
        let frame = frame(lines, self.size()?, self.colours)?;
        let mut out = io::stdout().lock();
        out.write_all(&frame)?;
        out.flush()
    }

    /// Gives the terminal back as it was.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn close(self) -> io::Result<()> {
        self.closing.store(true, Ordering::Relaxed);
        // Where the terminal is gone, the library reads its end for ever: that thread ends with the process.
        for _ in 0..LAST_LOOKS {
            if self.keyboard.is_finished() {
                break;
            }
            thread::sleep(KEY_WAIT / 5);
        }
        let given = give_back(&mut io::stdout(), &TAKEN);
        drop(self.taken);
        given
    }
}

/// Reads keys until `closing`, or until the receiver or the terminal is gone.
fn read_keys<E>(keyboard: Keyboard<E>, closing: &AtomicBool) {
    let Keyboard { events, meaning, gone } = keyboard;
    while !closing.load(Ordering::Relaxed) {
        let event = match event::poll(KEY_WAIT) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let Ok(event) = event else {
            // The receiver is gone when the view is closed already.
            events.send(gone).ok();
            return;
        };
        if meaning(&event).is_some_and(|event| events.send(event).is_err()) {
            return;
        }
    }
}

/// What shows `lines` in place of what is there. The cursor stays on the last cell of a line that fills its row, so
/// there is nothing to clear behind it, and clearing would take that cell.
fn frame(lines: &[ViewLine], size: ViewSize, colours: bool) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    queue!(frame, BeginSynchronizedUpdate)?;
    let mut rows = 0_u16;
    for line in lines.iter().take(size.height) {
        queue!(frame, MoveTo(0, rows))?;
        if paint(&mut frame, line, size.width, colours)? > 0 {
            queue!(frame, Clear(ClearType::UntilNewLine))?;
        }
        rows = rows.saturating_add(1);
    }
    if usize::from(rows) < size.height {
        queue!(frame, MoveTo(0, rows), Clear(ClearType::FromCursorDown))?;
    }
    queue!(frame, EndSynchronizedUpdate)?;
    Ok(frame)
}

/// Writes as much of a line as has room in `width` cells. How many of them are left.
fn paint(out: &mut Vec<u8>, line: &ViewLine, width: usize, colours: bool) -> io::Result<usize> {
    let mut left = width;
    for span in &line.0 {
        let mut shown = span.text.as_str();
        while width_of(shown) > left {
            let end = shown.char_indices().next_back().map_or(0, |(index, _)| index);
            shown = &shown[..end];
        }
        left -= width_of(shown);
        queue!(out, PrintStyledContent(StyledContent::new(style(span.tone, colours), shown)))?;
    }
    Ok(left)
}

fn style(tone: ViewTone, colours: bool) -> ContentStyle {
    let plain = ContentStyle::new();
    let coloured = |colour: Color| ContentStyle { foreground_color: colours.then_some(colour), ..plain };
    let with = |attribute: Attribute| ContentStyle { attributes: attribute.into(), ..plain };
    match tone {
        ViewTone::Plain => plain,
        ViewTone::Dim => with(Attribute::Dim),
        ViewTone::Title => with(Attribute::Bold),
        ViewTone::Command | ViewTone::V1 => coloured(Color::DarkCyan),
        ViewTone::V2 => coloured(Color::DarkYellow),
        ViewTone::Warn => coloured(Color::DarkYellow),
        ViewTone::Good => coloured(Color::DarkGreen),
        ViewTone::Bad => ContentStyle { attributes: Attribute::Bold.into(), ..coloured(Color::DarkRed) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::view_line::Span;
    use super::*;

    fn shown(lines: &[&str], width: usize, height: usize) -> String {
        let line = |text: &&str| ViewLine(vec![Span { text: (*text).to_owned(), tone: ViewTone::Plain }]);
        let lines: Vec<_> = lines.iter().map(line).collect();
        let frame = frame(&lines, ViewSize { width, height }, false).expect("a frame");
        let text = String::from_utf8(frame).expect("UTF-8");
        let begin = text.find("\u{1b}[1;1H").expect("it begins at the top");
        let end = text.rfind("\u{1b}[?2026l").expect("it ends");
        text[begin..end].replace("\u{1b}[0m", "").replace("\u{1b}[", "^")
    }

    #[test]
    fn nothing_is_cleared_behind_the_last_cell_of_a_row() {
        assert_eq!(shown(&["full", "few"], 4, 4), "^1;1Hfull^2;1Hfew^K^3;1H^J");
        assert_eq!(shown(&["few", "fuller", "more"], 4, 2), "^1;1Hfew^K^2;1Hfull");
        assert_eq!(shown(&["full"], 4, 2), "^1;1Hfull^2;1H^J", "nor by what clears the rows below");
    }

    #[test]
    fn the_terminal_is_put_back_once() {
        let (mut out, taken) = (Vec::new(), AtomicBool::new(true));
        give_back(&mut out, &taken).expect("written");
        assert!(String::from_utf8_lossy(&out).contains("?1049l"), "{out:?}");
        let once = out.clone();
        give_back(&mut out, &taken).expect("nothing to do");
        assert_eq!(out, once);
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
            assert_eq!(style(tone, false).foreground_color, None, "{tone:?}");
        }
        assert_eq!(style(ViewTone::Bad, true).foreground_color, Some(Color::DarkRed));
    }

    #[test]
    fn a_line_ends_where_the_terminal_does() {
        let line = |texts: &[&str]| {
            ViewLine(texts.iter().map(|text| Span { text: (*text).to_owned(), tone: ViewTone::Plain }).collect())
        };
        let painted = |texts: &[&str], width| {
            let mut out = Vec::new();
            paint(&mut out, &line(texts), width, false).expect("memory");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(painted(&["ab", "cd"], 9), "abcd");
        assert_eq!(painted(&["ab", "cd"], 3), "abc");
        assert_eq!(painted(&["ab", "\u{4f60}\u{597d}"], 5), "ab\u{4f60}", "half of a wide character has no place");
        assert_eq!(painted(&["ab"], 0), "");
    }
}
