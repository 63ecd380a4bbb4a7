//! The error budget of the service, where the plan asks for some of it before the candidate gets more.
//!
//! It is no judgement on the candidate: users have had enough trouble lately, whatever made it, and what is new can
//! wait. So it holds and never turns back, and where the candidate has everything already there is nothing to hold.

/// A budget of which less is left than the plan asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpentBudget {
    /// What is left, in per cent; none while that is not known.
    pub left_percent: Option<f64>,
    /// What the plan asks for, in per cent.
    pub least_percent: f64,
}

impl SpentBudget {
    /// What is found of a budget, if less is left than `least_percent`, or nothing is known of it.
    #[must_use]
    pub fn of(left_percent: Option<f64>, least_percent: f64) -> Option<Self> {
        let enough = left_percent.is_some_and(|left| left >= least_percent);
        (!enough).then_some(Self { left_percent, least_percent })
    }

    /// What is found, in a few words.
    #[must_use]
    pub fn found(&self) -> String {
        match self.left_percent {
            Some(left) if left < 0.0 => format!("{:.1} % of the error budget overspent", -left),
            Some(left) => format!("{left:.1} % of the error budget left"),
            None => "nothing known of the error budget".to_owned(),
        }
    }

    /// The same with what is wanted, for a held step.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        format!("{}, want {} %", self.found(), self.least_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_enough() {
        assert_eq!(SpentBudget::of(Some(20.0), 20.0), None);
        let overspent = SpentBudget::of(Some(-50.0), 0.0).map(|budget| budget.found());
        assert_eq!(overspent.as_deref(), Some("50.0 % of the error budget overspent"));
        assert!(SpentBudget::of(None, 0.0).is_some());
    }
}
