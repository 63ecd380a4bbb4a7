//! The `ttl` of a change: after it, the weights go back to what the config says.

use std::time::Duration;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::Report;
use crate::config::reader::units::{Setting, TimeSpan};

/// What lasts longer belongs into the config.
const LONGEST: TimeSpan = TimeSpan::secs(30 * 86_400);

/// How long weights last, if not for good.
pub(crate) fn lasts(written: Option<Setting<TimeSpan>>, report: &mut Report<'_>) -> Option<Duration> {
    let written = Some(written?);
    let found = setting(written, LONGEST, TimeSpan::secs(1)..=LONGEST, &ConfigPath::Root.key("ttl"), report);
    found.ok().map(|span| span.0)
}

/// When what begins now ends, in milliseconds since 1970.
pub(crate) fn end_of(lasts: Duration) -> i64 {
    let ms = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::now().as_millisecond().saturating_add(ms)
}
