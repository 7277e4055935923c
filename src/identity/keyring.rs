//! Who may sign, and with what: the whole check of a token.

use std::sync::Arc;

use super::keys::Candidates;
use super::token::Token;
use super::{Caller, IssuerRules, KeySet, TokenFault, claims};

/// The issuers of a policy, each with its keys.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    issuers: Vec<(Arc<IssuerRules>, Arc<KeySet>)>,
}

impl Keyring {
    /// A keyring.
    #[must_use]
    pub fn new(issuers: Vec<(IssuerRules, Arc<KeySet>)>) -> Self {
        Self {
            issuers: issuers
                .into_iter()
                .map(|(rules, keys)| (Arc::new(rules), keys))
                .collect(),
        }
    }

    /// The same with other keys for one issuer.
    #[must_use]
    pub fn replace(&self, issuer: usize, keys: Arc<KeySet>) -> Self {
        let mut other = self.clone();
        if let Some((_, held)) = other.issuers.get_mut(issuer) {
            *held = keys;
        }
        other
    }

    /// Whether an issuer has exactly these keys already.
    #[must_use]
    pub fn has(&self, issuer: usize, keys: &Arc<KeySet>) -> bool {
        self.issuers
            .get(issuer)
            .is_some_and(|(_, held)| Arc::ptr_eq(held, keys))
    }

    /// What the tokens of each issuer must be like.
    pub fn rules(&self) -> impl Iterator<Item = &IssuerRules> {
        self.issuers.iter().map(|(rules, _)| &**rules)
    }

    /// Whether any token could be good.
    #[must_use]
    pub fn has_usable_key(&self) -> bool {
        self.issuers.iter().any(|(_, keys)| !keys.is_empty())
    }

    /// Verifies a token at `now` (unix seconds).
    ///
    /// # Errors
    /// The first thing that is wrong. Of a token that fails in several ways the signature speaks before any claim, so that
    /// nobody learns about claims who cannot sign.
    pub fn verify(&self, token: &str, now: u64) -> Result<Caller, TokenFault> {
        let token = Token::parse(token)?;
        // The issuer is read before it is believed, only to know whose keys to try (RFC 8725, 3.8).
        let named = token.claims.get("iss").and_then(serde_json::Value::as_str);
        let (issuer, (rules, keys)) = self
            .issuers
            .iter()
            .enumerate()
            .find(|(_, (rules, _))| named == Some(&*rules.issuer))
            .ok_or(TokenFault::Issuer)?;
        if !rules.algorithms.contains(&token.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        match keys.candidates(token.kid.as_deref(), token.algorithm) {
            Candidates::Unknown => return Err(TokenFault::UnknownKey { issuer }),
            Candidates::Unfit => return Err(TokenFault::Algorithm),
            Candidates::Keys { found, guessed } => {
                let signed = found
                    .into_iter()
                    .any(|key| key.signed(token.signed.as_bytes(), token.signature, token.algorithm));
                if !signed && guessed {
                    return Err(TokenFault::UnknownKey { issuer });
                }
                if !signed {
                    return Err(TokenFault::Signature);
                }
            }
        }
        claims::check(rules, token.claims, now)
    }
}
