//! HTTP/2 requests that the library under us refuses before the gateway has seen them: a head that is malformed (RFC 9113,
//! 8.1.1), one that is far too large, one request too many at a time.
//!
//! The library says nothing of them to us, only to the client. So both directions are looked at: a stream that the client has
//! opened, that was not handed to the gateway, and that is reset or answered all the same, was refused.
//! What is handed over in which order is not known, but that all is after each turn of the connection, unless it was
//! refused, or waits until the client reads. So it is then that the streams and the requests are compared.

use std::collections::VecDeque;

use super::cutter::{Frame, kind};

/// Most streams that are remembered; with more, all are forgotten, and what is refused of them is not told.
const MAX_OPENED: usize = 1024;

/// Longest header block of the library's own answer, which has a status and nothing else. Ours name their request.
const MAX_OWN_BLOCK: usize = 8;

/// `END_STREAM` of a `HEADERS` frame (RFC 9113, 6.2).
const END_STREAM: u8 = 1;

/// `REFUSED_STREAM` (RFC 9113, 7): the client may ask again.
const REFUSED_STREAM: u32 = 7;

/// Why the library refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its head cannot be read, or means two things.
    Malformed,
    /// Its head is larger than anything that the gateway would still answer itself.
    TooLarge,
    /// The connection has as many requests as it may have.
    TooMany,
}

/// The requests of one connection, told by their streams.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// A stream whose head has not come to its end: nobody can have handed it over.
    begun: Option<u32>,
    /// Streams that were opened since all were handed over.
    opened: VecDeque<u32>,
    /// How many of these were handed over.
    handed: usize,
    /// The last stream that was opened.
    last: u32,
    /// Streams of which the client was told that they have come to nothing; the connection is stream 0.
    told: Vec<(u32, Refused)>,
}

impl Heads {
    /// A `HEADERS` frame begins. One of a stream that is known has trailers.
    pub(super) fn begun(&mut self, stream: u32) {
        if stream > self.last {
            self.last = stream;
            self.begun = Some(stream);
        }
    }

    /// The head that had begun has come to its end.
    pub(super) fn whole(&mut self) {
        let Some(stream) = self.begun.take() else { return };
        if self.opened.len() == MAX_OPENED {
            self.forget();
        }
        self.opened.push_back(stream);
    }

    /// A request was handed to the gateway.
    pub(super) fn handed(&mut self) {
        self.handed = (self.handed + 1).min(self.opened.len());
    }

    /// A frame goes out.
    pub(super) fn answered(&mut self, frame: &Frame) {
        // What is usual comes first: nothing is open that was not handed over.
        if self.opened.is_empty() && self.begun.is_none() {
            return;
        }
        let why = match frame.kind {
            kind::RST_STREAM if frame.code == REFUSED_STREAM => Refused::TooMany,
            kind::RST_STREAM => Refused::Malformed,
            kind::GOAWAY if frame.code != 0 => Refused::Malformed,
            kind::HEADERS if frame.flags & END_STREAM != 0 && frame.length <= MAX_OWN_BLOCK => Refused::TooLarge,
            _ => return,
        };
        let stream = if frame.kind == kind::GOAWAY { 0 } else { frame.stream };
        if self.told.len() < MAX_OPENED {
            self.told.push((stream, why));
        }
    }

    /// A turn of the connection is over: what has been refused since the last.
    pub(super) fn settle(&mut self) -> Vec<Refused> {
        let mut refused = Vec::new();
        // A stream may also be reset for what came behind its head. So those come first that cannot have been handed over,
        // and among the others the number is what counts.
        self.told.sort_by_key(|(_, why)| *why == Refused::Malformed);
        for (stream, why) in std::mem::take(&mut self.told) {
            let missing = self.opened.len() - self.handed;
            if stream == 0 {
                // What had come before the fault was not handed over either, and will not be.
                let broken = usize::from(self.begun.take().is_some());
                refused.extend(std::iter::repeat_n(why, missing + broken));
                self.forget();
            } else if missing == 0 {
                continue;
            }
            if let Some(place) = self.opened.iter().position(|own| *own == stream) {
                self.opened.remove(place);
                refused.push(why);
            }
        }
        if self.opened.len() == self.handed {
            self.forget();
        }
        refused
    }

    fn forget(&mut self) {
        self.opened.clear();
        self.handed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset(stream: u32, code: u32) -> Frame {
        frame(kind::RST_STREAM, 0, stream, 4, code)
    }

    fn frame(kind: u8, flags: u8, stream: u32, length: usize, code: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream,
            code,
        }
    }

    /// What happens in one turn of a connection, in its order.
    #[derive(Clone)]
    enum Step {
        Begun(u32),
        Opened(u32),
        Handed,
        Sent(Frame),
    }
    use Step::{Begun, Handed, Opened, Sent};

    #[test]
    fn what_was_opened_and_not_handed_over_and_is_reset_was_refused() {
        use Refused::{Malformed, TooLarge, TooMany};
        let own = |stream| frame(kind::HEADERS, END_STREAM | 4, stream, 5, 0);
        let ours = |stream| frame(kind::HEADERS, END_STREAM | 4, stream, 90, 0);
        let away = |code| frame(kind::GOAWAY, 0, 0, 8, code);
        type Case = (&'static str, Vec<Vec<Step>>, Vec<Refused>);
        let cases: Vec<Case> = vec![
            ("answered", vec![vec![Opened(1), Handed], vec![Sent(ours(1))]], vec![]),
            (
                "reset later",
                vec![vec![Opened(1), Handed], vec![Sent(reset(1, 1))]],
                vec![],
            ),
            (
                "reset in the turn in which it came",
                vec![vec![Opened(1), Sent(reset(1, 1)), Handed]],
                vec![],
            ),
            ("malformed", vec![vec![Opened(1), Sent(reset(1, 1))]], vec![Malformed]),
            (
                "told a turn later",
                vec![vec![Opened(1)], vec![Sent(reset(1, 1))]],
                vec![Malformed],
            ),
            (
                "malformed, another good",
                vec![vec![Opened(1), Opened(3), Sent(reset(1, 1)), Handed]],
                vec![Malformed],
            ),
            (
                "good, another malformed",
                vec![vec![Opened(1), Opened(3), Sent(reset(3, 1)), Handed]],
                vec![Malformed],
            ),
            (
                "two",
                vec![vec![Opened(1), Opened(3), Sent(reset(3, 1)), Sent(reset(1, 1))]],
                vec![Malformed; 2],
            ),
            (
                "told twice",
                vec![vec![Opened(1), Sent(own(1)), Sent(reset(1, 1))]],
                vec![TooLarge],
            ),
            (
                "too many",
                vec![vec![Opened(1), Handed, Opened(3), Sent(reset(3, 7))]],
                vec![TooMany],
            ),
            (
                "the connection broke",
                vec![vec![Opened(1), Sent(away(9))]],
                vec![Malformed],
            ),
            (
                "the connection broke, all were known",
                vec![vec![Opened(1), Handed], vec![Sent(away(9))]],
                vec![],
            ),
            (
                "the connection broke in a head",
                vec![vec![Begun(1), Sent(away(9))]],
                vec![Malformed],
            ),
            (
                "a head that goes on, another reset for its body",
                vec![
                    vec![Opened(1), Handed, Begun(3)],
                    vec![Sent(reset(1, 1))],
                    vec![Opened(3), Handed],
                ],
                vec![],
            ),
            (
                "too large, another reset for its body",
                vec![vec![Opened(1), Handed, Opened(3), Sent(reset(1, 1)), Sent(own(3))]],
                vec![TooLarge],
            ),
            (
                "malformed, another reset for its body",
                vec![vec![Opened(1), Handed, Opened(3), Sent(reset(1, 1)), Sent(reset(3, 1))]],
                vec![Malformed],
            ),
            (
                "the connection ends",
                vec![vec![Opened(1), Sent(away(0))], vec![Handed]],
                vec![],
            ),
            (
                "trailers",
                vec![vec![Opened(1), Handed], vec![Opened(1), Sent(reset(1, 1))]],
                vec![],
            ),
            (
                "waits for its turn",
                vec![vec![Opened(1)], vec![Sent(ours(1))], vec![Handed]],
                vec![],
            ),
            (
                "waits, and what it is",
                vec![vec![Opened(1)], vec![Handed], vec![Opened(3), Sent(reset(3, 1))]],
                vec![Malformed],
            ),
        ];
        for (what, turns, expected) in cases {
            let (mut heads, mut refused) = (Heads::default(), Vec::new());
            for steps in turns {
                for step in steps {
                    match step {
                        Begun(stream) => heads.begun(stream),
                        Opened(stream) => {
                            heads.begun(stream);
                            heads.whole();
                        }
                        Handed => heads.handed(),
                        Sent(frame) => heads.answered(&frame),
                    }
                }
                refused.extend(heads.settle());
            }
            assert_eq!(refused, expected, "{what}");
        }
    }

    #[test]
    fn no_more_than_a_bounded_number_is_remembered() {
        let mut heads = Heads::default();
        for stream in 0..100_000_u32 {
            heads.begun(stream * 2 + 1);
            heads.whole();
            heads.answered(&reset(stream * 2 + 1, 1));
            assert!(heads.opened.len() <= MAX_OPENED && heads.told.len() <= MAX_OPENED);
        }
    }
}
