//! UTF-8 in chunks: what of a chunk is sound, and the few bytes of a character that the next chunk completes.

/// The start of a character that is not whole yet; never more than three bytes between two calls.
#[derive(Debug, Default)]
pub(super) struct Carry {
    bytes: [u8; 4],
    length: usize,
}

/// A chunk without the end that is no whole character.
pub(super) struct Sound<'c> {
    pub(super) text: &'c [u8],
    /// What follows `text` can never become UTF-8 (RFC 3629, 4).
    pub(super) broken: bool,
}

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes from `chunk` what completes the character that is carried: `Ok(None)` if there is none, or if it is
    /// still not whole.
    pub(super) fn complete(&mut self, chunk: &mut &[u8]) -> Result<Option<([u8; 4], usize)>, ()> {
        while self.length > 0 {
            let Some((&byte, rest)) = chunk.split_first() else {
                return Ok(None);
            };
            *chunk = rest;
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
            match std::str::from_utf8(self.bytes.get(..self.length).unwrap_or_default()) {
                Ok(_) => {
                    let whole = (self.bytes, self.length);
                    self.length = 0;
                    return Ok(Some(whole));
                }
                Err(fault) if fault.error_len().is_none() => {}
                Err(_) => return Err(()),
            }
        }
        Ok(None)
    }

    /// Splits off what is no whole character and carries it, if more bytes may complete it.
    pub(super) fn split<'c>(&mut self, chunk: &'c [u8]) -> Sound<'c> {
        let Err(fault) = simdutf8::compat::from_utf8(chunk) else {
            return Sound {
                text: chunk,
                broken: false,
            };
        };
        let (text, tail) = chunk.split_at_checked(fault.valid_up_to()).unwrap_or_default();
        let broken = fault.error_len().is_some();
        if !broken {
            for (place, byte) in self.bytes.iter_mut().zip(tail) {
                *place = *byte;
            }
            self.length = tail.len().min(self.bytes.len());
        }
        Sound { text, broken }
    }
}
