//! One request, one connection: for admin interfaces, and to look at an answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest silence.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an admin interface is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// The body of an answer.
    ///
    /// # Errors
    /// The connection broke, or the status is not 200.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Result<String, String> {
        // Caddy answers those only who call it by its address.
        let host = match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.say(&request)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
            _ => Err(format!("{method} {path}: want 200, found: {answer}")),
        }
    }

    /// Everything that comes back until the other side closes.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn say(&self, words: &str) -> Result<String, String> {
        let said = match self {
            Self::Tcp(address) => TcpStream::connect(address).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, words)
            }),
            Self::Unix(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, words)
            }),
        };
        said.map_err(|error| format!("{self:?}: {error}"))
    }
}

fn exchange(mut stream: impl Read + Write, words: &str) -> std::io::Result<String> {
    stream.write_all(words.as_bytes())?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
