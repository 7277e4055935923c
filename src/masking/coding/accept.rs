//! Which coding a client asks for: `Accept-Encoding` (RFC 9110, 12.5.3).

use super::Coding;

/// What a client says of codings, as far as a list of offers goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The coding to use; `None` if the client asks for none of those offered, or would rather have the answer as it is.
    pub coding: Option<Coding>,
    /// The answer is also accepted as it is.
    pub identity: bool,
}

/// Nothing is asked for.
const AS_IT_IS: Accepted = Accepted {
    coding: None,
    identity: true,
};

/// A weight in thousandths (RFC 9110, 12.4.2).
type Weight = u16;

/// Picks from `offers`: what the client weighs most, and of equals the first. A client that says nothing, or something
/// that cannot be read in one way, asks for nothing.
pub fn accepted<'f>(fields: impl IntoIterator<Item = &'f [u8]>, offers: &[Coding]) -> Accepted {
    Weights::read(fields).map_or(AS_IT_IS, |weights| weights.pick(offers))
}

#[derive(Default)]
struct Weights {
    codings: Vec<(Coding, Weight)>,
    identity: Option<Weight>,
    others: Option<Weight>,
}

impl Weights {
    fn read<'f>(fields: impl IntoIterator<Item = &'f [u8]>) -> Option<Self> {
        let mut weights = Self::default();
        for element in fields.into_iter().flat_map(|field| field.split(|&byte| byte == b',')) {
            let element = trim(element);
            if element.is_empty() {
                continue;
            }
            let (name, weight) = match element.iter().position(|&byte| byte == b';') {
                None => (element, 1000),
                Some(at) => {
                    let (name, rest) = element.split_at_checked(at)?;
                    (trim(name), weight(trim(rest.get(1..)?))?)
                }
            };
            weights.add(name, weight)?;
        }
        Some(weights)
    }

    /// `None` if it is said twice.
    fn add(&mut self, name: &[u8], weight: Weight) -> Option<()> {
        let place = match name {
            b"*" => &mut self.others,
            name if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            name => {
                // What is not known is not offered either.
                let Some(coding) = Coding::named(name) else {
                    return is_token(name).then_some(());
                };
                if self.codings.iter().any(|(own, _)| *own == coding) {
                    return None;
                }
                self.codings.push((coding, weight));
                return Some(());
            }
        };
        place.replace(weight).is_none().then_some(())
    }

    fn pick(&self, offers: &[Coding]) -> Accepted {
        let of = |coding: Coding| {
            let own = self.codings.iter().find(|(own, _)| *own == coding);
            own.map(|(_, weight)| *weight).or(self.others).unwrap_or_default()
        };
        let mut best: Option<(Coding, Weight)> = None;
        for &coding in offers {
            let weight = of(coding);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((coding, weight));
            }
        }
        let identity = self.identity.or(self.others) != Some(0);
        // Rather as it is, only if it says so by name.
        let coding = best.filter(|(_, weight)| self.identity.is_none_or(|own| own <= *weight));
        Accepted {
            coding: coding.map(|(coding, _)| coding),
            identity,
        }
    }
}

/// `q=0.5`: at most three digits after the point.
fn weight(text: &[u8]) -> Option<Weight> {
    let [b'q' | b'Q', b'=', rest @ ..] = text else {
        return None;
    };
    let (whole, digits) = match rest {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += Weight::from(digit - b'0') * unit;
    }
    (thousandths <= 1000).then_some(thousandths)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};

    #[test]
    fn what_is_asked_for_is_read_by_its_weights() {
        let offers = [Zstd, Brotli, Gzip];
        for (fields, coding, identity) in [
            (&[][..], None, true),
            (&[""], None, true),
            (&["gzip"], Some(Gzip), true),
            (&["x-gzip"], Some(Gzip), true),
            (&["GZIP"], Some(Gzip), true),
            (&["gzip, deflate, br, zstd"], Some(Zstd), true),
            (&["gzip", "br"], Some(Brotli), true),
            (&["gzip;q=1, br;q=0.9"], Some(Gzip), true),
            (&["gzip ; q=0.8\t, br;Q=0.801"], Some(Brotli), true),
            (&["br;q=0, *"], Some(Zstd), true),
            (&["zstd;q=0, br;q=0, *;q=0.5"], Some(Gzip), true),
            (&["*"], Some(Zstd), true),
            (&["*;q=0"], None, false),
            (&["*;q=0, identity"], None, true),
            (&["identity;q=0"], None, false),
            (&["identity;q=0, gzip;q=0.001"], Some(Gzip), false),
            (&["identity;q=0, *"], Some(Zstd), false),
            (&["identity, gzip;q=0.5"], None, true),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip), true),
            (&["gzip;q=0"], None, true),
            (&["gzip;q=0.000, br;q=1.000"], Some(Brotli), true),
            (&["deflate, compress, rot13"], None, true),
            (&["rot13, ,gzip,"], Some(Gzip), true),
            // What cannot be read in one way asks for nothing.
            (&["gzip, gzip;q=0"], None, true),
            (&["gzip, x-gzip"], None, true),
            (&["*, *;q=0"], None, true),
            (&["identity;q=0, identity"], None, true),
            (&["gzip;q=2"], None, true),
            (&["gzip;q=1.001"], None, true),
            (&["gzip;q=0.1234"], None, true),
            (&["gzip;q=.5"], None, true),
            (&["gzip;q="], None, true),
            (&["gzip;q=-1"], None, true),
            (&["gzip;level=9"], None, true),
            (&["gzip;q=1;x"], None, true),
            (&["gzip br"], None, true),
            (&["g\u{e9}zip, br"], None, true),
            (&["br, ;q=1"], None, true),
        ] {
            let got = accepted(fields.iter().map(|field: &&str| field.as_bytes()), &offers);
            assert_eq!(got, Accepted { coding, identity }, "{fields:?}");
        }
        let got = accepted([&b"zstd, gzip"[..]], &[Gzip, Zstd]);
        assert_eq!(got.coding, Some(Gzip), "the first offer of equals");
        assert_eq!(accepted([&b"zstd, br"[..]], &[Gzip]).coding, None);
    }
}
