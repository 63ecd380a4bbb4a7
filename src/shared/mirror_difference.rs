//! What a mirror has found: in what the responses to one request differed, and why requests were not compared.

use super::name::Name;

/// Makes an enum whose variants are words of labels and answers, and indices of counts.
macro_rules! indexed_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of their counts.
            pub(crate) const ALL: [Self; Self::COUNT] = [$(Self::$variant),*];

            /// How many there are.
            pub(crate) const COUNT: usize = [$($word),*].len();

            /// The word, as metrics and answers show it.
            #[must_use]
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

indexed_words! {
    /// In what two responses differ.
    MirrorKind {
        /// Their statuses, those of gRPC too.
        Status = "status",
        /// A header.
        Header = "header",
        /// Their bodies.
        Body = "body",
        /// The lengths of their bodies.
        Length = "length",
        /// The candidate took more than twice as long, and ten milliseconds more.
        Latency = "latency",
    }
}

indexed_words! {
    /// Why a request that was drawn was not compared.
    MirrorDrop {
        /// As many copies as may be were under way.
        InFlight = "in_flight",
        /// Its body was too long.
        Bytes = "bytes",
        /// Its method is not one of those that are copied.
        Method = "method",
        /// There was no connection to be had for it, or one of the two responses did not end in time.
        Behind = "behind",
    }
}

/// One difference between the responses to one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MirrorDifference {
    /// In what.
    pub kind: MirrorKind,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The request's method.
    pub method: Box<str>,
    /// The request's path, without its query.
    pub path: Box<str>,
    /// The version that responded to the user.
    pub version: Name,
    /// Where: a JSON pointer or the name of a header; empty for the whole.
    pub place: Box<str>,
    /// What the user got.
    pub user: MirrorValue,
    /// What the copy got.
    pub mirror: MirrorValue,
}

/// One side of a difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MirrorValue {
    /// What tells it from others in the same process, and says nothing of it.
    pub hash: u64,
    /// Its beginning, of what may be shown.
    pub sample: Option<Box<str>>,
}

/// In how many pairs something differed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MirrorPlace {
    /// In what.
    pub kind: MirrorKind,
    /// Where; see [`MirrorDifference::place`].
    pub place: Box<str>,
    /// Number of pairs.
    pub pairs: u64,
}
