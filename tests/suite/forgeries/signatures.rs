//! Signatures that are nearly right, as numbers and as encodings.

use jsonwebtoken::Algorithm;
use rcgen::KeyPair;
use serde_json::json;
use std::path::Path;
use std::process::Command;

use super::super::harness::*;
use super::*;

/// Big numbers of one width: `a - b`.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let mut digits: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(digit < 0);
            u8::try_from(digit.rem_euclid(256)).unwrap()
        })
        .collect();
    assert_eq!(borrow, 0);
    digits.reverse();
    digits
}

/// A DER integer, and two of them as ECDSA signatures are written elsewhere.
fn in_der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let mut bytes = number[zeros..].to_vec();
        if bytes.first().is_none_or(|first| *first >= 0x80) {
            bytes.insert(0, 0);
        }
        [vec![0x02, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
}

/// RFC 7518, 3.4: r and s, 32 bytes each, from 1 to n - 1.
#[test]
fn an_ecdsa_signature_is_two_numbers_of_their_width() {
    let keys = Keys::new();
    let backend = Backend::start();
    let gateway = start(&backend, &keys);
    let header = json!({ "alg": "ES256", "kid": "p256" });
    let good = keys.sign(&header);
    let (text, signature) = good.rsplit_once('.').unwrap();
    let whole = unb64(signature);
    let (r, s) = whole.split_at(32);
    let order = unb64("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
    let one = [&[0; 31][..], &[1]].concat();
    let (less, zero) = (minus(&order, &one), vec![0; 32]);
    let numbers = [
        ("0", &zero),
        ("1", &one),
        ("n - 1", &less),
        ("n", &order),
        ("2^256 - 1", &vec![0xff; 32]),
    ];
    let case = |what: &str, bytes: &[u8]| (what.to_owned(), format!("{text}.{}", b64(bytes)), WRONG);
    let mut cases: Vec<Case> = Vec::new();
    for (name, number) in numbers {
        cases.push(case(&format!("r = {name}"), &[number, s].concat()));
        cases.push(case(&format!("s = {name}"), &[r, number].concat()));
        for (other, second) in numbers {
            cases.push(case(
                &format!("r = {name}, s = {other}"),
                &[&number[..], second].concat(),
            ));
        }
    }
    let der = in_der(r, s);
    cases.extend([
        case("swapped", &[s, r].concat()),
        case("r twice", &[r, r].concat()),
        case("r negated", &[&minus(&order, r), s].concat()),
        case("in DER", &der),
        case("in DER, with zeros to 64 bytes more", &[&der[..], &[0; 64]].concat()),
        case("a byte less", &whole[..63]),
        case("a byte less in front", &whole[1..]),
        case("a byte more", &[&whole[..], &[0]].concat()),
        case("a zero in front", &[&[0], &whole[..]].concat()),
        case("a zero before each", &[&[0], r, &[0], s].concat()),
        case("as wide as for P-384", &[&[0; 16], r, &[0; 16], s].concat()),
        case("r alone", r),
        case("twice", &[&whole[..], &whole].concat()),
        case("a point's mark in front", &[&[4], &whole[..]].concat()),
    ]);
    let p384 = texts(&json!({ "alg": "ES384", "kid": "p384" }));
    let wider = signed_by(&keys.p384, &p384, Algorithm::ES384);
    let (_, wide) = wider.rsplit_once('.').unwrap();
    let signature_of = |pair: &KeyPair, algorithm| {
        let token = signed_by(pair, text, algorithm);
        token.rsplit_once('.').unwrap().1.to_owned()
    };
    cases.extend([
        ("of another text on P-384".into(), format!("{text}.{wide}"), WRONG),
        (
            "of P-384".into(),
            format!("{text}.{}", signature_of(&keys.p384, Algorithm::ES384)),
            WRONG,
        ),
        (
            "of Ed25519".into(),
            format!("{text}.{}", signature_of(&keys.ed, Algorithm::EdDSA)),
            WRONG,
        ),
        (
            "of RSA".into(),
            format!("{text}.{}", signature_of(&keys.rsa, Algorithm::RS256)),
            WRONG,
        ),
    ]);
    refused(&gateway, &backend, &cases);
    // What anybody can make of a good signature is one for the same claims, and nothing is known by it.
    let negated = format!("{text}.{}", b64([r, &minus(&order, s)].concat()));
    taken(
        &gateway,
        &[
            ("as it should be", good.clone()),
            ("s negated", negated),
            ("P-384", wider),
        ],
    );
}

/// An operation of `openssl pkeyutl` with the private RSA key: what the options make of the input.
fn openssl(folder: &Path, operation: &str, input: &[u8], options: &[&str]) -> Vec<u8> {
    std::fs::write(folder.join("input"), input).unwrap();
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", operation, "-inkey", "key.pem", "-in", "input"]);
    for option in options {
        command.args(["-pkeyopt", option]);
    }
    let output = command
        .current_dir(folder)
        .output()
        .expect("this test starts openssl: apt-get install openssl");
    assert!(
        output.status.success(),
        "{options:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// An encoded message of 256 bytes (RFC 8017, 9.2): a head, as much of 0xff as there is room for, and a tail.
fn padded(head: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, &vec![0xff; 256 - head.len() - tail.len()], tail].concat()
}

/// RFC 8017, 8.2.2: what PKCS #1 v1.5 pads is compared as a whole. RFC 8017, 8.1.2 and RFC 7518, 3.5: PSS with SHA-256
/// twice and a salt of 32 bytes.
#[test]
fn an_rsa_signature_is_padded_in_one_way() {
    let keys = Keys::new();
    let backend = Backend::start();
    let gateway = start(&backend, &keys);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "key.pem", &keys.rsa.serialize_pem());
    // To decrypt without padding is to raise to the private exponent, and so is to sign.
    let raw = |encoded: &[u8]| openssl(folder.path(), "-decrypt", encoded, &["rsa_padding_mode:none"]);
    let sha = |algorithm, text: &str| aws_lc_rs::digest::digest(algorithm, text.as_bytes()).as_ref().to_vec();
    let sha256 = |text: &str| sha(&aws_lc_rs::digest::SHA256, text);

    let rs = texts(&json!({ "alg": "RS256", "kid": "rsa" }));
    let hash = sha256(&rs);
    let info = |inner: &[u8], hash: &[u8]| {
        let sequence = [&[0x30, u8::try_from(inner.len()).unwrap()], inner].concat();
        let octets = [&[0x04, u8::try_from(hash.len()).unwrap()], hash].concat();
        let both = [sequence, octets].concat();
        [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
    };
    const SHA256: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    const SHA384: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    const NULL: &[u8] = &[0x05, 0x00];
    let right = info(&[SHA256, NULL].concat(), &hash);
    let tail = |info: &[u8]| [&[0], info].concat();
    let head = &[0, 1][..];
    // With an exponent of 3, what stands behind the hash can be chosen so that anybody makes a signature.
    let garbage = [head, &[0xff; 8], &tail(&right)].concat();
    let garbage = [&garbage[..], &vec![0x41; 256 - garbage.len()]].concat();
    let long_form = [&[0x30, 0x81, right[1]], &right[2..]].concat();
    let encodings = [
        ("few 0xff, and garbage behind the hash", garbage),
        ("few 0xff, and garbage among the parameters", {
            let parameters = [&[0x04, 0x81, 150][..], &[0x41; 150]].concat();
            let inner = [SHA256, &parameters].concat();
            let octets = [&[0x04, 0x20], &hash[..]].concat();
            let sequence = [&[0x30, 0x81, u8::try_from(inner.len()).unwrap()], &inner[..], &octets].concat();
            padded(head, &tail(&sequence))
        }),
        ("no NULL", padded(head, &tail(&info(SHA256, &hash)))),
        ("a long length", padded(head, &tail(&long_form))),
        ("the hash alone", padded(head, &tail(&hash))),
        (
            "the name of SHA-384",
            padded(head, &tail(&info(&[SHA384, NULL].concat(), &hash))),
        ),
        ("block type 2", padded(&[0, 2], &tail(&right))),
        ("block type 0", padded(&[0, 0], &tail(&right))),
        ("a one in front", padded(&[1, 1], &tail(&right))),
        ("another byte among the 0xff", padded(&[0, 1, 0xfe], &tail(&right))),
        ("no zero before the name", padded(head, &right)),
        ("two zeros before the name", padded(head, &tail(&tail(&right)))),
        ("a zero behind", padded(head, &[&tail(&right)[..], &[0]].concat())),
        (
            "the hash cut",
            padded(head, &tail(&info(&[SHA256, NULL].concat(), &hash[..31]))),
        ),
    ];
    let case = |what: &str, bytes: &[u8]| (what.to_owned(), format!("{rs}.{}", b64(bytes)), WRONG);
    let mut cases: Vec<Case> = encodings
        .iter()
        .map(|(what, encoded)| case(what, &raw(encoded)))
        .collect();
    let good = raw(&padded(head, &tail(&right)));
    let modulus = keys.modulus();
    cases.extend([
        case("zero", &[0; 256]),
        case("one", &[&[0; 255][..], &[1]].concat()),
        case("the modulus", &modulus),
        case("as large as can be", &[0xff; 256]),
        case("negated", &minus(&modulus, &good)),
        case("a byte less", &good[..255]),
        case("a byte less in front", &good[1..]),
        case("a zero more in front", &[&[0], &good[..]].concat()),
        case("a zero more", &[&good[..], &[0]].concat()),
        case("the text as its own signature", &padded(head, &tail(&right))),
    ]);
    for (name, algorithm) in [
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS384", Algorithm::PS384),
    ] {
        let token = signed_by(&keys.rsa, &rs, algorithm);
        cases.push((format!("{name} signed, RS256 said"), token, WRONG));
        let text = texts(&json!({ "alg": name, "kid": "rsa" }));
        cases.push((
            format!("{name} signed and said"),
            signed_by(&keys.rsa, &text, algorithm),
            ALGORITHM,
        ));
    }
    let ps = texts(&json!({ "alg": "PS256", "kid": "pss" }));
    let pss = |digest: &str, mgf: &str, salt: &str| {
        let hashed = match digest {
            "sha384" => sha(&aws_lc_rs::digest::SHA384, &ps),
            _ => sha256(&ps),
        };
        let options = [
            "rsa_padding_mode:pss",
            &format!("digest:{digest}"),
            &format!("rsa_mgf1_md:{mgf}"),
            salt,
        ];
        format!("{ps}.{}", b64(openssl(folder.path(), "-sign", &hashed, &options)))
    };
    for salt in ["0", "1", "20", "31", "33", "64", "max"] {
        cases.push((
            format!("PSS with a salt of {salt}"),
            pss("sha256", "sha256", &format!("rsa_pss_saltlen:{salt}")),
            WRONG,
        ));
    }
    cases.extend([
        (
            "PSS with SHA-1 in its mask".into(),
            pss("sha256", "sha1", "rsa_pss_saltlen:32"),
            WRONG,
        ),
        (
            "PSS with SHA-384".into(),
            pss("sha384", "sha384", "rsa_pss_saltlen:32"),
            WRONG,
        ),
        (
            "PSS signed, RS256 said".into(),
            signed_by(&keys.rsa, &rs, Algorithm::PS256),
            WRONG,
        ),
        (
            "RS256 signed, PS256 said".into(),
            signed_by(&keys.rsa, &ps, Algorithm::RS256),
            WRONG,
        ),
        (
            "PS256 by a key for RS256".into(),
            keys.sign(&json!({ "alg": "PS256", "kid": "rsa" })),
            ALGORITHM,
        ),
        (
            "RS256 by a key for PS256".into(),
            keys.sign(&json!({ "alg": "RS256", "kid": "pss" })),
            ALGORITHM,
        ),
    ]);
    refused(&gateway, &backend, &cases);
    taken(
        &gateway,
        &[
            ("padded as it should be", format!("{rs}.{}", b64(good))),
            ("RS256", keys.sign(&json!({ "alg": "RS256", "kid": "rsa" }))),
            ("PS256", keys.sign(&json!({ "alg": "PS256", "kid": "pss" }))),
            ("PS256 by openssl", pss("sha256", "sha256", "rsa_pss_saltlen:32")),
        ],
    );
}
