//! The words of a condition, before any grammar: what is refused here never reaches the parser.
//!
//! The parser recurses with the nesting of what it reads and was not written for hostile text, so that length, number of
//! tokens and nesting are bounded first, and nothing passes that this language does not have (maps, bytes, unsigned
//! numbers, comments, optional fields).

use super::{ConditionFault, Extent};

/// Longest condition, in bytes.
pub const MAX_SOURCE: usize = 4096;

/// Most words and signs in a condition.
pub const MAX_TOKENS: usize = 512;

/// Deepest nesting of `(`, `[`.
pub const MAX_NESTING: usize = 16;

/// Most `?` in a condition: the right side of each nests in it.
pub const MAX_CHOICES: usize = 16;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    Sign,
}

/// A token and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Extent,
    /// Of a bracket: the index of the other one.
    pub(super) pair: Option<usize>,
}

/// A condition's text in tokens.
#[derive(Debug)]
pub(super) struct Tokens<'s> {
    pub(super) source: &'s str,
    list: Vec<Token>,
}

/// Signs of two bytes, before those of one.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]", ".", ",",
    "{", "}",
];

impl<'s> Tokens<'s> {
    /// Reads all tokens.
    pub(super) fn read(source: &'s str) -> Result<Self, ConditionFault> {
        if source.len() > MAX_SOURCE {
            return Err(ConditionFault::new(
                Extent::default(),
                format!("the condition is longer than {MAX_SOURCE} bytes"),
            ));
        }
        let mut tokens = Self {
            source,
            list: Vec::new(),
        };
        let mut at = 0;
        while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            if blank > 0 {
                at += blank;
                continue;
            }
            if tokens.list.len() == MAX_TOKENS {
                return Err(ConditionFault::new(
                    Extent::new(at, at + 1),
                    format!("the condition has more than {MAX_TOKENS} words and signs"),
                ));
            }
            let (kind, length) = word(rest, at)?;
            tokens.list.push(Token {
                kind,
                at: Extent::new(at, at + length),
                pair: None,
            });
            at += length;
        }
        tokens.pair()?;
        tokens.neighbours()?;
        Ok(tokens)
    }

    /// Finds the other bracket of each.
    fn pair(&mut self) -> Result<(), ConditionFault> {
        let mut open: Vec<(usize, &str)> = Vec::new();
        let mut choices = 0;
        for index in 0..self.list.len() {
            let Some(token) = self.list.get(index).copied() else {
                continue;
            };
            let text = self.text(token.at);
            let fault = |message: String| Err(ConditionFault::new(token.at, message));
            match text {
                "(" | "[" => {
                    if open.len() == MAX_NESTING {
                        return fault(format!("brackets are nested deeper than {MAX_NESTING}"));
                    }
                    open.push((index, if text == "(" { ")" } else { "]" }));
                }
                ")" | "]" => match open.pop() {
                    Some((other, wanted)) if wanted == text => {
                        for (a, b) in [(other, index), (index, other)] {
                            if let Some(token) = self.list.get_mut(a) {
                                token.pair = Some(b);
                            }
                        }
                    }
                    _ => return fault(format!("`{text}` closes nothing")),
                },
                "?" => {
                    choices += 1;
                    if choices > MAX_CHOICES {
                        return fault(format!("the condition has more than {MAX_CHOICES} `?`"));
                    }
                }
                _ => {}
            }
        }
        match open
            .pop()
            .and_then(|(index, wanted)| Some((self.list.get(index)?, wanted)))
        {
            Some((token, wanted)) => Err(ConditionFault::new(
                token.at,
                format!("`{}` is not closed", self.text(token.at)),
            )
            .hint(format!("a `{wanted}` is missing"))),
            None => Ok(()),
        }
    }

    /// What the grammar would take, and nobody means.
    fn neighbours(&self) -> Result<(), ConditionFault> {
        if self.list.is_empty() {
            return Err(ConditionFault::new(Extent::default(), "the condition is empty"));
        }
        for (one, next) in self.list.iter().zip(self.list.iter().skip(1)) {
            let (first, second) = (self.text(one.at), self.text(next.at));
            match (first, second) {
                ("!", "!") | ("-", "-") => {
                    return Err(ConditionFault::new(next.at, format!("`{first}` stands here twice")));
                }
                ("." | "[", "?") => {
                    return Err(ConditionFault::new(next.at, "optional fields are not supported").hint("use has(…)"));
                }
                _ if one.kind == Kind::Number && next.kind == Kind::Name && one.at.end == next.at.start => {
                    return Err(
                        ConditionFault::new(one.at.to(next.at), format!("`{first}{second}` is no number"))
                            .hint("numbers are whole (`42`) or have a point (`0.5`)"),
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The text of an extent.
    pub(super) fn text(&self, at: Extent) -> &'s str {
        self.source.get(at.start..at.end).unwrap_or_default()
    }

    /// The index of the token that starts at a byte.
    pub(super) fn starting(&self, start: usize) -> Option<usize> {
        self.list.binary_search_by_key(&start, |token| token.at.start).ok()
    }

    /// A token by index.
    pub(super) fn get(&self, index: usize) -> Option<Token> {
        self.list.get(index).copied()
    }

    /// The extent of the last token, where a condition that ends too early does.
    pub(super) fn last(&self) -> Extent {
        self.list.last().map(|token| token.at).unwrap_or_default()
    }

    /// An extent made as long as it takes for its brackets to have their others.
    pub(super) fn balanced(&self, mut at: Extent) -> Extent {
        loop {
            let before = at;
            for token in &self.list {
                if token.at.start >= at.start
                    && token.at.end <= at.end
                    && let Some(other) = token.pair.and_then(|pair| self.list.get(pair))
                {
                    at = at.to(other.at);
                }
            }
            if at == before {
                return at;
            }
        }
    }
}

/// What stands at the start of `rest`, which stands at byte `at`.
fn word(rest: &str, at: usize) -> Result<(Kind, usize), ConditionFault> {
    let run = |test: fn(char) -> bool| rest.find(|c: char| !test(c)).unwrap_or(rest.len());
    let first = rest.chars().next().unwrap_or_default();
    if let Some(quoted) = rest
        .strip_prefix(['r', 'R'])
        .filter(|rest| rest.starts_with(['"', '\'']))
    {
        return text(quoted, at, true).map(|length| (Kind::Text, length + 1));
    }
    if matches!(first, '"' | '\'') {
        return text(rest, at, false).map(|length| (Kind::Text, length));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = run(|c| c.is_ascii_alphanumeric() || c == '_');
        if rest.get(length..).is_some_and(|rest| rest.starts_with(['"', '\''])) {
            return Err(ConditionFault::new(
                Extent::new(at, at + length),
                "bytes are not supported",
            ));
        }
        return Ok((Kind::Name, length));
    }
    if first.is_ascii_digit() {
        return Ok((Kind::Number, number(rest)));
    }
    let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
        let shown: String = first.escape_debug().collect();
        let fault = ConditionFault::new(
            Extent::new(at, at + first.len_utf8()),
            format!("`{shown}` means nothing here"),
        );
        return Err(match first {
            '=' => fault.hint("equality is `==`"),
            '&' => fault.hint("both is `&&`"),
            '|' => fault.hint("either is `||`"),
            '“' | '”' | '‘' | '’' => fault.hint("texts stand in plain quotes"),
            _ => fault,
        });
    };
    let fault = |message: &str| ConditionFault::new(Extent::new(at, at + sign.len()), message);
    match *sign {
        "/" if rest.starts_with("//") => {
            Err(fault("comments are not supported").hint("comment in YAML, with `#`, above the condition"))
        }
        "{" | "}" => Err(fault("maps and messages are not supported")),
        sign => Ok((Kind::Sign, sign.len())),
    }
}

/// How long the number is: digits, a fraction, an exponent.
fn number(rest: &str) -> usize {
    let digits = |from: usize| {
        rest.get(from..)
            .map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count())
    };
    let mut length = digits(0);
    if rest.get(length..).is_some_and(|rest| rest.starts_with('.')) && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if rest.get(length..).is_some_and(|rest| rest.starts_with(['e', 'E'])) {
        let sign = usize::from(rest.get(length + 1..).is_some_and(|rest| rest.starts_with(['+', '-'])));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

/// How long the quoted text is, quotes included.
fn text(rest: &str, at: usize, raw: bool) -> Result<usize, ConditionFault> {
    let mut chars = rest.char_indices();
    let quote = chars.next().map(|(_, quote)| quote).unwrap_or_default();
    if rest.chars().take(3).filter(|c| *c == quote).count() == 3 {
        return Err(ConditionFault::new(
            Extent::new(at, at + 3),
            "texts in triple quotes are not supported",
        ));
    }
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' if !raw => {
                chars.next();
            }
            '\n' | '\r' => break,
            c if c == quote => return Ok(index + c.len_utf8()),
            _ => {}
        }
    }
    Err(ConditionFault::new(
        Extent::new(at, at + 1),
        "the text that starts here is not closed",
    ))
}
