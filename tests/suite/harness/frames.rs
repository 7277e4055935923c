//! An HTTP/2 client that sends frames as they are told, whatever RFC 9113 thinks of them.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

use super::DEADLINE;

/// Frame types (RFC 9113, 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered with this status and this body.
    Answered(u16, String),
    /// Reset, with this code.
    Reset(u32),
    /// The connection went away, with this code if it said one.
    Gone(Option<u32>),
}

/// An open connection.
pub struct Frames {
    reader: BufReader<TcpStream>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block (RFC 7541): each field as literal, without an index.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            length(&mut bytes, text.len());
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// An integer of seven bits and more (RFC 7541, 5.1).
fn length(bytes: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(127);
    length -= 127;
    while length >= 128 {
        bytes.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    bytes.push(u8::try_from(length).unwrap());
}

/// The fields of a good `GET`.
pub fn get<'a>(path: &'a str, bearer: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gw.example"),
        (":path", path),
    ];
    if !bearer.is_empty() {
        fields.push(("authorization", bearer));
    }
    fields
}

impl Frames {
    /// Connects and says what every client says first.
    pub fn open(port: u16) -> Self {
        Self::with_settings(port, &[])
    }

    /// Settings as pairs of number and value (RFC 9113, 6.5.2).
    pub fn with_settings(port: u16, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self {
            reader: BufReader::new(stream),
        };
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(kind::SETTINGS, 0, 0, &payload));
        assert!(frames.write(&hello));
        frames
    }

    /// Whether the bytes went out.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// Sends these bytes again and again until the other side hangs up; how often, up to `most`. What comes meanwhile is
    /// read by nobody, unless `read`.
    pub fn flood(&mut self, read: bool, most: usize, mut bytes: impl FnMut(usize) -> Vec<u8>) -> usize {
        let mut theirs = self.reader.get_ref().try_clone().unwrap();
        let reading = read.then(|| std::thread::spawn(move || while matches!(theirs.read(&mut [0; 4096]), Ok(1..)) {}));
        let sent = (0..most).find(|at| !self.write(&bytes(*at))).unwrap_or(most);
        let _ = self.reader.get_ref().shutdown(std::net::Shutdown::Both);
        if let Some(reading) = reading {
            reading.join().unwrap();
        }
        sent
    }

    /// The next frame; none when the connection is over.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.reader.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, d, e, f, g] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.reader.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]),
            payload,
        })
    }

    /// Reads until it is clear what became of a stream. Good for the first answer of a connection: later ones may refer to
    /// it.
    pub fn fate(&mut self, stream: u32) -> Fate {
        let (mut status, mut body) = (0, Vec::new());
        while let Some(frame) = self.next() {
            match frame.kind {
                kind::GOAWAY => return Fate::Gone(Some(code(&frame.payload[4..]))),
                kind::RST_STREAM if frame.stream == stream => return Fate::Reset(code(&frame.payload)),
                kind::HEADERS if frame.stream == stream => status = status_of(&frame.payload),
                kind::DATA if frame.stream == stream => body.extend_from_slice(&frame.payload),
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                return Fate::Answered(status, String::from_utf8(body).unwrap());
            }
        }
        Fate::Gone(None)
    }
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// The status at the beginning of a header block (RFC 7541, appendices A and B: of the Huffman code, the digits).
fn status_of(block: &[u8]) -> u16 {
    let rest = match block {
        [known @ 0x88..=0x8e, ..] => return [200, 204, 206, 304, 400, 404, 500][usize::from(known - 0x88)],
        [0x48, huffman, rest @ ..] if huffman & 0x80 != 0 => &rest[..usize::from(huffman & 0x7f)],
        [0x48, 3, rest @ ..] => return std::str::from_utf8(&rest[..3]).unwrap().parse().unwrap(),
        other => panic!("no status: {other:x?}"),
    };
    let bits: Vec<u16> = rest
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)))
        .collect();
    let number = |bits: &[u16]| bits.iter().fold(0, |number, bit| number * 2 + bit);
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let short = number(&bits[at..at + 5]);
        let (digit, length) = if short < 3 {
            (short, 5)
        } else {
            (number(&bits[at..at + 6]) - 0b01_1001 + 3, 6)
        };
        status = status * 10 + digit;
        at += length;
    }
    status
}
