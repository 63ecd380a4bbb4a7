//! The times over which burn rates are told: those that alerts go by.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BurnWindow {
    FiveMinutes,
    Hour,
    SixHours,
    ThreeDays,
}

impl BurnWindow {
    /// All of them, the shortest first.
    pub(crate) const ALL: [Self; 4] = [Self::FiveMinutes, Self::Hour, Self::SixHours, Self::ThreeDays];

    /// The word, as metrics and responses show it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::ThreeDays => "3d",
        }
    }
}
