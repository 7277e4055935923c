//! From tokens to the syntax tree of the library that knows the grammar, with the extent of each part.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::ParseErrors;

use super::tokens::{Kind, Tokens};
use super::{ConditionFault, Extent};

/// A condition's syntax tree.
pub(super) struct Parsed<'s> {
    pub(super) tokens: Tokens<'s>,
    pub(super) tree: IdedExpr,
    places: SourceInfo,
}

/// Parses a text whose tokens are within bounds.
pub(super) fn parse(source: &str) -> Result<Parsed<'_>, ConditionFault> {
    let tokens = Tokens::read(source)?;
    // An environment without macros: `has` and `exists` stay the calls that the author wrote, at their places.
    let parser = cel::Env::default()
        .with_optional_support(false)
        .parser()
        .error_recovery_limit(1);
    match parser.parse_with_source_info(source) {
        Ok((tree, places)) => Ok(Parsed { tokens, tree, places }),
        Err(errors) => Err(first(&tokens, &errors)),
    }
}

/// The first error of the parser in our words: its own name the tokens that it would have liked, all thirty of them.
fn first(tokens: &Tokens<'_>, errors: &ParseErrors) -> ConditionFault {
    let Some(error) = errors.errors.first() else {
        return ConditionFault::new(tokens.last(), "the condition cannot be read");
    };
    let start = offset(tokens.source, error.pos);
    let Some(token) = tokens.starting(start).and_then(|index| tokens.get(index)) else {
        return ConditionFault::new(tokens.last(), "the condition ends too early");
    };
    let text = tokens.text(token.at);
    if error.msg.contains("reserved identifier") {
        return ConditionFault::new(token.at, format!("`{text}` is a reserved word"));
    }
    if token.kind == Kind::Number {
        return ConditionFault::new(token.at, format!("the number `{text}` does not fit"))
            .hint("whole numbers have 64 bits");
    }
    if error.msg.contains("invalid string literal") {
        return ConditionFault::new(token.at, "the text has an escape that means nothing")
            .hint(r#"a text without escapes is written r"…""#);
    }
    ConditionFault::new(token.at, format!("`{text}` was not expected here"))
}

/// The byte at a line and column, both from 1, columns in characters.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line.saturating_sub(1)).unwrap_or_default();
    let column = usize::try_from(column.saturating_sub(1)).unwrap_or_default();
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let within = source
        .get(before..)
        .and_then(|rest| rest.char_indices().nth(column))
        .map_or(source.len(), |(at, _)| at);
    before + within
}

impl Parsed<'_> {
    /// The token that the parser names for a part: an operator's sign, the bracket of a call, a literal, a name.
    fn token(&self, part: &IdedExpr) -> Option<usize> {
        let (start, _) = self.places.offset_for(part.id)?;
        self.tokens.starting(usize::try_from(start).ok()?)
    }

    /// The extent of the one token that says what a part is: the name of a call or of a field, else its sign.
    pub(super) fn name(&self, part: &IdedExpr) -> Extent {
        let Some(index) = self.token(part) else {
            return self.extent(part);
        };
        let beside = match &part.expr {
            Expr::Call(call) if is_name(&call.func_name) => index.checked_sub(1),
            Expr::Select(_) => index.checked_add(1),
            _ => Some(index),
        };
        beside
            .and_then(|index| self.tokens.get(index))
            .map(|token| token.at)
            .unwrap_or_default()
    }

    /// The extent of a part with everything in it.
    pub(super) fn extent(&self, part: &IdedExpr) -> Extent {
        let mut at = None;
        self.cover(part, &mut at);
        self.tokens.balanced(at.unwrap_or_default())
    }

    fn cover(&self, part: &IdedExpr, at: &mut Option<Extent>) {
        let mut add = |index: Option<usize>| {
            if let Some(token) = index.and_then(|index| self.tokens.get(index)) {
                *at = Some(at.map_or(token.at, |known| known.to(token.at)));
            }
        };
        let own = self.token(part);
        add(own);
        match &part.expr {
            Expr::Call(call) => {
                if is_name(&call.func_name) {
                    add(own.and_then(|index| index.checked_sub(1)));
                }
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.cover(part, at);
                }
            }
            Expr::Select(select) => {
                add(own.and_then(|index| index.checked_add(1)));
                self.cover(&select.operand, at);
            }
            Expr::List(list) => list.elements.iter().for_each(|part| self.cover(part, at)),
            // The sign of a negative number is a token before it.
            Expr::Literal(LiteralValue::Int(number)) if *number.inner() < 0 => {
                add(own.and_then(|index| index.checked_sub(1)));
            }
            Expr::Literal(LiteralValue::Double(number)) if number.inner().is_sign_negative() => {
                add(own.and_then(|index| index.checked_sub(1)));
            }
            _ => {}
        }
    }
}

/// Functions have names, operators have signs with `_` for their sides.
fn is_name(function: &str) -> bool {
    function.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.')
}
