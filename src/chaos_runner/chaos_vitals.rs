//! How services are: what is asked of other parts of the process, which need not be there in a test.

use std::fmt;
use std::sync::Arc;

/// Asks about a service, by its name.
type AboutService<T> = Arc<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// How services are.
#[derive(Clone)]
pub(crate) struct ChaosVitals {
    /// What is left of the error budget of a service, in per cent; none where it has no objectives.
    pub(crate) budget_left: AboutService<f64>,
    /// Why a service is not steady; none if it is, or is not known.
    pub(crate) unsteady: AboutService<String>,
}

impl Default for ChaosVitals {
    fn default() -> Self {
        Self { budget_left: Arc::new(|_| None), unsteady: Arc::new(|_| None) }
    }
}

impl fmt::Debug for ChaosVitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosVitals").finish_non_exhaustive()
    }
}
