//! Where a field that is not quoted may end: plain runs are passed eight or thirty-two bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Whether a byte is looked at: a delimiter, a quote, a control character.
const fn is_special(byte: u8, delimiter: u8) -> bool {
    byte == delimiter || byte == b'"' || byte < 0x20 || byte == 0x7f
}

/// The place of the next byte that is looked at; the end of the chunk if there is none.
#[inline]
pub(super) fn special(chunk: &[u8], from: usize, delimiter: u8) -> usize {
    let mut at = from;
    while let Some(word) = chunk.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        // Per byte, the high bit of `(x - 1) & !x` is set if x is 0, and of `(x - 32) & !x` if x < 32. A borrow can
        // only spoil bytes after a true hit, and the first hit is all that is asked for.
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let ends = zero(word ^ (ONES * u64::from(delimiter)));
        let quote = zero(word ^ (ONES * 0x22));
        let delete = zero(word ^ (ONES * 0x7f));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hits = (ends | quote | delete | control) & HIGHS;
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at - from == 16 {
            at = plain_blocks(chunk, at, delimiter);
        }
    }
    let tail = chunk.get(at..).unwrap_or_default();
    tail.iter()
        .position(|&byte| is_special(byte, delimiter))
        .map_or(chunk.len(), |more| at + more)
}

/// Passes blocks that are plain as a whole; written so that the compiler makes vector code of it.
fn plain_blocks(chunk: &[u8], from: usize, delimiter: u8) -> usize {
    let mut at = from;
    while let Some(block) = chunk.get(at..).and_then(|rest| rest.first_chunk::<32>()) {
        let marked = block.iter().fold(0_u8, |marked, &byte| {
            marked
                | u8::from(byte == delimiter)
                | u8::from(byte == b'"')
                | u8::from(byte < 0x20)
                | u8::from(byte == 0x7f)
        });
        if marked != 0 {
            break;
        }
        at += 32;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for delimiter in [b',', b';', b'|', b'\t'] {
            for byte in 0..=255_u8 {
                for place in 0..90 {
                    let mut chunk = [b'a'; 90];
                    chunk[place] = byte;
                    let wanted = if is_special(byte, delimiter) { place } else { 90 };
                    for from in [0, 1, place.saturating_sub(1), place] {
                        let wanted = if from > place { 90 } else { wanted };
                        assert_eq!(
                            special(&chunk, from, delimiter),
                            wanted,
                            "{byte} at {place} from {from}"
                        );
                    }
                }
            }
        }
    }
}
