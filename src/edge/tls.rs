//! TLS as a client: to backends and to key servers.
//!
//! A backend's certificate is verified by its own authorities or by the system's, and never not at all. Files may change
//! while we run: the next connection meets the new ones.

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The files of TLS to one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// Authorities that vouch for the backend, PEM; absent = the system's.
    pub authorities: Option<PathBuf>,
    /// Certificate chain and key that say who we are, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// TLS to one backend, as it is now.
#[derive(Debug)]
pub struct ClientTls {
    name: ServerName<'static>,
    files: ClientTlsFiles,
    /// The bytes that `current` was made of.
    read: Mutex<Read>,
    current: ArcSwap<ClientConfig>,
    /// How often `current` was replaced.
    era: AtomicU64,
}

/// What the files hold.
#[derive(PartialEq)]
struct Read {
    authorities: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Read {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

/// Why there is no TLS, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsFault {
    /// A file cannot be read.
    #[error("`{path}`: {1}", path = .0.display())]
    Unread(PathBuf, std::io::Error),
    /// What the files hold does not fit.
    #[error("{0}")]
    Unfit(String),
    /// No certificate can have this name.
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
}

impl ClientTls {
    /// Reads the files. The backend's certificate must be for `name`, a DNS name or an IP address.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(name: &str, files: ClientTlsFiles) -> Result<Self, ClientTlsFault> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| ClientTlsFault::Name(name.to_owned()))?;
        let read = files.read()?;
        Ok(Self {
            name,
            current: ArcSwap::from_pointee(read.configuration()?),
            read: Mutex::new(read),
            files,
            era: AtomicU64::new(0),
        })
    }

    /// Reads the files again, and tells whether they are others; on an error what was good stays.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn reload(&self) -> Result<bool, ClientTlsFault> {
        let now = self.files.read()?;
        let mut before = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == now {
            return Ok(false);
        }
        self.current.store(Arc::new(now.configuration()?));
        // After it: who has seen this era has the configuration that came with it, or a later one.
        self.era.fetch_add(1, Ordering::Release);
        *before = now;
        Ok(true)
    }

    /// A number that is another one once the files are others. Asked before a handshake, it says by which of them a
    /// connection was opened.
    #[must_use]
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// The files that it was made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let identity = self.files.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.files.authorities.iter().chain(identity).map(PathBuf::as_path)
    }

    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// A certificate that nobody vouches for, or that is for another name, among others.
    pub async fn connect<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsConnector::from(self.current.load_full())
            .connect(self.name.clone(), stream)
            .await
    }
}

impl ClientTlsFiles {
    fn read(&self) -> Result<Read, ClientTlsFault> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|fault| ClientTlsFault::Unread(path.clone(), fault));
        let identity = |(chain, key)| Ok((read(chain)?, read(key)?));
        Ok(Read {
            authorities: self.authorities.as_ref().map(read).transpose()?,
            identity: self
                .identity
                .as_ref()
                .map(|(chain, key)| identity((chain, key)))
                .transpose()?,
        })
    }
}

impl Read {
    fn configuration(&self) -> Result<ClientConfig, ClientTlsFault> {
        let identity = self.identity.as_ref().map(|(chain, key)| (&chain[..], &key[..]));
        client(self.authorities.as_deref(), identity).map_err(ClientTlsFault::Unfit)
    }
}

/// A client that trusts `authorities`, or the system's where there are none, and shows `identity` if it is asked who it is.
///
/// # Errors
/// What is wrong with which of them.
pub(super) fn client(authorities: Option<&[u8]>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| fault.to_string())?
        .with_root_certificates(roots(authorities)?);
    let Some((chain, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|fault| format!("the client certificate: {fault}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|fault| format!("the client key: {fault}"))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|fault| format!("client certificate and key: {fault}"))
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|fault| fault.to_string())?;
                roots.add(certificate).map_err(|fault| fault.to_string())?;
            }
        }
        None => {
            // A system has odd certificates too; those that can be read are enough.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no authority can be read".to_owned());
    }
    Ok(roots)
}
