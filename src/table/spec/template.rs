//! Texts with variables: values of header lines, and where redirects lead.
//!
//! A few variables and nothing else: an expression language would be one more thing to learn, and would have to be kept
//! from what a client can send. Each variable is something that the proxy itself knows or has checked.

use std::net::IpAddr;

use http::HeaderValue;

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[TemplatePart]>,
    /// The whole, if it has no variable.
    fixed: Option<HeaderValue>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it stands.
    Text(Box<str>),
    /// What is known of a request.
    Variable(Variable),
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The name of the version.
    Version,
    /// The slot of the user; nothing where a rule chose the version.
    Slot,
    /// The client's address.
    Client,
    /// The id of the request.
    RequestId,
    /// The revision of the table that decided.
    Revision,
    /// The host that was asked, without its port.
    Host,
    /// The path.
    Path,
    /// What follows the prefix of the rule in the path.
    Rest,
    /// The query with its `?`; nothing if there is none.
    Query,
}

impl Variable {
    /// Those that a header line can have.
    pub const OF_HEADERS: [Self; 5] = [Self::Version, Self::Slot, Self::Client, Self::RequestId, Self::Revision];

    /// Those that a redirect can have.
    pub const OF_REDIRECTS: [Self; 4] = [Self::Host, Self::Path, Self::Rest, Self::Query];

    /// How it is written, without braces.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Slot => "slot",
            Self::Client => "client",
            Self::RequestId => "request_id",
            Self::Revision => "revision",
            Self::Host => "host",
            Self::Path => "path",
            Self::Rest => "rest",
            Self::Query => "query",
        }
    }
}

/// What variables stand for in one request.
#[derive(Clone, Copy, Debug)]
pub struct TemplateFacts<'f> {
    /// The name of the version, once there is one.
    pub version: &'f str,
    /// The slot.
    pub slot: Option<u32>,
    /// The client's address.
    pub client: IpAddr,
    /// The id of the request.
    pub request_id: &'f [u8],
    /// The revision.
    pub revision: u64,
    /// The host.
    pub host: &'f str,
    /// The path.
    pub path: &'f [u8],
    /// What follows the prefix of the rule in it.
    pub rest: &'f [u8],
    /// The query without its `?`.
    pub query: Option<&'f [u8]>,
}

impl Template {
    /// A text of these parts; `None` if a part cannot stand in a header line.
    #[must_use]
    pub fn new(parts: Vec<TemplatePart>) -> Option<Self> {
        let texts = parts.iter().filter_map(|part| match part {
            TemplatePart::Text(text) => Some(&**text),
            TemplatePart::Variable(_) => None,
        });
        let is_good = texts.clone().all(|text| HeaderValue::from_str(text).is_ok());
        let has_variable = parts.iter().any(|part| matches!(part, TemplatePart::Variable(_)));
        let fixed = (!has_variable).then(|| HeaderValue::from_str(&texts.collect::<String>()).ok()).flatten();
        is_good.then(|| Self { parts: parts.into(), fixed })
    }

    /// The whole, if it has no variable.
    #[must_use]
    pub fn fixed(&self) -> Option<&HeaderValue> {
        self.fixed.as_ref()
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The text for a request.
    #[must_use]
    pub fn render(&self, facts: &TemplateFacts<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        for part in &self.parts {
            match part {
                TemplatePart::Text(part) => text.extend_from_slice(part.as_bytes()),
                TemplatePart::Variable(variable) => facts.write(*variable, &mut text),
            }
        }
        text
    }
}

/// As it is written in a config.
impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            TemplatePart::Text(text) => f.write_str(text),
            TemplatePart::Variable(variable) => write!(f, "{{{}}}", variable.word()),
        })
    }
}

impl TemplateFacts<'_> {
    fn write(&self, variable: Variable, text: &mut Vec<u8>) {
        match variable {
            Variable::Version => text.extend_from_slice(self.version.as_bytes()),
            Variable::Slot => text.extend(self.slot.map(|slot| slot.to_string()).unwrap_or_default().bytes()),
            Variable::Client => text.extend(self.client.to_string().bytes()),
            Variable::RequestId => text.extend_from_slice(self.request_id),
            Variable::Revision => text.extend(self.revision.to_string().bytes()),
            Variable::Host => text.extend_from_slice(self.host.as_bytes()),
            Variable::Path => text.extend_from_slice(self.path),
            Variable::Rest => text.extend_from_slice(self.rest),
            Variable::Query => {
                if let Some(query) = self.query {
                    text.push(b'?');
                    text.extend_from_slice(query);
                }
            }
        }
    }
}
