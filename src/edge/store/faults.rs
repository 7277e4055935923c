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
    /// The file is not as it was written. It is left as it is: a copy of it may tell which payments were made.
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
    /// While the holder of a key was not heard of, somebody else said what became of it.
    #[error("the key was settled by somebody else, because its gateway was not heard of for too long")]
    Overtaken,
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
