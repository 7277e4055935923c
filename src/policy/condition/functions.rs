//! The functions and methods of conditions; everything else is not supported, and said so at its place.

use cel::common::ast::{CallExpr, Expr, IdedExpr};
use ipnet::IpNet;
use regex::RegexBuilder;

use super::Extent;
use super::check::{Checker, MAX_REGEX};
use super::names::{ROOTS, nearest};
use super::node::{Node, Quantifier, Type, What};
use super::value::Value;

/// What is called `f(x)`.
const FUNCTIONS: [&str; 6] = ["has", "size", "string", "int", "timestamp", "duration"];

/// What is called `x.f(…)`.
const METHODS: [&str; 11] = [
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "lowerAscii",
    "upperAscii",
    "inCidr",
    "exists",
    "all",
    "exists_one",
];

impl Checker<'_> {
    /// A call by name.
    pub(super) fn call(&mut self, part: &IdedExpr, call: &CallExpr) -> Option<Node> {
        let at = self.parsed.extent(part);
        let own = self.parsed.name(part);
        let name = call.func_name.as_str();
        match (call.target.as_deref(), call.args.as_slice()) {
            (None, [one]) if FUNCTIONS.contains(&name) => self.function(at, name, one),
            (None, _) if FUNCTIONS.contains(&name) => self.fault(own, format!("`{name}` takes one argument")),
            (None, _) => {
                let shown = if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    format!("unknown function `{name}`")
                } else {
                    "this is not supported in conditions".to_owned()
                };
                self.hinted(own, shown, nearest(name, &FUNCTIONS))
            }
            (Some(target), arguments) if METHODS.contains(&name) => self.method(at, own, name, target, arguments),
            (Some(_), _) => self.hinted(own, format!("unknown method `{name}`"), nearest(name, &METHODS)),
        }
    }

    fn function(&mut self, at: Extent, name: &str, one: &IdedExpr) -> Option<Node> {
        if name == "has" {
            return self.has(at, one);
        }
        let one = self.node(one)?;
        let fits = match name {
            "size" => return self.size(at, one),
            "string" => matches!(one.kind, Type::Text | Type::Int | Type::Bool | Type::Dynamic),
            "int" => matches!(one.kind, Type::Text | Type::Int | Type::Timestamp | Type::Dynamic),
            _ => matches!(one.kind, Type::Text | Type::Dynamic),
        };
        if !fits {
            let text = self.text_of(one.at);
            return self.fault(one.at, format!("{text} is {}, which `{name}` does not take", one.kind));
        }
        let one = Box::new(one);
        Some(match name {
            "string" => Node::new(at, Type::Text, What::ToText(one)),
            "int" => Node::new(at, Type::Int, What::ToInt(one)),
            "timestamp" => Node::new(at, Type::Timestamp, What::ToTimestamp(one)),
            _ => Node::new(at, Type::Duration, What::ToDuration(one)),
        })
    }

    fn size(&mut self, at: Extent, one: Node) -> Option<Node> {
        match one.kind {
            Type::Text | Type::List(_) | Type::Dynamic => Some(Node::new(at, Type::Int, What::Size(Box::new(one)))),
            _ => self.needs(&one, "a text or a list"),
        }
    }

    fn method(
        &mut self,
        at: Extent,
        own: Extent,
        name: &str,
        target: &IdedExpr,
        arguments: &[IdedExpr],
    ) -> Option<Node> {
        let quantifier = match name {
            "exists" => Some(Quantifier::Exists),
            "all" => Some(Quantifier::All),
            "exists_one" => Some(Quantifier::ExistsOne),
            _ => None,
        };
        match (name, arguments) {
            ("size", []) => {
                let one = self.node(target)?;
                self.size(at, one)
            }
            ("lowerAscii", []) => {
                let one = Box::new(self.text(target)?);
                Some(Node::new(at, Type::Text, What::LowerAscii(one)))
            }
            ("upperAscii", []) => {
                let one = Box::new(self.text(target)?);
                Some(Node::new(at, Type::Text, What::UpperAscii(one)))
            }
            ("startsWith" | "endsWith" | "contains", [other]) => {
                let (one, other) = (self.text(target), self.text(other));
                let sides = Box::new([one?, other?]);
                let what = match name {
                    "startsWith" => What::StartsWith(sides),
                    "endsWith" => What::EndsWith(sides),
                    _ => What::Contains(sides),
                };
                Some(Node::new(at, Type::Bool, what))
            }
            ("matches", [pattern]) => self.matches(at, target, pattern),
            ("inCidr", [range]) => self.in_cidr(at, target, range),
            (_, [variable, asked]) if quantifier.is_some() => {
                quantifier.and_then(|quantifier| self.each(at, quantifier, target, variable, asked))
            }
            _ => {
                let wanted = match name {
                    "size" | "lowerAscii" | "upperAscii" => "no argument",
                    "exists" | "all" | "exists_one" => "a name and a condition, as in `exists(x, x == \"a\")`",
                    _ => "one argument",
                };
                self.fault(own, format!("`{name}` takes {wanted}"))
            }
        }
    }

    fn matches(&mut self, at: Extent, target: &IdedExpr, pattern: &IdedExpr) -> Option<Node> {
        let (one, pattern) = (self.text(target), self.text(pattern));
        let (one, pattern) = (one?, pattern?);
        let What::Constant(Value::Text(text)) = &pattern.what else {
            return self.fault(pattern.at, "`matches` takes a pattern that is written here");
        };
        let compiled = RegexBuilder::new(text)
            .size_limit(MAX_REGEX)
            .dfa_size_limit(MAX_REGEX)
            .build();
        match compiled {
            Ok(regex) => Some(Node::new(at, Type::Bool, What::Matches(Box::new(one), regex))),
            Err(regex::Error::CompiledTooBig(_)) => self.fault(
                pattern.at,
                format!("the pattern needs more than {} KiB", MAX_REGEX / 1024),
            ),
            Err(error) => {
                // The last line says what is wrong, those before it show where.
                let text = error.to_string();
                let line = text.lines().last().unwrap_or_default();
                let line = line.strip_prefix("error: ").unwrap_or(line);
                self.fault(pattern.at, format!("the pattern cannot be read: {line}"))
            }
        }
    }

    fn in_cidr(&mut self, at: Extent, target: &IdedExpr, range: &IdedExpr) -> Option<Node> {
        let (one, range) = (self.node(target), self.node(range));
        let (one, range) = (one?, range?);
        if one.kind != Type::Ip {
            return self.needs(&one, "an address, such as `source.ip`,");
        }
        let hint = Some("such as \"10.0.0.0/8\"".to_owned());
        let What::Constant(Value::Text(text)) = &range.what else {
            return self.hinted(range.at, "`inCidr` takes a range that is written here", hint);
        };
        match text.parse::<IpNet>() {
            Ok(net) if net.addr() != net.network() => {
                let message = format!("the range has bits behind its prefix: `{}` is meant", net.trunc());
                self.fault(range.at, message)
            }
            Ok(net) => Some(Node::new(at, Type::Bool, What::InCidr(Box::new(one), net))),
            Err(_) => self.hinted(range.at, "this is no range of addresses", hint),
        }
    }

    fn each(
        &mut self,
        at: Extent,
        quantifier: Quantifier,
        target: &IdedExpr,
        variable: &IdedExpr,
        asked: &IdedExpr,
    ) -> Option<Node> {
        if self.item.is_some() {
            return self.fault(at, "a comprehension inside another is not supported");
        }
        let list = self.node(target)?;
        let element = match &list.kind {
            Type::List(element) => (**element).clone(),
            Type::Dynamic => Type::Dynamic,
            _ => return self.needs(&list, "a list"),
        };
        let place = self.parsed.extent(variable);
        let Expr::Ident(name) = &variable.expr else {
            return self.fault(place, "a name for the element is needed here");
        };
        if ROOTS.contains(&name.as_str()) {
            return self.fault(place, format!("`{name}` means something else already"));
        }
        self.item = Some((name.clone(), element));
        let asked = self.bool(asked);
        self.item = None;
        let asked = asked?;
        let of_the_client = |node: &Node| matches!(node.what, What::Body | What::Row);
        if list.any(&of_the_client) && asked.any(&of_the_client) {
            let hint = Some("compare the element with something that is not part of the body".to_owned());
            return self.hinted(asked.at, "for each element the whole body would be read again", hint);
        }
        Some(Node::new(
            at,
            Type::Bool,
            What::Each(quantifier, Box::new([list, asked])),
        ))
    }
}
