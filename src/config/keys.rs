//! Where the keys come from with which an issuer's tokens are verified, and the files that a policy names besides itself.

use aws_lc_rs::digest::{Context, SHA256};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::fields::Text;
use super::files::{self, MAX_FOLDER_BYTES};
use super::problem::{Problems, quote};
use crate::identity::IssuerRules;

/// An issuer, and where its keys are.
#[derive(Clone, Debug)]
pub struct IssuerSource {
    /// What a token of this issuer must be like.
    pub rules: IssuerRules,
    /// Its keys.
    pub keys: KeySource,
}

/// Where an issuer's keys are. Files have been read; their content has not been looked at as keys.
#[derive(Clone)]
pub enum KeySource {
    /// One public key: the bytes of a PEM file, and the file.
    PublicKey(Vec<u8>, PathBuf),
    /// A shared secret for HMAC, without the line break at the file's end, and the file.
    Secret(Vec<u8>, PathBuf),
    /// A JWK set: the bytes of a JSON file, and the file.
    JwksFile(Vec<u8>, PathBuf),
    /// A JWK set to be fetched.
    JwksUrl {
        /// An `https` URL.
        url: String,
        /// Authorities (PEM) in place of the system's.
        ca: Option<Vec<u8>>,
    },
}

impl KeySource {
    /// A name that is equal for equal keys, wherever they stand, and says nothing of them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let parts: [&[u8]; 3] = match self {
            Self::PublicKey(bytes, _) => [b"public key", bytes, &[]],
            Self::Secret(bytes, _) => [b"secret", bytes, &[]],
            Self::JwksFile(bytes, _) => [b"key set", bytes, &[]],
            Self::JwksUrl { url, ca } => [b"address", url.as_bytes(), ca.as_deref().unwrap_or_default()],
        };
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        format!("{:?}", context.finish())
    }
}

/// Names the source and shows nothing of it: debug output ends up in logs.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicKey(_, path) => write!(f, "PublicKey({})", path.display()),
            Self::Secret(_, path) => write!(f, "Secret({})", path.display()),
            Self::JwksFile(_, path) => write!(f, "JwksFile({})", path.display()),
            Self::JwksUrl { url, .. } => write!(f, "JwksUrl({url})"),
        }
    }
}

/// What has been read for one policy.
#[derive(Default)]
pub(super) struct Inputs {
    /// The policy files, by their index in [`Problems`].
    own: HashMap<u16, PathBuf>,
    /// Each file once: path, name as an author writes it, bytes.
    read: Vec<(PathBuf, String, Vec<u8>)>,
    bytes: u64,
}

impl Inputs {
    /// Takes in a policy file.
    pub(super) fn policy_file(&mut self, file: u16, path: &Path, bytes: Vec<u8>) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.own.insert(file, path.to_owned());
        self.add(path.to_owned(), name.unwrap_or_default(), bytes);
    }

    fn add(&mut self, path: PathBuf, name: String, bytes: Vec<u8>) {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.read.push((path, name, bytes));
    }

    /// Whether more has been read than a policy may be.
    pub(super) fn is_too_much(&self) -> bool {
        self.bytes > MAX_FOLDER_BYTES
    }

    /// Reads a file that a policy file names, relative to that.
    pub(super) fn named_file(&mut self, text: Text<'_>, problems: &mut Problems) -> Option<(Vec<u8>, PathBuf)> {
        let path = files::resolve(self.own.get(&text.at.file)?, text.text);
        if let Some((_, _, bytes)) = self.read.iter().find(|(known, _, _)| *known == path) {
            return Some((bytes.clone(), path));
        }
        match files::read(&path) {
            Ok(bytes) if bytes.is_empty() => {
                problems.error(text.at, format!("{} is empty", text.quoted()));
                None
            }
            Ok(bytes) => {
                self.add(path.clone(), text.text.to_owned(), bytes.clone());
                Some((bytes, path))
            }
            Err(fault) => {
                let place = (path != Path::new(text.text))
                    .then(|| format!("looked for at {}", quote(&path.display().to_string())));
                problems
                    .error(text.at, format!("{} {fault}", text.quoted()))
                    .hint_if(place);
                None
            }
        }
    }

    /// Every file that has been read.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.read.iter().map(|(path, _, _)| path.clone()).collect()
    }

    /// Names and bytes, sorted by name.
    pub(super) fn contents(&self) -> Vec<(&str, &[u8])> {
        let mut contents: Vec<(&str, &[u8])> = self
            .read
            .iter()
            .map(|(_, name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        contents.sort_unstable();
        contents
    }
}
