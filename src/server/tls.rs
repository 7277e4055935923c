//! TLS for a listener, from files that may change while we run.
//!
//! A changed file makes a whole new configuration with its own session tickets: a session that was resumed from old
//! tickets would carry a client certificate that the new authorities may not vouch for (RFC 8446, 2.2).

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The files of a listener's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authorities for client certificates; present = a certificate is required.
    pub client_ca: Option<PathBuf>,
}

/// TLS as it is now.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// The bytes that `current` was made of.
    read: Mutex<Vec<Vec<u8>>>,
    current: ArcSwap<ServerConfig>,
    /// Told when other authorities vouch for clients.
    trust: watch::Sender<()>,
}

/// Why files make no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error("`{path}`: {1}", path = .0.display())]
    Unread(PathBuf, std::io::Error),
    /// A file is no PEM of this kind.
    #[error("`{path}`: {1}", path = .0.display())]
    Pem(PathBuf, rustls::pki_types::pem::Error),
    /// There is no certificate in the file.
    #[error("`{}` has no certificate", .0.display())]
    Empty(PathBuf),
    /// Certificate and key, or the authorities, do not fit.
    #[error("`{path}`: {1}", path = .0.display())]
    Unfit(PathBuf, rustls::Error),
    /// The authorities cannot verify anybody.
    #[error("`{path}`: {1}", path = .0.display())]
    Authorities(PathBuf, rustls::server::VerifierBuilderError),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(files: TlsFiles) -> Result<Self, TlsFault> {
        let read = read(&files)?;
        Ok(Self {
            current: ArcSwap::from_pointee(configuration(&files, &read)?),
            trust: watch::Sender::new(()),
            read: Mutex::new(read),
            files,
        })
    }

    /// Reads the files again, and tells whether they are others; on an error what was good stays.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn reload(&self) -> Result<bool, TlsFault> {
        let now = read(&self.files)?;
        let mut before = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == now {
            return Ok(false);
        }
        self.current.store(Arc::new(configuration(&self.files, &now)?));
        if authorities(&before) != authorities(&now) {
            self.trust.send_replace(());
        }
        *before = now;
        Ok(true)
    }

    /// The configuration for the next connection, and who tells when the authorities are others than those in it.
    #[must_use]
    pub fn current(&self) -> (Arc<ServerConfig>, watch::Receiver<()>) {
        // In this order: a change between the two is told of, if only because it may be in the configuration already.
        let trust = self.trust.subscribe();
        (self.current.load_full(), trust)
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }
}

/// Certificate, key, and authorities if there are any.
fn read(files: &TlsFiles) -> Result<Vec<Vec<u8>>, TlsFault> {
    [&files.certificate, &files.key]
        .into_iter()
        .chain(&files.client_ca)
        .map(|path| std::fs::read(path).map_err(|fault| TlsFault::Unread(path.clone(), fault)))
        .collect()
}

/// The authorities among what [`read`] gives.
fn authorities(read: &[Vec<u8>]) -> Option<&Vec<u8>> {
    read.get(2)
}

fn configuration(files: &TlsFiles, read: &[Vec<u8>]) -> Result<ServerConfig, TlsFault> {
    let [certificate, key, authorities @ ..] = read else {
        return Err(TlsFault::Empty(files.certificate.clone()));
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = certificates(&files.certificate, certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|fault| TlsFault::Pem(files.key.clone(), fault))?;
    let unfit = |fault| TlsFault::Unfit(files.certificate.clone(), fault);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?;
    let builder = match (&files.client_ca, authorities) {
        (None, _) => builder.with_no_client_auth(),
        (Some(path), authorities) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, authorities.first().map_or(&[], Vec::as_slice))? {
                roots
                    .add(certificate)
                    .map_err(|fault| TlsFault::Unfit(path.clone(), fault))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|fault| TlsFault::Authorities(path.clone(), fault))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|fault| TlsFault::Pem(path.to_owned(), fault))?;
    if chain.is_empty() {
        return Err(TlsFault::Empty(path.to_owned()));
    }
    Ok(chain)
}
