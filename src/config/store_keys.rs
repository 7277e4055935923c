//! `store_keys`: the secrets with which kept answers are sealed, and versions of resources are made.

use std::sync::Arc;

use super::fields::{Fields, Text};
use super::files;
use super::keys::Inputs;
use super::problem::{Problems, Span};
use crate::ledger::{MAX_STORE_KEYS, STORE_SECRET_BYTES, StoreKeys};
use crate::masking::seal::FieldKey;

/// What a policy says of its store keys.
pub(super) struct Stated {
    /// There is such a key in the file, right or wrong.
    said: bool,
    keys: Option<Arc<StoreKeys>>,
}

impl Stated {
    /// The keys, for something that cannot do without; noted as a problem at `at` if the policy names none.
    pub(super) fn needed(&self, at: Span, what: &str, problems: &mut Problems) -> Option<Arc<StoreKeys>> {
        if !self.said {
            problems.error(at, format!("{what} needs `store_keys`")).hint(
                "make a key with `openssl rand -base64 32` and write `store_keys: [keys/store.key]` at the top of the policy",
            );
        }
        self.keys.clone()
    }
}

/// Reads `store_keys` of a policy; every file that holds no secret is a problem.
pub(super) fn read(fields: &Fields<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Stated {
    let texts = fields.texts("store_keys");
    let said = fields.key("store_keys").is_some();
    if let Some(text) = texts.get(MAX_STORE_KEYS) {
        problems
            .error(text.at, format!("there are more than {MAX_STORE_KEYS} store keys"))
            .hint("remove those whose answers have expired");
        return Stated { said, keys: None };
    }
    let mut secrets = Vec::with_capacity(texts.len());
    for text in &texts {
        let Some(secret) = secret(*text, inputs, problems) else {
            continue;
        };
        if secrets.contains(&secret) {
            problems.error(
                text.at,
                format!("{} holds the same secret as one before it", text.quoted()),
            );
        }
        secrets.push(secret);
    }
    Stated {
        said,
        keys: StoreKeys::new(&secrets).map(Arc::new),
    }
}

fn secret(text: Text<'_>, inputs: &mut Inputs, problems: &mut Problems) -> Option<[u8; STORE_SECRET_BYTES]> {
    let (bytes, path) = inputs.named_file(text, problems)?;
    if files::is_open_to_others(&path) {
        problems
            .warn(
                text.at,
                format!("{} can be read by every user of this machine", text.quoted()),
            )
            .hint("`chmod o= FILE` keeps a key from them");
    }
    let secret = FieldKey::secret(&bytes);
    if secret.is_none() {
        problems
            .error(
                text.at,
                format!(
                    "{} does not hold {STORE_SECRET_BYTES} random bytes, as they are or in hexadecimal or base64",
                    text.quoted()
                ),
            )
            .hint("make one with `openssl rand -base64 32`");
    }
    secret
}
