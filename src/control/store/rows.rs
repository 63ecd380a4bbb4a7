//! Columns that hold our own types. A value that does not parse is a damaged store, and says which column it is in.

use std::error::Error;

use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};

use crate::control::experiment_difference::RunEnd;
use crate::control::service_intent::ServiceIntent;
use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::{EndpointAddress, MirrorShare, Name, Slots, Weight};

pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(crate) fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<Name> {
    parsed(row, column, Name::new)
}

pub(crate) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<EndpointAddress> {
    parsed(row, column, |text| EndpointAddress::new(text).ok_or_else(|| BadAddress(text.to_owned())))
}

pub(crate) fn runs(row: &Row<'_>, column: usize) -> rusqlite::Result<Slots> {
    parsed(row, column, Slots::parse)
}

pub(crate) fn intent(row: &Row<'_>, column: usize) -> rusqlite::Result<ServiceIntent> {
    parsed(row, column, ServiceIntent::parse)
}

/// What is mirrored, if anything is.
pub(crate) fn mirror(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<MirrorShare>> {
    if row.get_ref(column)? == ValueRef::Null {
        return Ok(None);
    }
    parsed(row, column, MirrorShare::parse).map(Some)
}

pub(crate) fn flag_state(row: &Row<'_>, column: usize) -> rusqlite::Result<FlagState> {
    parsed(row, column, FlagState::parse)
}

pub(crate) fn experiment_run(row: &Row<'_>, column: usize) -> rusqlite::Result<ExperimentRun> {
    parsed(row, column, ExperimentRun::parse)
}

/// Why a run has ended, if it has.
pub(crate) fn run_end(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<RunEnd>> {
    if row.get_ref(column)? == ValueRef::Null {
        return Ok(None);
    }
    let known = |text: &str| RunEnd::ALL.into_iter().find(|end| end.word() == text);
    parsed(row, column, |text| known(text).ok_or_else(|| BadRunEnd(text.to_owned()))).map(Some)
}

/// A name that may be missing.
pub(crate) fn name_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Name>> {
    if row.get_ref(column)? == ValueRef::Null { Ok(None) } else { name(row, column).map(Some) }
}

/// A share that may be missing.
pub(crate) fn share(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Weight>> {
    let Some(slots) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    let share = u32::try_from(slots).ok().and_then(Weight::from_slots);
    share.map(Some).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, slots))
}

/// A stored text that is no endpoint.
#[derive(Debug, thiserror::Error)]
#[error("found the endpoint {0:?}, want IP:PORT or NAME:PORT")]
struct BadAddress(String);

/// A stored text that is no end of a run.
#[derive(Debug, thiserror::Error)]
#[error("found the end {0:?}, want a known one such as `stopped`")]
struct BadRunEnd(String);

fn parsed<T, E: Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).map_err(|source| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(source)))
}
