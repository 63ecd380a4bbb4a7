//! The decoder of bodies: their parts, and their end, from the bytes of a connection.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::SizeHint;

use super::broken::Broken;
use super::chunks::{Chunk, ChunkDecoder};
use super::head::BodyLength;

/// What comes next of a body.
#[derive(Debug)]
pub enum Piece {
    /// A part of it, never empty.
    Data(Bytes),
    /// It is over, with these trailers.
    Trailers(HeaderMap),
    /// It is over.
    Over,
    /// More has to come first.
    More,
}

/// Follows one body.
#[derive(Debug)]
pub enum BodyDecoder {
    /// This many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked(Box<ChunkDecoder>),
    /// Until the connection ends.
    UntilClose,
}

impl BodyDecoder {
    /// Follows a body of this length.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::Exact(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunked(Box::default()),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Whether all of it was taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_over(),
            Self::UntilClose => false,
        }
    }

    /// What is known of how much is left.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(chunks) if chunks.is_over() => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }

    /// Takes the next part off the front of `bytes`.
    ///
    /// # Errors
    /// When the framing is broken.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Piece, Broken> {
        match self {
            Self::Length(0) => Ok(Piece::Over),
            Self::Length(_) | Self::UntilClose if bytes.is_empty() => Ok(Piece::More),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                Ok(Piece::Data(bytes.split_to(count).freeze()))
            }
            Self::UntilClose => Ok(Piece::Data(bytes.split().freeze())),
            Self::Chunked(chunks) => Ok(match chunks.decode(bytes)? {
                Chunk::Data(data) => Piece::Data(data),
                Chunk::Over(None) => Piece::Over,
                Chunk::Over(Some(trailers)) => Piece::Trailers(trailers),
                Chunk::More => Piece::More,
            }),
        }
    }

    /// The connection ended, and no bytes are left.
    ///
    /// # Errors
    /// [`Broken::Short`] unless that is the body's end.
    pub fn end(&mut self) -> Result<(), Broken> {
        match self {
            Self::UntilClose => {
                *self = Self::Length(0);
                Ok(())
            }
            Self::Length(0) => Ok(()),
            Self::Chunked(chunks) if chunks.is_over() => Ok(()),
            Self::Length(_) | Self::Chunked(_) => Err(Broken::Short),
        }
    }
}
