//! Is the log what was written? Names the first record that is not.

use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::chain::{self, LineFault, Link};

/// Longest line that is read, in bytes; the longest that is written is far shorter.
pub const MAX_LINE: usize = 256 * 1024;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How many records are good, from the first on.
    pub records: u64,
    /// The number of the last good one.
    pub last_seq: u64,
    /// Its hash.
    pub last_hash: String,
    /// The first bad one.
    pub broken: Option<Broken>,
}

/// The first bad record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The file it is in.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`: {fault}", path = .path.display())]
pub struct Unreadable {
    path: PathBuf,
    fault: io::Error,
}

impl Verdict {
    /// Whether every record is as it was written and where it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.broken.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.broken {
            None => write!(
                f,
                "{} records, the last is {} with hash {}",
                self.records, self.last_seq, self.last_hash
            ),
            Some(Broken { file, line, what }) => write!(
                f,
                "{}:{line}: {what}\n{} records before it are good, the last is {}",
                file.display(),
                self.records,
                self.last_seq
            ),
        }
    }
}

/// Verifies files, oldest first. The first must begin with the chain's first record: what stood before it would not be missed.
///
/// # Errors
/// A file cannot be read.
pub fn verify(paths: &[PathBuf]) -> Result<Verdict, Unreadable> {
    let mut walk = Walk { link: None, records: 0 };
    let mut broken = None;
    for path in paths {
        let unreadable = |fault| Unreadable {
            path: path.clone(),
            fault,
        };
        let file = File::open(path).map_err(unreadable)?;
        broken = walk
            .file(path, BufReader::with_capacity(1 << 20, file))
            .map_err(unreadable)?;
        if broken.is_some() {
            break;
        }
    }
    let link = walk.link.unwrap_or(Link::GENESIS);
    Ok(Verdict {
        records: walk.records,
        last_seq: link.seq,
        last_hash: String::from_utf8_lossy(&link.hash).into_owned(),
        broken,
    })
}

struct Walk {
    link: Option<Link>,
    records: u64,
}

impl Walk {
    fn file(&mut self, path: &Path, mut reader: impl BufRead) -> io::Result<Option<Broken>> {
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
            if io::Read::take(&mut reader, limit).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            number += 1;
            let broken = |what: String| {
                Ok(Some(Broken {
                    file: path.to_owned(),
                    line: number,
                    what,
                }))
            };
            let Some(record) = line.strip_suffix(b"\n") else {
                return broken(if line.len() == MAX_LINE {
                    format!("the line is longer than {MAX_LINE} bytes")
                } else {
                    "the last line is torn: it has no end, as after a crash".into()
                });
            };
            if let Err(what) = self.record(record) {
                return broken(what);
            }
        }
    }

    fn record(&mut self, record: &[u8]) -> Result<(), String> {
        let place = chain::read(record).map_err(|fault: LineFault| format!("the record {fault}"))?;
        if let Some(last) = self.link {
            if place.seq != last.seq + 1 {
                return Err(format!(
                    "record {} follows record {}: something was removed, inserted or moved",
                    place.seq, last.seq
                ));
            }
            if place.prev != last.hash {
                return Err(format!(
                    "record {} is chained to another record {}: one of them was replaced",
                    place.seq, last.seq
                ));
            }
        } else if place.seq == 1 && place.prev != Link::GENESIS.hash {
            return Err("the first record is chained to something".into());
        } else if place.seq != 1 {
            return Err(format!(
                "the log begins with record {}: the records before it were removed (name older files first)",
                place.seq
            ));
        }
        self.link = Some(Link {
            seq: place.seq,
            hash: place.hash,
        });
        self.records += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Event;
    use super::super::line::write_event;
    use super::*;

    fn log(count: usize) -> Vec<Vec<u8>> {
        let mut link = Link::GENESIS;
        (0..count)
            .map(|number| {
                let mut out = Vec::new();
                let event = Event::new("start").with("number", &number.to_string());
                write_event(&event, &mut link, &mut out);
                out
            })
            .collect()
    }

    fn check(lines: &[Vec<u8>]) -> Option<Broken> {
        let mut walk = Walk { link: None, records: 0 };
        walk.file(Path::new("audit.jsonl"), lines.concat().as_slice()).unwrap()
    }

    #[test]
    fn a_log_as_written_is_whole() {
        assert_eq!(check(&log(5)), None);
        assert_eq!(check(&[]), None);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let lines = log(3);
        for line in 0..3 {
            for at in 0..lines[line].len() {
                let mut changed = lines.clone();
                changed[line][at] ^= 1;
                let broken = check(&changed).unwrap_or_else(|| panic!("line {line} byte {at}"));
                // A changed line end joins two lines: then the joined line is named.
                assert_eq!(broken.line, line as u64 + 1, "byte {at}");
            }
        }
    }

    #[test]
    fn removed_moved_inserted_and_doubled_records_are_found() {
        let lines = log(5);
        for at in 0..4 {
            let mut removed = lines.clone();
            removed.remove(at);
            assert!(check(&removed).is_some(), "removed {at}");
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            assert!(check(&swapped).is_some(), "swapped {at}");
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at].clone());
            assert!(check(&doubled).is_some(), "doubled {at}");
            let mut inserted = lines.clone();
            inserted.insert(at + 1, b"{}\n".to_vec());
            assert_eq!(check(&inserted).unwrap().line, at as u64 + 2, "inserted after {at}");
        }
    }

    #[test]
    fn a_record_made_anew_breaks_the_chain_after_it() {
        let lines = log(4);
        let mut link = Link::GENESIS;
        let mut first = Vec::new();
        write_event(&Event::new("stop"), &mut link, &mut first);
        let mut forged = lines;
        forged[0] = first;
        assert_eq!(check(&forged).unwrap().line, 2);
    }

    #[test]
    fn a_torn_last_line_is_told_apart() {
        let lines = log(2);
        for length in 1..lines[1].len() {
            let torn = vec![lines[0].clone(), lines[1][..length].to_vec()];
            let broken = check(&torn).unwrap();
            assert_eq!(broken.line, 2);
            assert!(broken.what.contains("torn"), "{}", broken.what);
        }
    }

    #[test]
    fn a_line_is_read_up_to_its_limit() {
        for (length, what) in [(MAX_LINE, "no audit record"), (MAX_LINE + 1, "longer than")] {
            let mut line = vec![b'x'; length - 1];
            line.push(b'\n');
            assert!(check(&[line]).unwrap().what.contains(what), "{length}");
        }
    }
}
