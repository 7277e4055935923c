//! stub
use std::sync::Arc;
/// c
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub issuer: Arc<str>,
    pub user: String,
    pub roles: Vec<String>,
    pub scopes: Option<Vec<String>>,
    pub jurisdictions: Vec<String>,
    pub claims: serde_json::Map<String, serde_json::Value>,
    pub issued_at: Option<u64>,
    pub expires_at: u64,
    pub token_id: Option<String>,
}
/// Local stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RS256,
    PS256,
    ES256,
    ES384,
    EdDSA,
    HS256,
}
impl std::str::FromStr for Algorithm {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "RS256" => Self::RS256,
            "PS256" => Self::PS256,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" => Self::EdDSA,
            "HS256" => Self::HS256,
            _ => return Err(()),
        })
    }
}
/// Local stand-in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimNames {
    pub user: String,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    pub jurisdictions: Vec<String>,
}
/// Local stand-in.
#[derive(Clone, Debug)]
pub struct IssuerRules {
    pub issuer: Arc<str>,
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub max_lifetime: Option<std::time::Duration>,
    pub leeway: std::time::Duration,
    pub claims: ClaimNames,
}
