//! Project Wycheproof's vectors, through the same keys and the same verification as a token's signature: signatures that
//! some library has taken once, beside good ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::TestResult::{self, Acceptable, Invalid, Valid};
use wycheproof::{ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use super::super::keys::Candidates;
use super::super::{Algorithm, KeyFault, KeySet};

/// How many vectors were taken and how many refused, each as it should be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    taken: usize,
    refused: usize,
}

impl Tally {
    /// One vector: what it is known to be, and what came of it. Lax forms that a standard leaves open are never a token's.
    fn count(&mut self, what: &str, expected: TestResult, taken: bool) {
        match (expected, taken) {
            (Valid, true) => self.taken += 1,
            (Invalid | Acceptable, false) => self.refused += 1,
            _ => panic!("{what}: {expected:?}, taken: {taken}"),
        }
    }
}

/// Whether the one key of a set made the signature.
fn signed(keys: &KeySet, message: &[u8], signature: &[u8], algorithm: Algorithm) -> bool {
    let Candidates::Keys { found, .. } = keys.candidates(None, algorithm) else {
        panic!("no key for {algorithm:?}");
    };
    assert_eq!(found.len(), 1);
    found[0].signed(message, &URL_SAFE_NO_PAD.encode(signature), algorithm)
}

/// The same key from a PEM file and, where the vectors have it so, from a JWK.
fn keys(pem: &str, jwk: Option<&Value>, algorithm: Algorithm) -> Vec<KeySet> {
    let set = jwk.map(|jwk| json!({ "keys": [jwk] }).to_string());
    let from_set = set.map(|set| KeySet::jwks(set.as_bytes(), &[algorithm]).unwrap().0);
    let from_file = KeySet::public_key(pem.as_bytes(), &[algorithm]).unwrap();
    std::iter::once(from_file).chain(from_set).collect()
}

/// The vectors of one name. The kinds of vectors have the same members in types of their own.
macro_rules! run {
    ($kind:ident, $name:ident, $algorithm:ident, $jwk:expr) => {{
        let mut tally = Tally::default();
        let set = $kind::TestSet::load($kind::TestName::$name).unwrap();
        for group in &set.test_groups {
            let jwk: Option<Value> = $jwk(group);
            for keys in keys(&group.pem, jwk.as_ref(), Algorithm::$algorithm) {
                for test in &group.tests {
                    let what = format!("{} {}: {}", stringify!($name), test.tc_id, test.comment);
                    let taken = signed(&keys, &test.msg, &test.sig, Algorithm::$algorithm);
                    tally.count(&what, test.result, taken);
                }
            }
        }
        tally
    }};
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(group: &rsa_pkcs1_verify::TestGroup) -> Option<Value> {
    let jwk = group.jwk.as_ref()?;
    Some(json!({ "kty": "RSA", "alg": "RS256", "n": text(&jwk.n), "e": text(&jwk.e) }))
}

fn pss(group: &rsa_pss_verify::TestGroup) -> Option<Value> {
    let jwk = group.jwk.as_ref()?;
    Some(json!({ "kty": "RSA", "alg": "PS256", "n": text(&jwk.n), "e": text(&jwk.e) }))
}

fn ec(group: &ecdsa::TestGroup, curve: &str) -> Option<Value> {
    let jwk = group.jwk.as_ref()?;
    Some(json!({ "kty": "EC", "crv": curve, "x": text(&jwk.affine_x), "y": text(&jwk.affine_y) }))
}

fn ed(group: &eddsa::TestGroup) -> Option<Value> {
    Some(json!({ "kty": "OKP", "crv": "Ed25519", "x": text(&group.jwk.x) }))
}

#[test]
fn signatures_that_libraries_have_fallen_for_are_refused() {
    let cases = [
        (run!(rsa_pkcs1_verify, Rsa2048Sha256, RS256, rsa), (18, 500)),
        (run!(rsa_pkcs1_verify, Rsa3072Sha256, RS256, rsa), (16, 502)),
        (run!(rsa_pkcs1_verify, Rsa4096Sha256, RS256, rsa), (14, 502)),
        (run!(rsa_pkcs1_verify, Rsa8192Sha256, RS256, rsa), (14, 502)),
        (
            run!(rsa_pss_verify, RsaPss2048Sha256Mgf1SaltLen32, PS256, pss),
            (126, 90),
        ),
        (
            run!(rsa_pss_verify, RsaPss3072Sha256Mgf1SaltLen32, PS256, pss),
            (126, 90),
        ),
        (
            run!(rsa_pss_verify, RsaPss4096Sha256Mgf1SaltLen32, PS256, pss),
            (126, 90),
        ),
        (
            run!(ecdsa, EcdsaSecp256r1Sha256P1363, ES256, |group| ec(group, "P-256")),
            (342, 172),
        ),
        (
            run!(ecdsa, EcdsaSecp384r1Sha384P1363, ES384, |group| ec(group, "P-384")),
            (382, 168),
        ),
        (run!(eddsa, Ed25519, EdDSA, ed), (176, 126)),
    ];
    for (at, (tally, (taken, refused))) in cases.into_iter().enumerate() {
        assert_eq!(tally, Tally { taken, refused }, "case {at}");
    }
}

/// RFC 7518, 3.5: the salt is as long as the hash, and both hashes are one. RFC 7518, 3.3 and 3.4 name the hash likewise.
#[test]
fn what_is_right_with_another_salt_or_hash_is_wrong_for_a_token() {
    use rsa_pss_verify::TestName as Pss;
    for name in [
        Pss::RsaPss2048Sha256Mgf1SaltLen0,
        Pss::RsaPss2048Sha256Mgf1Sha1_20,
        Pss::RsaPss2048Sha384Mgf1SaltLen48,
        Pss::RsaPss4096Sha384Mgf1SaltLen48,
    ] {
        let mut right = 0;
        for group in &rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            for keys in keys(&group.pem, None, Algorithm::PS256) {
                for test in group.tests.iter().filter(|test| test.result == Valid) {
                    right += 1;
                    let taken = signed(&keys, &test.msg, &test.sig, Algorithm::PS256);
                    assert!(!taken, "{name:?} {}", test.tc_id);
                }
            }
        }
        assert!(right > 10, "{name:?}: {right}");
    }
}

/// RFC 7518, 3.2: a secret of 32 bytes at least, and a tag that nobody has cut.
#[test]
fn an_hmac_is_whole_and_of_a_long_secret() {
    let (mut tally, mut cut, mut short) = (Tally::default(), 0, 0);
    for group in &mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in &group.tests {
            let keys = match KeySet::secret(&test.key) {
                Ok(keys) => keys,
                Err(fault) => {
                    assert_eq!(fault, KeyFault::ShortSecret(test.key.len()));
                    short += 1;
                    continue;
                }
            };
            let taken = signed(&keys, &test.msg, &test.tag, Algorithm::HS256);
            if group.tag_size < 256 {
                assert!(!taken, "{}: {}", test.tc_id, test.comment);
                cut += 1;
                continue;
            }
            tally.count(&format!("{}: {}", test.tc_id, test.comment), test.result, taken);
        }
    }
    assert_eq!((tally, cut, short), (Tally { taken: 30, refused: 54 }, 84, 6));
}
