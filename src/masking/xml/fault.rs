//! What is wrong with XML, in words for an operator. Nothing of the body is in it.

use crate::masking::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_NAME, MAX_REFERENCE, MAX_TAG};

/// What is wrong with XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlFault {
    /// Rows are elements of JSON arrays.
    #[error("the route has `rows`, which are elements of JSON arrays")]
    Rows,
    /// A class that the root element belongs to is removed, and nothing would be left.
    #[error("the root element is to be removed, and without it there is no XML")]
    Root,
    /// The declaration names another charset than the module does.
    #[error("the declaration says another charset than the module's `charset`")]
    Encoding,
    /// A byte that the charset does not have, or a name that is UTF-8 where the charset is another.
    #[error("the charset seems to be another: it is the module's `charset`")]
    Charset,
    /// A character that XML has not (XML 1.0, 2.2), NUL and most other control characters among them.
    #[error("a character that XML does not have")]
    Character,
    /// A document type (XML 1.0, 2.8): its entities would make one text of another.
    #[error("a document type (`<!DOCTYPE`), whose entities and defaults are not read")]
    Doctype,
    /// `<!` that starts nothing that may be here.
    #[error("`<!` starts neither a comment nor a CDATA section")]
    Markup,
    /// A declaration that is not what XML 1.0, 2.8 says, or not at the start.
    #[error("an XML declaration that is malformed, not of version 1.0 or not at the start")]
    Declaration,
    /// A processing instruction without a target, or without what comes after it.
    #[error("a malformed processing instruction")]
    Instruction,
    /// `--` in a comment, or a comment that readers of HTML end sooner.
    #[error("a comment holds `--`, or starts with `>` or `->`")]
    Comment,
    /// `]]>` outside of CDATA sections.
    #[error("`]]>` stands in text")]
    Brackets,
    /// Anything but white space, comments and processing instructions outside the root element.
    #[error("text or CDATA stands outside the root element")]
    Outside,
    /// A second root element.
    #[error("a second root element")]
    SecondRoot,
    /// Not a name, or one with more than one colon or nothing on one side of it (Namespaces in XML 1.0, 4).
    #[error("a name is expected here, with at most one colon and something on both of its sides")]
    Name,
    /// A tag that is not what XML 1.0, 3.1 says.
    #[error("a malformed tag")]
    Tag,
    /// A value without quotes, or with `<` in it.
    #[error("the value of an attribute is not quoted, or `<` is in it")]
    Value,
    /// Two attributes of one name.
    #[error("an element has two attributes of one name")]
    Duplicate,
    /// An end tag of another element, or of none.
    #[error("an end tag that does not belong to the element that is open")]
    Mismatch,
    /// An entity that is not one of the five that XML has, a character that it has not, or a reference that is no reference.
    #[error("`&` starts no reference to a character or to one of XML's own five entities in {MAX_REFERENCE} bytes")]
    Reference,
    /// More than [`MAX_ATTRIBUTES`].
    #[error("an element has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// More than [`MAX_TAG`].
    #[error("a tag is longer than {MAX_TAG} bytes")]
    LongTag,
    /// More than [`MAX_NAME`].
    #[error("a name is longer than {MAX_NAME} bytes")]
    LongName,
    /// More than [`MAX_DEPTH`].
    #[error("elements are nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The body ends within an element, or within markup.
    #[error("the body ends before its root element does, or within markup")]
    Open,
    /// Nothing is in the body but white space, comments and processing instructions.
    #[error("there is no root element")]
    NoRoot,
}
