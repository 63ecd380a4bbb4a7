//! The keys of the demo.

use crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::operator::DemoChange;
use super::shop_version::ShopVersion;

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

/// What an event of the terminal means to the demo.
pub(crate) fn meaning(event: &event::Event) -> Option<DemoKey> {
    match event {
        event::Event::Key(key) if key.kind == KeyEventKind::Press => key_meaning(*key),
        event::Event::Resize(..) => Some(DemoKey::Redraw),
        event::Event::Key(_) | event::Event::FocusGained | event::Event::FocusLost | event::Event::Mouse(_) => None,
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
}
