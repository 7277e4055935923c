//! stub
use std::sync::Arc;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassId(pub u16);
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Remove,
    Null,
    Redact(Arc<str>),
}
pub struct FieldRule {
    pub class: ClassId,
    pub names: Vec<String>,
    pub exact: bool,
    pub paths: Vec<String>,
}
#[derive(Debug)]
pub struct Selectors(bool);
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SelectorFault;
impl SelectorFault {
    pub fn rule(&self) -> usize {
        0
    }
}
impl Selectors {
    pub fn compile(r: &[FieldRule]) -> Result<Self, SelectorFault> {
        Ok(Selectors(r.is_empty()))
    }
    pub fn is_empty(&self) -> bool {
        self.0
    }
}
pub fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}
#[derive(Clone, Debug)]
pub struct Mask {
    pub selectors: Arc<Selectors>,
    pub actions: Arc<[Option<Action>]>,
}
