//! Keys that an issuer publishes (a JWK set at an `https` URL), fetched when they may have changed.
//!
//! A token with an unknown key id asks for a fetch, and so does the passing of time; there is at most one at a time, and at
//! most one in [`REFETCH_WINDOW`] for such tokens, whoever sends them. The last good keys stay until better ones come, for
//! [`MAX_STALE`] at most.
//! Only the URL of the policy is ever asked, and no redirect is followed.

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::identity::{Algorithm, KeyFault, KeySet, MAX_JWKS_BYTES};

/// Longest time from connecting to the last byte.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Shortest time between two fetches that tokens with unknown keys ask for.
pub const REFETCH_WINDOW: Duration = Duration::from_secs(10);

/// How often keys are fetched although nobody asked; jittered by up to a fifth.
pub const REFRESH_EVERY: Duration = Duration::from_secs(300);

/// How long the last good keys stay while no better ones come. A key that its issuer has taken back is not believed for
/// ever because its key server is kept from saying so.
pub const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// A key server.
#[derive(Debug)]
pub struct Remote {
    url: String,
    host: String,
    port: u16,
    /// Host and port as the URL has them.
    authority: String,
    target: String,
    tls: Connector,
    authorities: Option<Vec<u8>>,
    algorithms: Vec<Algorithm>,
    keys: Mutex<Known>,
    /// When it was last asked for the sake of a token. Held while it is asked: one at a time.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// What it has said.
#[derive(Debug, Default)]
struct Known {
    keys: Arc<KeySet>,
    /// When; none if it has not said anything yet.
    at: Option<Instant>,
}

struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// Why no keys were fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// The URL is none to fetch from.
    #[error("is no `https://host/path` URL")]
    Url,
    /// The authorities cannot be used.
    #[error("the certificate authorities cannot be used: {0}")]
    Authorities(String),
    /// No connection, or no TLS.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// HTTP went wrong.
    #[error("cannot fetch: {0}")]
    Http(#[from] hyper::Error),
    /// Not 200.
    #[error("answers {0}")]
    Status(http::StatusCode),
    /// The body is too large or broke off.
    #[error("the answer is too large or broke off")]
    Body,
    /// Too slow.
    #[error("takes longer than {} s", FETCH_TIMEOUT.as_secs())]
    Timeout,
    /// What came is no set of keys.
    #[error("what it sends {0}")]
    Keys(#[from] KeyFault),
}

impl Remote {
    /// A key server, not asked yet. `authorities` are certificates in PEM; absent = those of the system.
    ///
    /// # Errors
    /// The URL or the authorities cannot be used.
    pub fn new(url: &str, authorities: Option<&[u8]>, algorithms: &[Algorithm]) -> Result<Self, FetchFault> {
        let uri: Uri = url.parse().map_err(|_| FetchFault::Url)?;
        let authority = uri.authority().ok_or(FetchFault::Url)?;
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
            return Err(FetchFault::Url);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            url: url.to_owned(),
            host: host.to_owned(),
            authority: authority.as_str().to_owned(),
            port: authority.port_u16().unwrap_or(443),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            tls: Connector(TlsConnector::from(Arc::new(
                super::tls::client(authorities, None).map_err(FetchFault::Authorities)?,
            ))),
            authorities: authorities.map(<[u8]>::to_vec),
            algorithms: algorithms.to_vec(),
            keys: Mutex::default(),
            asked: tokio::sync::Mutex::new(None),
        })
    }

    /// Whether it is asked in the same way: then its keys are still good under another policy.
    #[must_use]
    pub fn is(&self, url: &str, authorities: Option<&[u8]>, algorithms: &[Algorithm]) -> bool {
        self.url == url && self.authorities.as_deref() == authorities && self.algorithms == algorithms
    }

    /// The last good keys; none before the first fetch.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.known().keys)
    }

    /// Fetches, unless that was done within `window`. Who comes while somebody else fetches waits for that. Gives the keys
    /// that are good now.
    pub async fn refresh(&self, window: Duration) -> Arc<KeySet> {
        let mut asked = self.asked.lock().await;
        if window.is_zero() || asked.is_none_or(|at| at.elapsed() >= window) {
            // What the clock asks for takes nothing from what tokens may ask for.
            if !window.is_zero() {
                *asked = Some(Instant::now());
            }
            match tokio::time::timeout(FETCH_TIMEOUT, self.fetch()).await {
                Ok(Ok(keys)) => {
                    tracing::info!(url = self.url, keys = keys.len(), "keys fetched");
                    *self.known() = Known {
                        keys: Arc::new(keys),
                        at: Some(Instant::now()),
                    };
                }
                Ok(Err(fault)) => self.failed(&fault),
                Err(_) => self.failed(&FetchFault::Timeout),
            }
        }
        self.keys()
    }

    fn failed(&self, fault: &FetchFault) {
        let mut known = self.known();
        if known.at.is_some_and(|at| at.elapsed() >= MAX_STALE) {
            *known = Known::default();
            tracing::error!(url = self.url, %fault, "no keys fetched for so long that the last good ones are given up");
        } else {
            tracing::warn!(url = self.url, %fault, "no keys fetched; the last good ones stay");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<KeySet, FetchFault> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let name = ServerName::try_from(self.host.clone()).map_err(|_| FetchFault::Url)?;
        let stream = self.tls.0.connect(name, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(&self.target)
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchFault::Url)?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            if response.status() != http::StatusCode::OK {
                return Err(FetchFault::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_JWKS_BYTES).collect().await;
            Ok(body.map_err(|_| FetchFault::Body)?.to_bytes())
        };
        // The connection lives as long as its one exchange.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        let body = tokio::select! {
            biased;
            body = exchange.as_mut() => body?,
            ended = connection.as_mut() => {
                ended?;
                exchange.await?
            }
        };
        let (keys, skipped) = KeySet::jwks(&body, &self.algorithms)?;
        for skip in skipped {
            tracing::warn!(url = self.url, index = skip.index, kid = skip.kid, why = %skip.why, "a key is not used");
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
