//! A connection to the server of a shared store: TCP, or a Unix socket, and TLS where it is asked for.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::StoreFault;
use crate::config::{Host, SharedStore};
use crate::edge::tls;

/// How long a connection may be silent before the other machine is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection of any kind.
pub(super) type Wire = Box<dyn Stream>;

/// Connects, without TLS.
pub(super) async fn connect(server: &SharedStore) -> Result<Wire, StoreFault> {
    let unreachable = |error: std::io::Error| StoreFault::Unavailable(format!("{server}: {error}"));
    match &server.host {
        Host::Socket(file) => {
            let stream = UnixStream::connect(file).await.map_err(unreachable)?;
            Ok(Box::new(stream))
        }
        Host::Name(name) => {
            let stream = TcpStream::connect((name.as_str(), server.port))
                .await
                .map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
            SockRef::from(&stream)
                .set_tcp_keepalive(&keepalive)
                .map_err(unreachable)?;
            Ok(Box::new(stream))
        }
    }
}

/// Connects, with TLS where it is asked for.
pub(super) async fn secured(server: &SharedStore) -> Result<Wire, StoreFault> {
    let wire = connect(server).await?;
    let Host::Name(name) = &server.host else {
        return Ok(wire);
    };
    if !server.tls {
        return Ok(wire);
    }
    let name = ServerName::try_from(name.clone()).map_err(|error| StoreFault::Io(error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(tls(server)?))
        .connect(name, wire)
        .await
        .map_err(|error| StoreFault::Unavailable(format!("{server}: {error}")))?;
    Ok(Box::new(stream))
}

/// The rules of TLS: the server's certificate is verified, for its name.
pub(super) fn tls(server: &SharedStore) -> Result<ClientConfig, StoreFault> {
    let authorities = server
        .ca
        .as_ref()
        .map(|file| std::fs::read(file).map_err(|error| StoreFault::Io(format!("`{}`: {error}", file.display()))))
        .transpose()?;
    tls::client(authorities.as_deref(), None).map_err(StoreFault::Io)
}
