//! Callers of a log, resolved once for many of their requests.

use std::collections::HashMap;

use super::Unknown;
use crate::audit::read::Record;
use crate::identity::Caller;
use crate::policy::{Authority, Policy};
use crate::reason::Reason;

/// Most callers that are kept; when there are more, all are forgotten and found again.
pub const MAX_CALLERS: usize = 8_192;

/// Roles and jurisdictions under both policies.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) old: Result<Authority, Reason>,
    pub(super) new: Result<Authority, Reason>,
}

/// By roles, then by jurisdictions, both as they are written.
#[derive(Debug, Default)]
pub(super) struct Callers {
    known: HashMap<String, HashMap<String, Known>>,
    count: usize,
}

impl Callers {
    pub(super) fn find(
        &mut self,
        old: &Policy,
        new: &Policy,
        record: &Record<'_>,
        (roles, jurisdictions): (&str, &str),
    ) -> Result<&Known, Unknown> {
        let there = self
            .known
            .get(roles)
            .is_some_and(|inner| inner.contains_key(jurisdictions));
        if !there {
            if self.count >= MAX_CALLERS {
                self.known.clear();
                self.count = 0;
            }
            let known = resolve(old, new, record, roles, jurisdictions)?;
            let inner = self.known.entry(roles.to_owned()).or_default();
            inner.insert(jurisdictions.to_owned(), known);
            self.count += 1;
        }
        self.known
            .get(roles)
            .and_then(|inner| inner.get(jurisdictions))
            .ok_or("the caller is not in the line")
    }
}

fn resolve(
    old: &Policy,
    new: &Policy,
    record: &Record<'_>,
    roles: &str,
    jurisdictions: &str,
) -> Result<Known, Unknown> {
    let list = |text| serde_json::from_str::<Vec<String>>(text).map_err(|_| "the line's request cannot be read");
    let (roles, jurisdictions) = (list(roles)?, list(jurisdictions)?);
    let caller = || Caller {
        user: record.user_id.as_deref().unwrap_or_default().to_owned(),
        roles: roles.clone(),
        jurisdictions: jurisdictions.clone(),
        ..Caller::default()
    };
    let under = |policy| Authority::new(policy, caller()).map_err(|refused| refused.0);
    Ok(Known {
        old: under(old),
        new: under(new),
    })
}
