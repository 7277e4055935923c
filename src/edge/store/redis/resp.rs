//! Redis's protocol, RESP2, as far as the store speaks it: commands out, replies in, in their order.
//!
//! A reply is a line, or counted bytes, or a counted list of replies. What is counted is bounded, and what is odd ends the
//! connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use tokio::io::{AsyncBufRead as _, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::edge::store::wire::Wire;

/// Longest line of a reply, in bytes; errors are the longest.
const MAX_LINE: u64 = 64 << 10;

/// Largest reply, in bytes of its counted parts: far more than a page of records, or all turns of a gateway.
const MAX_REPLY: usize = 32 << 20;

/// Most lists within lists.
const MAX_DEPTH: usize = 8;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nothing,
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Reply>),
    /// The server's word on why not; it begins with a code in capitals.
    Error(String),
}

/// A command: its name and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    parts: usize,
    bytes: Vec<u8>,
}

impl Command {
    pub(super) fn new(name: &str) -> Self {
        Self::default().and(name)
    }

    /// The same with one more argument.
    pub(super) fn and(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.bytes.extend(format!("${}\r\n", part.len()).as_bytes());
        self.bytes.extend(part);
        self.bytes.extend(b"\r\n");
        self.parts += 1;
        self
    }

    /// The same with a number.
    pub(super) fn and_number(self, number: impl Into<u64>) -> Self {
        self.and(number.into().to_string())
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend(format!("*{}\r\n", self.parts).as_bytes());
        out.extend(&self.bytes);
    }
}

/// An open connection.
pub(super) struct Line {
    wire: BufReader<Wire>,
    /// An exchange was not carried to its end, so that nobody knows whose the next reply is.
    broken: bool,
}

impl Line {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire: BufReader::new(wire),
            broken: false,
        }
    }

    /// Whether nothing more can be asked: an exchange broke off, or the server has closed or says what nobody asked for.
    pub(super) fn is_broken(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.broken || Pin::new(&mut self.wire).poll_fill_buf(&mut context).is_ready()
    }

    /// Sends commands together and reads as many replies.
    pub(super) async fn exchange(&mut self, commands: &[Command]) -> io::Result<Vec<Reply>> {
        // Whoever gives up waiting drops this half-way.
        self.broken = true;
        let mut out = Vec::new();
        for command in commands {
            command.write_to(&mut out);
        }
        self.wire.write_all(&out).await?;
        self.wire.flush().await?;
        let mut replies = Vec::with_capacity(commands.len());
        for _ in commands {
            replies.push(self.reply(&mut { MAX_REPLY }, MAX_DEPTH).await?);
        }
        self.broken = false;
        Ok(replies)
    }

    /// One reply, with so many bytes and lists left.
    async fn reply(&mut self, left: &mut usize, depth: usize) -> io::Result<Reply> {
        let line = self.line().await?;
        let Some((kind, rest)) = line.split_at_checked(1) else {
            return Err(odd("an empty line"));
        };
        match kind {
            "+" => Ok(Reply::Bytes(rest.as_bytes().to_vec())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => rest.parse().map(Reply::Number).map_err(|_| odd("a number")),
            "$" | "*" if rest == "-1" => Ok(Reply::Nothing),
            "$" => {
                let mut bytes = vec![0; take(left, rest, 1)?];
                self.wire.read_exact(&mut bytes).await?;
                let mut end = [0; 2];
                self.wire.read_exact(&mut end).await?;
                if &end != b"\r\n" {
                    return Err(odd("an end"));
                }
                Ok(Reply::Bytes(bytes))
            }
            "*" => {
                let (count, depth) = (
                    take(left, rest, size_of::<Reply>())?,
                    depth.checked_sub(1).ok_or_else(|| odd("a depth"))?,
                );
                let mut list = Vec::with_capacity(count);
                for _ in 0..count {
                    list.push(Box::pin(self.reply(left, depth)).await?);
                }
                Ok(Reply::List(list))
            }
            _ => Err(odd("a kind of reply")),
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.wire).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| odd("a line"))?;
        String::from_utf8(line.to_vec()).map_err(|_| odd("a line"))
    }
}

/// A count, whose parts are so large in memory, out of what is left.
fn take(left: &mut usize, digits: &str, size: usize) -> io::Result<usize> {
    let count: usize = digits.parse().map_err(|_| odd("a count"))?;
    let all = count.checked_mul(size).ok_or_else(|| odd("a count"))?;
    *left = left.checked_sub(all).ok_or_else(|| odd("a size"))?;
    Ok(count)
}

fn odd(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("Redis has answered with {what} that is none of its protocol"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of bytes that come one at a time.
    fn read(bytes: &[u8]) -> Result<Vec<Reply>, String> {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let mut line = Line::new(Box::new(ours));
        let commands = vec![Command::new("PING"); 2];
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(async {
                let mut heard = vec![0; 2 * b"*1\r\n$4\r\nPING\r\n".len()];
                let serve = async {
                    theirs.read_exact(&mut heard).await.unwrap();
                    assert_eq!(heard, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n");
                    theirs.write_all(bytes).await.unwrap();
                    drop(theirs);
                    std::future::pending::<()>().await;
                };
                // What nobody reads any more is never written to its end.
                let said = tokio::select! {
                    said = line.exchange(&commands) => said,
                    () = serve => unreachable!(),
                };
                assert_eq!(line.broken, said.is_err());
                said.map_err(|fault| fault.to_string())
            })
    }

    #[test]
    fn replies_are_read_in_their_order() {
        let text = |text: &str| Reply::Bytes(text.into());
        for (bytes, replies) in [
            ("+PONG\r\n:-7\r\n", vec![text("PONG"), Reply::Number(-7)]),
            ("$-1\r\n*-1\r\n", vec![Reply::Nothing, Reply::Nothing]),
            ("$4\r\na\r\nb\r\n$0\r\n\r\n", vec![text("a\r\nb"), text("")]),
            (
                "-ERR no\r\n*0\r\n",
                vec![Reply::Error("ERR no".into()), Reply::List(vec![])],
            ),
            (
                "*2\r\n*1\r\n:1\r\n$-1\r\n+\r\n",
                vec![
                    Reply::List(vec![Reply::List(vec![Reply::Number(1)]), Reply::Nothing]),
                    text(""),
                ],
            ),
        ] {
            assert_eq!(read(bytes.as_bytes()), Ok(replies), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_odd_ends_the_connection() {
        let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
        let long = format!("+{}\r\n", "x".repeat(70_000));
        for bytes in [
            "",
            "+PONG\r\n",
            "+PONG",
            "PONG\r\n",
            "\r\n\r\n",
            ":x\r\n:1\r\n",
            "$x\r\n",
            "$-2\r\n",
            "$3\r\nabcd\r\n",
            "$3\r\nab",
            "$999999999\r\n",
            "$18446744073709551615\r\n",
            "*999999999\r\n",
            "*-2\r\n",
            "+a\n+b\r\n",
            &deep,
            &long,
        ] {
            assert!(read(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn an_argument_may_be_any_bytes() {
        let mut out = Vec::new();
        Command::new("SET")
            .and([0, 13, 10])
            .and_number(7_u64)
            .write_to(&mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$3\r\n\0\r\n\r\n$1\r\n7\r\n");
    }
}
