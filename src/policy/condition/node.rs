//! A condition as it is evaluated: names are slots, constants are folded, every part has its type and its place.

use http::HeaderName;
use ipnet::IpNet;
use regex::Regex;
use std::fmt;

use super::Extent;
use super::value::Value;

/// What is known of a part at load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    Text,
    Timestamp,
    Duration,
    Ip,
    List(Box<Type>),
    /// JSON: known when it is there.
    Dynamic,
}

/// A part of a condition.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Extent,
    pub(super) kind: Type,
    pub(super) what: What,
}

/// What a part does.
#[derive(Debug)]
pub(super) enum What {
    Constant(Value<'static>),
    User,
    Roles,
    Scopes,
    Jurisdictions,
    Claims,
    Certificate(CertificateName),
    Method,
    Path,
    Host,
    /// A segment below the module's prefix.
    Segment(usize),
    Query(Box<str>),
    Header(HeaderName),
    Body,
    Row,
    Source,
    Now,
    /// The element that a comprehension looks at.
    Item,
    Member(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    HasQuery(Box<str>),
    HasHeader(HeaderName),
    HasCertificate(CertificateName),
    HasMember(Box<Node>, Box<str>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Choose(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    Arithmetic(Operation, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    List(Vec<Node>),
    Size(Box<Node>),
    StartsWith(Box<[Node; 2]>),
    EndsWith(Box<[Node; 2]>),
    Contains(Box<[Node; 2]>),
    Matches(Box<Node>, Regex),
    LowerAscii(Box<Node>),
    UpperAscii(Box<Node>),
    InCidr(Box<Node>, IpNet),
    ToText(Box<Node>),
    ToInt(Box<Node>),
    ToTimestamp(Box<Node>),
    ToDuration(Box<Node>),
    /// A comprehension: the list and what is asked of each element.
    Each(Quantifier, Box<[Node; 2]>),
}

/// What a client's certificate is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateName {
    SpiffeId,
    CommonName,
    Sha256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}

impl Node {
    /// The parts of this one.
    pub(super) fn parts(&self) -> Vec<&Node> {
        use What::*;
        match &self.what {
            Constant(_) | User | Roles | Scopes | Jurisdictions | Claims | Certificate(_) | Method | Path | Host
            | Segment(_) | Query(_) | Header(_) | Body | Row | Source | Now | Item | HasQuery(_) | HasHeader(_)
            | HasCertificate(_) => Vec::new(),
            Member(one, _)
            | HasMember(one, _)
            | Not(one)
            | Negate(one)
            | Size(one)
            | Matches(one, _)
            | LowerAscii(one)
            | UpperAscii(one)
            | InCidr(one, _)
            | ToText(one)
            | ToInt(one)
            | ToTimestamp(one)
            | ToDuration(one) => vec![one],
            Index(one, other) => vec![one, other],
            And(many) | Or(many) | List(many) => many.iter().collect(),
            Choose(three) => three.iter().collect(),
            Compare(_, two)
            | Arithmetic(_, two)
            | In(two)
            | StartsWith(two)
            | EndsWith(two)
            | Contains(two)
            | Each(_, two) => two.iter().collect(),
        }
    }

    /// Whether this part or one within passes a test.
    pub(super) fn any(&self, test: &dyn Fn(&Node) -> bool) -> bool {
        test(self) || self.parts().into_iter().any(|part| part.any(test))
    }

    /// What it is for every request that makes no error, if that can be told: one part may settle the whole.
    pub(super) fn settled(&self) -> Option<bool> {
        let settles = |parts: &[Node], by: bool| {
            let parts = || parts.iter().map(Self::settled);
            if parts().any(|part| part == Some(by)) {
                return Some(by);
            }
            parts().all(|part| part == Some(!by)).then_some(!by)
        };
        match &self.what {
            What::Constant(Value::Bool(value)) => Some(*value),
            What::Not(part) => part.settled().map(|value| !value),
            What::And(parts) => settles(parts, false),
            What::Or(parts) => settles(parts, true),
            _ => None,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self.what, What::Constant(_))
    }

    /// Whether it is the same for every request and not yet a constant.
    pub(super) fn can_fold(&self) -> bool {
        let parts = self.parts();
        let leaf = parts.is_empty() && !matches!(self.what, What::List(_));
        !leaf && parts.iter().all(|part| part.is_constant())
    }
}

/// In an author's words.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("a bool"),
            Self::Int => f.write_str("a whole number"),
            Self::Double => f.write_str("a number with a point"),
            Self::Text => f.write_str("a text"),
            Self::Timestamp => f.write_str("a timestamp"),
            Self::Duration => f.write_str("a duration"),
            Self::Ip => f.write_str("an address"),
            Self::List(_) => f.write_str("a list"),
            Self::Dynamic => f.write_str("of no known type"),
        }
    }
}
