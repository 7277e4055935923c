//! What stands under a key, and its bytes on disk.
//!
//! Decoding is strict: a record that this version would not have written is a fault, never a guess. A record without an
//! owner is from before owners were kept, and stays as it was written.

use std::sync::Arc;

use super::{Fingerprint, MAX_SEALED_ANSWER, Owner};

/// Most bytes of a transaction id that is kept; a longer one is left out, the outcome itself never is.
pub const MAX_TRANSACTION_ID: usize = 512;

/// First byte of a record; a change of the layout changes it. Each record has the oldest layout that can say it all.
const WITH_ANSWER: u8 = 3;
/// The layout before answers were kept.
const VERSION: u8 = 2;
/// The layout before owners were kept and before an operator could settle without a status.
const WITHOUT_OWNER: u8 = 1;
/// In place of a status: it is not known.
const NO_STATUS: u16 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;
const UNKNOWN: u8 = 3;

/// Everything that is remembered of a keyed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which request it was.
    pub fingerprint: Fingerprint,
    /// Whose it was; absent in records of versions that did not keep it.
    pub owner: Option<Arc<Owner>>,
    /// What became of it.
    pub state: State,
}

/// What became of a keyed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Reserved; a byte may be on its way to the backend.
    Running {
        /// Since when, unix seconds.
        since: u64,
        /// How long it will be remembered once it is finished, seconds.
        keep: u64,
    },
    /// The backend gave a whole answer, of any status, or an operator says that it did the request.
    Done {
        /// Its status, 100-999; absent when all that is known is an operator's word.
        status: Option<u16>,
        /// What the backend called the transaction, at most [`MAX_TRANSACTION_ID`] bytes.
        transaction_id: Option<Box<str>>,
        /// When the answer was whole, unix seconds.
        completed_at: u64,
        /// From when on the record counts as absent, unix seconds.
        keep_until: u64,
        /// The answer as [`StoreKeys`](super::StoreKeys) sealed it, at most [`MAX_SEALED_ANSWER`] bytes, if it is kept.
        answer: Option<Arc<[u8]>>,
    },
    /// Sent, and no whole answer came. Stays until an operator rules.
    Unknown {
        /// Since when, unix seconds.
        since: u64,
        /// How long it will be remembered once it is finished, seconds.
        keep: u64,
    },
}

/// Whether a text can be a transaction's name: 1 to [`MAX_TRANSACTION_ID`] visible ASCII characters, for it is sent in a header.
#[must_use]
pub fn is_transaction_id(text: &str) -> bool {
    (1..=MAX_TRANSACTION_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The bytes are no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Written by a newer version, or never by any.
    #[error("a record has format {0}, which this version does not know")]
    Version(u8),
    /// Too short, too long, or with a value that is never written.
    #[error("a record is malformed")]
    Malformed,
}

impl Record {
    /// When the record may be swept: `u64::MAX`, never, unless it is finished.
    #[must_use]
    pub const fn deadline(&self) -> u64 {
        match self.state {
            State::Done { keep_until, .. } => keep_until,
            State::Running { .. } | State::Unknown { .. } => u64::MAX,
        }
    }

    /// Whether the request is finished.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    /// Whether the record counts as absent: finished, and the clock shows `keep_until` or later.
    #[must_use]
    pub const fn is_expired(&self, now: u64) -> bool {
        matches!(self.state, State::Done { keep_until, .. } if now >= keep_until)
    }

    /// How many bytes of a sealed answer it has.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        match &self.state {
            State::Done { answer, .. } => answer.as_ref().map_or(0, |answer| answer.len()),
            State::Running { .. } | State::Unknown { .. } => 0,
        }
    }

    /// The record without the answer: for people to read.
    #[must_use]
    pub fn without_answer(mut self) -> Self {
        if let State::Done { answer, .. } = &mut self.state {
            *answer = None;
        }
        self
    }

    /// What a record of an earlier life becomes: whoever ran it is gone, and whether the backend did it nobody knows.
    #[must_use]
    pub fn orphaned(self) -> Self {
        match self.state {
            State::Running { since, keep } => Self {
                state: State::Unknown { since, keep },
                ..self
            },
            _ => self,
        }
    }

    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let version = self.version();
        out.push(version);
        out.extend(self.fingerprint.as_bytes());
        if version != WITHOUT_OWNER {
            out.push(u8::from(self.owner.is_some()));
            if let Some(owner) = &self.owner {
                owner.encode(&mut out);
            }
        }
        match &self.state {
            State::Running { since, keep } => {
                out.push(RUNNING);
                out.extend(since.to_be_bytes());
                out.extend(keep.to_be_bytes());
            }
            State::Unknown { since, keep } => {
                out.push(UNKNOWN);
                out.extend(since.to_be_bytes());
                out.extend(keep.to_be_bytes());
            }
            State::Done {
                status,
                transaction_id,
                completed_at,
                keep_until,
                answer,
            } => {
                out.push(DONE);
                out.extend(status.unwrap_or(NO_STATUS).to_be_bytes());
                out.extend(completed_at.to_be_bytes());
                out.extend(keep_until.to_be_bytes());
                if let Some(answer) = answer {
                    // Within the limit that decoding holds it to.
                    out.extend(u32::try_from(answer.len()).unwrap_or(u32::MAX).to_be_bytes());
                    out.extend(&**answer);
                }
                match transaction_id {
                    None => out.push(0),
                    Some(id) => {
                        out.push(1);
                        out.extend(id.as_bytes());
                    }
                }
            }
        }
        out
    }

    /// Reads a record's bytes.
    ///
    /// # Errors
    /// [`RecordFault`] for anything that [`Record::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordFault> {
        let mut reader = Reader(bytes);
        let [version] = reader.take()?;
        if !matches!(version, WITH_ANSWER | VERSION | WITHOUT_OWNER) {
            return Err(RecordFault::Version(version));
        }
        let fingerprint = Fingerprint::from_bytes(reader.take()?);
        let owner = if version == WITHOUT_OWNER {
            None
        } else {
            reader.owner()?
        };
        let [tag] = reader.take()?;
        let state = match tag {
            RUNNING => State::Running {
                since: reader.number()?,
                keep: reader.number()?,
            },
            UNKNOWN => State::Unknown {
                since: reader.number()?,
                keep: reader.number()?,
            },
            DONE => reader.done(version == WITH_ANSWER)?,
            _ => return Err(RecordFault::Malformed),
        };
        let record = Self {
            fingerprint,
            owner,
            state,
        };
        if !reader.0.is_empty() || record.version() != version {
            return Err(RecordFault::Malformed);
        }
        Ok(record)
    }

    /// The oldest layout that can say it all.
    const fn version(&self) -> u8 {
        match (&self.owner, &self.state) {
            (_, State::Done { answer: Some(_), .. }) => WITH_ANSWER,
            (None, State::Running { .. } | State::Unknown { .. } | State::Done { status: Some(_), .. }) => {
                WITHOUT_OWNER
            }
            _ => VERSION,
        }
    }
}

/// What is left to be read.
pub(super) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordFault> {
        let (head, rest) = self.0.split_first_chunk().ok_or(RecordFault::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u64, RecordFault> {
        self.take().map(u64::from_be_bytes)
    }

    fn done(&mut self, has_answer: bool) -> Result<State, RecordFault> {
        let status = match u16::from_be_bytes(self.take()?) {
            NO_STATUS => None,
            status @ 100..=999 => Some(status),
            _ => return Err(RecordFault::Malformed),
        };
        let completed_at = self.number()?;
        let keep_until = self.number()?;
        let answer = if has_answer { Some(self.answer()?) } else { None };
        let transaction_id = match self.take()? {
            [0] => None,
            [1] => Some(self.rest_as_text()?),
            _ => return Err(RecordFault::Malformed),
        };
        Ok(State::Done {
            status,
            transaction_id,
            completed_at,
            keep_until,
            answer,
        })
    }

    fn answer(&mut self) -> Result<Arc<[u8]>, RecordFault> {
        let length = usize::try_from(u32::from_be_bytes(self.take()?)).map_err(|_| RecordFault::Malformed)?;
        if !(1..=MAX_SEALED_ANSWER).contains(&length) {
            return Err(RecordFault::Malformed);
        }
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(RecordFault::Malformed)?;
        self.0 = rest;
        Ok(bytes.into())
    }

    fn owner(&mut self) -> Result<Option<Arc<Owner>>, RecordFault> {
        match self.take()? {
            [0] => Ok(None),
            [1] => Owner::decode(self).map(|owner| Some(Arc::new(owner))),
            _ => Err(RecordFault::Malformed),
        }
    }

    fn rest_as_text(&mut self) -> Result<Box<str>, RecordFault> {
        if self.0.len() > MAX_TRANSACTION_ID {
            return Err(RecordFault::Malformed);
        }
        self.text(self.0.len())
    }

    /// The next so many bytes.
    pub(super) fn text(&mut self, length: usize) -> Result<Box<str>, RecordFault> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(RecordFault::Malformed)?;
        self.0 = rest;
        std::str::from_utf8(bytes)
            .map(Box::from)
            .map_err(|_| RecordFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(state: State) -> Record {
        Record {
            fingerprint: Fingerprint::from_bytes([7; 32]),
            owner: None,
            state,
        }
    }

    fn done(id: Option<&str>) -> Record {
        record(State::Done {
            status: Some(201),
            transaction_id: id.map(Box::from),
            completed_at: 50,
            keep_until: 100,
            answer: None,
        })
    }

    fn with_answer(length: usize) -> Record {
        record(State::Done {
            status: Some(201),
            transaction_id: Some("t".into()),
            completed_at: 50,
            keep_until: 100,
            answer: Some(vec![9; length].into()),
        })
    }

    #[test]
    fn an_answer_is_kept_within_its_limit() {
        for length in [1, MAX_SEALED_ANSWER] {
            let record = with_answer(length);
            assert_eq!(record.answer_bytes(), length);
            assert_eq!(record.clone().without_answer().answer_bytes(), 0);
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
        for length in [0, MAX_SEALED_ANSWER + 1] {
            let bytes = with_answer(length).encode();
            assert_eq!(Record::decode(&bytes), Err(RecordFault::Malformed), "{length}");
        }
        let mut bytes = with_answer(3).encode();
        assert_eq!(bytes[0], WITH_ANSWER);
        bytes[0] = VERSION;
        assert_eq!(Record::decode(&bytes), Err(RecordFault::Malformed));
    }

    #[test]
    fn only_a_finished_record_expires() {
        for (record, now, expired) in [
            (done(None), 99, false),
            (done(None), 100, true),
            (done(None), u64::MAX, true),
            (record(State::Running { since: 0, keep: 9 }), u64::MAX, false),
            (record(State::Unknown { since: 0, keep: 9 }), u64::MAX, false),
        ] {
            assert_eq!(record.is_expired(now), expired, "{record:?} {now}");
            assert_eq!(
                record.deadline() == u64::MAX,
                !matches!(record.state, State::Done { .. })
            );
        }
    }

    #[test]
    fn only_what_ran_is_orphaned() {
        assert_eq!(
            record(State::Running { since: 3, keep: 9 }).orphaned(),
            record(State::Unknown { since: 3, keep: 9 })
        );
        for other in [done(Some("t")), record(State::Unknown { since: 4, keep: 9 })] {
            assert_eq!(other.clone().orphaned(), other);
        }
    }

    #[test]
    fn what_is_never_written_is_no_record() {
        let longest = "t".repeat(MAX_TRANSACTION_ID);
        assert_eq!(Record::decode(&done(Some(&longest)).encode()), Ok(done(Some(&longest))));
        let mut too_long = done(Some(&longest)).encode();
        too_long.push(b't');
        assert_eq!(Record::decode(&too_long), Err(RecordFault::Malformed));

        let edited = |at: usize, byte: u8| {
            let mut bytes = done(Some("t")).encode();
            bytes[at] = byte;
            Record::decode(&bytes)
        };
        assert_eq!(edited(0, 4), Err(RecordFault::Version(4)));
        assert_eq!(edited(0, 0), Err(RecordFault::Version(0)));
        assert_eq!(edited(33, 4), Err(RecordFault::Malformed), "state");
        assert_eq!(edited(34, 9), Err(RecordFault::Malformed), "status");
        assert_eq!(edited(52, 0), Err(RecordFault::Malformed), "id after none");
        assert_eq!(edited(52, 2), Err(RecordFault::Malformed), "flag");
        assert_eq!(edited(53, 0xff), Err(RecordFault::Malformed), "text");

        let mut nobodys = done(Some("t")).encode();
        nobodys[0] = 2;
        nobodys.insert(33, 0);
        assert_eq!(
            Record::decode(&nobodys),
            Err(RecordFault::Malformed),
            "nothing that asks for the layout"
        );
        nobodys[35..37].copy_from_slice(&[0, 0]);
        assert!(Record::decode(&nobodys).is_ok(), "an operator's word on an old record");
        nobodys[33] = 2;
        assert_eq!(Record::decode(&nobodys), Err(RecordFault::Malformed), "owner's flag");
        nobodys[33] = 1;
        assert_eq!(Record::decode(&nobodys), Err(RecordFault::Malformed), "no owner");
    }

    #[test]
    fn a_record_from_before_owners_were_kept_is_read_and_stays_as_it_was() {
        let mut bytes = vec![1];
        bytes.extend([7; 32]);
        bytes.push(UNKNOWN);
        bytes.extend(50_u64.to_be_bytes());
        bytes.extend(100_u64.to_be_bytes());
        let read = Record::decode(&bytes).unwrap();
        assert_eq!(read, record(State::Unknown { since: 50, keep: 100 }));
        assert_eq!(read.encode(), bytes);
    }

    #[test]
    fn a_transaction_id_is_visible_ascii_within_its_limit() {
        for (text, good) in [
            ("t".repeat(MAX_TRANSACTION_ID), true),
            ("t".repeat(MAX_TRANSACTION_ID + 1), false),
            (String::new(), false),
            ("a b".into(), false),
            ("a\r\nb".into(), false),
            ("é".into(), false),
        ] {
            assert_eq!(is_transaction_id(&text), good, "{text}");
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let state = prop_oneof![
            any::<(u64, u64)>().prop_map(|(since, keep)| State::Running { since, keep }),
            any::<(u64, u64)>().prop_map(|(since, keep)| State::Unknown { since, keep }),
            (
                proptest::option::of(100..1000_u16),
                proptest::option::of(".{0,128}"),
                any::<(u64, u64)>(),
                proptest::option::of(proptest::collection::vec(any::<u8>(), 1..90))
            )
                .prop_map(|(status, id, (completed_at, keep_until), answer)| {
                    State::Done {
                        status,
                        transaction_id: id.map(String::into_boxed_str),
                        completed_at,
                        keep_until,
                        answer: answer.map(Arc::from),
                    }
                }),
        ];
        let owner = (".{0,60}", ".{0,60}", ".{0,60}").prop_map(|(issuer, user, key)| {
            Arc::new(Owner {
                issuer: issuer.into(),
                user: user.into(),
                module: "ledger".into(),
                route: "".into(),
                key: key.into(),
            })
        });
        (any::<[u8; 32]>(), proptest::option::of(owner), state).prop_map(|(fingerprint, owner, state)| Record {
            fingerprint: Fingerprint::from_bytes(fingerprint),
            owner,
            state,
        })
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(record in any_record()) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn bytes_have_one_reading(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(record) = Record::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }

        #[test]
        fn a_cut_record_is_no_record_unless_the_cut_is_in_its_text(record in any_record(), cut in 0..53_usize) {
            let bytes = record.encode();
            if cut < bytes.len() {
                prop_assert!(Record::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
