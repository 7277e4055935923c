//! The variables of a condition: what each is, and whether this route knows it.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SelectExpr};
use http::{HeaderName, header};

use super::Extent;
use super::check::Checker;
use super::node::{CertificateName, Node, Type, What};
use super::value::Value;

/// What stands alone or before a point.
pub(super) const ROOTS: [&str; 9] = [
    "caller", "request", "path", "query", "headers", "body", "row", "source", "now",
];
const CALLER: [&str; 6] = ["user", "roles", "scopes", "jurisdictions", "claims", "certificate"];
const CERTIFICATE: [&str; 3] = ["spiffe_id", "common_name", "sha256"];
const REQUEST: [&str; 3] = ["method", "path", "host"];

impl Checker<'_> {
    /// A name that stands alone.
    pub(super) fn name(&mut self, at: Extent, name: &str) -> Option<Node> {
        if let Some((item, kind)) = &self.item
            && item == name
        {
            return Some(Node::new(at, kind.clone(), What::Item));
        }
        match name {
            "now" => Some(Node::new(at, Type::Timestamp, What::Now)),
            "body" if self.names.body => Some(Node::new(at, Type::Dynamic, What::Body)),
            "body" if self.names.row => self.fault(at, "a filter of rows does not read the request's body"),
            "body" => {
                let hint = Some("give the route `reads_body: true`".to_owned());
                self.hinted(at, "this route does not read its body", hint)
            }
            "row" if self.names.row => Some(Node::new(at, Type::Dynamic, What::Row)),
            "row" => self.fault(at, "only a filter of rows has `row`"),
            "caller" | "request" | "path" | "query" | "headers" | "source" => {
                let hint = match name {
                    "caller" => "such as `caller.user`",
                    "request" => "such as `request.method`",
                    "path" => "such as `path.account_id`",
                    "query" => "such as `query.account`",
                    "headers" => "such as `headers[\"x-batch\"]`",
                    _ => "it is `source.ip`",
                };
                self.hinted(at, format!("`{name}` is no value of its own"), Some(hint.to_owned()))
            }
            _ => {
                let hint = nearest(name, &ROOTS);
                self.hinted(at, format!("unknown name `{name}`"), hint)
            }
        }
    }

    /// `one.field`.
    pub(super) fn select(&mut self, part: &IdedExpr, select: &SelectExpr) -> Option<Node> {
        let at = self.parsed.extent(part);
        let field = select.field.as_str();
        let own = self.parsed.name(part);
        match &select.operand.expr {
            Expr::Ident(name) if name == "caller" => self.caller(at, own, field),
            Expr::Ident(name) if name == "request" => self.request(at, own, field),
            Expr::Ident(name) if name == "source" => {
                if field == "ip" {
                    return Some(Node::new(at, Type::Ip, What::Source));
                }
                self.hinted(own, format!("unknown name `source.{field}`"), nearest(field, &["ip"]))
            }
            Expr::Ident(name) if matches!(name.as_str(), "path" | "query" | "headers") => {
                self.request_value(at, own, name, field)
            }
            Expr::Select(outer)
                if outer.field == "certificate"
                    && matches!(&outer.operand.expr, Expr::Ident(name) if name == "caller") =>
            {
                self.certificate(at, own, field)
            }
            _ => {
                let whole = self.node(&select.operand)?;
                match whole.kind {
                    Type::Dynamic => {
                        let what = What::Member(Box::new(whole), field.into());
                        Some(Node::new(at, Type::Dynamic, what))
                    }
                    _ => {
                        let text = self.text_of(whole.at);
                        self.fault(own, format!("{text} is {} and has no members", whole.kind))
                    }
                }
            }
        }
    }

    fn caller(&mut self, at: Extent, own: Extent, field: &str) -> Option<Node> {
        let texts = || Type::List(Box::new(Type::Text));
        let (kind, what) = match field {
            "user" => (Type::Text, What::User),
            "roles" => (texts(), What::Roles),
            "scopes" => (texts(), What::Scopes),
            "jurisdictions" => (texts(), What::Jurisdictions),
            "claims" => (Type::Dynamic, What::Claims),
            "certificate" => {
                let hint = Some("such as `caller.certificate.spiffe_id`".to_owned());
                return self.hinted(at, "`caller.certificate` is no value of its own", hint);
            }
            _ => {
                let mut hint = nearest(field, &CALLER);
                if hint.as_ref().is_none_or(|hint| hint.starts_with("known")) {
                    hint = Some(format!("a claim of the token is `caller.claims.{field}`"));
                }
                return self.hinted(own, format!("unknown name `caller.{field}`"), hint);
            }
        };
        self.of_caller(Node::new(at, kind, what))
    }

    /// A part that there is only where there is a caller.
    fn of_caller(&mut self, node: Node) -> Option<Node> {
        if self.names.caller {
            return Some(node);
        }
        let hint = Some("a route that depends on its caller has a `scope` and no `public`".to_owned());
        self.hinted(node.at, "a public route has no caller", hint)
    }

    fn certificate(&mut self, at: Extent, own: Extent, field: &str) -> Option<Node> {
        let name = match field {
            "spiffe_id" => CertificateName::SpiffeId,
            "common_name" => CertificateName::CommonName,
            "sha256" => CertificateName::Sha256,
            _ => {
                let hint = nearest(field, &CERTIFICATE);
                return self.hinted(own, format!("unknown name `caller.certificate.{field}`"), hint);
            }
        };
        self.of_caller(Node::new(at, Type::Text, What::Certificate(name)))
    }

    fn request(&mut self, at: Extent, own: Extent, field: &str) -> Option<Node> {
        let what = match field {
            "method" => What::Method,
            "path" => What::Path,
            "host" => What::Host,
            _ => {
                let hint = nearest(field, &REQUEST);
                return self.hinted(own, format!("unknown name `request.{field}`"), hint);
            }
        };
        Some(Node::new(at, Type::Text, what))
    }

    /// `query["name"]`, `headers["name"]`, `path["name"]`; `None` if it is none of them.
    pub(super) fn parameter(&mut self, at: Extent, root: &str, index: &IdedExpr) -> Option<Option<Node>> {
        if !matches!(root, "path" | "query" | "headers") {
            return None;
        }
        let own = self.parsed.extent(index);
        Some(match &index.expr {
            Expr::Literal(LiteralValue::String(name)) => self.request_value(at, own, root, name.inner()),
            _ => self.fault(own, format!("`{root}[…]` takes a text that is written here")),
        })
    }

    /// A text of the request, by its name.
    fn request_value(&mut self, at: Extent, own: Extent, root: &str, name: &str) -> Option<Node> {
        let what = match root {
            "path" => {
                let known = self.names.parameters.iter().find(|(known, _)| **known == *name);
                if let Some((_, segment)) = known {
                    What::Segment(*segment)
                } else {
                    let known: Vec<&str> = self.names.parameters.iter().map(|(name, _)| &**name).collect();
                    let hint = nearest(name, &known);
                    return self.hinted(own, format!("the route's path has no `{{{name}}}`"), hint);
                }
            }
            "query" => What::Query(self.query(own, name)?),
            _ => What::Header(self.header(own, name)?),
        };
        Some(Node::new(at, Type::Text, what))
    }

    fn query(&mut self, own: Extent, name: &str) -> Option<Box<str>> {
        if name.is_empty() {
            return self.fault(own, "a query parameter has a name");
        }
        Some(name.into())
    }

    fn header(&mut self, own: Extent, name: &str) -> Option<HeaderName> {
        let Ok(name) = name.parse::<HeaderName>() else {
            return self.fault(own, format!("`{}` is no header name", name.escape_debug()));
        };
        if name == header::AUTHORIZATION || name == header::COOKIE {
            let hint = Some("what the token says is in `caller.claims`".to_owned());
            return self.hinted(
                own,
                format!("`{name}` is a credential, which conditions do not read"),
                hint,
            );
        }
        Some(name)
    }

    /// `has(…)`: whether a query parameter, a header, a name of a certificate or a member of JSON is there.
    pub(super) fn has(&mut self, at: Extent, asked: &IdedExpr) -> Option<Node> {
        let what = match self.node(asked)?.what {
            What::Query(name) => What::HasQuery(name),
            What::Header(name) => What::HasHeader(name),
            What::Certificate(name) => What::HasCertificate(name),
            What::Member(whole, name) => What::HasMember(whole, name),
            What::Index(whole, index) if whole.kind == Type::Dynamic => match index.what {
                What::Constant(Value::Text(name)) => What::HasMember(whole, name.into()),
                _ => return self.fault(index.at, "`has` takes a name that is written here"),
            },
            _ => {
                let own = self.parsed.extent(asked);
                let hint = Some("it is always there".to_owned());
                return self.hinted(
                    own,
                    "`has` asks for a query parameter, a header, a name of a certificate or a member of JSON",
                    hint,
                );
            }
        };
        Some(Node::new(at, Type::Bool, what))
    }
}

/// The known name that a misspelt one resembles, or all of them.
pub(super) fn nearest(text: &str, known: &[&str]) -> Option<String> {
    // The distance is quadratic in the lengths.
    const MAX_COMPARED: usize = 64;
    let folded = text.to_lowercase();
    let near = known
        .iter()
        .filter(|name| text.len().max(name.len()) <= MAX_COMPARED)
        .map(|name| (strsim::osa_distance(&folded, &name.to_lowercase()), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1.max(name.len().min(text.len()) / 3));
    match near {
        Some((_, name)) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None => {
            let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("known: {}", listed.join(", ")))
        }
    }
}
