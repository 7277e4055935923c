//! `when`: a condition on the caller and the request, in a subset of CEL, decided without I/O and without a clock.
//!
//! An author's text becomes a [`Condition`] once, at load, and every problem of it is found there: [`tokens`] bounds it,
//! a library parses it ([`syntax`]), [`check`] resolves its names, gives every part a type and folds constants. What is
//! left is a tree of resolved slots ([`node`]) that [`evaluate`] walks for each request.
//!
//! # Meaning
//!
//! - **Closed.** Left to right, `&&` and `||` stop at the first operand that decides. An error that is met (an absent
//!   parameter, a value of another type, an overflow) is the whole condition's, and nothing absorbs it: CEL's
//!   `error || true` is an error here. Both `false` and an error deny.
//! - **Typed.** What the policy knows has a type at load, and comparing a text with a number is a problem there. What a
//!   client or an issuer wrote (`body`, `caller.claims`, `row`) is dynamic: it must be what it is compared with, else it is an
//!   error, never merely unequal.
//! - **Bounded.** The cost is linear in the request: one comprehension deep, regular expressions that do not backtrack,
//!   every size limited at load.
//! - **Numbers** of JSON are exact up to 2^53; a larger one is an error. Money belongs in a dry run's decimals, not here.

mod check;
mod evaluate;
mod functions;
mod names;
mod node;
mod operations;
mod syntax;
#[cfg(test)]
mod tests;
mod tokens;
mod trace;
mod value;

use std::net::IpAddr;
use std::sync::Arc;

use crate::call::Call;
use node::Node;

pub use check::{MAX_REGEX, Mention, Mentioned};
pub use evaluate::EvaluationFault;
pub use tokens::{MAX_CHOICES, MAX_NESTING, MAX_SOURCE, MAX_TOKENS};

/// Bytes of a condition's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// One thing that keeps a text from being a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionFault {
    /// Where in the text.
    pub at: Extent,
    /// What is wrong, in the author's words.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// What a route knows, and so what its condition may name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The route's path parameters, each with its place among the segments below the module's prefix.
    pub parameters: Vec<(Box<str>, usize)>,
    /// There is a caller: the route is not public.
    pub caller: bool,
    /// The body is read: `body`.
    pub body: bool,
    /// It filters rows of an answer: `row`.
    pub row: bool,
}

/// What a condition is evaluated against; everything is borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The caller, if there is a token.
    pub caller: Option<CallerFacts<'f>>,
    /// The request.
    pub call: &'f Call,
    /// How many segments of the path are the module's prefix.
    pub prefix: usize,
    /// The body, if it has been read and is JSON.
    pub body: Option<&'f serde_json::Value>,
    /// A row of the answer.
    pub row: Option<&'f serde_json::Value>,
    /// The time.
    pub now: jiff::Timestamp,
}

/// The caller, as conditions see it.
#[derive(Clone, Copy, Debug)]
pub struct CallerFacts<'f> {
    /// The user.
    pub user: &'f str,
    /// The known roles that the token names.
    pub roles: &'f [Arc<str>],
    /// The policy's concrete scopes.
    pub scopes: &'f [Arc<str>],
    /// Which of them the caller has.
    pub held: &'f super::bits::Bits,
    /// The jurisdictions.
    pub jurisdictions: &'f [String],
    /// The token's claims.
    pub claims: &'f serde_json::Map<String, serde_json::Value>,
}

/// A condition that can be evaluated.
#[derive(Clone, Debug)]
pub struct Condition {
    source: Arc<str>,
    root: Arc<Node>,
    mentions: Arc<[Mention]>,
    reads_body: bool,
    reads_row: bool,
}

impl Condition {
    /// Makes a condition of an author's text.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn compile(source: &str, names: &Names) -> Result<Self, Vec<ConditionFault>> {
        let parsed = syntax::parse(source).map_err(|fault| vec![fault])?;
        let (root, mentions) = check::check(&parsed, names)?;
        Ok(Self {
            source: source.into(),
            reads_body: root.any(&|node| matches!(node.what, node::What::Body)),
            reads_row: root.any(&|node| matches!(node.what, node::What::Row)),
            root: Arc::new(root),
            mentions: mentions.into(),
        })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// The first error that was met, which denies as `false` does.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, EvaluationFault> {
        self.root.holds(facts)
    }

    /// Why it does not hold: which parts are false, or the error, each with the values of its sides. Empty if it holds.
    #[must_use]
    pub fn why_not(&self, facts: &Facts<'_>) -> Vec<String> {
        trace::why_not(&self.root, &self.source, facts)
    }

    /// An error in words, with the part of the text where it was met.
    #[must_use]
    pub fn describe(&self, fault: &EvaluationFault) -> String {
        format!(
            "`{}`: {}",
            self.source.get(fault.at.start..fault.at.end).unwrap_or_default(),
            fault.what
        )
    }

    /// The author's text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it asks for `body`.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Whether it says the same of every request, and what.
    #[must_use]
    pub fn settled(&self) -> Option<bool> {
        self.root.settled()
    }

    /// Whether it asks for `row`.
    #[must_use]
    pub const fn reads_row(&self) -> bool {
        self.reads_row
    }

    /// The roles and scopes that it names, so that a misspelt one can be found.
    #[must_use]
    pub fn mentions(&self) -> &[Mention] {
        &self.mentions
    }
}

impl Extent {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the first byte of either to the last.
    fn to(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

impl ConditionFault {
    fn new(at: Extent, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl Facts<'_> {
    /// The source address, an IPv4 address written as IPv6 made plain.
    fn source(&self) -> IpAddr {
        self.call.source.to_canonical()
    }
}
