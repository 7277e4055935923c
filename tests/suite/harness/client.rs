//! A client that sends bytes as they are and reads an answer as HTTP/1.1 says.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::DEADLINE;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body came to its end as its framing says.
    pub whole: bool,
}

/// An open connection.
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// Sends one request on a connection of its own.
pub fn ask(port: u16, bytes: &[u8]) -> Answer {
    Client::open(port).send(bytes)
}

/// Sends bytes and reads all that comes until the connection is closed.
pub fn raw(port: u16, bytes: &[u8]) -> String {
    let mut client = Client::open(port);
    client.write(bytes);
    let mut all = Vec::new();
    let _ = client.reader.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {}", self.text()))
    }

    /// The `error` of a refusal.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub fn open(port: u16) -> Self {
        Self::try_open(port).expect("cannot connect")
    }

    pub fn try_open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Some(Self {
            reader: BufReader::new(stream),
        })
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // The other side may have closed already; what it had said is still read.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub fn send(&mut self, bytes: &[u8]) -> Answer {
        self.write(bytes);
        self.read(bytes.starts_with(b"HEAD"))
    }

    /// Whether a request is answered with 200. A program that is just starting may well hang up instead.
    pub fn is_answered(&mut self, bytes: &[u8]) -> bool {
        self.write(bytes);
        self.line().is_some_and(|line| line.contains(" 200 "))
    }

    /// Whether the other side has closed.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.reader.fill_buf(), Ok([]) | Err(_))
    }

    /// Reads an answer.
    pub fn read(&mut self, head_only: bool) -> Answer {
        let mut answer = self.head();
        if head_only || matches!(answer.status, 204 | 304) {
            return answer;
        }
        self.body(&mut answer);
        answer
    }

    /// Reads an answer's head.
    pub fn head(&mut self) -> Answer {
        self.try_head().expect("no answer, or its head broke off")
    }

    /// Reads an answer's head; none if the other side is gone before its end.
    pub fn try_head(&mut self) -> Option<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            fields.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Some(Answer {
            status,
            fields,
            body: Vec::new(),
            whole: true,
        })
    }

    /// Reads a whole answer; none if the other side is gone before its end.
    pub fn try_read(&mut self) -> Option<Answer> {
        let mut answer = self.try_head()?;
        self.body(&mut answer);
        answer.whole.then_some(answer)
    }

    fn body(&mut self, answer: &mut Answer) {
        if let Some(length) = answer.field("content-length") {
            answer.body.resize(length.parse().unwrap(), 0);
            let mut taken = 0;
            while taken < answer.body.len() {
                match self.reader.read(&mut answer.body[taken..]) {
                    Ok(0) | Err(_) => {
                        answer.body.truncate(taken);
                        answer.whole = false;
                        break;
                    }
                    Ok(count) => taken += count,
                }
            }
        } else if answer.field("transfer-encoding").is_some() {
            answer.whole = self.chunks(&mut answer.body).is_some();
        } else {
            let _ = self.reader.read_to_end(&mut answer.body);
        }
    }

    /// The next chunk of a body in chunks; none at its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).ok()?;
        let mut bytes = vec![0; size];
        self.reader.read_exact(&mut bytes).ok()?;
        self.line()?;
        (size > 0).then_some(bytes)
    }

    /// Whether what is left of a chunked answer, whose head has been read, comes whole.
    pub fn read_chunks(&mut self) -> bool {
        self.chunks(&mut Vec::new()).is_some()
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).ok()?;
            let start = body.len();
            body.resize(start + size, 0);
            if self.reader.read_exact(&mut body[start..]).is_err() {
                body.truncate(start);
                return None;
            }
            self.line()?;
            if size == 0 {
                return Some(());
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}
