//! The certificate that a client has shown, as the rest of the program sees it.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use std::path::Path;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::call::certificate::Certificate;

/// Most alternative names that are looked at.
const MAX_NAMES: usize = 256;

/// Reads a certificate, DER. One whose names cannot be read has none, but it is still the one that a token may be bound to.
pub(crate) fn read(der: &[u8]) -> Certificate {
    let sha256 = digest(&SHA256, der).as_ref().try_into().unwrap_or_default();
    let Ok((rest, parsed)) = X509Certificate::from_der(der) else {
        return Certificate::new(sha256, &[], &[]);
    };
    let names = parsed.subject_alternative_name();
    let names = match &names {
        Ok(Some(names)) if names.value.general_names.len() <= MAX_NAMES => names.value.general_names.as_slice(),
        Ok(None) => &[],
        _ => return Certificate::new(sha256, &[], &[]),
    };
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    // A name that is no text still counts as one: beside it, another is not the only one.
    let common_names: Vec<&str> = parsed
        .subject()
        .iter_common_name()
        .map(|name| name.as_str().unwrap_or_default())
        .collect();
    if !rest.is_empty() {
        return Certificate::new(sha256, &[], &[]);
    }
    Certificate::new(sha256, &uris, &common_names)
}

/// Reads the first certificate of a PEM file.
///
/// # Errors
/// There is none.
pub(crate) fn read_pem(path: &Path) -> Result<Certificate, pem::Error> {
    Ok(read(&CertificateDer::from_pem_file(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn der(uris: &[&str], names: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn names_are_read_and_what_cannot_be_read_has_none() {
        let id = "spiffe://city.example/etl";
        let whole = der(&[id], &["etl-1"]);
        let read_whole = read(&whole);
        assert_eq!(read_whole.spiffe_id.as_deref(), Some(id));
        assert_eq!(read_whole.common_name.as_deref(), Some("etl-1"));
        assert_eq!(read_whole.sha256.as_slice(), digest(&SHA256, &whole).as_ref());
        assert_eq!(read(&der(&[id, "spiffe://city.example/b"], &[])).spiffe_id, None);
        assert_eq!(read(&der(&["https://city.example"], &[])).spiffe_id, None);
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!((read(&longer).spiffe_id, read(&longer).common_name), (None, None));
        for end in 0..whole.len() {
            let cut = read(whole.get(..end).unwrap());
            assert_eq!((cut.spiffe_id, cut.common_name), (None, None));
        }
    }
}
