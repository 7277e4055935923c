//! Paths as one automaton: JSON pointers (RFC 6901) in which `*` is one step and `**` any number, none included.
//!
//! A state is a place in a path, and the states of a container say which paths lead through it. They are sets of
//! bits, one per level, so that no input makes them grow; below a container that no path leads through, nothing is
//! kept and nothing is done.

use super::ClassId;
use super::names::{Found, Names};
use smallvec::SmallVec;

/// The classes that one value belongs to.
pub(super) type Hits = SmallVec<[u16; 8]>;

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPath {
    NoSlash,
    Root,
    Tilde,
    EmptyStep,
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The member of this name, or the element of this index.
    Name { entry: u32, index: Option<u64> },
    /// `*`
    One,
    /// `**`
    Many,
    /// What is reached here is of this class.
    End(ClassId),
}

impl Step {
    /// Reads what stands between two slashes.
    pub(super) fn read(written: &str, exact: bool, names: &mut Names) -> Result<Self, BadPath> {
        Ok(match written {
            "*" => Self::One,
            "**" => Self::Many,
            _ => {
                let name = unescape(written).ok_or(BadPath::Tilde)?;
                if !exact && super::fold(&name).is_empty() {
                    return Err(BadPath::EmptyStep);
                }
                Self::Name {
                    entry: names.entry(&name, exact),
                    index: index(&name),
                }
            }
        })
    }
}

/// All paths of one module, one after the other, each closed by an end.
#[derive(Debug, Default)]
pub(super) struct Paths {
    steps: Vec<Step>,
    starts: Vec<usize>,
}

impl Paths {
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Adds a path. After a fault the table is of no use.
    pub(super) fn add(&mut self, path: &str, exact: bool, class: ClassId, names: &mut Names) -> Result<(), BadPath> {
        if path.is_empty() {
            return Err(BadPath::Root);
        }
        let path = path.strip_prefix('/').ok_or(BadPath::NoSlash)?;
        if path.split('/').all(|step| step == "**") {
            return Err(BadPath::Root);
        }
        self.starts.push(self.steps.len());
        for step in path.split('/') {
            self.push(Step::read(step, exact, names)?)?;
        }
        self.push(Step::End(class))
    }

    fn push(&mut self, step: Step) -> Result<(), BadPath> {
        if self.steps.len() >= super::MAX_PATH_STEPS {
            return Err(BadPath::TooMany);
        }
        self.steps.push(step);
        Ok(())
    }

    fn words(&self) -> usize {
        self.steps.len().div_ceil(64)
    }

    /// Puts a state into a set with all that follows from it without a step.
    fn arrive(&self, mut state: usize, set: &mut [u64], hits: &mut Hits) {
        while let Some(&step) = self.steps.get(state) {
            if let Step::End(class) = step {
                hits.push(class.0);
                return;
            }
            if let Some(word) = set.get_mut(state / 64) {
                *word |= 1 << (state % 64);
            }
            if step != Step::Many {
                return;
            }
            state += 1;
        }
    }
}

/// RFC 6901, 3: `~1` is `/` and `~0` is `~`; no other use of `~`.
fn unescape(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match part.strip_prefix('0') {
            Some(rest) => ('~', rest),
            None => ('/', part.strip_prefix('1')?),
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Some(name)
}

/// RFC 6901, 4: digits without a leading zero.
fn index(step: &str) -> Option<u64> {
    let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (step == "0" || !step.starts_with('0')))
        .then(|| step.parse().ok())
        .flatten()
}

/// What is known of a step that no path asks for by name or index.
#[derive(Clone, Copy, Debug)]
struct OtherWay {
    /// It leads to something classified.
    hits: bool,
    /// Some path asks for an element by index.
    indexed: bool,
}

/// The way from the root to where a masker stands, as far as any path leads along it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The states of each level, `words` for one.
    sets: Vec<u64>,
    /// The states that a step leads to which no path asks for by name or index, level by level as `sets`.
    others: Vec<u64>,
    /// What of such a step is known, per level.
    ways: Vec<OtherWay>,
    /// The index of the next element, per level; of no use in an object.
    indexes: Vec<u64>,
    /// The states of the value that comes next.
    next: Vec<u64>,
}

impl Trail {
    /// Stands before a root.
    pub(super) fn restart(&mut self, paths: &Paths) {
        self.sets.clear();
        self.others.clear();
        self.ways.clear();
        self.indexes.clear();
        self.next.clear();
        self.next.resize(paths.words(), 0);
        let mut never = Hits::new();
        for &start in &paths.starts {
            paths.arrive(start, &mut self.next, &mut never);
        }
    }

    /// Goes into the container that comes next; `false` if no path leads through it.
    pub(super) fn enter(&mut self, paths: &Paths) -> bool {
        let live = self.next.iter().any(|&word| word != 0);
        if live {
            self.sets.extend_from_slice(&self.next);
            self.indexes.push(0);
            let mut hits = Hits::new();
            let mut indexed = false;
            self.step(paths, &mut hits, |_, index| {
                indexed |= index.is_some();
                false
            });
            self.others.extend_from_slice(&self.next);
            self.ways.push(OtherWay {
                hits: !hits.is_empty(),
                indexed,
            });
        }
        live
    }

    /// Takes the step to a member that no path asks for by name; `false` if it belongs to a class all the same, and the
    /// step was not taken.
    #[inline]
    pub(super) fn other_member(&mut self) -> bool {
        match self.ways.last() {
            Some(way) if !way.hits => self.take_other(),
            _ => false,
        }
    }

    /// Takes the step to the next element, unless it may belong to a class or a path asks for an element by index.
    #[inline]
    pub(super) fn other_element(&mut self) -> bool {
        match self.ways.last() {
            Some(way) if !way.hits && !way.indexed => self.take_other(),
            _ => false,
        }
    }

    #[inline]
    fn take_other(&mut self) -> bool {
        let top = self.others.len().saturating_sub(self.next.len());
        for (to, from) in self.next.iter_mut().zip(self.others.get(top..).unwrap_or_default()) {
            *to = *from;
        }
        true
    }

    /// Leaves a container that was entered.
    pub(super) fn leave(&mut self) {
        self.sets.truncate(self.sets.len().saturating_sub(self.next.len()));
        self.others.truncate(self.sets.len());
        self.ways.pop();
        self.indexes.pop();
    }

    /// Takes the step to a member; its classes are added to `hits`.
    pub(super) fn member(&mut self, paths: &Paths, found: Found, hits: &mut Hits) {
        self.step(paths, hits, |entry, _| {
            found.folded == Some(entry) || found.exact == Some(entry)
        });
    }

    /// Takes the step to the next element; its classes are added to `hits`.
    pub(super) fn element(&mut self, paths: &Paths, hits: &mut Hits) {
        let Some(next) = self.indexes.last_mut() else { return };
        let this = *next;
        *next += 1;
        self.step(paths, hits, |_, index| index == Some(this));
    }

    fn step(&mut self, paths: &Paths, hits: &mut Hits, mut takes: impl FnMut(u32, Option<u64>) -> bool) {
        self.next.fill(0);
        let top = self.sets.len().saturating_sub(self.next.len());
        for (place, &word) in self.sets.get(top..).unwrap_or_default().iter().enumerate() {
            let mut left = word;
            while left != 0 {
                let state = place * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                match paths.steps.get(state) {
                    Some(Step::Many) => paths.arrive(state, &mut self.next, hits),
                    Some(Step::One) => paths.arrive(state + 1, &mut self.next, hits),
                    Some(&Step::Name { entry, index }) if takes(entry, index) => {
                        paths.arrive(state + 1, &mut self.next, hits);
                    }
                    _ => {}
                }
            }
        }
    }
}
