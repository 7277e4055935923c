//! A way into a TLS listener for clients that speak none: what goes in at its port comes out there, over a connection that
//! has shown a certificate.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::thread;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use super::Shown;

/// Its port. `authority` vouches for the server; `protocol` is what is to be spoken, as ALPN names it.
pub fn tunnel(to: u16, authority: &str, shown: &Shown, protocol: &str) -> u16 {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority)).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![certificate(&shown.certificate)],
            PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![protocol.into()];
    let connector = TlsConnector::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    // Ends with the test's process.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, accept(listener, to, connector));
    });
    port
}

async fn accept(listener: std::net::TcpListener, to: u16, connector: TlsConnector) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((mut near, _)) = listener.accept().await {
        let connector = connector.clone();
        tokio::task::spawn_local(async move {
            near.set_nodelay(true)?;
            let far = TcpStream::connect(("127.0.0.1", to)).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let mut far = connector.connect(name, far).await?;
            copy_bidirectional(&mut near, &mut far).await
        });
    }
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
