//! Exact decimals: an amount as it is written, and a sum of amounts. No float, no rounding, no limit on digits.
//!
//! Hostile input costs no more than its own length. An exponent is bounded ([`MAX_EXPONENT`]), so that a few bytes cannot
//! stand for a million digits. A [`Sum`] keeps what is added and what is taken apart until it is read: each side only
//! grows, so that carries cost a constant on average, where one register would borrow through all its digits again and
//! again. (Libraries of big numbers are binary: they turn long decimals over in quadratic time, and lose the scale.)

use std::collections::VecDeque;
use std::fmt::Write as _;

/// Largest exponent of an amount, either way: `1e64` is written with 65 digits.
pub const MAX_EXPONENT: u32 = 64;

/// Decimal digits in one limb.
const LIMB_DIGITS: usize = 18;

/// One more than the largest limb.
const LIMB: u64 = 1_000_000_000_000_000_000;

/// An amount: the digits before and after its point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Before the point, the most significant first, without leading zeros.
    whole: Box<str>,
    /// After the point, as many as were written.
    fraction: Box<str>,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalFault {
    /// Not a number of JSON (RFC 8259, 6).
    #[error("is not a plain decimal number")]
    Malformed,
    /// An exponent beyond [`MAX_EXPONENT`].
    #[error("has an exponent beyond {MAX_EXPONENT}")]
    Exponent,
}

impl Decimal {
    /// Reads a number as JSON writes it: no leading zeros, no `+`, no blanks, digits on both sides of a point.
    ///
    /// # Errors
    /// It is none, or its exponent is too large.
    pub fn parse(text: &str) -> Result<Self, DecimalFault> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(DecimalFault::Malformed),
            None => (mantissa, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !digits(whole) || !digits(fraction) {
            return Err(DecimalFault::Malformed);
        }
        Ok(Self::shifted(negative, whole, fraction, exponent))
    }

    /// Moves the point: to the right by a positive exponent.
    fn shifted(negative: bool, whole: &str, fraction: &str, exponent: i32) -> Self {
        let by = usize::try_from(exponent.unsigned_abs()).unwrap_or_default();
        let zeros = |count: usize| "0".repeat(count);
        let (whole, fraction) = if exponent >= 0 {
            let (moved, rest) = fraction.split_at_checked(by).unwrap_or((fraction, ""));
            (format!("{whole}{moved}{}", zeros(by - moved.len())), rest.to_owned())
        } else {
            let keep = whole.len().saturating_sub(by);
            let (kept, moved) = whole.split_at_checked(keep).unwrap_or((whole, ""));
            (kept.to_owned(), format!("{}{moved}{fraction}", zeros(by - moved.len())))
        };
        Self {
            negative,
            whole: whole.trim_start_matches('0').into(),
            fraction: fraction.into(),
        }
    }

    /// Digits after the point, as written.
    #[must_use]
    pub fn scale(&self) -> usize {
        self.fraction.len()
    }

    /// Whether it is zero, in whatever spelling.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.bytes().all(|byte| byte == b'0')
    }

    /// Whether it is above zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        !self.negative && !self.is_zero()
    }
}

fn read_exponent(text: &str) -> Result<i32, DecimalFault> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, text.get(1..).unwrap_or_default()),
        Some(b'+') => (1, text.get(1..).unwrap_or_default()),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalFault::Malformed);
    }
    // JSON lets an exponent have leading zeros.
    let digits = digits.trim_start_matches('0');
    let size = match digits {
        "" => 0,
        digits if digits.len() <= 2 => digits.parse::<u32>().map_err(|_| DecimalFault::Malformed)?,
        _ => return Err(DecimalFault::Exponent),
    };
    if size > MAX_EXPONENT {
        return Err(DecimalFault::Exponent);
    }
    i32::try_from(size)
        .map(|size| sign * size)
        .map_err(|_| DecimalFault::Exponent)
}

/// A sum of amounts, as exact as they are; its scale is the largest scale that went in.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    added: Register,
    taken: Register,
    scale: usize,
}

impl Sum {
    /// Adds an amount.
    pub fn add(&mut self, amount: &Decimal) {
        self.scale = self.scale.max(amount.scale());
        let side = if amount.negative {
            &mut self.taken
        } else {
            &mut self.added
        };
        side.add(&amount.whole, &amount.fraction);
    }

    /// Whether what was added and what was taken are the same.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        let digits = self.to_plain();
        digits.bytes().all(|byte| matches!(byte, b'0' | b'.'))
    }

    /// Plain decimal digits: no exponent, no leading zeros, the scale kept (`12.30`), no sign on zero.
    #[must_use]
    pub fn to_plain(&self) -> String {
        let (limbs, point, negative) = self.added.less(&self.taken);
        let mut digits = String::with_capacity(limbs.len() * LIMB_DIGITS + 2);
        for limb in limbs.iter().rev() {
            // Writing into a string cannot fail.
            let _ = write!(digits, "{limb:018}");
        }
        let (whole, fraction) = digits
            .split_at_checked(digits.len() - point * LIMB_DIGITS)
            .unwrap_or((&digits, ""));
        let whole = whole.trim_start_matches('0');
        let mut out = String::with_capacity(digits.len() + 3);
        if negative {
            out.push('-');
        }
        out.push_str(if whole.is_empty() { "0" } else { whole });
        if self.scale > 0 {
            // Limbs after the point hold every digit of the largest scale, and zeros after it.
            let _ = write!(out, ".{}", fraction.get(..self.scale).unwrap_or(fraction));
        }
        out
    }
}

/// A number that only grows: limbs, the least significant first, of which the first `point` stand after the point.
#[derive(Clone, Debug, Default)]
struct Register {
    limbs: VecDeque<u64>,
    point: usize,
}

impl Register {
    /// Adds digits before and after a point.
    fn add(&mut self, whole: &str, fraction: &str) {
        let below = fraction.len().div_ceil(LIMB_DIGITS);
        while self.point < below {
            self.limbs.push_front(0);
            self.point += 1;
        }
        for (at, chunk) in fraction
            .as_bytes()
            .chunks(LIMB_DIGITS)
            .enumerate()
            .rev()
            .map(|(at, chunk)| (at + 1, chunk))
        {
            let short = LIMB_DIGITS - chunk.len();
            let limb = (0..short).fold(limb(chunk), |limb, _| limb * 10);
            self.add_limb(self.point - at, limb);
        }
        for (at, chunk) in whole.as_bytes().rchunks(LIMB_DIGITS).enumerate() {
            self.add_limb(self.point + at, limb(chunk));
        }
    }

    /// Adds one limb and carries. Both sides of a [`Sum`] only grow: carries are few on average.
    fn add_limb(&mut self, at: usize, value: u64) {
        if self.limbs.len() <= at {
            self.limbs.resize(at + 1, 0);
        }
        let mut carry = value;
        for limb in self.limbs.range_mut(at..) {
            if carry == 0 {
                return;
            }
            let sum = *limb + carry;
            (*limb, carry) = if sum >= LIMB { (sum - LIMB, 1) } else { (sum, 0) };
        }
        if carry > 0 {
            self.limbs.push_back(carry);
        }
    }

    /// The difference to another: its limbs, how many of them stand after the point, and whether it is below zero.
    fn less(&self, other: &Self) -> (Vec<u64>, usize, bool) {
        let point = self.point.max(other.point);
        let (mine, theirs) = (self.aligned(point), other.aligned(point));
        let size = mine.len().max(theirs.len());
        let at = |limbs: &[u64], at: usize| limbs.get(at).copied().unwrap_or(0);
        let order = (0..size)
            .rev()
            .map(|index| at(&mine, index).cmp(&at(&theirs, index)))
            .find(|order| order.is_ne());
        let negative = order.is_some_and(std::cmp::Ordering::is_lt);
        let (more, less) = if negative { (&theirs, &mine) } else { (&mine, &theirs) };
        let mut borrow = 0;
        let difference = (0..size)
            .map(|index| {
                let (upper, lower) = (at(more, index), at(less, index) + borrow);
                borrow = u64::from(upper < lower);
                upper + borrow * LIMB - lower
            })
            .collect();
        (difference, point, negative)
    }

    fn aligned(&self, point: usize) -> Vec<u64> {
        let zeros = std::iter::repeat_n(0, point - self.point);
        zeros.chain(self.limbs.iter().copied()).collect()
    }
}

/// At most [`LIMB_DIGITS`] digits as a number.
fn limb(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |limb, digit| limb * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(amounts: &[&str]) -> String {
        let mut sum = Sum::default();
        for amount in amounts {
            sum.add(&Decimal::parse(amount).unwrap());
        }
        assert_eq!(sum.is_zero(), sum.to_plain().trim_matches(['0', '.']).is_empty());
        sum.to_plain()
    }

    #[test]
    fn sums_are_exact_and_keep_the_scale() {
        let nines = "9".repeat(36);
        for (amounts, expected) in [
            (&[][..], "0"),
            (&["12.30"], "12.30"),
            (&["0.10", "0.2"], "0.30"),
            (&["0.1", "0.1", "0.1"], "0.3"),
            (&["12.30", "-12.3"], "0.00"),
            (&["-0"], "0"),
            (&["-0.00"], "0.00"),
            (&["1", "-2"], "-1"),
            (&["1.5", "-2.25"], "-0.75"),
            (&["0.000000000000000001", "-1"], "-0.999999999999999999"),
            (
                &["0.0000000000000000001", "-0.0000000000000000002"],
                "-0.0000000000000000001",
            ),
            (&["999999999999999999", "1"], "1000000000000000000"),
            (&[&nines, "1"], "1000000000000000000000000000000000000"),
            (&["1000000000000000000000000000000000000", "-1"], &nines),
            (&["1e3", "1"], "1001"),
            (&["1.5e1"], "15"),
            (&["1.50e1"], "15.0"),
            (&["12.345e1"], "123.45"),
            (&["15e-1"], "1.5"),
            (&["15E-3"], "0.015"),
            (&["0.5e-1"], "0.05"),
            (&["0e64"], "0"),
            (&["1e+0"], "1"),
            (&["1e-00"], "1"),
            (
                &["1e64", "-1e64", "1e-64"],
                "0.0000000000000000000000000000000000000000000000000000000000000001",
            ),
        ] {
            assert_eq!(sum(amounts), expected, "{amounts:?}");
        }
    }

    #[test]
    fn an_amount_is_a_number_as_json_writes_it() {
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-01",
            "00",
            ".5",
            "5.",
            "1.e1",
            "1e",
            "1e+",
            "1e-",
            "e1",
            "1.2.3",
            "--1",
            "1,2",
            "1_0",
            "0x1",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e1.5",
            "1e1e1",
            "\u{661}",
            "1\u{0}",
            "１",
            "1e１",
            "$1",
            "(1)",
            "1-",
            "1f",
        ] {
            assert_eq!(Decimal::parse(text), Err(DecimalFault::Malformed), "{text}");
        }
        for text in [
            "1e65",
            "1e-65",
            "1e100",
            "1e1000000000",
            "0e999999999999999999999999",
            "1e-1000000000",
            "1E+00065",
        ] {
            assert_eq!(Decimal::parse(text), Err(DecimalFault::Exponent), "{text}");
        }
        for text in ["0", "-0", "0.0", "1e064", "1E-64", "1e0000000000000000000000000000001"] {
            assert!(Decimal::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn signs() {
        for (text, zero, positive) in [
            ("0", true, false),
            ("-0.00", true, false),
            ("0e9", true, false),
            ("0.01", false, true),
            ("-0.01", false, false),
            ("1e-64", false, true),
        ] {
            let amount = Decimal::parse(text).unwrap();
            assert_eq!((amount.is_zero(), amount.is_positive()), (zero, positive), "{text}");
        }
    }

    /// A long amount beside many small ones of either sign: borrowing through its digits each time would take hours.
    #[test]
    fn hostile_sums_cost_no_more_than_their_length() {
        let long = format!("1{}", "0".repeat(2_000_000));
        let (one, less) = (Decimal::parse("1").unwrap(), Decimal::parse("-1").unwrap());
        let mut sum = Sum::default();
        sum.add(&Decimal::parse(&long).unwrap());
        for _ in 0..50_000 {
            sum.add(&less);
            sum.add(&one);
        }
        assert_eq!(sum.to_plain(), long);
    }

    /// A signed column of digits per power of ten, carried at the end: as slow and plain as can be.
    fn oracle(amounts: &[(bool, String, String)]) -> String {
        let scale = amounts.iter().map(|(_, _, fraction)| fraction.len()).max().unwrap_or(0);
        let size = amounts.iter().map(|(_, whole, _)| whole.len()).max().unwrap_or(0) + scale + 6;
        let mut columns = vec![0_i64; size];
        for (negative, whole, fraction) in amounts {
            let padded = format!("{whole}{fraction}{}", "0".repeat(scale - fraction.len()));
            for (at, digit) in padded.bytes().rev().enumerate() {
                columns[at] += i64::from(digit - b'0') * if *negative { -1 } else { 1 };
            }
        }
        let carried = |columns: &[i64]| {
            let mut carry = 0;
            let digits: Vec<i64> = columns
                .iter()
                .map(|column| {
                    let sum = column + carry;
                    carry = sum.div_euclid(10);
                    sum.rem_euclid(10)
                })
                .collect();
            (digits, carry)
        };
        let (mut digits, carry) = carried(&columns);
        let negative = carry < 0;
        if negative {
            digits = carried(&columns.iter().map(|column| -column).collect::<Vec<_>>()).0;
        }
        let text: String = digits.iter().rev().map(i64::to_string).collect();
        let (whole, fraction) = text.split_at(size - scale);
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let sign = if negative { "-" } else { "" };
        if scale == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction}")
        }
    }

    fn amount() -> impl Strategy<Value = (bool, String, String)> {
        let nines = prop::bool::weighted(0.3);
        (any::<bool>(), "(0|[1-9][0-9]{0,60})", "[0-9]{0,60}", nines).prop_map(|(negative, whole, fraction, nines)| {
            if nines {
                let nine = |text: &str| "9".repeat(text.len());
                (negative, nine(&whole), nine(&fraction))
            } else {
                (negative, whole, fraction)
            }
        })
    }

    fn written((negative, whole, fraction): &(bool, String, String)) -> String {
        let sign = if *negative { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_oracle(amounts in prop::collection::vec(amount(), 0..12)) {
            let texts: Vec<String> = amounts.iter().map(written).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            prop_assert_eq!(sum(&texts), oracle(&amounts));
        }

        #[test]
        fn what_is_added_and_taken_leaves_nothing(amounts in prop::collection::vec(amount(), 0..12)) {
            let back = amounts.iter().map(|(negative, whole, fraction)| (!negative, whole.clone(), fraction.clone()));
            let texts: Vec<String> = amounts.iter().cloned().chain(back).map(|amount| written(&amount)).collect();
            let mut all = Sum::default();
            for text in &texts {
                all.add(&Decimal::parse(text).unwrap());
            }
            prop_assert!(all.is_zero());
        }

        #[test]
        fn an_exponent_moves_the_point_and_nothing_else(
            whole in "(0|[1-9][0-9]{0,20})", fraction in "[0-9]{1,20}", by in 0..=i64::from(MAX_EXPONENT),
        ) {
            let up = format!("{whole}.{fraction}e{by}");
            let down = format!("{whole}.{fraction}e-{by}");
            // Ten to the power, and back: the digits stay where they were.
            let digits = |text: &str| sum(&[text]).replace('.', "").trim_matches('0').to_owned();
            let plain = format!("{whole}{fraction}");
            prop_assert_eq!(digits(&up), plain.trim_matches('0'));
            prop_assert_eq!(digits(&down), plain.trim_matches('0'));
            let scale = sum(&[&down]).split_once('.').map_or(0, |(_, fraction)| fraction.len());
            prop_assert_eq!(scale, fraction.len() + usize::try_from(by).unwrap());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}|[-+0-9.eE]{0,12}") {
            // serde_json knows what a number is.
            let number = serde_json::from_str::<&serde_json::value::RawValue>(&text)
                .is_ok_and(|raw| raw.get().len() == text.len() && text.bytes().next().is_some_and(|b| b == b'-' || b.is_ascii_digit()));
            match Decimal::parse(&text) {
                Ok(_) => prop_assert!(number, "{}", text),
                Err(DecimalFault::Malformed) => prop_assert!(!number, "{}", text),
                Err(DecimalFault::Exponent) => {}
            }
        }
    }
}
