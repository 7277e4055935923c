//! What is wrong with YAML itself, in an author's words: the parser's own texts speak of tokens and flow contexts.

use serde_yaml::granit_parser::ErrorKind;

use super::yaml::MAX_DEPTH;

/// The message for nesting past [`MAX_DEPTH`].
pub(super) fn too_deep() -> String {
    format!("lists and maps are nested deeper than {MAX_DEPTH} levels")
}

/// A message and, where there is a usual cause, a hint.
pub(super) fn explain(kind: &ErrorKind) -> (String, Option<&'static str>) {
    use ErrorKind as E;
    let (message, hint) = match kind {
        E::RecursionLimitExceeded => return (too_deep(), None),
        E::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` is closed by `{close}`"), None);
        }
        E::UnclosedFlowCollection { open } => return (format!("`{open}` is not closed"), None),
        E::UnexpectedCharacter { character } => {
            return (
                format!("`{}` cannot start a value", character.escape_default()),
                Some("put the text in quotes"),
            );
        }
        E::UnexpectedEofFlowSequence => ("the file ends inside a list: `]` is missing", None),
        E::UnexpectedEofFlowMapping | E::UnexpectedEofImplicitFlowMapping => {
            ("the file ends inside a map: `}` is missing", None)
        }
        E::UnexpectedEof | E::UnexpectedEofBlockSequence | E::UnexpectedEofBlockMapping => {
            ("the file ends in the middle of a value", None)
        }
        E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation | E::TabAtBlockScalarStart => {
            ("a tab indents this line", Some("indent with spaces"))
        }
        E::TabInPlainScalar => ("a tab stands inside a text", Some("put the text in quotes")),
        E::InvalidIndentation
        | E::InvalidBlockScalarIndent
        | E::InvalidQuotedScalarIndent
        | E::InvalidFlowScalarIndent
        | E::ExpectedBlockMappingKey
        | E::ExpectedBlockSequenceEntry
        | E::BlockSequenceEntryNotAllowed => (
            "this line does not fit the lines above it",
            Some("check how far it is indented"),
        ),
        E::MappingValueNotAllowed | E::MappingKeyNotAllowed | E::InvalidColonPlacement => (
            "a `:` stands where no key can be",
            Some("put a text that has `: ` in it in quotes, or check how far the line is indented"),
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => ("a `:` is missing after a key", Some("write `key: value`")),
        E::ExpectedFlowMappingSeparator => (
            "`,` or `}` is missing",
            Some("inside `{ … }` a text that has `{`, `}`, `[`, `]` or `,` in it needs quotes"),
        ),
        E::ExpectedFlowSequenceSeparator => (
            "`,` or `]` is missing",
            Some("inside `[ … ]` a text that has `{`, `}`, `[`, `]` or `,` in it needs quotes"),
        ),
        E::MisplacedFlowCollectionEnd => ("a bracket is closed that was not opened", None),
        E::BlockEntryInFlowCollection | E::PlainScalarStartsWithDashFlowIndicator => (
            "`-` cannot stand inside `[ … ]` or `{ … }`",
            Some("put the text in quotes"),
        ),
        E::FlowMappingValueAdjacentCollection | E::InvalidMappingValueWhitespace => {
            ("a space is missing after `:`", None)
        }
        E::InvalidBlockEntryWhitespace => ("a space is missing after `-`", None),
        E::CommentNotSeparated => ("a space is missing before `#`", None),
        E::CommentInterceptedScalar => ("a comment stands in the middle of a text", None),
        E::UnclosedQuotedScalar => ("a quote is not closed", None),
        E::DocumentIndicatorInQuotedScalar => ("`---` or `...` stands inside quotes: is one not closed?", None),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            ("something stands after a closing quote", None)
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => (
            "an unknown `\\` escape stands in a text",
            Some("in single quotes `\\` is a plain character"),
        ),
        E::ZeroBlockScalarIndent | E::InvalidBlockScalarHeader => ("something stands after `|` or `>`", None),
        E::DirectiveDisallowed => ("`%` directives are not read", Some("remove the line")),
        E::InvalidDocumentEnd => ("something stands after the end of the document (`...`)", None),
        E::BomInsideDocument => ("a byte-order mark stands inside the file", Some("remove it")),
        E::MissingAnchorOrAliasName => (
            "`&` and `*` start anchors and aliases, which are not read",
            Some("put the text in quotes"),
        ),
        E::ExpectedTagBang
        | E::InvalidGlobalTagCharacter
        | E::UndeclaredTagHandle
        | E::InvalidTagTerminator
        | E::MissingTagUri
        | E::UnclosedVerbatimTag
        | E::InvalidTagEscape
        | E::InvalidTagUtf8
        | E::InvalidTagUtf8LeadingByte
        | E::InvalidTagUtf8TrailingByte => (
            "`!` starts a tag, and tags are not read",
            Some("put the text in quotes"),
        ),
        E::ExpectedNodeContent => ("a value is missing here", None),
        _ => ("this is not YAML", None),
    };
    (message.to_owned(), hint)
}
