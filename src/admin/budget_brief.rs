//! What is said of the budget of a service beside it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::slo::burn_window::BurnWindow;
use crate::slo_keeper::slo_handle::ServiceBudget;

/// The budget of a service, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BudgetBrief {
    /// Over how long requests are counted.
    window: String,
    /// What is left, in per cent: of the budget that has less. Below 0 when more is gone than there was.
    left_percent: f64,
    /// How fast the budget goes that goes faster, over `5m`, `1h`, `6h` and `3d`: at 1 it lasts exactly as long as the
    /// window.
    burn: BTreeMap<&'static str, f64>,
}

impl BudgetBrief {
    pub(crate) fn of(ServiceBudget { spec, budget }: &ServiceBudget) -> Self {
        let (left_percent, burn) = (thousandths(budget.left_percent()), burn(&budget.burn()));
        Self { window: spec.window_text(), left_percent, burn }
    }
}

/// Burn rates by the words of their windows.
pub(crate) fn burn(rates: &[f64; BurnWindow::ALL.len()]) -> BTreeMap<&'static str, f64> {
    BurnWindow::ALL.into_iter().zip(rates).map(|(window, rate)| (window.word(), thousandths(*rate))).collect()
}

/// Rounded to three decimals: more would be noise.
pub(crate) fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
