//! Which rows of an answer a caller sees (S3.4, S3.5): the route's condition, asked of each element.

use jiff::Timestamp;
use std::sync::Arc;

use super::condition::{Condition, Facts};
use super::parts::RowRule;
use super::{Authority, Permit, Policy};
use crate::call::{Call, json};
use crate::masking::{RowJudge, Rows};

/// Everything that a row is judged by; it outlives the request, since the answer may still be on its way.
struct Judge {
    condition: Condition,
    policy: Arc<Policy>,
    /// Absent on public routes, whoever asks.
    caller: Option<Arc<Authority>>,
    call: Call,
    /// How many segments of the path are the module's prefix.
    prefix: usize,
    now: Timestamp,
}

impl RowJudge for Judge {
    /// What cannot be evaluated is dropped, and so is what has two readings.
    fn stays(&self, row: &[u8]) -> bool {
        let Some(row) = json::read(row, json::MAX_BODY_DEPTH) else {
            return false;
        };
        let facts = Facts {
            caller: self.caller.as_ref().map(|caller| caller.facts(&self.policy)),
            call: &self.call,
            prefix: self.prefix,
            body: None,
            row: Some(&row),
            now: self.now,
        };
        self.condition.holds(&facts) == Ok(true)
    }
}

impl Permit {
    /// The rule that drops rows from the answer.
    #[must_use]
    pub fn row_rule(&self) -> Option<&RowRule> {
        self.route().rows.as_ref()
    }

    /// The filter that the rule is for this request.
    pub(super) fn rows(&self, call: &Call, caller: Option<&Arc<Authority>>, now: Timestamp) -> Option<Rows> {
        let rule = self.row_rule()?;
        let policy = self.policy();
        Some(Rows {
            at: Arc::clone(&rule.at),
            judge: Arc::new(Judge {
                condition: rule.condition.clone(),
                policy: Arc::clone(policy),
                caller: caller.filter(|_| !self.route().public).map(Arc::clone),
                call: call.clone(),
                prefix: policy.prefix_depth(call),
                now,
            }),
        })
    }
}
