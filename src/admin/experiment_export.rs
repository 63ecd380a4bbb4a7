//! The users of an experiment as CSV or NDJSON, read from the ledger page by page as fast as the caller takes them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderName, Uri};
use http_body::Frame;

use crate::experiment::definition::ExperimentSpec;
use crate::experiment::name_hash::NameHash;
use crate::ledger::ledger_handle::{LedgerError, LedgerHandle, UsersPage};
use crate::problem::Problem;
use crate::shared::per_arm::PerArm;
use crate::shared::trial_key::TrialKey;

use super::call::query;
use super::experiment_rows::{ExportFormat, RowWriter};
use super::problem::ProblemDetails;

/// What has the user to ask for the next page with.
pub(crate) const NEXT: HeaderName = HeaderName::from_static("x-pointsman-next");

/// Users of a page: some hundred KiB of text.
const PAGE_USERS: usize = 2_000;

/// The most users that a call may ask for a page of.
const LIMIT_MAX: usize = 10_000;

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExportCall {
    /// How lines are written.
    pub(crate) format: ExportFormat,
    after: Option<NameHash>,
    /// All users: none.
    limit: Option<usize>,
}

impl ExportCall {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn read(uri: &Uri) -> Result<Self, ProblemDetails> {
        let mut problems = Vec::new();
        let mut call = Self { format: ExportFormat::Ndjson, after: None, limit: None };
        for (key, value) in query(uri, &["format", "after", "limit"], &mut problems) {
            let bad =
                |wanted: &str, remedy: &str| Problem::invalid(format!("?{key}"), format!("{value:?}"), wanted, remedy);
            match key {
                "format" => match ExportFormat::of(value) {
                    Some(format) => call.format = format,
                    None => problems.push(bad("ndjson or csv", "leave it out for ndjson")),
                },
                "after" => match u64::from_str_radix(value, 16).ok().filter(|_| value.len() == 16) {
                    Some(number) => call.after = Some(NameHash::from_number(number)),
                    None => problems.push(bad("the id of a user: 16 hexadecimal digits", "leave it out for the first")),
                },
                _ => match value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)) {
                    Some(limit) => call.limit = Some(limit),
                    None => problems.push(bad(&format!("1 to {LIMIT_MAX} users"), "leave it out for all")),
                },
            }
        }
        if problems.is_empty() { Ok(call) } else { Err(ProblemDetails::of_problems(problems)) }
    }
}

/// A page under way.
type PageFuture = Pin<Box<dyn Future<Output = Result<Option<UsersPage>, LedgerError>> + Send>>;

/// The body: the first page is there when it begins.
pub(crate) struct ExportBody {
    ledger: LedgerHandle,
    spec: Arc<ExperimentSpec>,
    rows: RowWriter,
    /// The run, and what has been written of it and not been taken.
    trial: Option<TrialKey>,
    text: Option<String>,
    next: Option<NameHash>,
    whole: bool,
    reading: Option<PageFuture>,
}

impl ExportBody {
    /// Reads the first page.
    ///
    /// # Errors
    /// The refusal, also when there was no run.
    pub(crate) async fn begin(
        ledger: LedgerHandle,
        spec: Arc<ExperimentSpec>,
        names: PerArm<String>,
        call: ExportCall,
    ) -> Result<Self, ProblemDetails> {
        let page = ledger.users(spec.name(), call.after, call.limit.unwrap_or(PAGE_USERS)).await?;
        let page = page.ok_or_else(|| {
            let found = format!("{:?}, which was never started", spec.name().as_str());
            let remedy = format!("pointsman experiment start {}", spec.name());
            let wanted = "an experiment that runs or did run";
            Problem::conflict("experiment", found, wanted, remedy)
        })?;
        let rows = RowWriter::new(call.format, &spec, names, &page.metrics);
        let heading = if call.after.is_none() { rows.heading() } else { String::new() };
        let (whole, trial) = (call.limit.is_none(), Some(page.trial.clone()));
        let text = Some(heading + &rows.lines(&page.users));
        Ok(Self { ledger, spec, rows, trial, text, next: page.next, whole, reading: None })
    }

    /// Where the next page begins, for a caller that asks for pages.
    pub(crate) fn next_page(&self) -> Option<String> {
        self.next.filter(|_| !self.whole).map(|next| next.to_string())
    }

    /// The next page, if this is not the last one.
    fn read_on(&mut self) -> Option<&mut PageFuture> {
        if self.reading.is_none() {
            let after = self.next.filter(|_| self.whole)?;
            let (ledger, spec) = (self.ledger.clone(), Arc::clone(&self.spec));
            self.reading = Some(Box::pin(async move { ledger.users(spec.name(), Some(after), PAGE_USERS).await }));
        }
        self.reading.as_mut()
    }

    /// The lines of a page.
    fn written(&mut self, page: Result<Option<UsersPage>, LedgerError>) -> io::Result<Bytes> {
        self.reading = None;
        self.next = None;
        let page = page.map_err(io::Error::other)?;
        let page = page.filter(|page| Some(&page.trial) == self.trial.as_ref());
        // What has been sent is cut off: half of two runs must not look like one.
        let page = page.ok_or_else(|| io::Error::other("another run has begun"))?;
        self.next = page.next;
        Ok(Bytes::from(self.rows.lines(&page.users)))
    }
}

impl HttpBody for ExportBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(text) = self.text.take().filter(|text| !text.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))));
        }
        let Some(reading) = self.read_on() else { return Poll::Ready(None) };
        let page = ready!(reading.as_mut().poll(cx));
        Poll::Ready(Some(self.written(page).map(Frame::data)))
    }
}

impl fmt::Debug for ExportBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportBody").finish_non_exhaustive()
    }
}
