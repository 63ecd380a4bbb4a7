//! Objectives and error budgets: what is counted of requests, how it is kept, what is told of it, and the alerts.

mod alerts;
mod counted;
mod kept;
mod rollouts;
mod simulated;
