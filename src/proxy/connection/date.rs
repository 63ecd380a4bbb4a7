//! The `Date` of responses, written once a second and not once a response.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last date, and the second it is of.
#[derive(Debug, Default)]
pub(crate) struct Date(RefCell<(u64, DateText)>);

/// Such as `Sat, 21 Nov 2026 12:00:00 GMT`.
pub(crate) type DateText = [u8; 29];

impl Date {
    /// The date now (RFC 9110, 5.6.7).
    #[must_use]
    pub(crate) fn now(&self) -> DateText {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let mut last = self.0.borrow_mut();
        if last.0 != second {
            *last = (second, text(second));
        }
        last.1
    }
}

fn text(second: u64) -> DateText {
    let moment = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    let printed = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moment.unwrap_or_default());
    let printed = printed.ok().and_then(|text| text.as_bytes().try_into().ok());
    printed.unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_date() {
        // The example of RFC 9110, 5.6.7.
        assert_eq!(&text(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        let date = Date::default();
        assert!(date.now().ends_with(b" GMT") && date.0.borrow().0 > 0);
    }
}
