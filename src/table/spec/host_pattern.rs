//! The hosts that a service serves.

/// A host that a service serves: lower case, without a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HostPattern {
    /// This host only.
    Exact(Box<str>),
    /// Every host below this one (`*.example.com` is stored as `example.com`), at any depth, but not itself.
    Below(Box<str>),
}

impl HostPattern {
    /// Whether a host, in lower case, is one of these.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Exact(host) => **host == *name,
            Self::Below(parent) => {
                name.strip_suffix(&**parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}
