//! Certificates for tests.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

/// A client's certificate.
pub struct Shown {
    pub certificate: String,
    pub key: String,
    /// As a token names it (`x5t#S256`).
    pub thumbprint: String,
    /// As a policy names it.
    pub fingerprint: String,
}

/// A certificate authority of a test's own.
pub struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        Self {
            authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// Its own certificate, in PEM.
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// A client's certificate with this common name and this URI.
    pub fn client(&self, name: &str, uri: &str) -> Shown {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let hash = digest(&SHA256, certificate.der());
        Shown {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            thumbprint: URL_SAFE_NO_PAD.encode(hash),
            fingerprint: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// A certificate and its key, in PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
