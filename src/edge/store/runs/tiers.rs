//! Which runs are merged next, and how fast, so that there are never many.
//!
//! Runs are of one tier when their sizes are within a factor of [`FAN`], and [`FAN`] of them become one of the next: so a
//! word is written again once in a tier, however many there are. Only neighbours in age are merged, for the newest word
//! counts; so a small run that is older than a large one is of the large one's tier.

use super::Run;

/// How many runs of a tier become one.
pub(in super::super) const FAN: usize = 8;

/// The largest run of the lowest tier, bytes.
const LOWEST: u64 = 1 << 20;

/// How many bytes of each merge that is under way are moved for each byte that is carried. With one, a merge would end just
/// when the next of its tier begins.
pub(in super::super) const PACE: u64 = 2;

/// What is moved at least, however little is carried, bytes.
pub(in super::super) const LEAST_MOVED: u64 = 256 << 10;

/// Most runs. If there are more all the same, merges are brought to their end before anything else is carried.
pub(in super::super) const MAX_RUNS: usize = 64;

/// What may be held in vain, in bytes and in words, beside as much as what counts: replaced, swept, and the words on that.
const SPARE_BYTES: u64 = 64 << 20;
const SPARE_WORDS: u64 = 1 << 20;

/// What counts in all runs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Live {
    pub(in super::super) words: u64,
    pub(in super::super) bytes: u64,
}

fn tier(run: &Run) -> u32 {
    let times = run.bytes / LOWEST;
    times.checked_ilog(FAN as u64).map_or(0, |tier| tier + 1)
}

/// A few neighbours that should be merged, of runs that are ordered by age, the newest first; none if all is well.
pub(in super::super) fn due(runs: &[Run], live: Live) -> Option<&[Run]> {
    let is_free = |run: &Run| run.into.is_none() && runs.iter().all(|other| other.into != Some(run.id));
    let mut free = runs.chunk_by(|one, next| is_free(one) == is_free(next));
    let oldest = free.next_back().filter(|part| part.first().is_some_and(is_free));
    let (words, bytes) = runs
        .iter()
        .fold((0, 0), |(words, bytes), run| (words + run.words, bytes + run.bytes));
    let is_wasted = bytes > 2 * live.bytes + SPARE_BYTES || words > 2 * live.words + SPARE_WORDS;
    if let Some(oldest) = oldest.filter(|oldest| is_wasted && oldest.len() > 1) {
        // Only with the oldest among them everything that counts no more goes.
        return Some(oldest);
    }
    let is_due = |part: &&[Run]| part.first().is_some_and(is_free);
    free.chain(oldest).filter(is_due).find_map(full_tier)
}

/// The oldest [`FAN`] of the lowest tier that has so many.
fn full_tier(part: &[Run]) -> Option<&[Run]> {
    let mut begin = 0;
    let mut highest = 0;
    for (at, run) in part.iter().enumerate() {
        if tier(run) > highest {
            if at - begin >= FAN {
                return part.get(at - FAN..at);
            }
            (begin, highest) = (at, tier(run));
        }
    }
    let end = part.len();
    (end - begin >= FAN).then(|| part.get(end - FAN..))?
}
