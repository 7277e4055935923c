//! Tokens whose signature, serialisation or key is nearly right (RFC 7515, RFC 7518, RFC 7517, RFC 8725), each beside a
//! sibling that is right.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::harness::*;
use super::tokens::{PATH, forge, jwk, keys, refused, timed};

mod signatures;

type Case = (String, String, &'static str);

const WRONG: &str = "the signature is wrong";
const ALGORITHM: &str = "algorithm is not one of its issuer's";
const UNKNOWN: &str = "the token's key is not known";
const BASE64: &str = "a part is no base64url";
const PARTS: &str = "not three parts";

/// The issuer's keys and a stranger's.
struct Keys {
    rsa: KeyPair,
    p256: KeyPair,
    p384: KeyPair,
    ed: KeyPair,
    other: KeyPair,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("--"));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

/// The claims that all of them have, and the header of one.
fn texts(header: &Value) -> String {
    format!("{}.{}", b64(header.to_string()), b64(timed().to_string()))
}

impl Keys {
    fn new() -> Self {
        let pair = |kind| KeyPair::generate_for(kind).unwrap();
        Self {
            rsa: pair(&rcgen::PKCS_RSA_SHA256),
            p256: pair(&rcgen::PKCS_ECDSA_P256_SHA256),
            p384: pair(&rcgen::PKCS_ECDSA_P384_SHA384),
            ed: pair(&rcgen::PKCS_ED25519),
            other: pair(&rcgen::PKCS_ECDSA_P256_SHA256),
        }
    }

    /// The modulus of 2048 bits stands before the exponent 65537 (02 03 01 00 01).
    fn modulus(&self) -> Vec<u8> {
        let der = der(&self.rsa.public_key_pem());
        der[der.len() - 5 - 256..der.len() - 5].to_vec()
    }

    /// The issuer's set: good keys, and some that are in it for something else.
    fn set(&self) -> String {
        let modulus = b64(self.modulus());
        let rsa = |kid: &str, alg: &str| json!({ "kty": "RSA", "kid": kid, "alg": alg, "n": modulus, "e": "AQAB" });
        let with = |kid: &str, name: &str, value: Value| {
            let mut key = jwk(&self.p256.public_key_pem(), kid);
            key[name] = value;
            key
        };
        let point = der(&self.p384.public_key_pem());
        let (x, y) = point[point.len() - 96..].split_at(48);
        let ed = der(&self.ed.public_key_pem());
        let ed = b64(&ed[ed.len() - 32..]);
        let secret = b64([7; 32]);
        json!({ "keys": [
            rsa("rsa", "RS256"),
            rsa("pss", "PS256"),
            jwk(&self.p256.public_key_pem(), "p256"),
            json!({ "kty": "EC", "crv": "P-384", "kid": "p384", "x": b64(x), "y": b64(y) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": ed }),
            with("for-enc", "use", json!("enc")),
            with("for-signing", "key_ops", json!(["sign"])),
            with("for-es384", "alg", json!("ES384")),
            with("for-p384", "crv", json!("P-384")),
            with("off-curve", "x", json!(b64([1; 32]))),
            with("with-d", "d", json!(b64([1; 32]))),
            with("twin", "x5t", json!("a")),
            jwk(&self.other.public_key_pem(), "twin"),
            json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": secret }),
            json!({ "kty": "OKP", "crv": "X25519", "kid": "x25519", "x": ed }),
        ]})
        .to_string()
    }

    fn sign(&self, header: &Value) -> String {
        let (key, algorithm) = match header["alg"].as_str().unwrap() {
            "RS256" => (&self.rsa, Algorithm::RS256),
            "PS256" => (&self.rsa, Algorithm::PS256),
            "ES384" => (&self.p384, Algorithm::ES384),
            "EdDSA" => (&self.ed, Algorithm::EdDSA),
            _ => (&self.p256, Algorithm::ES256),
        };
        signed_by(key, &texts(header), algorithm)
    }
}

/// The text and the key's signature of it.
fn signed_by(pair: &KeyPair, text: &str, algorithm: Algorithm) -> String {
    let pem = pair.serialize_pem();
    let key = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    };
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key.unwrap(), algorithm).unwrap();
    format!("{text}.{signature}")
}

/// A gateway that knows the set and all algorithms.
fn start(backend: &Backend, keys_of: &Keys) -> Gateway {
    let lines = "      jwks: ../keys/jwks.json\n      algorithms: [RS256, PS256, ES256, ES384, EdDSA]";
    Setup {
        files: vec![("keys/jwks.json", keys_of.set())],
        ..Setup::new(backend).policy(&keys(lines))
    }
    .start()
}

fn taken(gateway: &Gateway, siblings: &[(&str, String)]) {
    for (what, token) in siblings {
        let answer = gateway.call_as("GET", PATH, token, "", "");
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    }
}

/// RFC 7515, 3.1 and 7.1: three parts of base64url, and nothing beside them. RFC 7515, 2: no padding, no other characters;
/// RFC 4648, 3.5: no bits that decode to nothing.
#[test]
fn a_compact_serialisation_is_written_in_one_way() {
    let keys = Keys::new();
    let backend = Backend::start();
    let gateway = start(&backend, &keys);
    let good = keys.sign(&json!({ "alg": "ES256", "kid": "p256" }));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("{good}")
    };
    let mut cases: Vec<Case> = Vec::new();
    let mut case = |what: String, token: String, why| cases.push((what, token, why));
    for (what, parts, why) in [
        ("no header", ["", payload, signature].join("."), "an empty part"),
        ("no payload", [header, "", signature].join("."), "an empty part"),
        ("no signature", [header, payload, ""].join("."), "an empty part"),
        ("nothing before", [".", &good].concat(), PARTS),
        ("nothing behind", [&good, "."].concat(), PARTS),
        ("nothing between", [header, "", payload, signature].join("."), PARTS),
        ("a fourth part", [&good, "e30"].join("."), PARTS),
        ("five, as of JWE", [header, "", "", payload, signature].join("."), PARTS),
        (
            "payload detached, RFC 7797",
            [header, "..", signature].concat(),
            "an empty part",
        ),
        ("one part", header.to_owned(), PARTS),
        ("dots only", "....".to_owned(), PARTS),
        (
            "parts of another order",
            [payload, header, signature].join("."),
            "algorithm is not one of its issuer's",
        ),
    ] {
        case(what.to_owned(), parts, why);
    }
    let whole = [header, payload, signature];
    for (part, name) in ["header", "payload", "signature"].into_iter().enumerate() {
        let length = whole[part].len();
        for (place, at) in [("start", 0), ("middle", length / 2), ("end", length)] {
            for odd in ["+", "/", "=", "==", "%", "!", "%2E", ":", "\u{e9}", " ", "\t"] {
                // Blanks at the ends are the field's, not the token's (RFC 9110, 5.5).
                let outermost = (part, at) == (0, 0) || (part, at) == (2, length);
                let blank = odd.trim().is_empty();
                if blank && outermost {
                    continue;
                }
                let mut parts = whole.map(str::to_owned);
                parts[part].insert_str(at, odd);
                let why = if odd == " " || !odd.is_ascii() {
                    "not one bearer token"
                } else {
                    BASE64
                };
                case(format!("{odd:?} at the {place} of the {name}"), parts.join("."), why);
            }
        }
    }
    for (what, general) in [("flattened JSON", false), ("general JSON", true)] {
        let one = json!({ "protected": header, "signature": signature });
        let text = if general {
            json!({ "payload": payload, "signatures": [one] })
        } else {
            json!({ "payload": payload, "protected": header, "signature": signature })
        };
        case(what.to_owned(), text.to_string(), "not one bearer token");
        case(format!("{what} in base64url"), b64(text.to_string()), PARTS);
    }
    refused(&gateway, &backend, &cases);
    taken(&gateway, &[("the whole one", good.clone())]);
}

/// The text with other bits in its last character that decode to nothing, if there are any.
fn loose(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert!([2, 3].contains(&(text.len() % 4)), "{text} has no bits left over");
    let (rest, last) = text.split_at(text.len() - 1);
    let value = ALPHABET.iter().position(|own| *own == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(ALPHABET[value | 1]))
}

/// RFC 4648, 3.5. Also if it is the wrong text that was signed: then two texts are one token.
#[test]
fn bits_that_decode_to_nothing_are_zero() {
    let keys = Keys::new();
    let backend = Backend::start();
    let gateway = start(&backend, &keys);
    let padded = |text: String, left_over: usize| {
        let blanks = (0..3).find(|more| (text.len() + more) % 3 == left_over).unwrap();
        b64(format!("{text}{}", " ".repeat(blanks)))
    };
    let sign = |header: &str, payload: &str| signed_by(&keys.p256, &format!("{header}.{payload}"), Algorithm::ES256);
    let (mut cases, mut siblings): (Vec<Case>, Vec<(&str, String)>) = (Vec::new(), Vec::new());
    for left_over in [1, 2] {
        let header = padded(json!({ "alg": "ES256", "kid": "p256" }).to_string(), left_over);
        let payload = padded(timed().to_string(), left_over);
        let good = sign(&header, &payload);
        let signature = good.rsplit_once('.').unwrap().1;
        let case = |what: &str, token: String| (format!("{what}, {left_over} bytes over"), token, BASE64);
        cases.extend([
            case("in the header", [&*loose(&header), &payload, signature].join(".")),
            case("in the payload", [&*header, &loose(&payload), signature].join(".")),
            case("in the signature", [&*header, &payload, &loose(signature)].join(".")),
            case("in the header, signed", sign(&loose(&header), &payload)),
            case("in the payload, signed", sign(&header, &loose(&payload))),
            case(
                "padded in the header, signed",
                sign(&format!("{header}{}", "=".repeat(3 - left_over)), &payload),
            ),
            case(
                "padded in the payload, signed",
                sign(&header, &format!("{payload}{}", "=".repeat(3 - left_over))),
            ),
        ]);
        siblings.push(("as it should be", good));
    }
    refused(&gateway, &backend, &cases);
    taken(&gateway, &siblings);
}

/// RFC 8725, 3.1 and 3.2: the algorithm is the issuer's and the key's, never the token's. RFC 7517, 4.2 to 4.5: a key is for
/// what it says.
#[test]
fn neither_algorithm_nor_key_is_the_senders_choice() {
    let keys = Keys::new();
    let backend = Backend::start();
    let gateway = start(&backend, &keys);
    let mut cases: Vec<Case> = Vec::new();
    for bits in 0..16_usize {
        let spell = |(at, letter): (usize, char)| {
            if bits >> at & 1 == 1 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        };
        let none: String = "none".char_indices().map(spell).collect();
        let text = texts(&json!({ "alg": none, "kid": "p256" }));
        cases.push((format!("{none}, nothing signed"), format!("{text}."), "an empty part"));
        cases.push((
            format!("{none}, signed"),
            signed_by(&keys.p256, &text, Algorithm::ES256),
            ALGORITHM,
        ));
    }
    for alg in [
        " none",
        "none ",
        "",
        "ES256K",
        "ES512",
        "EdDSA25519",
        "RSA1_5",
        "dir",
        "ES256\0",
        "HS512",
    ] {
        let text = texts(&json!({ "alg": alg, "kid": "p256" }));
        cases.push((
            format!("alg {alg:?}"),
            signed_by(&keys.p256, &text, Algorithm::ES256),
            ALGORITHM,
        ));
    }

    // Whatever an attacker knows of the issuer's keys, as a shared secret.
    let (rsa, ec) = (keys.rsa.public_key_pem(), keys.p256.public_key_pem());
    let set = keys.set();
    for (what, kid, secret) in [
        ("RSA in PEM", "rsa", rsa.as_bytes().to_vec()),
        ("RSA in PEM, trimmed", "rsa", rsa.trim().as_bytes().to_vec()),
        ("RSA in DER", "rsa", der(&rsa)),
        ("RSA, the modulus", "rsa", keys.modulus()),
        ("EC in PEM", "p256", ec.as_bytes().to_vec()),
        ("EC in DER", "p256", der(&ec)),
        ("EC, the point", "p256", keys.p256.public_key_raw().to_vec()),
        ("Ed25519, the point", "ed", keys.ed.public_key_raw().to_vec()),
        ("the set", "rsa", set.into_bytes()),
        ("the secret of the set", "oct", vec![7; 32]),
        ("nothing", "oct", Vec::new()),
    ] {
        let key = EncodingKey::from_secret(&secret);
        let header = json!({ "alg": "HS256", "kid": kid }).to_string();
        let token = forge(&header, &timed().to_string(), &key, Algorithm::HS256);
        cases.push((format!("HS256 with {what}"), token, ALGORITHM));
        let lying = texts(&json!({ "alg": "ES256", "kid": kid }));
        let signature = jsonwebtoken::crypto::sign(lying.as_bytes(), &key, Algorithm::HS256).unwrap();
        let why = match kid {
            "p256" => WRONG,
            "oct" => UNKNOWN,
            _ => ALGORITHM,
        };
        cases.push((
            format!("HS256 with {what}, ES256 said"),
            format!("{lying}.{signature}"),
            why,
        ));
    }

    // A stranger's key that comes with the token.
    let own = jwk(&keys.other.public_key_pem(), "p256");
    for (name, value, why) in [
        ("jwk", own.clone(), "header has `jwk`, which is not taken"),
        (
            "jku",
            json!("https://evil.example/jwks.json"),
            "header has `jku`, which is not taken",
        ),
        (
            "x5u",
            json!("https://evil.example/x.pem"),
            "header has `x5u`, which is not taken",
        ),
        (
            "x5c",
            json!([STANDARD.encode(der(&keys.other.public_key_pem()))]),
            "header has `x5c`, which is not taken",
        ),
        ("JWK", own, WRONG),
        ("b64", json!(false), "header has `b64`, which is not taken"),
        ("crit", json!(["b64"]), "header has `crit`, which is not taken"),
        ("crit", json!([]), "header has `crit`, which is not taken"),
        ("crit", json!(null), "header has `crit`, which is not taken"),
    ] {
        for kid in ["p256", "mine"] {
            let why = if (name, kid) == ("JWK", "mine") { UNKNOWN } else { why };
            let mut header = json!({ "alg": "ES256", "kid": kid });
            header[name] = value.clone();
            let token = signed_by(&keys.other, &texts(&header), Algorithm::ES256);
            cases.push((format!("{name} of a stranger, kid {kid}"), token, why));
        }
    }
    // RFC 7797: the payload as it is, and named in `crit`.
    let header = json!({ "alg": "ES256", "kid": "p256", "b64": false, "crit": ["b64"] });
    let unencoded = format!("{}.{}", b64(header.to_string()), timed());
    let (_, signature) = signed_by(&keys.p256, &unencoded, Algorithm::ES256)
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let token = format!("{}.{signature}", texts(&header));
    cases.push((
        "unencoded when it was signed".into(),
        token,
        "header has `crit`, which is not taken",
    ));

    // Keys of the set that are for something else, with a signature that the numbers in them would verify.
    for kid in [
        "for-enc",
        "for-signing",
        "for-es384",
        "for-p384",
        "off-curve",
        "with-d",
        "twin",
        "x25519",
        "oct",
    ] {
        let token = signed_by(
            &keys.p256,
            &texts(&json!({ "alg": "ES256", "kid": kid })),
            Algorithm::ES256,
        );
        cases.push((format!("by `{kid}`"), token, UNKNOWN));
    }
    let token = signed_by(
        &keys.other,
        &texts(&json!({ "alg": "ES256", "kid": "twin" })),
        Algorithm::ES256,
    );
    cases.push(("by the other `twin`".into(), token, UNKNOWN));
    // And keys that are good, each for another algorithm than it is asked for.
    for (kid, alg) in [
        ("rsa", "ES256"),
        ("rsa", "EdDSA"),
        ("p256", "RS256"),
        ("p256", "ES384"),
        ("p256", "EdDSA"),
        ("p384", "ES256"),
        ("ed", "ES256"),
        ("ed", "PS256"),
    ] {
        cases.push((
            format!("{alg} by `{kid}`"),
            keys.sign(&json!({ "alg": alg, "kid": kid })),
            ALGORITHM,
        ));
    }
    refused(&gateway, &backend, &cases);
    let siblings = ["RS256 rsa", "PS256 pss", "ES256 p256", "ES384 p384", "EdDSA ed"].map(|name| {
        let (alg, kid) = name.split_once(' ').unwrap();
        (name, keys.sign(&json!({ "alg": alg, "kid": kid })))
    });
    taken(&gateway, &siblings);
}
