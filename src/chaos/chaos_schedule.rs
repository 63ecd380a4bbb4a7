//! When an experiment may run: `["Mon-Fri 09:00-16:00 Europe/Berlin"]`, the hours in which someone is there to see it.
//!
//! A window is a row of days, a time of day, and a time zone by its name, in which the time of day is meant: the same
//! hours in summer and in winter. The zones are those that are compiled in, so that an old machine and a new one agree.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::problem::Mismatch;

const EXAMPLE: &str = "a window such as \"Mon-Fri 09:00-16:00 Europe/Berlin\"";

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Windows that follow each other without a gap are followed up to this number: three years of days.
const JOINED_MAX: u32 = 1_000;

/// The next opening is looked for in this number of days.
const DAYS_AHEAD: i64 = 8;

/// Windows; without any it is always open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChaosSchedule(Vec<ChaosWindow>);

/// One window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChaosWindow {
    /// From Monday on.
    days: [bool; 7],
    from: Time,
    /// Not later than `from`: on the next day. None: the end of the day.
    until: Option<Time>,
    zone: TimeZone,
}

/// Why an experiment may not begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChaosClosed {
    /// No window is open.
    Now {
        /// When the next one opens; none in more than a week.
        opens: Option<Timestamp>,
    },
    /// One is open, and closes before the experiment would end.
    TooShort {
        /// When.
        closes: Timestamp,
    },
}

/// A stretch of time in which a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpenStretch {
    from: Timestamp,
    until: Timestamp,
}

impl ChaosSchedule {
    /// Of these windows.
    #[must_use]
    pub(crate) fn new(windows: Vec<ChaosWindow>) -> Self {
        Self(windows)
    }

    /// Whether what takes so long may begin now.
    ///
    /// # Errors
    /// [`ChaosClosed`] if no window is open, or the one that is closes before the end.
    pub(crate) fn open_for(&self, now: Timestamp, took: Duration) -> Result<(), ChaosClosed> {
        if self.0.is_empty() {
            return Ok(());
        }
        let end = now.saturating_add(took).unwrap_or(Timestamp::MAX);
        let mut open_until = now;
        for _ in 0..JOINED_MAX {
            if open_until >= end && open_until > now {
                return Ok(());
            }
            let stretches = self.0.iter().flat_map(|window| window.around(open_until));
            let open = stretches.filter(|open| open.from <= open_until && open_until < open.until);
            match open.map(|open| open.until).max() {
                Some(until) => open_until = until,
                None if open_until == now => return Err(ChaosClosed::Now { opens: self.opens(now) }),
                None => return Err(ChaosClosed::TooShort { closes: open_until }),
            }
        }
        Ok(())
    }

    /// When the next window opens.
    fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let later = |window: &ChaosWindow| {
            let today = now.to_zoned(window.zone.clone()).date();
            let days = (0..=DAYS_AHEAD).filter_map(|ahead| today.checked_add(ahead.days()).ok());
            let opens: Vec<_> = days.filter_map(|day| window.on(day)).map(|open| open.from).collect();
            opens.into_iter().filter(|opens| *opens > now).min()
        };
        self.0.iter().filter_map(later).min()
    }
}

impl ChaosWindow {
    /// The window of a text.
    ///
    /// # Errors
    /// What of it is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, Mismatch> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours, zone) = match words[..] {
            [days, hours, zone] => (Some(days), hours, zone),
            [hours, zone] if hours.contains(':') => (None, hours, zone),
            _ => {
                let found = format!("{text:?}");
                let remedy = "write days, hours and a time zone; without days it is every day";
                return Err(Mismatch::new(found, EXAMPLE, remedy));
            }
        };
        let days = days.map_or(Ok([true; 7]), parse_days)?;
        let (from, until) = parse_hours(hours)?;
        Ok(Self { days, from, until, zone: parse_zone(zone)? })
    }

    /// Its stretches of the day of a moment and of the day before.
    fn around(&self, at: Timestamp) -> impl Iterator<Item = OpenStretch> {
        let today = at.to_zoned(self.zone.clone()).date();
        let days: [Option<Date>; 2] = [today.yesterday().ok(), Some(today)];
        days.into_iter().flatten().filter_map(|day| self.on(day))
    }

    /// Its stretch that begins on a day.
    fn on(&self, day: Date) -> Option<OpenStretch> {
        if !self.days[usize::try_from(day.weekday().to_monday_zero_offset()).ok()?] {
            return None;
        }
        let (ends, until) = match self.until {
            Some(until) if until > self.from => (day, until),
            Some(until) => (day.tomorrow().ok()?, until),
            None => (day.tomorrow().ok()?, Time::midnight()),
        };
        let at = |day: Date, time: Time| Some(self.zone.to_zoned(day.to_datetime(time)).ok()?.timestamp());
        Some(OpenStretch { from: at(day, self.from)?, until: at(ends, until)? })
    }
}

/// `Mon-Fri`, `Mon,Wed`, `Sat`, `Fri-Mon`.
fn parse_days(text: &str) -> Result<[bool; 7], Mismatch> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (day(first)?, day(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % days.len();
            days[day] = true;
        }
    }
    Ok(days)
}

fn day(text: &str) -> Result<usize, Mismatch> {
    DAYS.iter().position(|day| day.eq_ignore_ascii_case(text)).ok_or_else(|| {
        let wanted = "days such as Mon-Fri or Sat,Sun, of Mon, Tue, Wed, Thu, Fri, Sat, Sun";
        Mismatch::new(format!("the day {text:?}"), wanted, "write its first three letters")
    })
}

/// `09:00-16:00`, `22:00-04:00`, `00:00-24:00`.
fn parse_hours(text: &str) -> Result<(Time, Option<Time>), Mismatch> {
    let wrong = || Mismatch::new(format!("the hours {text:?}"), "hours such as 09:00-16:00", "write HH:MM-HH:MM");
    let (from, until) = text.split_once('-').ok_or_else(wrong)?;
    let from = time(from).ok_or_else(wrong)?;
    let until = if until == "24:00" { None } else { Some(time(until).ok_or_else(wrong)?) };
    if until == Some(from) {
        let remedy = "write 00:00-24:00 for the whole day";
        return Err(Mismatch::new(format!("the hours {text:?}"), "an end other than the beginning", remedy));
    }
    Ok((from, until))
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number =
        |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten().filter(|number| *number >= 0);
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn parse_zone(text: &str) -> Result<TimeZone, Mismatch> {
    TimeZone::get(text).map_err(|_unknown| {
        let wanted = "a time zone by its name, such as Europe/Berlin, America/New_York or UTC";
        let remedy = "write it as the tz database does: a continent or ocean, and a city";
        Mismatch::new(format!("the time zone {text:?}"), wanted, remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn schedule(windows: &[&str]) -> ChaosSchedule {
        ChaosSchedule::new(windows.iter().map(|text| ChaosWindow::parse(text).unwrap()).collect())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_open_in_its_hours_of_its_zone() {
        let office = schedule(&["Mon-Fri 09:00-16:00 Europe/Berlin"]);
        let open = |now: &str| office.open_for(at(now), 10 * MINUTE);
        // A Monday in winter, and one in summer.
        assert_eq!(open("2026-11-30T08:00:00Z"), Ok(()));
        assert_eq!(open("2026-07-06T07:00:00Z"), Ok(()));
        let opens = Some(at("2026-11-30T08:00:00Z"));
        assert_eq!(open("2026-11-30T07:59:59Z"), Err(ChaosClosed::Now { opens }));
        // Friday evening: until Monday.
        assert_eq!(open("2026-11-27T15:00:00Z"), Err(ChaosClosed::Now { opens }));
        let closes = at("2026-11-30T15:00:00Z");
        assert_eq!(open("2026-11-30T14:50:01Z"), Err(ChaosClosed::TooShort { closes }));
        assert_eq!(open("2026-11-30T14:50:00Z"), Ok(()));
    }

    #[test]
    fn windows_that_touch_are_one() {
        let always = schedule(&["00:00-24:00 UTC"]);
        assert_eq!(always.open_for(at("2026-11-30T23:59:00Z"), 60 * 24 * MINUTE), Ok(()));
        let two = schedule(&["Mon 09:00-12:00 UTC", "Mon 12:00-13:00 UTC"]);
        assert_eq!(two.open_for(at("2026-11-30T11:50:00Z"), 60 * MINUTE), Ok(()));
        let closes = at("2026-11-30T13:00:00Z");
        assert_eq!(two.open_for(at("2026-11-30T11:50:00Z"), 90 * MINUTE), Err(ChaosClosed::TooShort { closes }));
        assert_eq!(ChaosSchedule::default().open_for(at("2026-11-30T11:50:00Z"), Duration::MAX), Ok(()));
    }

    #[test]
    fn a_night_belongs_to_the_day_that_it_begins_on() {
        let night = schedule(&["Fri 22:00-04:00 America/New_York"]);
        let open = |now: &str| night.open_for(at(now), MINUTE).is_ok();
        assert!(open("2026-11-28T03:00:00Z") && open("2026-11-28T08:58:00Z"), "Friday to Saturday");
        assert!(!open("2026-11-28T09:00:00Z") && !open("2026-11-29T03:30:00Z"), "Saturday to Sunday");
        // The hour that comes twice, in the night that clocks are put back.
        let back = schedule(&["Sat 22:00-04:00 Europe/Berlin"]);
        assert_eq!(back.open_for(at("2026-10-24T20:00:00Z"), 7 * 60 * MINUTE), Ok(()));
        let closes = at("2026-10-25T03:00:00Z");
        assert_eq!(back.open_for(at("2026-10-24T20:00:00Z"), 8 * 60 * MINUTE), Err(ChaosClosed::TooShort { closes }));
    }

    #[test]
    fn days_are_lists_and_rows() {
        let days = |text| parse_days(text).map(|days| days.map(u8::from));
        assert_eq!(days("Mon-Fri"), Ok([1, 1, 1, 1, 1, 0, 0]));
        assert_eq!(days("sat,Sun"), Ok([0, 0, 0, 0, 0, 1, 1]));
        assert_eq!(days("Fri-Mon,Wed"), Ok([1, 0, 1, 0, 1, 1, 1]));
        assert_eq!(days("Tue-Tue"), Ok([0, 1, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn what_is_no_window_is_told_what_one_is() {
        for (text, found) in [
            ("", "\"\""),
            ("always", "\"always\""),
            ("Mon-Fri 09:00-16:00", "\"Mon-Fri 09:00-16:00\""),
            ("Mon-Fri 09:00-16:00 Europe/Berlin please", "\"Mon-Fri 09:00-16:00 Europe/Berlin please\""),
            ("Mo-Fri 09:00-16:00 UTC", "the day \"Mo\""),
            ("Mon-Fri 9-16 UTC", "the hours \"9-16\""),
            ("Mon-Fri 09:00-25:00 UTC", "the hours \"09:00-25:00\""),
            ("Mon-Fri 09:00-09:00 UTC", "the hours \"09:00-09:00\""),
            ("Mon-Fri 09:00-16:00 Europe/Berln", "the time zone \"Europe/Berln\""),
            ("Mon-Fri 09:00-16:00 +01:00", "the time zone \"+01:00\""),
        ] {
            assert_eq!(ChaosWindow::parse(text).unwrap_err().found, found, "{text}");
        }
    }
}
