//! From the syntax tree to nodes: resolves names, gives types, folds constants, and notes everything that is wrong.
//!
//! A part that is wrong is `None`: its problem has been noted, and nothing more is said about what surrounds it.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::evaluate::Scene;
use super::node::{Comparison, Node, Operation, Type, What};
use super::syntax::Parsed;
use super::value::Value;
use super::{ConditionFault, Extent, Names};

/// Most memory of one compiled regular expression, in bytes.
pub const MAX_REGEX: usize = 256 * 1024;

/// What a condition names of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Where it stands.
    pub at: Extent,
    /// The name.
    pub name: Box<str>,
    /// What it is a name of.
    pub of: Mentioned,
}

/// What a name is a name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mentioned {
    /// `"x" in caller.roles`.
    Role,
    /// `"x" in caller.scopes`.
    Scope,
}

/// Makes nodes of one condition.
pub(super) struct Checker<'c> {
    pub(super) parsed: &'c Parsed<'c>,
    pub(super) names: &'c Names,
    faults: Vec<ConditionFault>,
    mentions: Vec<Mention>,
    /// The variable of the comprehension that is being read, and its type.
    pub(super) item: Option<(String, Type)>,
}

/// Checks a whole condition.
pub(super) fn check(parsed: &Parsed<'_>, names: &Names) -> Result<(Node, Vec<Mention>), Vec<ConditionFault>> {
    let mut checker = Checker {
        parsed,
        names,
        faults: Vec::new(),
        mentions: Vec::new(),
        item: None,
    };
    let root = checker.bool(&parsed.tree);
    let Checker {
        mut faults, mentions, ..
    } = checker;
    faults.sort_by_key(|fault| (fault.at.start, fault.at.end));
    faults.dedup();
    match root {
        Some(root) if faults.is_empty() => Ok((root, mentions)),
        None if faults.is_empty() => Err(vec![ConditionFault::new(
            parsed.extent(&parsed.tree),
            "the condition cannot be read",
        )]),
        _ => Err(faults),
    }
}

impl Checker<'_> {
    /// Notes a fault at an extent; the part is lost.
    pub(super) fn fault<T>(&mut self, at: Extent, message: impl Into<String>) -> Option<T> {
        self.faults.push(ConditionFault::new(at, message));
        None
    }

    /// Notes a fault with a hint.
    pub(super) fn hinted<T>(&mut self, at: Extent, message: impl Into<String>, hint: Option<String>) -> Option<T> {
        self.faults.push(ConditionFault {
            hint,
            ..ConditionFault::new(at, message)
        });
        None
    }

    /// A part's own text.
    pub(super) fn text_of(&self, at: Extent) -> String {
        format!("`{}`", self.parsed.tokens.text(at))
    }

    /// A part that has to be a bool.
    pub(super) fn bool(&mut self, part: &IdedExpr) -> Option<Node> {
        let node = self.node(part)?;
        match node.kind {
            Type::Bool => Some(node),
            Type::Dynamic => {
                let text = self.text_of(node.at);
                let hint = format!("compare it, as in `{} == true`", text.trim_matches('`'));
                self.hinted(
                    node.at,
                    format!("{text} is of no known type, and a bool is needed"),
                    Some(hint),
                )
            }
            _ => self.needs(&node, "a bool"),
        }
    }

    /// A part that is a text, or might be one.
    pub(super) fn text(&mut self, part: &IdedExpr) -> Option<Node> {
        let node = self.node(part)?;
        match node.kind {
            Type::Text | Type::Dynamic => Some(node),
            _ => self.needs(&node, "a text"),
        }
    }

    pub(super) fn needs<T>(&mut self, node: &Node, needed: &str) -> Option<T> {
        let text = self.text_of(node.at);
        self.fault(node.at, format!("{text} is {}, and {needed} is needed", node.kind))
    }

    /// A part of any type.
    pub(super) fn node(&mut self, part: &IdedExpr) -> Option<Node> {
        let at = self.parsed.extent(part);
        let node = match &part.expr {
            Expr::Literal(literal) => self.literal(at, literal),
            Expr::Ident(name) => self.name(at, name),
            Expr::Select(select) => self.select(part, select),
            Expr::List(list) => self.list(at, &list.elements),
            Expr::Call(call) => {
                let sides = call.args.as_slice();
                match (call.func_name.as_str(), call.target.as_deref(), sides) {
                    (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [_, _]) => self.logic(at, part),
                    (operators::LOGICAL_NOT, None, [one]) => {
                        let one = self.bool(one)?;
                        Some(Node::new(at, Type::Bool, What::Not(Box::new(one))))
                    }
                    (operators::NEGATE, None, [one]) => self.negate(at, one),
                    (operators::CONDITIONAL, None, [condition, yes, no]) => self.choose(at, condition, yes, no),
                    (operators::INDEX, None, [whole, index]) => self.index(at, whole, index),
                    (operators::IN, None, [one, list]) => self.within(at, one, list),
                    (name, None, [one, other]) if comparison(name).is_some() => {
                        comparison(name).and_then(|comparison| self.compare(at, comparison, one, other))
                    }
                    (name, None, [one, other]) if operation(name).is_some() => {
                        operation(name).and_then(|operation| self.arithmetic(at, operation, one, other))
                    }
                    _ => self.call(part, call),
                }
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => {
                self.fault(at, "this is not supported in conditions")
            }
        }?;
        self.fold(node)
    }

    fn literal(&mut self, at: Extent, literal: &LiteralValue) -> Option<Node> {
        let (kind, value) = match literal {
            LiteralValue::Boolean(flag) => (Type::Bool, Value::Bool(*flag.inner())),
            LiteralValue::Int(number) => (Type::Int, Value::Int(*number.inner())),
            LiteralValue::Double(number) => (Type::Double, Value::Double(*number.inner())),
            LiteralValue::String(text) => (Type::Text, Value::Text(text.inner().to_owned().into())),
            LiteralValue::Null => {
                let hint = Some("ask whether a member is there with has(…)".to_owned());
                return self.hinted(at, "`null` is not supported", hint);
            }
            LiteralValue::Bytes(_) | LiteralValue::UInt(_) => return self.fault(at, "this is not supported"),
        };
        Some(Node::new(at, kind, What::Constant(value)))
    }

    fn list(&mut self, at: Extent, elements: &[IdedExpr]) -> Option<Node> {
        let nodes: Vec<Option<Node>> = elements.iter().map(|element| self.node(element)).collect();
        let nodes: Vec<Node> = nodes.into_iter().collect::<Option<_>>()?;
        let kind = nodes.first().map_or(Type::Dynamic, |first| first.kind.clone());
        if let Some(other) = nodes.iter().find(|node| node.kind != kind) {
            let message = format!(
                "a list holds values of one type: this is {}, its first is {kind}",
                other.kind
            );
            return self.fault(other.at, message);
        }
        if matches!(kind, Type::List(_)) {
            return self.fault(at, "lists of lists are not supported");
        }
        Some(Node::new(at, Type::List(Box::new(kind)), What::List(nodes)))
    }

    /// `a && b && c`, which the parser makes a tree of pairs.
    fn logic(&mut self, at: Extent, part: &IdedExpr) -> Option<Node> {
        let Expr::Call(call) = &part.expr else { return None };
        let mut operands = Vec::new();
        flatten(part, &call.func_name, &mut operands);
        let nodes: Vec<Option<Node>> = operands.into_iter().map(|operand| self.bool(operand)).collect();
        let nodes: Vec<Node> = nodes.into_iter().collect::<Option<_>>()?;
        let what = if call.func_name == operators::LOGICAL_AND {
            What::And(nodes)
        } else {
            What::Or(nodes)
        };
        Some(Node::new(at, Type::Bool, what))
    }

    fn negate(&mut self, at: Extent, one: &IdedExpr) -> Option<Node> {
        let one = self.node(one)?;
        match one.kind {
            Type::Int | Type::Double | Type::Duration => {
                Some(Node::new(at, one.kind.clone(), What::Negate(Box::new(one))))
            }
            _ => self.needs(&one, "a number"),
        }
    }

    fn choose(&mut self, at: Extent, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Option<Node> {
        let (condition, yes, no) = (self.bool(condition), self.node(yes), self.node(no));
        let (condition, yes, no) = (condition?, yes?, no?);
        if yes.kind != no.kind {
            let message = format!(
                "both sides of `:` have one type: this is {}, the other is {}",
                no.kind, yes.kind
            );
            return self.fault(no.at, message);
        }
        let kind = yes.kind.clone();
        Some(Node::new(at, kind, What::Choose(Box::new([condition, yes, no]))))
    }

    fn compare(&mut self, at: Extent, comparison: Comparison, one: &IdedExpr, other: &IdedExpr) -> Option<Node> {
        let (one, other) = (self.node(one), self.node(other));
        let (one, other) = (one?, other?);
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        for side in [&one, &other] {
            if matches!(side.kind, Type::List(_)) {
                let text = self.text_of(side.at);
                let hint = Some("ask for elements with `in`, `exists` or `all`".to_owned());
                return self.hinted(side.at, format!("{text} is a list, and lists are not compared"), hint);
            }
            if ordered && matches!(side.kind, Type::Bool | Type::Ip) {
                let text = self.text_of(side.at);
                return self.fault(side.at, format!("{text} is {}, which has no order", side.kind));
            }
        }
        if !alike(&one.kind, &other.kind) {
            return self.mismatch(at, &one, &other, "are not compared");
        }
        Some(Node::new(
            at,
            Type::Bool,
            What::Compare(comparison, Box::new([one, other])),
        ))
    }

    fn mismatch<T>(&mut self, at: Extent, one: &Node, other: &Node, how: &str) -> Option<T> {
        let (a, b) = (self.text_of(one.at), self.text_of(other.at));
        let hint = match (&one.kind, &other.kind) {
            (Type::Text, Type::Int) => Some(format!("int({}) makes a number of a text", a.trim_matches('`'))),
            (Type::Int, Type::Text) => Some(format!("int({}) makes a number of a text", b.trim_matches('`'))),
            (Type::Text, Type::Timestamp) | (Type::Timestamp, Type::Text) => {
                Some("timestamp(\"2026-01-31T00:00:00Z\") makes a timestamp of a text".to_owned())
            }
            (Type::Duration, _) | (_, Type::Duration) => Some("a duration is written duration(\"90m\")".to_owned()),
            (Type::Ip, _) | (_, Type::Ip) => Some("as in `source.ip.inCidr(\"10.0.0.0/8\")`".to_owned()),
            _ => None,
        };
        let message = format!("{a} is {} and {b} is {}: they {how}", one.kind, other.kind);
        self.hinted(at, message, hint)
    }

    fn arithmetic(&mut self, at: Extent, operation: Operation, one: &IdedExpr, other: &IdedExpr) -> Option<Node> {
        use Operation::{Add, Divide, Multiply, Remainder, Subtract};
        use Type::{Double, Duration, Dynamic, Int, Text, Timestamp};
        let (one, other) = (self.node(one), self.node(other));
        let (one, other) = (one?, other?);
        let kind = match (operation, &one.kind, &other.kind) {
            (_, Int, Int | Dynamic) | (_, Dynamic, Int) => Int,
            (Add | Subtract | Multiply | Divide, Double, Double | Dynamic)
            | (Add | Subtract | Multiply | Divide, Dynamic, Double) => Double,
            (Add, Text, Text | Dynamic) | (Add, Dynamic, Text) => Text,
            (Add, Timestamp, Duration) | (Add, Duration, Timestamp) | (Subtract, Timestamp, Duration) => Timestamp,
            (Subtract, Timestamp, Timestamp) | (Add | Subtract, Duration, Duration) => Duration,
            (_, Dynamic, Dynamic) => {
                let hint = Some("say what they are, with int(…) or string(…)".to_owned());
                return self.hinted(at, "neither side is of a known type", hint);
            }
            _ => {
                let how = match operation {
                    Add => "are not added",
                    Subtract => "are not subtracted",
                    Multiply => "are not multiplied",
                    Divide | Remainder => "are not divided",
                };
                return self.mismatch(at, &one, &other, how);
            }
        };
        Some(Node::new(at, kind, What::Arithmetic(operation, Box::new([one, other]))))
    }

    fn within(&mut self, at: Extent, one: &IdedExpr, list: &IdedExpr) -> Option<Node> {
        let (one, list) = (self.node(one), self.node(list));
        let (one, list) = (one?, list?);
        match &list.kind {
            Type::Dynamic => {}
            Type::List(element) if alike(element, &one.kind) => {}
            Type::List(element) => {
                let text = self.text_of(one.at);
                let message = format!("{text} is {}, and each value of the list is {element}", one.kind);
                return self.fault(at, message);
            }
            Type::Text => {
                let text = self.text_of(list.at);
                let hint = Some(format!("{}.contains(…) looks into a text", text.trim_matches('`')));
                return self.hinted(list.at, format!("{text} is a text, and `in` needs a list"), hint);
            }
            _ => return self.needs(&list, "a list"),
        }
        let of = match list.what {
            What::Roles => Some(Mentioned::Role),
            What::Scopes => Some(Mentioned::Scope),
            _ => None,
        };
        if let (Some(of), What::Constant(Value::Text(name))) = (of, &one.what) {
            self.mentions.push(Mention {
                at: one.at,
                name: (&**name).into(),
                of,
            });
        }
        Some(Node::new(at, Type::Bool, What::In(Box::new([one, list]))))
    }

    fn index(&mut self, at: Extent, whole: &IdedExpr, index: &IdedExpr) -> Option<Node> {
        if let Expr::Ident(name) = &whole.expr
            && let Some(found) = self.parameter(at, name, index)
        {
            return found;
        }
        let (whole, index) = (self.node(whole), self.node(index));
        let (whole, index) = (whole?, index?);
        let kind = match (&whole.kind, &index.kind) {
            (Type::List(element), Type::Int | Type::Dynamic) => (**element).clone(),
            (Type::Dynamic, Type::Int | Type::Text) => Type::Dynamic,
            (Type::List(_), _) => return self.needs(&index, "a whole number"),
            (Type::Dynamic, _) => return self.needs(&index, "a text or a whole number"),
            _ => return self.needs(&whole, "a list or an object"),
        };
        Some(Node::new(at, kind, What::Index(Box::new(whole), Box::new(index))))
    }

    /// Evaluates what is the same for every request.
    fn fold(&mut self, node: Node) -> Option<Node> {
        if !node.can_fold() {
            return Some(node);
        }
        let nothing = Scene {
            facts: None,
            item: None,
        };
        match node.value(nothing).map(Value::keep) {
            Ok(Some(value)) => Some(Node::new(node.at, node.kind.clone(), What::Constant(value))),
            Ok(None) => Some(node),
            Err(fault) => self.fault(fault.at, fault.what.to_string()),
        }
    }
}

fn flatten<'e>(part: &'e IdedExpr, operator: &str, operands: &mut Vec<&'e IdedExpr>) {
    match &part.expr {
        Expr::Call(call) if call.func_name == operator && call.target.is_none() => {
            call.args.iter().for_each(|side| flatten(side, operator, operands));
        }
        _ => operands.push(part),
    }
}

/// Whether values of two types may be compared: numbers are one family, and a dynamic value may turn out to be anything.
fn alike(one: &Type, other: &Type) -> bool {
    use Type::{Double, Duration, Dynamic, Int, Ip, List, Timestamp};
    match (one, other) {
        // JSON has neither times nor addresses: text has to be converted first.
        (Dynamic, Timestamp | Duration | Ip | List(_)) | (Timestamp | Duration | Ip | List(_), Dynamic) => false,
        (Dynamic, _) | (_, Dynamic) => true,
        (Int | Double, Int | Double) => true,
        _ => one == other,
    }
}

fn comparison(function: &str) -> Option<Comparison> {
    Some(match function {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        operators::ADD => Operation::Add,
        operators::SUBSTRACT => Operation::Subtract,
        operators::MULTIPLY => Operation::Multiply,
        operators::DIVIDE => Operation::Divide,
        operators::MODULO => Operation::Remainder,
        _ => return None,
    })
}

impl Node {
    pub(super) fn new(at: Extent, kind: Type, what: What) -> Self {
        Self { at, kind, what }
    }
}
