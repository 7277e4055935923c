//! What can go wrong with the store. All of it is one thing to a client, `store_unavailable`; operators read the text.

use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};
use std::io;

/// Why the store cannot be opened, or does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// Another process has the folder.
    #[error("the store is in use by another process")]
    InUse,
    /// The file was written by a newer version (THREATS H26).
    #[error("the store has format {found}; this version knows formats up to {known}")]
    Newer {
        /// What the file says.
        found: u64,
        /// What this version writes.
        known: u64,
    },
    /// The file is not as it was written. It stays where it is: a copy of it may tell which payments were made.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The folder or the file cannot be made, locked or read.
    #[error("the store cannot be opened: {0}")]
    Io(String),
    /// Too many requests wait or run ([`super::MAX_QUEUED`], [`super::MAX_LIVE`]).
    #[error("too many requests use the store")]
    Busy,
    /// The store holds as many keys as it may ([`super::MAX_KEYS`]).
    #[error("the store is full")]
    Full,
    /// There is no room on the disk, or none within a quota: nothing is acknowledged until there is.
    #[error("there is no room for the store")]
    NoRoom,
    /// The outcome cannot be written down any more: an operator settled the key meanwhile, or it was used again after that.
    #[error("somebody else settled the key first")]
    Overtaken,
    /// A commit failed, so nothing of it is acknowledged, and the store has closed.
    #[error("the store cannot be written: {0}")]
    Write(String),
    /// The server of a shared store does not answer, or not in time. Passes.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The server answers, and does not let the gateway do its work.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// The server may forget what it acknowledged.
    #[error("the store may forget what it acknowledges: {0}; `insecure_volatile: true` takes it all the same")]
    Volatile(String),
    /// The store closed earlier; the program has to be started again.
    #[error("the store is closed")]
    Closed,
}

impl StoreFault {
    /// For what the file system says while the folder is opened.
    pub(super) fn io(what: &str, error: &io::Error) -> Self {
        Self::Io(format!("{what}: {error}"))
    }
}

impl StoreFault {
    /// What somebody who meets it at a start should do.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Corrupt(_) => {
                "; keep `keys.redb` and `keys.day-*` elsewhere, put a backup in place of the first if there is one \
                 (`tollgate idempotency backup` makes them), and compare with the backend what was done since, for that would be done again"
            }
            Self::NoRoom => "; make room on its disk",
            _ => "",
        }
    }
}

/// Whether a file could not be written because the disk, a quota or the limit of a file's size is used up.
pub(super) fn is_want_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl From<DatabaseError> for StoreFault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::InUse,
            DatabaseError::Storage(error) => error.into(),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl From<StorageError> for StoreFault {
    fn from(error: StorageError) -> Self {
        match error {
            // A file that is shorter than what it says, or no database at all.
            StorageError::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Corrupt(error.to_string())
            }
            StorageError::Io(error) if is_want_of_room(&error) => Self::NoRoom,
            StorageError::Corrupted(what) => Self::Corrupt(what),
            other => Self::Write(other.to_string()),
        }
    }
}

impl From<TableError> for StoreFault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl From<TransactionError> for StoreFault {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Self::Write(other.to_string()),
        }
    }
}

impl From<CommitError> for StoreFault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Self::Write(other.to_string()),
        }
    }
}
