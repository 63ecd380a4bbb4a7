//! The two versions of the shop, and the headers by which requests and answers name them.

use std::fmt;

use http::header::HeaderName;

/// The version that answered.
pub(crate) const X_VERSION: HeaderName = HeaderName::from_static("x-version");

/// The revision of the table that routed a request, as the proxy stamps it.
pub(crate) const X_REVISION: HeaderName = HeaderName::from_static("x-pointsman-revision");

/// Whether the user has the new checkout, as the proxy tells the shop; told back to the user.
pub(crate) const X_FLAG: HeaderName = HeaderName::from_static("x-flag-new-checkout");

/// Whether the user has the code that the game releases by a flag; told back as well.
pub(crate) const X_GAME_FLAG: HeaderName = HeaderName::from_static("x-flag-game-release");

/// A version of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShopVersion {
    /// The one that everybody has.
    V1,
    /// The one that is released.
    V2,
}

impl ShopVersion {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its name in the config, the API and the answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The version of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// What its front page says.
    pub(crate) fn greeting(self) -> &'static str {
        match self {
            Self::V1 => "The corner shop",
            Self::V2 => "The corner shop, now with a bigger window",
        }
    }
}

impl fmt::Display for ShopVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
