//! Which runs are merged next, and how fast, so that there are never many.
//!
//! Runs are of one tier when their sizes are within a factor of [`FAN`], and [`FAN`] of them become one of the next: so a
//! word is written again once in a tier, however many there are. Only neighbours in age are merged, for the newest word
//! counts; so a small run that is older than a large one is of the large one's tier.

use super::Run;

/// How many runs of a tier become one.
pub(in super::super) const FAN: u16 = 8;

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
/// While such a merge is under way, a half of what it moves may come.
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
    times.checked_ilog(u64::from(FAN)).map_or(0, |tier| tier + 1)
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
    let fan = usize::from(FAN);
    let mut begin = 0;
    let mut highest = 0;
    for (at, run) in part.iter().enumerate() {
        if tier(run) > highest {
            if at - begin >= fan {
                return part.get(at - fan..at);
            }
            (begin, highest) = (at, tier(run));
        }
    }
    let end = part.len();
    (end - begin >= fan).then(|| part.get(end - fan..))?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::filter::Filter;
    use super::*;

    /// Runs of so many bytes, the newest first; those under `into` are merged into the run of that number.
    fn runs(of: &[(u64, Option<u64>)]) -> Vec<Run> {
        let run = |(at, (bytes, into)): (usize, &(u64, Option<u64>))| Run {
            id: (of.len() - at) as u64,
            age: (of.len() - at) as u64,
            into: *into,
            words: bytes / 200,
            bytes: *bytes,
            filter: Arc::new(Filter::new(0)),
        };
        of.iter().enumerate().map(run).collect()
    }

    const ALL: Live = Live {
        words: u64::MAX / 4,
        bytes: u64::MAX / 4,
    };

    fn due_of(of: &[(u64, Option<u64>)], live: Live) -> Vec<u64> {
        due(&runs(of), live)
            .unwrap_or_default()
            .iter()
            .map(|run| run.id)
            .collect()
    }

    const M: u64 = 1 << 20;

    #[test]
    fn the_oldest_of_a_tier_are_merged_and_only_neighbours() {
        let small = (M / 2, None);
        assert!(due_of(&[small; 7], ALL).is_empty());
        assert_eq!(due_of(&[small; 8], ALL), [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(due_of(&[small; 9], ALL), [8, 7, 6, 5, 4, 3, 2, 1]);
        // A larger one that is older is of another tier, a smaller one is not.
        let mut mixed = vec![small; 8];
        mixed.insert(8, (M * 20, None));
        assert_eq!(due_of(&mixed, ALL), [9, 8, 7, 6, 5, 4, 3, 2]);
        mixed.swap(4, 8);
        assert!(due_of(&mixed, ALL).is_empty());
        let mut large = vec![(M * 20, None); 7];
        large.push(small);
        assert_eq!(due_of(&large, ALL).len(), 8);
    }

    #[test]
    fn what_is_merged_already_is_left_alone_and_parts_the_others() {
        let mut of = vec![(M / 2, None); 4];
        of.extend([(M / 2, Some(1)), (M / 2, Some(1))]);
        of.extend([(M / 2, None); 5]);
        assert!(due_of(&of, ALL).is_empty());
        of.splice(0..0, [(M / 2, None); 4]);
        assert_eq!(due_of(&of, ALL).len(), usize::from(FAN));
    }

    #[test]
    fn too_much_that_counts_no_more_is_merged_with_the_oldest() {
        let of = [(M, None), (M * 200, None)];
        let half = Live {
            words: M,
            bytes: 68 * M,
        };
        assert_eq!(due_of(&of, half), [2, 1]);
        let most = Live {
            words: M,
            bytes: 69 * M,
        };
        assert!(due_of(&of, most).is_empty());
        assert!(
            due_of(&[(M * 200, None)], half).is_empty(),
            "by itself it has nothing to lose"
        );
        let few = Live {
            words: 10,
            bytes: 201 * M,
        };
        assert_eq!(due_of(&of, few).len(), 2, "of {} words", 201 * M / 200);
    }
}
