//! Last step: nothing leaves that this caller may not see. Only here a backend's reply becomes an [`Answer`].
//!
//! What fits in [`HOLD`] is held until all of it is known to be good, so that a broken body is a clean 502. What is
//! larger goes out as it is masked, and is cut if it turns out to be broken (invariant 7).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, response};
use http_body::Body as _;
use http_body_util::BodyExt;
use smallvec::SmallVec;
use std::time::Duration;

use super::answer::{AnswerBody, Flow};
use super::compress::{self, Size, Wish};
use super::decode::{Source, SourceFault, decoded, take_coding};
use super::forward::{Reply, ReplyBody};
use super::record::Line;
use super::refusal::Refusal;
use super::tag::Tags;
use super::view::{View, for_this_caller_only};
use crate::edge::backend::Lease;
use crate::masking::coding::{Coding, DecodeFault, Encoder};
use crate::masking::links::{Cleaned, Field, Links};
use crate::masking::{Dialect, Format, Mask, Masker, Unmaskable, media_type};
use crate::policy::Permit;
use crate::reason::{Outcome, Reason};

/// Bytes of a masked answer that are held back until its end is known to be good.
pub const HOLD: usize = 64 * 1024;

/// An answer that may be given back.
pub type Answer = Response<AnswerBody>;

/// Who an answer is for.
#[derive(Debug)]
pub(super) struct Reader<'r> {
    /// What was asked.
    pub(super) method: &'r Method,
    /// What the policy lets it see.
    pub(super) permit: &'r Permit,
    /// Its entity tags.
    pub(super) tags: Tags,
    /// Whether it would have the answer compressed; none in a module that compresses nothing.
    pub(super) wish: Option<Wish>,
}

/// Masks: the head at once, the body in what is returned.
///
/// No `async fn`: that would keep all it is given until the body is done.
pub(super) fn mask<'l>(
    reply: Reply,
    reader: Reader<'_>,
    view: Option<View>,
    line: &'l mut Line,
) -> Result<impl Future<Output = Result<Pending, Refusal>> + use<'l>, Refusal> {
    let Reply {
        mut head,
        body,
        patience,
    } = reply;
    let Reader {
        method,
        permit,
        tags,
        wish,
    } = reader;
    let wish_here = wish.filter(|_| !compress::says(&head.headers, "no-transform"));
    if !permit.route().public || permit.row_rule().is_some() {
        for_this_caller_only(&mut head.headers);
    }
    hide_headers(&mut head.headers, permit, line);
    let asked = *method == Method::HEAD;
    let length = length(&head.headers);
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || if asked {
            says_nothing(&head, length)
        } else {
            is_empty(&body)
        };
    let masker = match view {
        None => None,
        Some(view) => {
            clean_links(&mut head.headers, &view, line);
            view.adjust(&mut head.headers);
            if bodiless {
                forget_coding(&mut head, permit);
                None
            } else {
                masker(&head, view.mask, permit)?
            }
        }
    };
    let coding = match &masker {
        Some(_) => take_coding(&mut head.headers)?,
        None => None,
    };
    line.status(head.status.as_u16());
    let masks = masker.is_some();
    Ok(async move {
        let body = match body {
            _ if bodiless || asked => {
                if let ReplyBody::Wire(_, lease) = body {
                    lease.keep();
                }
                Made::Whole(Bytes::new())
            }
            ReplyBody::Whole { bytes, limit } => Made::Whole(mask_whole(&bytes, limit, coding, masker, line)?),
            ReplyBody::Wire(wire, lease) => {
                let source = Source::new(wire, coding)?;
                hold(source, lease, masker, patience, line).await?
            }
        };
        let size = match (&body, length) {
            _ if bodiless => Size::Known(0),
            // Said of the backend's bytes, it would tell how much was cut.
            _ if asked && masks => Size::Unknown,
            (_, length) if asked => length.map_or(Size::Flowing, Size::Known),
            (Made::Whole(bytes), _) => Size::Known(bytes.len() as u64),
            (Made::Flowing(_), _) => Size::Flowing,
        };
        let compression = wish_here.and_then(|wish| wish.fits(&head, size));
        if wish.is_some() {
            compress::adjust(&mut head.headers, compression);
        }
        tags.answer(head.status, &mut head.headers, compression);
        let body = match compression {
            Some(coding) if !asked => compressed(body, coding)?,
            _ => body,
        };
        Ok(Pending {
            head,
            body,
            outcome: Outcome::Allowed,
        })
    })
}

fn compressed(body: Made, coding: Coding) -> Result<Made, Refusal> {
    Ok(match body {
        Made::Whole(bytes) => Made::Whole(compress::encoded(coding, &bytes)?),
        Made::Flowing(mut flow) => {
            flow.encoder = Some(Encoder::new(coding)?);
            Made::Flowing(flow)
        }
    })
}

/// What the backend says that the length of its body is or would be.
fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the head that answers a `HEAD` tells of no body: it has none, or neither a length nor a type.
fn says_nothing(head: &response::Parts, length: Option<u64>) -> bool {
    match length {
        Some(length) => length == 0,
        None => !head.headers.contains_key(header::CONTENT_TYPE),
    }
}

/// Takes out of links what is hidden from this caller, and links that cannot be read in one way.
fn clean_links(fields: &mut HeaderMap, view: &View, line: &mut Line) {
    let held: SmallVec<[(HeaderName, Field); 2]> = fields
        .keys()
        .filter_map(|name| Some((name.clone(), Field::of(name.as_str())?)))
        .collect();
    if held.is_empty() {
        return;
    }
    let Some(mut links) = Links::new(&view.mask) else {
        return;
    };
    for (name, field) in held {
        let values: Vec<HeaderValue> = fields.get_all(&name).iter().cloned().collect();
        fields.remove(&name);
        for value in values {
            let kept = match links.clean(field, value.as_bytes()) {
                Cleaned::Same => Some(value),
                Cleaned::Changed(bytes) => HeaderValue::from_bytes(&bytes).ok(),
                Cleaned::Unreadable => None,
            };
            if let Some(value) = kept {
                fields.append(&name, value);
            }
        }
    }
    line.masked(links.tally());
}

/// An answer whose audit line has yet to be filed.
#[derive(Debug)]
pub(super) struct Pending {
    head: response::Parts,
    body: Made,
    outcome: Outcome,
}

#[derive(Debug)]
enum Made {
    Whole(Bytes),
    Flowing(Box<Flow>),
}

impl Pending {
    /// Tollgate's own answer to a dry run: nothing of a backend is in it.
    pub(super) fn rehearsed(body: Bytes, line: &mut Line) -> Self {
        let (mut head, ()) = Response::new(()).into_parts();
        line.status(head.status.as_u16());
        head.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self {
            head,
            body: Made::Whole(body),
            outcome: Outcome::DryRun,
        }
    }

    /// An answer of Tollgate's own that has nothing to hide and no body.
    pub(super) fn own(status: StatusCode, fields: HeaderMap, line: &mut Line) -> Self {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = status;
        head.headers = fields;
        line.status(status.as_u16());
        Self {
            head,
            body: Made::Whole(Bytes::new()),
            outcome: Outcome::Allowed,
        }
    }

    /// What the caller would see of a backend's answer, of at most `limit` bytes.
    pub(super) async fn whole(self, limit: usize, line: &mut Line) -> Result<(StatusCode, Bytes), Refusal> {
        let bytes = match self.body {
            Made::Whole(bytes) => bytes,
            Made::Flowing(flow) => flow.drain(limit, line).await?,
        };
        if bytes.len() > limit {
            return Err(Reason::AnswerTooLarge.into());
        }
        Ok((self.head.status, bytes))
    }

    /// The answer. A whole one waits until its line is on disk, if it must; a flowing one takes the line along and
    /// files it at its end.
    pub(super) async fn close(self, mut line: Line) -> Result<Answer, Reason> {
        let body = match self.body {
            Made::Whole(bytes) => {
                if let Some(filed) = line.file(self.outcome) {
                    filed.await.map_err(|_| Reason::AuditUnavailable)?;
                }
                AnswerBody::whole(bytes)
            }
            Made::Flowing(flow) => AnswerBody::stream(flow, line),
        };
        Ok(Response::from_parts(self.head, body))
    }
}

impl Flow {
    /// Reads to the end, or until there are more than `limit` bytes.
    async fn drain(self, limit: usize, line: &mut Line) -> Result<Bytes, Refusal> {
        let Self {
            mut source,
            mut lease,
            mut masker,
            ready,
            ..
        } = self;
        let unmaskable = |fault: Unmaskable| Refusal::because(Reason::UnmaskableResponse, fault.to_string());
        let mut out = ready.to_vec();
        while out.len() <= limit {
            let frame = lease.within(source.frame()).await;
            let frame =
                frame.ok_or_else(|| Refusal::because(Reason::UpstreamTimeout, "the backend's answer stalled"))?;
            let data = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(fault)) => return Err(fault.into()),
                None => {
                    if let Some(masker) = &mut masker {
                        masker.finish(&mut out).map_err(unmaskable)?;
                        line.cut(masker);
                    }
                    lease.keep();
                    return Ok(out.into());
                }
            };
            match &mut masker {
                Some(masker) => masker.feed(&data, &mut out).map_err(unmaskable)?,
                None => out.extend_from_slice(&data),
            }
        }
        Err(Reason::AnswerTooLarge.into())
    }
}

fn is_empty(body: &ReplyBody) -> bool {
    match body {
        ReplyBody::Whole { bytes, .. } => bytes.is_empty(),
        ReplyBody::Wire(source, _) => source.is_end_stream(),
    }
}

fn hide_headers(fields: &mut HeaderMap, permit: &Permit, line: &mut Line) {
    if !permit.hides_headers() {
        return;
    }
    let hidden: Vec<(HeaderName, u16)> = fields
        .keys()
        .filter_map(|name| Some((name.clone(), permit.hidden_header(name)?)))
        .collect();
    for (name, class) in hidden {
        fields.remove(name);
        let mut counts = vec![0; usize::from(class) + 1];
        if let Some(count) = counts.last_mut() {
            *count = 1;
        }
        line.masked(&counts);
    }
}

/// The masker for a body of this type; none if the module lets the type pass as it is.
fn masker(head: &response::Parts, mask: Mask, permit: &Permit) -> Result<Option<Masker>, Refusal> {
    let unmaskable = |why: String| Refusal::because(Reason::UnmaskableResponse, why);
    if head.status == StatusCode::PARTIAL_CONTENT {
        return Err(unmaskable("a part of a body cannot be masked".into()));
    }
    let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
    let content_type = types.next().map(|value| value.as_bytes()).unwrap_or_default();
    if types.next().is_some() {
        return Err(unmaskable("two content types".into()));
    }
    masker_of(content_type, mask, permit)
}

/// The masker for a body of this one type, likewise.
pub(super) fn masker_of(content_type: &[u8], mask: Mask, permit: &Permit) -> Result<Option<Masker>, Refusal> {
    let unmaskable = |why: String| Refusal::because(Reason::UnmaskableResponse, why);
    let tolerant = permit.module().is_some_and(|module| module.tolerant_json);
    match Format::of(content_type, dialect(permit)) {
        Some(Format::Csv(_) | Format::Tsv(_)) if let Some(class) = columnless(&mask, permit) => Err(unmaskable(
            format!("class `{class}` is hidden from the caller and has `paths` alone, which say nothing of columns"),
        )),
        Some(format) if tolerant => Ok(Some(Masker::tolerant(mask, format))),
        Some(format) => Ok(Some(Masker::new(mask, format))),
        None if passes(content_type, permit) => Ok(None),
        None => {
            let what = media_type(content_type).unwrap_or_else(|| "an unknown type".into());
            Err(unmaskable(format!("{what} cannot be masked")))
        }
    }
}

pub(super) fn dialect(permit: &Permit) -> Dialect {
    permit.module().map(|module| module.dialect).unwrap_or_default()
}

/// The class for which no table can be masked for this caller.
fn columnless<'p>(mask: &Mask, permit: &'p Permit) -> Option<&'p str> {
    let class = mask.columnless()?;
    let name = permit.policy().class_names().nth(usize::from(class.0));
    Some(name.map_or("", |name| name))
}

/// Whether the module lets this type pass as it is, coded or not. What can be masked never passes.
fn passes(content_type: &[u8], permit: &Permit) -> bool {
    // Nobody can say which rows are in what passes.
    Format::of(content_type, dialect(permit)).is_none()
        && permit.row_rule().is_none()
        && permit.module().is_some_and(|module| {
            let pass = &module.unmaskable;
            pass.pass_all || media_type(content_type).is_some_and(|media| pass.pass.contains(&media))
        })
}

/// Without a body, the head says what the body would be: in this view that is decoded, unless its type passes. A 304
/// speaks of what the client has, which is decoded too, as far as its type is not said.
fn forget_coding(head: &mut response::Parts, permit: &Permit) {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let kept = match content_type.map(|value| value.as_bytes()) {
        None => head.status != StatusCode::NOT_MODIFIED && passes(b"", permit),
        Some(content_type) => passes(content_type, permit),
    };
    if !kept {
        head.headers.remove(header::CONTENT_ENCODING);
    }
}

/// Decodes and masks what is here as a whole.
fn mask_whole(
    bytes: &Bytes,
    limit: u64,
    coding: Option<Coding>,
    masker: Option<Masker>,
    line: &mut Line,
) -> Result<Bytes, Refusal> {
    let bytes = decoded(coding, bytes, limit).map_err(|fault| match fault {
        SourceFault::Coded(DecodeFault::TooLarge { .. }) => Refusal::because(Reason::AnswerTooLarge, fault.to_string()),
        fault => fault.into(),
    })?;
    let Some(mut masker) = masker else { return Ok(bytes) };
    let mut out = Vec::with_capacity(bytes.len());
    masker
        .feed(&bytes, &mut out)
        .and_then(|()| masker.finish(&mut out))
        .map_err(|fault| Refusal::because(Reason::UnmaskableResponse, fault.to_string()))?;
    line.cut(&masker);
    Ok(out.into())
}

/// Reads until the end or until [`HOLD`] bytes are ready, whichever comes first.
async fn hold(
    mut source: Source,
    mut lease: Lease,
    mut masker: Option<Masker>,
    patience: Duration,
    line: &mut Line,
) -> Result<Made, Refusal> {
    let small = source.size_hint().exact().is_some_and(|size| size <= HOLD as u64);
    if masker.is_none() && !small {
        return Ok(Made::Flowing(Box::new(Flow {
            source,
            lease,
            masker,
            encoder: None,
            ready: Bytes::new(),
            patience,
        })));
    }
    let broken = |reason, why: &'static str| Refusal::because(reason, why);
    let expected = usize::try_from(source.size_hint().lower()).unwrap_or(HOLD);
    let mut out = Vec::with_capacity(expected.min(HOLD));
    loop {
        let frame = lease
            .within(source.frame())
            .await
            .ok_or_else(|| broken(Reason::UpstreamTimeout, "the backend's answer stalled"))?;
        let data = match frame {
            None => break,
            Some(Err(fault)) => return Err(fault.into()),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        match &mut masker {
            Some(masker) => masker
                .feed(&data, &mut out)
                .map_err(|fault| Refusal::because(Reason::UnmaskableResponse, fault.to_string()))?,
            None if out.is_empty() && source.is_end_stream() => {
                lease.keep();
                return Ok(Made::Whole(data));
            }
            None => out.extend_from_slice(&data),
        }
        if out.len() > HOLD {
            return Ok(Made::Flowing(Box::new(Flow {
                source,
                lease,
                masker,
                encoder: None,
                ready: out.into(),
                patience,
            })));
        }
    }
    if let Some(masker) = &mut masker {
        masker
            .finish(&mut out)
            .map_err(|fault| Refusal::because(Reason::UnmaskableResponse, fault.to_string()))?;
        line.cut(masker);
    }
    lease.keep();
    Ok(Made::Whole(out.into()))
}
