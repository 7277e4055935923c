//! Listening sockets, and the accept loop of one worker.
//!
//! Each worker has a socket of its own on the same address (`SO_REUSEPORT`): the kernel spreads connections over the
//! workers, and a connection stays with one thread and its caches from its first byte to its last.

use prometheus::IntGauge;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{Manners, serve};
use super::tls::Tls;
use crate::config::Address;
use crate::edge::gather::Gathered;
use crate::edge::metrics::Metrics;
use crate::gateway::Gateway;

/// Connections that the kernel keeps for us before they are accepted.
const BACKLOG: i32 = 1024;

/// How long accepting pauses after an error such as too many open files: it would only spin.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, for one worker.
#[derive(Debug)]
pub(super) enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A socket file, shared by all workers.
    Unix(std::os::unix::net::UnixListener),
}

/// Binds an address once for each worker.
///
/// # Errors
/// The address is in use or not ours.
pub(super) fn bind(address: &Address, workers: usize) -> io::Result<Vec<Bound>> {
    match address {
        Address::Tcp(address) => {
            // With SO_REUSEPORT a second gateway could listen beside a first one unseen: look whether it is free. Port 0
            // becomes one port for all workers.
            let probe = tcp(*address, false)?;
            let free = probe.local_addr()?.as_socket().unwrap_or(*address);
            drop(probe);
            let listening = |_| {
                let socket = tcp(free, workers > 1)?;
                socket.listen(BACKLOG)?;
                Ok(Bound::Tcp(socket.into()))
            };
            (0..workers).map(listening).collect()
        }
        Address::Unix(path) => {
            let listener = unix(path)?;
            (0..workers).map(|_| Ok(Bound::Unix(listener.try_clone()?))).collect()
        }
    }
}

/// A bound socket that does not listen yet.
fn tcp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    // A socket file of an earlier life is in the way; one that answers is somebody's.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts until the gateway drains, then waits for what is under way until `grace` is over.
pub(super) async fn accept(
    bound: Bound,
    gateway: Rc<Gateway>,
    tls: Option<Arc<Tls>>,
    manners: Manners,
    places: Arc<Semaphore>,
    grace: Duration,
) -> io::Result<()> {
    let listener = Listener::new(bound)?;
    let mut drain: watch::Receiver<bool> = manners.drain.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = drain.wait_for(|draining| *draining) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                // Beyond the limit one connection for each worker is accepted and waits unread; the others wait in the
                // kernel. A place taken before would be kept from the other workers.
                let place = tokio::select! {
                    _ = drain.wait_for(|draining| *draining) => break,
                    place = Arc::clone(&places).acquire_owned() => place,
                };
                let (gateway, tls, manners) = (Rc::clone(&gateway), tls.clone(), manners.clone());
                connections.spawn_local(async move {
                    let _open = Open::new(&gateway.shared().metrics);
                    match stream {
                        Stream::Tcp(io) => serve(gateway, Gathered::new(io), address, tls.as_deref(), manners).await,
                        Stream::Unix(io) => serve(gateway, io, address, tls.as_deref(), manners).await,
                    }
                    drop(place);
                });
            }
            Err(fault) => {
                tracing::warn!(%fault, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(left = connections.len(), "connections cut at the end of shutdown_grace");
    }
    Ok(())
}

/// A connection, counted while it is open.
struct Open(IntGauge);

impl Open {
    fn new(metrics: &Metrics) -> Self {
        let gauge = metrics.connections().clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A bound socket on the runtime of its worker.
pub(super) enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// An accepted connection.
pub(super) enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    /// Hands the socket to the runtime.
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(socket) => Self::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Bound::Unix(socket) => Self::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// The next connection, and where it comes from: a socket file is this host.
    pub(super) async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (io, address) = listener.accept().await?;
                io.set_nodelay(true)?;
                Ok((Stream::Tcp(io), address.ip()))
            }
            Self::Unix(listener) => {
                let (io, _) = listener.accept().await?;
                Ok((Stream::Unix(io), IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }
}
