//! Fourth step: may this caller do this? The policy says; here its question for the body is answered.

use bytes::Bytes;

use super::identify::Identity;
use super::record::Line;
use super::refusal::Refusal;
use crate::call::Call;
use crate::edge::payload::Upload;
use crate::edge::room::Room;
use crate::policy::{Decision, Permit, Policy, evaluate};
use crate::reason::Reason;
use std::sync::Arc;

/// A body that has been read because a step had to, or not yet.
#[derive(Debug)]
pub(super) enum Inbound {
    /// Still on the wire.
    Wire(Upload),
    /// Read.
    Read(Bytes),
}

impl Inbound {
    /// The whole body.
    pub(super) async fn read(self, room: &Arc<Room>) -> Result<Bytes, Refusal> {
        match self {
            Self::Wire(upload) => Ok(upload.collect(room).await?),
            Self::Read(bytes) => Ok(bytes),
        }
    }
}

/// Decides, reading the body if the decision depends on it.
pub(super) async fn decide(
    policy: &Arc<Policy>,
    call: &Call,
    caller: Option<&Identity>,
    upload: Upload,
    room: &Arc<Room>,
    line: &mut Line,
) -> Result<(Permit, Inbound), Refusal> {
    if !policy.admits(call.source) || caller.is_some_and(|caller| !caller.authority.admits(call.source)) {
        return Err(Reason::SourceNotAllowed.into());
    }
    let mut body = Inbound::Wire(upload);
    let mut decision = evaluate(
        policy,
        call,
        caller.map(|caller| &*caller.authority),
        line.at(),
        &mut (),
    );
    if let Decision::NeedsBody(pending) = decision {
        let permit = pending.permit();
        line.place(permit.place(), permit.route().scope.as_ref());
        let bytes = body.read(room).await?;
        decision = pending.resume(&bytes, &mut ());
        body = Inbound::Read(bytes);
    }
    let permit = match decision {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => {
            if let Some(place) = denial.place {
                line.place(place, denial.scope.as_ref());
            }
            return Err(denial.into());
        }
        Decision::NeedsBody(_) => return Err(Refusal::because(Reason::Internal, "asked for the body twice")),
    };
    line.place(permit.place(), permit.route().scope.as_ref());
    if let Some(denial) = permit.would_deny() {
        line.would_deny(denial);
    }
    Ok((permit, body))
}
