//! Error budgets, pure: what a service's users got, hour by hour, against what they were promised.
//!
//! An objective of 99.9 % over 30 days lets one request in a thousand go wrong; that is the *budget*, and what is left
//! of it says how much may still be risked. The *burn rate* says how fast it goes: at 1 it lasts exactly as long as the
//! window. [`slo_history`] has the counts of one service, by hours for the window and by seconds for the last hour
//! (`recent_counts`), [`slo_budget`] is what they come to over each [`burn_window`], and [`steadiness`] says whether
//! users are well at this moment.
//!
//! Why whole hours: they are few enough to be kept for three months in the store and sum up exactly, whatever restarts
//! lie between. Why not the metrics of the versions: those begin again with each process.
//!
//! What must stay true: a request is counted in one hour, once; requests that a fault of our own met spoil no budget.

pub(crate) mod burn_window;
mod recent_counts;
pub(crate) mod slo_budget;
pub(crate) mod slo_history;
pub(crate) mod steadiness;
