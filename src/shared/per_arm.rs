//! Something of each arm of an experiment.

/// Something of both arms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerArm<T> {
    /// Of the arm that is as it was.
    pub control: T,
    /// Of the arm with what is tried.
    pub treatment: T,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExperimentArm {
    /// As it was.
    Control,
    /// With what is tried.
    Treatment,
}

impl ExperimentArm {
    /// As it is written in a config.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Treatment => "treatment",
        }
    }
}

impl<T> PerArm<T> {
    /// That of one arm, to change it.
    pub(crate) fn get_mut(&mut self, arm: ExperimentArm) -> &mut T {
        match arm {
            ExperimentArm::Control => &mut self.control,
            ExperimentArm::Treatment => &mut self.treatment,
        }
    }

    /// What `make` makes of each.
    pub(crate) fn map<U>(&self, make: impl Fn(&T) -> U) -> PerArm<U> {
        PerArm { control: make(&self.control), treatment: make(&self.treatment) }
    }
}

impl PerArm<u64> {
    /// Of both arms together.
    pub(crate) fn total(self) -> u64 {
        self.control + self.treatment
    }
}
