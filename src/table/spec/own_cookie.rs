//! The cookie by which users without another key are known again.

use crate::table::key::OWN_COOKIE;

/// One year; browsers cap at 400 days.
const AGE_SECONDS: u64 = 31_536_000;

/// The cookie, but for its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCookieSpec {
    /// Its name.
    pub name: Box<str>,
    /// What follows the value: `; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax`.
    pub attributes: Box<str>,
    /// Whether it is for TLS alone, however the user's connection came.
    pub secure: bool,
}

/// Which requests from other sites have the cookie with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// None.
    Strict,
    /// Those by which a user comes from there.
    #[default]
    Lax,
    /// All.
    None,
}

/// Attributes of the cookie.
#[derive(Clone, Copy, Debug)]
pub struct CookieAttributes<'a> {
    /// The domain, below which all hosts get it; none: the host alone.
    pub domain: Option<&'a str>,
    /// The path below which it is sent.
    pub path: &'a str,
    /// Which requests from other sites have it.
    pub same_site: SameSite,
    /// How long it is kept, in seconds.
    pub max_age: u64,
}

impl Default for CookieAttributes<'_> {
    fn default() -> Self {
        Self { domain: None, path: "/", same_site: SameSite::Lax, max_age: AGE_SECONDS }
    }
}

impl OwnCookieSpec {
    /// A cookie of this name with these attributes.
    #[must_use]
    pub fn new(name: &str, attributes: CookieAttributes<'_>) -> Self {
        let CookieAttributes { domain, path, same_site, max_age } = attributes;
        let domain = domain.map_or(String::new(), |domain| format!("; Domain={domain}"));
        let word = match same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        let attributes = format!("; Path={path}{domain}; Max-Age={max_age}; HttpOnly; SameSite={word}");
        // Browsers take neither without it.
        let secure = same_site == SameSite::None || has_secure_prefix(name);
        Self { name: name.into(), attributes: attributes.into(), secure }
    }
}

/// Whether browsers take a cookie of this name over TLS only.
fn has_secure_prefix(name: &str) -> bool {
    name.starts_with("__Host-") || name.starts_with("__Secure-")
}

impl Default for OwnCookieSpec {
    fn default() -> Self {
        Self::new(OWN_COOKIE, CookieAttributes::default())
    }
}
