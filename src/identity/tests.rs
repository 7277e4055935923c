//! Tokens as data: each recipe with what becomes of it (THREATS, F).

mod vectors;

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::json;
use std::sync::LazyLock;

const NOW: u64 = 1_790_000_000;

struct Signer {
    private: EncodingKey,
    public_pem: String,
    algorithm: Algorithm,
}

fn signer(algorithm: Algorithm) -> Signer {
    let kind = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 => &PKCS_RSA_SHA256,
        Algorithm::ES256 => &PKCS_ECDSA_P256_SHA256,
        Algorithm::ES384 => &PKCS_ECDSA_P384_SHA384,
        Algorithm::EdDSA => &PKCS_ED25519,
        Algorithm::HS256 => panic!("no key pair"),
    };
    let pair = KeyPair::generate_for(kind).unwrap();
    let pem = pair.serialize_pem();
    let private = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_ec_pem(pem.as_bytes()),
    };
    Signer {
        private: private.unwrap(),
        public_pem: pair.public_key_pem(),
        algorithm,
    }
}

static RSA: LazyLock<Signer> = LazyLock::new(|| signer(Algorithm::RS256));
static EC: LazyLock<Signer> = LazyLock::new(|| signer(Algorithm::ES256));
static OTHER_EC: LazyLock<Signer> = LazyLock::new(|| signer(Algorithm::ES256));

fn rules(algorithms: &[Algorithm]) -> IssuerRules {
    IssuerRules {
        issuer: "https://idp.city.example".into(),
        audiences: vec!["billing-api".into(), "other-api".into()],
        algorithms: algorithms.to_vec(),
        max_lifetime: Some(Duration::from_secs(1800)),
        require_bound: false,
        leeway: Duration::from_secs(30),
        claims: ClaimNames::default(),
    }
}

fn ring(signer: &Signer) -> Keyring {
    let algorithms = [signer.algorithm];
    let keys = KeySet::public_key(signer.public_pem.as_bytes(), &algorithms).unwrap();
    Keyring::new(vec![(rules(&algorithms), Arc::new(keys))])
}

fn good() -> Value {
    json!({
        "iss": "https://idp.city.example", "aud": "billing-api", "sub": "ops7", "iat": NOW, "exp": NOW + 900,
        "roles": ["clerk"], "jurisdiction_scope": ["County_A"],
    })
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Signs any text as header and any text as claims.
fn raw(signer: &Signer, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &signer.private, signer.algorithm.library()).unwrap();
    format!("{signed}.{signature}")
}

fn header(signer: &Signer) -> String {
    json!({ "typ": "JWT", "alg": signer.algorithm.as_str() }).to_string()
}

fn token(signer: &Signer, claims: &Value) -> String {
    raw(signer, &header(signer), &claims.to_string())
}

fn claim(name: &str, what: &'static str) -> TokenFault {
    TokenFault::Claim(name.into(), what)
}

#[test]
fn each_algorithm_verifies_its_own_and_nobody_elses() {
    let signers: Vec<Signer> = [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ]
    .into_iter()
    .map(signer)
    .collect();
    for (at, own) in signers.iter().enumerate() {
        let ring = ring(own);
        let caller = ring.verify(&token(own, &good()), NOW).unwrap();
        assert_eq!(caller.user, "ops7");
        assert_eq!(caller.roles, ["clerk"]);
        assert_eq!(caller.jurisdictions, ["County_A"]);
        assert_eq!(caller.scopes, None);
        for (other_at, other) in signers.iter().enumerate() {
            if at != other_at {
                let fault = ring.verify(&token(other, &good()), NOW).unwrap_err();
                assert_eq!(
                    fault,
                    TokenFault::Algorithm,
                    "{:?} {:?}",
                    own.algorithm,
                    other.algorithm
                );
            }
        }
    }
    assert_eq!(
        ring(&EC).verify(&token(&OTHER_EC, &good()), NOW).unwrap_err(),
        TokenFault::Signature
    );
}

#[test]
fn a_bound_token_is_good_with_its_certificate_only() {
    let (own, other) = ([7_u8; 32], [8_u8; 32]);
    let thumbprint = URL_SAFE_NO_PAD.encode(own);
    let bound = |cnf: Value| {
        let mut claims = good();
        claims["cnf"] = cnf;
        claims
    };
    let verify = |require: bool, claims: &Value| {
        let mut rules = rules(&[EC.algorithm]);
        rules.require_bound = require;
        let keys = KeySet::public_key(EC.public_pem.as_bytes(), &[EC.algorithm]).unwrap();
        Keyring::new(vec![(rules, Arc::new(keys))]).verify(&token(&EC, claims), NOW)
    };
    for require in [false, true] {
        let caller = verify(require, &bound(json!({ "x5t#S256": thumbprint }))).unwrap();
        assert_eq!(caller.is_used_with(Some(&own)), Ok(()));
        assert!(matches!(caller.is_used_with(Some(&other)), Err(TokenFault::Unbound(_))));
        assert!(matches!(caller.is_used_with(None), Err(TokenFault::Unbound(_))));
        for cnf in [
            json!(null),
            json!("x"),
            json!({}),
            json!({ "x5t#S256": "" }),
            json!({ "x5t#S256": 7 }),
            json!({ "x5t#S256": format!("{thumbprint}=") }),
            json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 31]) }),
            json!({ "x5t#S256": "ab".repeat(32) }),
            json!({ "jkt": thumbprint }),
            json!({ "x5t#S256": thumbprint, "jkt": thumbprint }),
        ] {
            let fault = verify(require, &bound(cnf.clone())).unwrap_err();
            assert!(
                matches!(&fault, TokenFault::Claim(name, _) if name == "cnf"),
                "{cnf}: {fault}"
            );
        }
    }
    assert_eq!(verify(false, &good()).unwrap().is_used_with(None), Ok(()));
    assert_eq!(
        verify(true, &good()).unwrap_err(),
        claim("cnf", "does not bind the token to a client certificate")
    );
}

#[test]
fn what_a_claim_may_say() {
    let ring = ring(&EC);
    let cases: &[(&str, Value, Result<(), TokenFault>)] = &[
        ("exp", json!(null), Err(claim("exp", "is no time"))),
        ("exp", json!("1790000900"), Err(claim("exp", "is no time"))),
        ("exp", json!(true), Err(claim("exp", "is no time"))),
        ("exp", json!([NOW]), Err(claim("exp", "is no time"))),
        ("exp", json!(-1), Err(claim("exp", "is no time"))),
        ("exp", json!(u64::MAX), Err(claim("exp", "is no time"))),
        ("exp", json!(i64::MAX), Err(claim("exp", "is no time"))),
        ("exp", json!(1e300), Err(claim("exp", "is no time"))),
        ("exp", json!(NOW + 1800), Ok(())),
        ("exp", json!(NOW as f64 + 900.5), Ok(())),
        ("exp", json!(NOW + 1801), Err(claim("exp", "is too long after `iat`"))),
        ("exp", json!(NOW * 1000), Err(claim("exp", "is too long after `iat`"))),
        ("exp", json!(NOW), Err(claim("exp", "is not after `iat`"))),
        ("iat", json!("x"), Err(claim("iat", "is no time"))),
        ("iat", json!(NOW + 30), Ok(())),
        ("iat", json!(NOW + 31), Err(claim("iat", "is in the future"))),
        ("iat", json!(NOW - 86_400), Err(claim("exp", "is too long after `iat`"))),
        ("jti", json!("t-1"), Ok(())),
        ("jti", json!(7), Err(claim("jti", "is no string"))),
        ("nbf", json!(NOW + 30), Ok(())),
        ("nbf", json!(NOW + 31), Err(claim("nbf", "is in the future"))),
        ("nbf", json!("1"), Err(claim("nbf", "is no time"))),
        ("nbf", json!(null), Err(claim("nbf", "is no time"))),
        ("iss", json!("https://idp.city.example/"), Err(TokenFault::Issuer)),
        ("iss", json!("https://idp.city"), Err(TokenFault::Issuer)),
        ("iss", json!(["https://idp.city.example"]), Err(TokenFault::Issuer)),
        ("iss", json!(7), Err(TokenFault::Issuer)),
        ("aud", json!("other-api"), Ok(())),
        ("aud", json!(["x", "billing-api"]), Ok(())),
        ("aud", json!("billing"), Err(claim("aud", "does not name us"))),
        ("aud", json!([]), Err(claim("aud", "does not name us"))),
        ("aud", json!([""]), Err(claim("aud", "does not name us"))),
        (
            "aud",
            json!(["billing-api", 7]),
            Err(claim("aud", "is no list of strings")),
        ),
        (
            "aud",
            json!({"billing-api": 1}),
            Err(claim("aud", "is neither a string nor a list")),
        ),
        ("aud", json!(7), Err(claim("aud", "is neither a string nor a list"))),
        ("sub", json!(""), Err(claim("sub", "is empty"))),
        ("sub", json!(" "), Err(claim("sub", "is empty"))),
        ("sub", json!(7), Err(claim("sub", "is no string"))),
        ("sub", json!("a\r\nb"), Err(claim("sub", "has control characters"))),
        ("sub", json!("a".repeat(256)), Ok(())),
        ("sub", json!("a".repeat(257)), Err(claim("sub", "is too long"))),
        ("roles", json!("clerk"), Ok(())),
        (
            "roles",
            json!({"clerk": true}),
            Err(claim("roles", "is neither a string nor a list")),
        ),
        (
            "roles",
            json!(null),
            Err(claim("roles", "is neither a string nor a list")),
        ),
        (
            "roles",
            json!([["clerk"]]),
            Err(claim("roles", "is no list of strings")),
        ),
        ("roles", json!(vec!["r"; 256]), Ok(())),
        (
            "roles",
            json!(vec!["r"; 257]),
            Err(claim("roles", "has too many values")),
        ),
        ("scope", json!("a:read b:write"), Ok(())),
        ("scope", json!(7), Err(claim("scope", "is neither a string nor a list"))),
        ("jurisdiction_scope", json!("County_A"), Ok(())),
        (
            "jurisdiction_scope",
            json!([1]),
            Err(claim("jurisdiction_scope", "is no list of strings")),
        ),
        ("anything", json!({"deep": [1, 2, {"x": null}]}), Ok(())),
    ];
    for (name, value, expected) in cases {
        let mut claims = good();
        claims[*name] = value.clone();
        let got = ring.verify(&token(&EC, &claims), NOW).map(drop);
        assert_eq!(&got, expected, "{name}: {value}");
    }
    for name in ["exp", "iat", "aud", "sub"] {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(
            ring.verify(&token(&EC, &claims), NOW).unwrap_err(),
            claim(name, "is missing")
        );
    }
    let mut claims = good();
    claims.as_object_mut().unwrap().remove("iss");
    assert_eq!(ring.verify(&token(&EC, &claims), NOW).unwrap_err(), TokenFault::Issuer);
}

#[test]
fn s1_1_only_what_was_good_once_is_expired() {
    let ring = ring(&EC);
    let at = |now| ring.verify(&token(&EC, &good()), now).map(|caller| caller.expires_at);
    assert_eq!(at(NOW + 929), Ok(NOW + 930));
    assert_eq!(at(NOW + 930), Err(TokenFault::Expired));
    assert_eq!(TokenFault::Expired.reason(), Reason::ExpiredToken);
    assert_eq!(
        ring.verify(&token(&OTHER_EC, &good()), NOW + 9999).unwrap_err(),
        TokenFault::Signature
    );
    let mut claims = good();
    claims["aud"] = json!("else");
    assert_eq!(
        ring.verify(&token(&EC, &claims), NOW + 9999).unwrap_err().reason(),
        Reason::InvalidToken
    );
}

#[test]
fn roles_and_scopes_are_never_taken_apart_wrongly() {
    let ring = ring(&EC);
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        ring.verify(&token(&EC, &claims), NOW).unwrap()
    };
    assert_eq!(
        with("roles", json!("clerk finance_admin")).roles,
        ["clerk finance_admin"]
    );
    assert_eq!(
        with("roles", json!("clerk,finance_admin")).roles,
        ["clerk,finance_admin"]
    );
    assert_eq!(with("roles", json!([])).roles, Vec::<String>::new());
    assert_eq!(
        with("role", json!("finance_admin")).roles,
        ["clerk"],
        "the first name counts"
    );
    assert_eq!(with("scope", json!("a  b")).scopes.unwrap(), ["a", "b"]);
    assert_eq!(with("scope", json!("")).scopes.unwrap(), Vec::<String>::new());
    assert_eq!(with("scope", json!(["a b"])).scopes.unwrap(), ["a b"]);
    assert_eq!(with("jurisdiction_scope", json!("A B")).jurisdictions, ["A B"]);
}

#[test]
fn what_a_header_may_say() {
    let ring = ring(&EC);
    let cases: &[(&str, Result<(), TokenFault>)] = &[
        (r#"{"alg":"ES256"}"#, Ok(())),
        (r#"{"alg":"ES256","typ":"at+jwt","kid":"any","x5t":"abc"}"#, Ok(())),
        (r#"{"alg":"ES256","typ":"JWT"}"#, Ok(())),
        (r#"{"alg":"ES256","typ":"logout+jwt"}"#, Err(TokenFault::Header("typ"))),
        (r#"{"alg":"ES256","typ":7}"#, Err(TokenFault::Header("typ"))),
        (r#"{"alg":"ES256","cty":"JWT"}"#, Err(TokenFault::Header("cty"))),
        (r#"{"alg":"none"}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":"nOnE"}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":""}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":7}"#, Err(TokenFault::Algorithm)),
        (r#"{}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":"ES512"}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":"HS256"}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":"ES384"}"#, Err(TokenFault::Algorithm)),
        (r#"{"alg":"ES256","crit":["x"]}"#, Err(TokenFault::Header("crit"))),
        (r#"{"alg":"ES256","crit":[]}"#, Err(TokenFault::Header("crit"))),
        (r#"{"alg":"ES256","b64":false}"#, Err(TokenFault::Header("b64"))),
        (r#"{"alg":"ES256","zip":"DEF"}"#, Err(TokenFault::Header("zip"))),
        (r#"{"alg":"ES256","enc":"A128GCM"}"#, Err(TokenFault::Header("enc"))),
        (r#"{"alg":"ES256","jwk":{}}"#, Err(TokenFault::Header("jwk"))),
        (
            r#"{"alg":"ES256","jku":"https://evil.example"}"#,
            Err(TokenFault::Header("jku")),
        ),
        (
            r#"{"alg":"ES256","x5u":"https://evil.example"}"#,
            Err(TokenFault::Header("x5u")),
        ),
        (r#"{"alg":"ES256","x5c":[]}"#, Err(TokenFault::Header("x5c"))),
        (r#"{"alg":"ES256","kid":7}"#, Err(TokenFault::Header("kid"))),
        (
            r#"{"alg":"ES256","alg":"ES256"}"#,
            Err(TokenFault::Malformed("its header is no plain object")),
        ),
        (
            r#"{"alg":"ES256","\u0061lg":"none"}"#,
            Err(TokenFault::Malformed("its header is no plain object")),
        ),
        (
            r#"["ES256"]"#,
            Err(TokenFault::Malformed("its header is no plain object")),
        ),
        (
            r#"{"alg":"ES256"}x"#,
            Err(TokenFault::Malformed("its header is no plain object")),
        ),
    ];
    for (header, expected) in cases {
        let got = ring.verify(&raw(&EC, header, &good().to_string()), NOW).map(drop);
        assert_eq!(&got, expected, "{header}");
    }
    for (length, taken) in [(256, true), (257, false)] {
        let header = json!({ "alg": "ES256", "kid": "k".repeat(length) }).to_string();
        assert_eq!(ring.verify(&raw(&EC, &header, &good().to_string()), NOW).is_ok(), taken);
    }
}

#[test]
fn doubled_and_deep_claims_are_refused() {
    let ring = ring(&EC);
    let plain = good().to_string();
    let with = |extra: &str| format!("{{{extra},{}", plain.strip_prefix('{').unwrap());
    let malformed = Err(TokenFault::Malformed("its claims are no plain object"));
    for extra in [
        r#""roles":["finance_admin"]"#,
        r#""ro\u006ces":["finance_admin"]"#,
        r#""exp":1"#,
        r#""x":{"a":1,"a":2}"#,
    ] {
        assert_eq!(
            ring.verify(&raw(&EC, &header(&EC), &with(extra)), NOW).map(drop),
            malformed,
            "{extra}"
        );
    }
    for (depth, taken) in [(31, true), (32, false), (5000, false)] {
        let nested = format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
        let got = ring.verify(&raw(&EC, &header(&EC), &with(&nested)), NOW);
        assert_eq!(got.is_ok(), taken, "{depth}: {got:?}");
    }
}

#[test]
fn a_token_is_three_strict_parts() {
    let ring = ring(&EC);
    let good = token(&EC, &good());
    let parts: Vec<&str> = good.split('.').collect();
    for bad in [
        String::new(),
        "a".into(),
        "a.b".into(),
        "..".into(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.x"),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{good}="),
        format!("{good} "),
        good.replace('.', ".\n"),
        format!("{}.{}.{}+", parts[0], parts[1], parts[2]),
        ".".repeat(8000),
    ] {
        assert!(matches!(ring.verify(&bad, NOW), Err(TokenFault::Malformed(_))), "{bad}");
    }
    for (length, fault) in [(MAX_TOKEN, false), (MAX_TOKEN + 1, true)] {
        assert_eq!(
            ring.verify(&"a".repeat(length), NOW).unwrap_err() == TokenFault::TooLong,
            fault
        );
    }
    // A signature part whose last character has bits that decode to nothing.
    let mut loose = good.clone();
    let last = loose.pop().unwrap();
    let next = char::from(u8::try_from(last).unwrap() + 1);
    if next.is_ascii_alphanumeric() {
        loose.push(next);
        assert!(ring.verify(&loose, NOW).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_signature_is_seen() {
    for signer in [&*EC, &*RSA] {
        let ring = ring(signer);
        let good = token(signer, &good());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for bit in (0..signature.len() * 8).step_by(37) {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let bad = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(flipped));
            assert_eq!(ring.verify(&bad, NOW).unwrap_err(), TokenFault::Signature, "bit {bit}");
        }
        for odd in [vec![0; 64], vec![0; signature.len()], vec![1], vec![0xff; 21_000 / 2]] {
            let bad = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(odd));
            assert!(ring.verify(&bad, NOW).is_err());
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let ring = ring(&RSA);
    let pem = RSA.public_pem.clone();
    let no_newline = pem.trim_end().to_owned();
    for secret in [pem.as_bytes(), no_newline.as_bytes()] {
        let forged = Signer {
            private: EncodingKey::from_secret(secret),
            public_pem: String::new(),
            algorithm: Algorithm::HS256,
        };
        assert_eq!(
            ring.verify(&token(&forged, &good()), NOW).unwrap_err(),
            TokenFault::Algorithm
        );
    }
}

fn jwk(signer: &Signer, extra: &Value) -> Value {
    let info = SubjectKey::of(signer);
    let mut jwk = match signer.algorithm {
        Algorithm::RS256 | Algorithm::PS256 => json!({"kty": "RSA", "n": info.0, "e": "AQAB"}),
        Algorithm::ES256 => json!({"kty": "EC", "crv": "P-256", "x": info.0, "y": info.1}),
        _ => panic!("not needed"),
    };
    jwk.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    jwk
}

struct SubjectKey;

impl SubjectKey {
    /// The parts of the public key: modulus, or the point's coordinates.
    fn of(signer: &Signer) -> (String, String) {
        use rustls_pki_types::SubjectPublicKeyInfoDer;
        use rustls_pki_types::pem::PemObject;
        let info = SubjectPublicKeyInfoDer::from_pem_slice(signer.public_pem.as_bytes()).unwrap();
        let bytes = info.as_ref();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        if signer.algorithm == Algorithm::ES256 {
            let point = &bytes[bytes.len() - 64..];
            return (encode(&point[..32]), encode(&point[32..]));
        }
        // A 2048-bit modulus stands before the exponent 65537 (02 03 01 00 01).
        let end = bytes.len() - 5;
        (encode(&bytes[end - 256..end]), String::new())
    }
}

#[test]
fn a_key_set_is_read_key_by_key() {
    let all = [Algorithm::RS256, Algorithm::ES256];
    let set = |keys: Vec<Value>| KeySet::jwks(json!({ "keys": keys }).to_string().as_bytes(), &all);
    let good = || jwk(&EC, &json!({"kid": "good"}));
    let cases = [
        (jwk(&RSA, &json!({"kid": "1"})), None),
        (
            jwk(
                &RSA,
                &json!({"kid": "1", "alg": "RS256", "use": "sig", "key_ops": ["verify"]}),
            ),
            None,
        ),
        (
            jwk(&RSA, &json!({"kid": "1", "alg": "PS256"})),
            Some(KeyFault::Algorithm),
        ),
        (
            jwk(&RSA, &json!({"kid": "1", "alg": "ES521"})),
            Some(KeyFault::Algorithm),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "alg": "RS256"})),
            Some(KeyFault::Algorithm),
        ),
        (jwk(&RSA, &json!({"kid": "1", "use": "enc"})), Some(KeyFault::Use)),
        (
            jwk(&RSA, &json!({"kid": "1", "key_ops": ["sign"]})),
            Some(KeyFault::Use),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "key_ops": ["verify"], "use": "enc"})),
            Some(KeyFault::Use),
        ),
        (
            jwk(
                &EC,
                &json!({"kid": "1", "key_ops": ["encrypt", "wrapKey"], "use": "sig"}),
            ),
            Some(KeyFault::Use),
        ),
        (
            jwk(
                &EC,
                &json!({"kid": "1", "key_ops": ["sign", "verify"], "use": "sig", "alg": "ES256"}),
            ),
            None,
        ),
        (jwk(&EC, &json!({"kid": "1", "key_ops": []})), Some(KeyFault::Use)),
        (
            jwk(&EC, &json!({"kid": "1", "key_ops": ["Verify"]})),
            Some(KeyFault::Use),
        ),
        (jwk(&EC, &json!({"kid": "1", "use": "SIG"})), Some(KeyFault::Use)),
        (jwk(&EC, &json!({"kid": "1", "use": null})), Some(KeyFault::Use)),
        (jwk(&EC, &json!({"kid": "1", "use": ["sig"]})), Some(KeyFault::Use)),
        (
            jwk(&EC, &json!({"kid": "1", "key_ops": "verify"})),
            Some(KeyFault::Member("key_ops")),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "key_ops": ["verify", 7]})),
            Some(KeyFault::Member("key_ops")),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "key_ops": ["verify", "verify"]})),
            Some(KeyFault::Member("key_ops")),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "alg": "ES384"})),
            Some(KeyFault::Algorithm),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "alg": "HS256"})),
            Some(KeyFault::Algorithm),
        ),
        (jwk(&EC, &json!({"kid": "1", "alg": "none"})), Some(KeyFault::Algorithm)),
        (
            jwk(&EC, &json!({"kid": "1", "alg": "es256"})),
            Some(KeyFault::Algorithm),
        ),
        (jwk(&EC, &json!({"kid": "1", "alg": 7})), Some(KeyFault::Member("alg"))),
        (
            jwk(&RSA, &json!({"kid": "1", "alg": "RSA-OAEP"})),
            Some(KeyFault::Algorithm),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "crv": "P-384"})),
            Some(KeyFault::Member("x")),
        ),
        (jwk(&EC, &json!({"kid": "1", "crv": "secp256k1"})), Some(KeyFault::Type)),
        (jwk(&EC, &json!({"kid": "1", "crv": "p-256"})), Some(KeyFault::Type)),
        (jwk(&EC, &json!({"kid": "1", "kty": "ec"})), Some(KeyFault::Type)),
        (
            jwk(&EC, &json!({"kid": "1", "y": SubjectKey::of(&OTHER_EC).1})),
            Some(KeyFault::Point),
        ),
        (
            jwk(&EC, &json!({"kid": "1", "x": URL_SAFE_NO_PAD.encode([0; 32])})),
            Some(KeyFault::Point),
        ),
        (
            json!({"kid": "1", "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32]), "alg": "HS256"}),
            Some(KeyFault::Type),
        ),
        (
            json!({"kid": "1", "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32])}),
            Some(KeyFault::Algorithm),
        ),
        (
            json!({"kid": "1", "kty": "OKP", "crv": "Ed448", "x": URL_SAFE_NO_PAD.encode([7; 57])}),
            Some(KeyFault::Type),
        ),
        (jwk(&RSA, &json!({"kid": "1", "d": "AQAB"})), Some(KeyFault::Private)),
        (jwk(&RSA, &json!({"kid": "good"})), Some(KeyFault::DuplicateKid)),
        (
            jwk(&RSA, &json!({"kid": "1", "n": URL_SAFE_NO_PAD.encode([0xff; 128])})),
            Some(KeyFault::RsaSize(1024)),
        ),
        (jwk(&RSA, &json!({"kid": "1", "n": "!"})), Some(KeyFault::Member("n"))),
        (jwk(&RSA, &json!({"kid": "1", "e": "Aw"})), None),
        (jwk(&RSA, &json!({"kid": "1", "e": "AQ"})), Some(KeyFault::Exponent)),
        (jwk(&RSA, &json!({"kid": "1", "e": "AAAB"})), Some(KeyFault::Exponent)),
        (jwk(&RSA, &json!({"kid": "1", "e": "AQAA"})), Some(KeyFault::Exponent)),
        (jwk(&RSA, &json!({"kid": "1", "e": ""})), Some(KeyFault::Exponent)),
        (
            jwk(&RSA, &json!({"kid": "1", "e": "AgAAAAE"})),
            Some(KeyFault::Exponent),
        ),
        (jwk(&RSA, &json!({"kid": "1", "e": 3})), Some(KeyFault::Member("e"))),
        (jwk(&EC, &json!({"kid": "1", "crv": "P-521"})), Some(KeyFault::Type)),
        (jwk(&EC, &json!({"kid": "1", "x": "AA"})), Some(KeyFault::Member("x"))),
        (jwk(&EC, &json!({"kid": 7})), Some(KeyFault::Member("kid"))),
        (json!({"kid": "1", "kty": "oct", "k": "AAAA"}), Some(KeyFault::Type)),
        (
            json!({"kid": "1", "kty": "OKP", "crv": "X25519", "x": "AA"}),
            Some(KeyFault::Type),
        ),
        (json!({"kid": "1"}), Some(KeyFault::Member("kty"))),
        (json!("key"), Some(KeyFault::NotASet)),
    ];
    for (key, fault) in cases {
        let twin = fault == Some(KeyFault::DuplicateKid);
        let keys = if twin {
            vec![good(), key.clone(), jwk(&OTHER_EC, &json!({}))]
        } else {
            vec![key.clone(), good()]
        };
        let (read, skipped) = set(keys).unwrap();
        let whys: Vec<_> = skipped.into_iter().map(|skip| skip.why).collect();
        match fault {
            None => assert_eq!((read.len(), whys.as_slice()), (2, &[][..]), "{key}"),
            Some(fault) if twin => assert_eq!(whys, [fault.clone(), fault], "{key}"),
            Some(fault) => assert_eq!((read.len(), whys), (1, vec![fault]), "{key}"),
        }
    }
    for (bytes, fault) in [
        (b"".to_vec(), KeyFault::NotASet),
        (b"<html>".to_vec(), KeyFault::NotASet),
        (b"{\"keys\":[]}".to_vec(), KeyFault::NoUsableKey),
        (vec![b' '; MAX_JWKS_BYTES + 1], KeyFault::TooLarge),
    ] {
        assert_eq!(KeySet::jwks(&bytes, &all).unwrap_err(), fault);
    }
    let many = |count: usize| set((0..count).map(|at| jwk(&EC, &json!({"kid": at.to_string()}))).collect());
    assert_eq!(many(MAX_KEYS).unwrap().0.len(), MAX_KEYS);
    assert_eq!(many(MAX_KEYS + 1).unwrap_err(), KeyFault::TooLarge);
}

#[test]
fn keys_are_found_by_id_and_issuer() {
    let all = [Algorithm::RS256, Algorithm::ES256];
    let set = json!({ "keys": [jwk(&RSA, &json!({"kid": "rsa"})), jwk(&EC, &json!({"kid": "ec"}))] }).to_string();
    let (keys, _) = KeySet::jwks(set.as_bytes(), &all).unwrap();
    let mut second = rules(&[Algorithm::ES256]);
    second.issuer = "https://other.example".into();
    let other = KeySet::public_key(OTHER_EC.public_pem.as_bytes(), &[Algorithm::ES256]).unwrap();
    let ring = Keyring::new(vec![(rules(&all), Arc::new(keys)), (second, Arc::new(other))]);
    let with = |signer: &Signer, kid: Option<&str>, issuer: &str| {
        let mut claims = good();
        claims["iss"] = json!(issuer);
        let mut header = json!({ "alg": signer.algorithm.as_str() });
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        ring.verify(&raw(signer, &header.to_string(), &claims.to_string()), NOW)
            .map(drop)
    };
    let (first, second) = ("https://idp.city.example", "https://other.example");
    assert_eq!(with(&RSA, Some("rsa"), first), Ok(()));
    assert_eq!(with(&EC, Some("ec"), first), Ok(()));
    assert_eq!(with(&EC, None, first), Ok(()));
    assert_eq!(with(&EC, Some("rsa"), first), Err(TokenFault::Algorithm));
    assert_eq!(with(&EC, Some("new"), first), Err(TokenFault::UnknownKey { issuer: 0 }));
    assert_eq!(with(&OTHER_EC, Some("ec"), first), Err(TokenFault::Signature));
    assert_eq!(with(&OTHER_EC, None, first), Err(TokenFault::UnknownKey { issuer: 0 }));
    assert_eq!(with(&OTHER_EC, Some("any"), second), Ok(()));
    assert_eq!(with(&EC, Some("ec"), second), Err(TokenFault::Signature));
    assert_eq!(with(&RSA, Some("rsa"), second), Err(TokenFault::Algorithm));
}

/// An issuer that gives its keys no ids changes them, too: its key server has to be asked again.
#[test]
fn a_key_without_an_id_may_be_an_old_one() {
    let set = |keys: &[Value]| {
        let (keys, _) = KeySet::jwks(json!({ "keys": keys }).to_string().as_bytes(), &[Algorithm::ES256]).unwrap();
        Keyring::new(vec![(rules(&[Algorithm::ES256]), Arc::new(keys))])
    };
    let with = |ring: &Keyring, signer: &Signer, kid: Option<&str>| {
        let header = match kid {
            None => json!({ "alg": "ES256" }),
            Some(kid) => json!({ "alg": "ES256", "kid": kid }),
        };
        ring.verify(&raw(signer, &header.to_string(), &good().to_string()), NOW)
            .map(drop)
    };
    let unknown = Err(TokenFault::UnknownKey { issuer: 0 });
    let nameless = set(&[jwk(&EC, &json!({}))]);
    for kid in [None, Some("any")] {
        assert_eq!(with(&nameless, &EC, kid), Ok(()));
        assert_eq!(with(&nameless, &OTHER_EC, kid), unknown, "{kid:?}");
    }
    let mixed = set(&[jwk(&EC, &json!({})), jwk(&OTHER_EC, &json!({ "kid": "b" }))]);
    assert_eq!(with(&mixed, &OTHER_EC, Some("b")), Ok(()));
    assert_eq!(with(&mixed, &EC, Some("b")), Ok(()), "one without an id has any");
    assert_eq!(with(&mixed, &OTHER_EC, None), Ok(()));
    assert_eq!(with(&mixed, &OTHER_EC, Some("c")), unknown);
    let file = ring(&EC);
    assert_eq!(
        with(&file, &OTHER_EC, None),
        Err(TokenFault::Signature),
        "a file is asked once"
    );
}

#[test]
fn an_exponent_with_which_a_message_signs_itself_is_refused() {
    let (head, rest) = RSA.public_pem.trim().split_once('\n').unwrap();
    let (body, foot) = rest.rsplit_once('\n').unwrap();
    let standard = base64::engine::general_purpose::STANDARD;
    let mut der = standard.decode(body.replace(['\r', '\n'], "")).unwrap();
    let at = der.len() - 5;
    assert_eq!(der[at..], [2, 3, 1, 0, 1]);
    der[at + 2] = 0;
    let pem = format!("{}\n{}\n{foot}\n", head.trim(), standard.encode(der));
    let fault = KeySet::public_key(pem.as_bytes(), &[Algorithm::RS256]).unwrap_err();
    assert_eq!(fault, KeyFault::Exponent);
}

#[test]
fn odd_key_files_are_refused() {
    let pem = |signer: &Signer| signer.public_pem.clone();
    let es = [Algorithm::ES256];
    assert_eq!(
        KeySet::public_key(pem(&RSA).as_bytes(), &es).unwrap_err(),
        KeyFault::Algorithm
    );
    assert_eq!(KeySet::public_key(b"hello", &es).unwrap_err(), KeyFault::Pem);
    let private = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    assert_eq!(
        KeySet::public_key(private.as_bytes(), &es).unwrap_err(),
        KeyFault::Private
    );
    assert_eq!(KeySet::secret(&[b'x'; 31]).unwrap_err(), KeyFault::ShortSecret(31));
    let mut padded = vec![b'x'; 31];
    padded.extend_from_slice(b"\n\n");
    assert_eq!(KeySet::secret(&padded).unwrap_err(), KeyFault::ShortSecret(31));
    assert!(KeySet::secret(&[b'x'; 32]).is_ok());
}

#[test]
fn a_key_off_its_curve_is_no_key() {
    let (head, rest) = EC.public_pem.trim().split_once('\n').unwrap();
    let (body, foot) = rest.rsplit_once('\n').unwrap();
    let standard = base64::engine::general_purpose::STANDARD;
    let mut der = standard.decode(body.replace(['\r', '\n'], "")).unwrap();
    *der.last_mut().unwrap() ^= 1;
    let pem = format!("{}\n{}\n{foot}\n", head.trim(), standard.encode(der));
    let fault = KeySet::public_key(pem.as_bytes(), &[Algorithm::ES256]).unwrap_err();
    assert_eq!(fault, KeyFault::Point);
}

#[test]
fn s3_1_a_shared_secret_verifies_what_it_signed() {
    let secret = [b's'; 40];
    let rules = IssuerRules {
        max_lifetime: None,
        ..rules(&[Algorithm::HS256])
    };
    let ring = Keyring::new(vec![(rules, Arc::new(KeySet::secret(&secret).unwrap()))]);
    let claims = good().as_object().unwrap().clone();
    let minted = mint::with_secret(&secret, &claims, None, None, NOW).unwrap();
    assert_eq!(ring.verify(&minted, NOW).unwrap().user, "ops7");
    let other = mint::with_secret(&[b't'; 40], &claims, None, None, NOW).unwrap();
    assert_eq!(ring.verify(&other, NOW).unwrap_err(), TokenFault::Signature);
}

#[test]
fn what_is_minted_is_good() {
    let mut claims = good().as_object().unwrap().clone();
    claims.remove("iat");
    claims.remove("exp");
    for kind in [
        &PKCS_RSA_SHA256,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ] {
        let pair = KeyPair::generate_for(kind).unwrap();
        let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
        let keys = KeySet::public_key(pair.public_key_pem().as_bytes(), &all).unwrap();
        let ring = Keyring::new(vec![(rules(&all), Arc::new(keys))]);
        let ttl = Some(Duration::from_secs(900));
        let token = mint::with_key(pair.serialize_pem().as_bytes(), &claims, Some("k"), ttl, NOW).unwrap();
        let caller = ring.verify(&token, NOW).unwrap();
        assert_eq!(caller.expires_at, NOW + 930);
    }
    assert!(mint::with_key(b"hello", &claims, None, None, NOW).is_err());
}

#[test]
fn a_verified_token_is_known_until_it_expires() {
    let cache = VerifiedCache::new();
    cache.insert("a.b.c", Arc::new(7), 100);
    assert_eq!(cache.get("a.b.c", 99).as_deref(), Some(&7));
    assert_eq!(cache.get("a.b.d", 99), None);
    assert_eq!(cache.get("a.b.c", 100), None);
    assert_eq!(cache.get("a.b.c", 99), None, "and is forgotten then");
    for number in 0..MAX_VERIFIED * 2 {
        cache.insert(&number.to_string(), Arc::new(0), 100);
    }
    assert!(cache.len() <= MAX_VERIFIED);
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        let ring = ring(&EC);
        prop_assert!(ring.verify(&text, NOW).is_err());
        prop_assert!(ring.verify(&parts.join("."), NOW).is_err());
        let wrapped = format!("{}.{}.AAAA", encode(&text), encode(&text));
        prop_assert!(ring.verify(&wrapped, NOW).is_err());
    }
}
