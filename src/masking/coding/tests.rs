//! Every coding as data: whole, in chunks, cut short, damaged, and expanding without end.

use proptest::prelude::*;
use std::io::Write;

use super::Coding::{Brotli, Deflate, Gzip, Zstd};
use super::{
    Bounds, Coding, DecodeFault, Decoder, Encoder, MAX_DECODED, MAX_PIECE, MAX_RATIO, MAX_STREAMS, RATIO_FREE, gzip,
};

const ALL: [Coding; 4] = [Gzip, Deflate, Brotli, Zstd];

/// Rows that differ a little: long enough for every kind of block, short enough to damage each of its bits.
fn text(rows: u64) -> Vec<u8> {
    let mut number = 1_u64;
    let row = |at| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(at);
        format!("{{\"id\":{at},\"ssn\":\"{number:x}\",\"name\":\"Straße {at}\"}}")
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("[{}]", rows.join(",")).into_bytes()
}

fn encode(coding: Coding, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Brotli => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
            encoder.write_all(text).unwrap();
            drop(encoder);
            out
        }
        Zstd => {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

type Decoded = (Vec<u8>, Result<(), DecodeFault>);

fn run<'c>(coding: Coding, bounds: Bounds, chunks: impl IntoIterator<Item = &'c [u8]>) -> Decoded {
    let mut decoder = Decoder::new(coding, bounds).unwrap();
    let mut out = Vec::new();
    let mut end = Ok(());
    for mut chunk in chunks {
        end = loop {
            match decoder.next(&mut chunk) {
                Ok(Some(piece)) => {
                    assert!(!piece.is_empty() && piece.len() <= MAX_PIECE);
                    out.extend_from_slice(piece);
                }
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        if end.is_err() {
            break;
        }
        assert!(chunk.is_empty(), "all of a chunk is used");
    }
    if let Err(fault) = end {
        assert_eq!(decoder.next(&mut &b"x"[..]), Err(fault), "a fault stays");
        assert_eq!(decoder.finish(), Err(fault));
        return (out, end);
    }
    (out, decoder.finish())
}

fn decode(coding: Coding, coded: &[u8]) -> Decoded {
    run(coding, Bounds::default(), [coded])
}

fn malformed(decoded: &Decoded) -> bool {
    matches!(decoded.1, Err(DecodeFault::Malformed { .. }))
}

#[test]
fn a_coding_is_named_once_and_is_known() {
    use DecodeFault::{Stacked, Unknown};
    for (fields, want) in [
        (&[][..], Ok(None)),
        (&[""], Ok(None)),
        (&["identity"], Ok(None)),
        (&["identity, Identity", "IDENTITY"], Ok(None)),
        (&["gzip"], Ok(Some(Gzip))),
        (&["GZip"], Ok(Some(Gzip))),
        (&["x-gzip"], Ok(Some(Gzip))),
        (&[" gzip\t"], Ok(Some(Gzip))),
        (&[",gzip,"], Ok(Some(Gzip))),
        (&["identity, gzip"], Ok(Some(Gzip))),
        (&["gzip", "identity"], Ok(Some(Gzip))),
        (&["deflate"], Ok(Some(Deflate))),
        (&["br"], Ok(Some(Brotli))),
        (&["BR"], Ok(Some(Brotli))),
        (&["zstd"], Ok(Some(Zstd))),
        (&["gzip, gzip"], Err(Stacked)),
        (&["gzip", "gzip"], Err(Stacked)),
        (&["gzip,br"], Err(Stacked)),
        (&["gzip", "rot13"], Err(Stacked)),
        (&["rot13, gzip"], Err(Stacked)),
        (&["rot13"], Err(Unknown)),
        (&["compress"], Err(Unknown)),
        (&["x-deflate"], Err(Unknown)),
        (&["dcz"], Err(Unknown)),
        (&["gzip;q=1"], Err(Unknown)),
        (&["\"gzip\""], Err(Unknown)),
        (&["gzip br"], Err(Unknown)),
        (&["*"], Err(Unknown)),
        (&["gzip\0"], Err(Unknown)),
        (&["\u{e9}"], Err(Unknown)),
    ] {
        let found = Coding::of(fields.iter().map(|field: &&str| field.as_bytes()));
        assert_eq!(found, want, "{fields:?}");
    }
}

#[test]
fn however_a_body_is_cut_into_chunks_it_is_the_same() {
    for coding in ALL {
        for text in [Vec::new(), b"{}".to_vec(), text(12)] {
            let coded = encode(coding, &text);
            let want = (text, Ok(()));
            assert_eq!(decode(coding, &coded), want, "{coding:?}");
            for place in 0..=coded.len() {
                let (a, b) = coded.split_at(place);
                assert_eq!(run(coding, Bounds::default(), [a, b]), want, "{coding:?} at {place}");
            }
            let bytes = coded.chunks(1).flat_map(|byte| [&[][..], byte]);
            assert_eq!(run(coding, Bounds::default(), bytes), want, "{coding:?} byte by byte");
        }
        let large = text(40_000);
        let coded = encode(coding, &large);
        let chunks = coded.chunks(7919);
        assert!(run(coding, Bounds::default(), chunks) == (large, Ok(())), "{coding:?}");
    }
}

#[test]
fn nothing_is_made_of_no_input() {
    for coding in ALL {
        let text = text(3);
        let coded = encode(coding, &text);
        let mut decoder = Decoder::new(coding, Bounds::default()).unwrap();
        let mut out = Vec::new();
        for mut byte in coded.chunks(1) {
            for _ in 0..100 {
                assert_eq!(decoder.next(&mut &b""[..]), Ok(None), "{coding:?}");
            }
            while let Some(piece) = decoder.next(&mut byte).unwrap() {
                out.extend_from_slice(piece);
            }
        }
        assert_eq!((decoder.finish(), out), (Ok(()), text), "{coding:?}");
    }
}

#[test]
fn what_ends_too_early_is_a_fault_and_what_came_of_it_was_right() {
    for coding in ALL {
        let text = text(12);
        let coded = encode(coding, &text);
        for length in 0..coded.len() {
            let (out, end) = decode(coding, &coded[..length]);
            assert_eq!(
                end,
                Err(DecodeFault::Truncated { at: length as u64 }),
                "{coding:?} {length}"
            );
            assert!(text.starts_with(&out), "{coding:?} {length}");
        }
    }
}

#[test]
fn one_wrong_bit_is_a_fault_or_nothing() {
    for coding in ALL {
        let text = text(12);
        let coded = encode(coding, &text);
        let bounds = Bounds {
            decoded: 1 << 20,
            ..Bounds::default()
        };
        for at in 0..coded.len() * 8 {
            let mut wrong = coded.clone();
            wrong[at / 8] ^= 1 << (at % 8);
            let (out, end) = run(coding, bounds, [&wrong[..]]);
            assert!(out.len() as u64 <= bounds.decoded);
            // Brotli has no checksum: what it decodes to is another text, and masked as that.
            assert!(end.is_err() || out == text || coding == Brotli, "{coding:?} bit {at}");
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    for coding in ALL {
        let text = text(12);
        let coded = encode(coding, &text);
        let at = coded.len() as u64;
        for more in [
            &b"x"[..],
            b"\0",
            b"\0\0\0\0\0\0\0\0\0\0",
            b"xxxxxxxxxx",
            &coded[1..],
            &coded,
            SKIPPED,
        ] {
            if several(coding, more) {
                continue;
            }
            let want = |end: &Result<(), DecodeFault>| match end {
                // Fewer bytes than name a frame may still become one.
                Err(DecodeFault::Truncated { .. }) => coding == Zstd && more.len() < 5,
                end => *end == Err(DecodeFault::Trailing { at }),
            };
            let all = [&coded, more].concat();
            let (out, end) = decode(coding, &all);
            assert!(out == text && want(&end), "{coding:?} {end:?}");
            let (out, end) = run(coding, Bounds::default(), [&coded, more]);
            assert!(out == text && want(&end), "{coding:?} {end:?}");
            let (out, end) = run(coding, Bounds::default(), all.chunks(1));
            assert!(out == text && want(&end), "{coding:?} {end:?}");
        }
    }
}

/// Whether `more` goes on with the body in this coding.
fn several(coding: Coding, more: &[u8]) -> bool {
    match coding {
        Gzip => more.starts_with(b"\x1f\x8b"),
        Zstd => more.starts_with(b"\x28\xb5\x2f\xfd") || more == SKIPPED,
        Deflate | Brotli => false,
    }
}

#[test]
fn several_members_or_frames_are_one_body() {
    for coding in [Gzip, Zstd] {
        let (one, two) = (text(7), text(5));
        let empty = encode(coding, b"");
        let parts = [&empty[..], &encode(coding, &one), &empty, &encode(coding, &two), &empty].concat();
        let want = ([one, two].concat(), Ok(()));
        for place in 0..=parts.len() {
            let (a, b) = parts.split_at(place);
            assert_eq!(run(coding, Bounds::default(), [a, b]), want, "{coding:?} at {place}");
        }
        assert_eq!(run(coding, Bounds::default(), parts.chunks(1)), want, "{coding:?}");
        for length in 0..parts.len() {
            let (out, end) = decode(coding, &parts[..length]);
            assert!(want.0.starts_with(&out));
            // Only where a member or frame ends is the body whole.
            let whole = end.is_ok();
            assert!(
                whole || end == Err(DecodeFault::Truncated { at: length as u64 }),
                "{coding:?} {length}"
            );
            if whole {
                assert_eq!(decode(coding, &parts[length..]).1, Ok(()), "{coding:?} {length}");
            }
        }
        for at in 0..parts.len() * 8 {
            let mut wrong = parts.clone();
            wrong[at / 8] ^= 1 << (at % 8);
            let (out, end) = decode(coding, &wrong);
            assert!(end.is_err() || out == want.0, "{coding:?} bit {at}");
        }
    }
    assert_eq!(
        decode(Zstd, &[SKIPPED, &encode(Zstd, b"{}"), SKIPPED].concat()),
        (b"{}".to_vec(), Ok(()))
    );
}

#[test]
fn members_and_frames_have_a_limit_and_one_set_of_bounds() {
    for coding in [Gzip, Zstd] {
        let empty = encode(coding, b"");
        let most = empty.repeat(MAX_STREAMS as usize);
        assert_eq!(decode(coding, &most), (Vec::new(), Ok(())), "{coding:?}");
        let more = [&most[..], &empty].concat();
        let at = most.len() as u64;
        assert_eq!(decode(coding, &more).1, Err(DecodeFault::Streams { at }), "{coding:?}");
        let text = text(100);
        let coded = encode(coding, &text).repeat(3);
        let limit = text.len() as u64 * 3 - 1;
        let bounds = Bounds {
            decoded: limit,
            ..Bounds::default()
        };
        assert_eq!(
            run(coding, bounds, [&coded[..]]).1,
            Err(DecodeFault::TooLarge { limit }),
            "{coding:?}"
        );
        let bomb = encode(coding, &vec![b'0'; 4 << 20]).repeat(4);
        assert!(
            matches!(decode(coding, &bomb).1, Err(DecodeFault::Bomb { .. })),
            "{coding:?}"
        );
    }
}

#[test]
fn one_coding_is_not_taken_for_another() {
    let text = text(12);
    for said in ALL {
        assert!(malformed(&decode(said, &text)), "plain text as {said:?}");
        for coding in ALL.into_iter().filter(|coding| *coding != said) {
            let (out, end) = decode(said, &encode(coding, &text));
            assert!(end.is_err() && out != text, "{coding:?} as {said:?}");
        }
        let twice = encode(said, &encode(said, &text));
        assert!(decode(said, &twice).0 != text, "{said:?} is undone once");
    }
}

#[test]
fn a_bomb_is_stopped_by_its_ratio() {
    let zeros = vec![b'0'; 16 << 20];
    for coding in ALL {
        let coded = encode(coding, &zeros);
        for size in [coded.len(), 64] {
            let (out, end) = run(coding, Bounds::default(), coded.chunks(size));
            let bomb = matches!(end, Err(DecodeFault::Bomb { ratio: MAX_RATIO, .. }));
            assert!(bomb, "{coding:?} {end:?}");
            let most = RATIO_FREE.max(coded.len() as u64 * MAX_RATIO);
            assert!(out.len() as u64 <= most, "{coding:?}");
        }
    }
}

#[test]
fn a_body_may_be_as_large_as_its_limit_and_no_larger() {
    let text = text(3000);
    let size = text.len() as u64;
    for coding in ALL {
        let coded = encode(coding, &text);
        for (limit, good) in [
            (size + 1, true),
            (size, true),
            (size - 1, false),
            (1, false),
            (0, false),
        ] {
            let bounds = Bounds {
                decoded: limit,
                ..Bounds::default()
            };
            let (out, end) = run(coding, bounds, [&coded[..]]);
            assert!(out.len() as u64 <= limit, "{coding:?} {limit}");
            let want = if good {
                Ok(())
            } else {
                Err(DecodeFault::TooLarge { limit })
            };
            assert_eq!(end, want, "{coding:?} {limit}");
        }
    }
}

#[test]
fn bounds_hold_to_the_byte() {
    let ratio = |at| Err(DecodeFault::Bomb { at, ratio: MAX_RATIO });
    let large = Err(DecodeFault::TooLarge { limit: MAX_DECODED });
    for (read, written, want) in [
        (1, RATIO_FREE, Ok(())),
        (1, RATIO_FREE + 1, ratio(1)),
        (1 << 14, (1 << 14) * MAX_RATIO, Ok(())),
        (1 << 14, (1 << 14) * MAX_RATIO + 1, ratio(1 << 14)),
        (MAX_DECODED, MAX_DECODED, Ok(())),
        (MAX_DECODED, MAX_DECODED + 1, large),
        (u64::MAX, MAX_DECODED, Ok(())),
    ] {
        let mut decoder = Decoder::new(Gzip, Bounds::default()).unwrap();
        (decoder.read, decoder.written) = (read, written);
        assert_eq!(decoder.within_bounds(), want, "{read} {written}");
    }
}

/// A gzip member with this header, whose checksum is added if the flags ask for it.
fn member(flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
    out.extend_from_slice(rest);
    if flags & 2 != 0 {
        let mut crc = flate2::Crc::new();
        crc.update(&out);
        out.extend_from_slice(&crc.sum().to_le_bytes()[..2]);
    }
    out.extend_from_slice(&encode(Gzip, b"{}")[10..]);
    out
}

#[test]
fn every_part_of_a_gzip_header_is_read() {
    let good = (b"{}".to_vec(), Ok(()));
    for (flags, rest) in [
        (0, &b""[..]),
        (1, b""),
        (2, b""),
        (4, b"\0\0"),
        (4, b"\x03\0abc"),
        (8, b"\0"),
        (8, b"a.json\0"),
        (16, b"a comment\0"),
        (8 | 16, b"name\0comment\0"),
        (1 | 2 | 4 | 8 | 16, b"\x01\0xname\0comment\0"),
    ] {
        let coded = member(flags, rest);
        assert_eq!(decode(Gzip, &coded), good, "{flags:b}");
        assert_eq!(run(Gzip, Bounds::default(), coded.chunks(1)), good, "{flags:b}");
    }
    for flags in [32, 64, 128] {
        assert!(malformed(&decode(Gzip, &member(flags, b""))), "{flags:b} is reserved");
    }
    for (at, byte) in [(0, 0x1e), (1, 0x8c), (2, 7), (2, 15)] {
        let mut coded = member(0, b"");
        coded[at] = byte;
        assert!(malformed(&decode(Gzip, &coded)), "{at}");
    }
    let whole = member(2 | 8, b"name\0");
    for at in 4..17 {
        let mut coded = whole.clone();
        coded[at] ^= 0x20;
        assert!(
            decode(Gzip, &coded).1.is_err(),
            "byte {at} is under the header's checksum"
        );
    }
}

#[test]
fn a_gzip_header_may_be_as_long_as_its_limit() {
    for (more, good) in [(0, true), (1, false)] {
        let name = vec![b'n'; gzip::MAX_HEADER - 10 - 1 + more];
        let decoded = decode(Gzip, &member(8, &[&name[..], b"\0"].concat()));
        assert_eq!((decoded.1.is_ok(), malformed(&decoded)), (good, !good));
    }
}

#[test]
fn a_gzip_trailer_is_checked() {
    let coded = encode(Gzip, b"{\"a\":1}");
    for at in coded.len() - 8..coded.len() {
        let mut wrong = coded.clone();
        wrong[at] ^= 1;
        assert!(malformed(&decode(Gzip, &wrong)), "{at}");
    }
}

#[test]
fn deflate_is_the_zlib_format() {
    let text = text(12);
    let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    bare.write_all(&text).unwrap();
    assert!(malformed(&decode(Deflate, &bare.finish().unwrap())), "bare DEFLATE");
    let coded = encode(Deflate, &text);
    // The second byte makes a multiple of 31 with the first, with and without the flag for a dictionary.
    let flags = (0..=255).find(|flags| flags & 0x20 != 0 && (0x78 * 256 + i32::from(*flags)) % 31 == 0);
    let with_dictionary = [&[0x78, flags.unwrap(), 0, 0, 0, 1], &coded[2..]].concat();
    assert!(malformed(&decode(Deflate, &with_dictionary)), "a dictionary");
}

/// A frame that readers skip.
const SKIPPED: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";

#[test]
fn a_zstd_frame_stands_alone_and_needs_little_memory() {
    // A head of flags and window, then one raw block of two bytes.
    let frame = |head: &[u8]| [b"\x28\xb5\x2f\xfd", head, b"\x11\0\0{}"].concat();
    let good = (b"{}".to_vec(), Ok(()));
    assert_eq!(decode(Zstd, &frame(b"\0\0")), good, "1 KiB");
    assert_eq!(decode(Zstd, &frame(b"\0\x68")), good, "8 MiB");
    assert!(malformed(&decode(Zstd, &frame(b"\0\x69"))), "9 MiB");
    assert!(malformed(&decode(Zstd, &frame(b"\0\xff"))), "the largest");
    assert!(malformed(&decode(Zstd, &frame(b"\x01\0\x07"))), "a dictionary");
    assert!(malformed(&decode(Zstd, &frame(b"\x08\0"))), "a reserved bit");
    assert!(
        malformed(&decode(Zstd, b"\x27\xb5\x2f\xfd\0\0\0\0\0\0")),
        "an old format"
    );
    assert_eq!(decode(Zstd, SKIPPED), (Vec::new(), Ok(())));
    assert_eq!(decode(Zstd, &[SKIPPED, &frame(b"\0\0")].concat()), good);
}

#[test]
fn a_brotli_window_is_one_of_the_standard() {
    let mut parameters = brotli::enc::BrotliEncoderParams {
        lgwin: 24,
        ..Default::default()
    };
    let encode = |parameters: &brotli::enc::BrotliEncoderParams| {
        let mut out = Vec::new();
        brotli::BrotliCompress(&mut &text(12)[..], &mut out, parameters).unwrap();
        out
    };
    assert_eq!(decode(Brotli, &encode(&parameters)), (text(12), Ok(())));
    parameters.large_window = true;
    parameters.lgwin = 28;
    assert!(malformed(&decode(Brotli, &encode(&parameters))), "a large window");
}

proptest! {
    #[test]
    fn no_bytes_break_a_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0_usize..600) {
        for coding in ALL {
            let heads: [&[u8]; 4] = [b"\x1f\x8b\x08\0\0\0\0\0\0\0", b"\x78\x9c", b"", b"\x28\xb5\x2f\xfd"];
            for head in heads {
                let coded = [head, &bytes].concat();
                let (a, b) = coded.split_at(cut.min(coded.len()));
                let whole = decode(coding, &coded);
                prop_assert!(whole.0.len() as u64 <= RATIO_FREE.max(coded.len() as u64 * MAX_RATIO));
                prop_assert_eq!(run(coding, Bounds::default(), [a, b]).1.is_ok(), whole.1.is_ok());
            }
        }
    }
}

/// What an encoder makes of these chunks, flushed after each or not, and where each flush ends.
fn encoded<'c>(coding: Coding, chunks: impl IntoIterator<Item = &'c [u8]>, flushed: bool) -> (Vec<u8>, Vec<usize>) {
    let mut encoder = Encoder::new(coding).unwrap();
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for chunk in chunks {
        encoder.feed(chunk, &mut out).unwrap();
        if flushed {
            encoder.flush(&mut out).unwrap();
            let length = out.len();
            encoder.flush(&mut out).unwrap();
            assert_eq!(out.len(), length, "{coding:?}: nothing is flushed twice");
            ends.push(length);
        }
    }
    encoder.finish(&mut out).unwrap();
    (out, ends)
}

#[test]
fn what_is_encoded_is_decoded() {
    for coding in ALL {
        for text in [Vec::new(), b"{}".to_vec(), text(12), text(20_000)] {
            for size in [1, 7, 4096, 1 << 20] {
                if text.len() / size > 5000 {
                    continue;
                }
                for flushed in [false, true] {
                    let (coded, _) = encoded(coding, text.chunks(size), flushed);
                    assert!(
                        decode(coding, &coded) == (text.clone(), Ok(())),
                        "{coding:?} {size} {flushed}"
                    );
                    assert!(
                        flushed || text.len() < 1000 || coded.len() < text.len() / 2,
                        "{coding:?}: it is smaller"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_flushed_can_be_decoded_and_has_no_end() {
    for coding in ALL {
        let text = text(40);
        let (coded, ends) = encoded(coding, text.chunks(100), true);
        for (at, end) in ends.into_iter().enumerate() {
            let (out, result) = decode(coding, &coded[..end]);
            let fed = text.len().min((at + 1) * 100);
            assert!(out == text[..fed], "{coding:?} {at}");
            assert_eq!(
                result,
                Err(DecodeFault::Truncated { at: end as u64 }),
                "{coding:?} {at}"
            );
        }
    }
}

#[test]
fn an_encoder_holds_no_more_than_its_window() {
    let mut number = 1_u32;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            number.to_be_bytes()[0]
        })
        .collect();
    for coding in ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut out = Vec::new();
        for (at, chunk) in noise.chunks(16 * 1024).enumerate() {
            encoder.feed(chunk, &mut out).unwrap();
            let held = ((at + 1) * 16 * 1024).saturating_sub(out.len());
            assert!(held <= 1 << 19, "{coding:?}: {held} bytes are held back");
        }
        encoder.finish(&mut out).unwrap();
        assert!(decode(coding, &out) == (noise.clone(), Ok(())), "{coding:?}");
    }
}
