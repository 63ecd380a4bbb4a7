//! The number of a route.

/// Routes that are told apart.
pub(crate) const ROUTES: usize = 32;

/// A route of a rollout, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteNumber(u8);

impl RouteNumber {
    /// The one with this index, if there may be one.
    pub(crate) fn new(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|_| index < ROUTES).map(Self)
    }

    /// Its index.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}
