//! A URL that the config names, as a place to ask: where it is, and as much of it as may be shown.

use http::Uri;
use http::uri::Scheme;

use super::site::Site;
use crate::tls::{Alpn, ClientSettings, Trust};

/// A URL, taken apart.
pub(crate) struct UrlTarget<'a> {
    pub(crate) url: &'a Uri,
    /// Its scheme and host: the path of many is what lets one in.
    pub(crate) place: String,
    secure: bool,
    /// `HOST:PORT`.
    authority: String,
}

/// A URL that cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {wanted}")]
pub struct BadUrl {
    /// As much of it as may be shown.
    pub place: String,
    /// What it should be.
    pub wanted: &'static str,
}

impl<'a> UrlTarget<'a> {
    /// # Errors
    /// [`BadUrl`] when it has no scheme of HTTP or no host, or names a user.
    pub(crate) fn of(url: &'a Uri) -> Result<Self, BadUrl> {
        let bad = |wanted| BadUrl { place: place(url), wanted };
        let secure = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(bad("want a URL that begins with http:// or https://")),
        };
        let authority = url.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| bad("want a host in the URL"))?;
        if authority.as_str().contains('@') {
            return Err(bad("want no user name in the URL (sign the message instead, or put a token in the path)"));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let authority = format!("{}:{port}", authority.host());
        Ok(Self { url, place: place(url), secure, authority })
    }

    /// How it is reached by who believes these authorities.
    pub(crate) fn site(&self, trust: &Trust) -> Site<'_> {
        if !self.secure {
            return Site::Tcp(&self.authority);
        }
        let settings =
            ClientSettings { trust: trust.clone(), identity: None, server_name: None, alpn: vec![Alpn::Http11] };
        Site::Tls { authority: &self.authority, settings }
    }

    /// What stands in `Host`.
    pub(crate) fn host(&self) -> &str {
        self.url.authority().map_or("", |authority| authority.as_str())
    }
}

/// As much of a URL as may be shown.
pub(crate) fn place(url: &Uri) -> String {
    let port = url.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default())
}
