//! The dialogue of the process that is replaced with the one that takes over, in turns of one line, over a socket that
//! the new one inherits:
//!
//! ```text
//! old                                     new
//!  |  starts it with all listening sockets  |
//!  |                                        |  reads the config, takes the sockets, reads the tokens
//!  |  <------------------------- prepared   |
//!  |  closes the store, still serves        |
//!  |  released ------------------------->   |
//!  |                                        |  opens the store, restores the traffic, serves
//!  |  <---------------------------- ready   |
//!  |  accepts nothing more, lets requests   |
//!  |  end, ends                             |
//! ```
//!
//! At any point the new one may say `failed` and why, or just end; the old one then takes its store back. The lock on
//! the store decides in the end, not these lines: the process that has it is the writer.

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandoverMessage {
    /// Everything but the store is there.
    Prepared,
    /// The store is free.
    Released,
    /// Requests are taken.
    Ready,
    /// It goes no further.
    Failed(String),
}

impl HandoverMessage {
    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Prepared => "prepared\n".to_owned(),
            Self::Released => "released\n".to_owned(),
            Self::Ready => "ready\n".to_owned(),
            Self::Failed(why) => format!("failed {}\n", why.replace('\n', "; ")),
        }
    }

    /// The message of a line without its end.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        match line {
            "prepared" => Some(Self::Prepared),
            "released" => Some(Self::Released),
            "ready" => Some(Self::Ready),
            _ => line.strip_prefix("failed ").map(|why| Self::Failed(why.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back() {
        let failed = HandoverMessage::Failed("no room; none".to_owned());
        for message in [HandoverMessage::Prepared, HandoverMessage::Released, HandoverMessage::Ready, failed] {
            assert_eq!(HandoverMessage::parse(message.line().trim_end()).as_ref(), Some(&message));
        }
        assert_eq!(HandoverMessage::Failed("one\ntwo".to_owned()).line(), "failed one; two\n");
        assert_eq!(HandoverMessage::parse("hello"), None);
    }
}
