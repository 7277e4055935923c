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
