//! Connections that come through a proxy which says, before anything else, whose they are (HAProxy's PROXY protocol).
//!
//! A listener that asks for it takes no connection without it, and from nobody but the proxies that it names: whoever else
//! could speak to it would be whoever they say.

mod header;
#[cfg(test)]
mod tests;

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) use header::Sender;
use header::{HeaderFault, MAX_V1, MAX_V2_REST, Parsed, parse};

/// Most bytes of a header.
const MAX_HEADER: usize = 16 + MAX_V2_REST;

const _: () = assert!(MAX_V1 <= MAX_HEADER);

/// Why a connection has no sender.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    /// It does not begin with a header.
    #[error("{0}")]
    Header(#[from] HeaderFault),
    /// It broke off.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads the header, and not one byte more.
pub(super) async fn sender<T: AsyncRead + Unpin>(io: &mut T) -> Result<Sender, ProxyFault> {
    let mut bytes = Vec::with_capacity(MAX_V1);
    loop {
        let more = match parse(&bytes)? {
            Parsed::Whole(sender) => return Ok(sender),
            Parsed::More(more) => more.min(MAX_HEADER),
        };
        let taken = io.take(more as u64).read_buf(&mut bytes).await?;
        if taken == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
