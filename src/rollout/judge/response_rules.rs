//! What follows when a version answers otherwise than the one before, without failing.

use crate::shared::response_class::{ResponseAspect, ResponseClass};

/// What follows when one aspect of responses has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseAction {
    /// What is proved beyond the tolerated increase holds the step; what is proved beyond a fifth of the responses
    /// turns the version back.
    RollBack,
    /// What is proved beyond the tolerated increase holds the step.
    Hold,
    /// It is not judged.
    Off,
}

impl ResponseAction {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::RollBack, Self::Hold, Self::Off];

    /// The word of the config.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::RollBack => "roll_back",
            Self::Hold => "hold",
            Self::Off => "off",
        }
    }
}

/// What follows when the responses have changed, by what has changed of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseRules {
    /// By default a version is turned back: a page that became a 404 is as lost as one that became a 500.
    pub status: ResponseAction,
    /// By default it is held: a new version may send more or less, and a person knows whether it should.
    pub length: ResponseAction,
    /// By default it is held, for the same reason.
    pub media_type: ResponseAction,
}

impl Default for ResponseRules {
    fn default() -> Self {
        Self { status: ResponseAction::RollBack, length: ResponseAction::Hold, media_type: ResponseAction::Hold }
    }
}

impl ResponseRules {
    /// Nothing of it is judged.
    pub const OFF: Self =
        Self { status: ResponseAction::Off, length: ResponseAction::Off, media_type: ResponseAction::Off };

    /// What follows when responses of `class` have become more.
    #[must_use]
    pub fn action(&self, class: ResponseClass) -> ResponseAction {
        match class.aspect() {
            ResponseAspect::Status => self.status,
            ResponseAspect::Length => self.length,
            ResponseAspect::MediaType => self.media_type,
        }
    }

    /// How many classes are judged.
    #[must_use]
    pub fn judged(&self) -> u32 {
        self.count(|action| action != ResponseAction::Off)
    }

    /// How many of them may turn a version back.
    #[must_use]
    pub fn turning_back(&self) -> u32 {
        self.count(|action| action == ResponseAction::RollBack)
    }

    fn count(&self, is: impl Fn(ResponseAction) -> bool) -> u32 {
        ResponseClass::ALL.into_iter().map(|class| u32::from(is(self.action(class)))).sum()
    }
}
