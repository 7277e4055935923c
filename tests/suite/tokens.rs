//! Tokens as forgers and careless issuers send them (interface, section 4; S1.1, S1.12, S3.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::time::Duration;

use super::harness::*;

pub(super) const PATH: &str = "/api/accounts/1";

/// A token of these very texts.
pub(super) fn forge(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

/// The same, with the good key.
fn own(header: &str, payload: &str) -> String {
    let key = EncodingKey::from_ec_pem(key_pair().0.as_bytes()).unwrap();
    forge(header, payload, &key, Algorithm::ES256)
}

/// A clerk's claims with a change.
fn with(name: &str, value: Value) -> Value {
    let mut claims = timed();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = timed();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub(super) fn timed() -> Value {
    let mut claims = claims(&["clerk"]);
    claims["iat"] = unix_now().into();
    claims["exp"] = (unix_now() + 900).into();
    claims
}

fn plain(claims: &Value) -> String {
    own(r#"{"alg":"ES256"}"#, &claims.to_string())
}

/// The policy with another source of keys.
pub(super) fn keys(lines: &str) -> String {
    let own = "      public_key: ../keys/public.pem\n      algorithms: [ES256]\n";
    assert!(POLICY.contains(own));
    POLICY.replace(own, &format!("{lines}\n"))
}

/// A key of a set, by the PEM of a P-256 key: a point is the end of its DER.
pub(super) fn jwk(pem: &str, kid: &str) -> Value {
    let base64: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    let der = STANDARD.decode(base64).unwrap();
    let (x, y) = der[der.len() - 64..].split_at(32);
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    })
}

fn pair() -> (String, String) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    (pair.serialize_pem(), pair.public_key_pem())
}

fn mint_kid(private: &str, kid: Option<&str>) -> String {
    let claims = claims(&["clerk"]);
    let ttl = Some(Duration::from_secs(900));
    let claims = claims.as_object().unwrap();
    tollgate::identity::mint::with_key(private.as_bytes(), claims, kid, ttl, unix_now()).unwrap()
}

/// Each of the tokens is answered 401, in the same words; why is in the audit log, whose lines it is the end of.
pub(super) fn refused(gateway: &Gateway, backend: &Backend, cases: &[(impl AsRef<str>, String, &str)]) {
    let mut texts = Vec::new();
    for (at, (what, token, _)) in cases.iter().enumerate() {
        let what = what.as_ref();
        let answer = gateway.call_as("GET", PATH, token, &format!("X-Request-Id: t{at}\r\n"), "");
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (401, "invalid_token"),
            "{what}: {}",
            answer.text()
        );
        assert_eq!(
            answer.field("www-authenticate"),
            Some(r#"Bearer error="invalid_token""#),
            "{what}"
        );
        texts.push(answer.text().replace(&format!("\"t{at}\""), "\"\""));
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "the client learns nothing of why: {texts:#?}");
    assert_eq!(backend.count(), 0);
    let lines = gateway.audit(cases.len());
    for (at, (what, _, why)) in cases.iter().enumerate() {
        let what = what.as_ref();
        let line = lines
            .iter()
            .find(|line| line["request_id"] == format!("t{at}"))
            .unwrap();
        assert!(line["detail"].as_str().unwrap().ends_with(why), "{what}: {line}");
        assert_eq!(
            (&line["decision"], &line["user_id"]),
            (&json!("DENIED_TOKEN"), &Value::Null),
            "{what}"
        );
        assert_eq!(line["roles"], json!([]), "{what}: an unverified token says nothing");
    }
}

#[test]
fn s1_1_a_forged_token_is_refused_and_the_reason_is_the_operators() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let good = timed().to_string();
    let es = r#"{"alg":"ES256"}"#;
    let public = key_pair().1.as_bytes();
    let none = |header: &str| format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&good));
    let shared = |secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        forge(r#"{"alg":"HS256","typ":"JWT"}"#, &good, &key, Algorithm::HS256)
    };
    let whole = own(es, &good);
    let parts: Vec<&str> = whole.split('.').collect();
    let richer = URL_SAFE_NO_PAD.encode(with("roles", json!(["finance_admin"])).to_string());
    let doubled = |extra: &str| own(es, &format!("{},{extra}}}", good.strip_suffix('}').unwrap()));
    let headed = |extra: &str| own(&format!(r#"{{"alg":"ES256",{extra}}}"#), &good);
    let now = unix_now();

    let cases: Vec<(&str, String, &str)> = vec![
        ("alg none", none(r#"{"alg":"none"}"#), "an empty part"),
        ("alg None", none(r#"{"alg":"None"}"#), "an empty part"),
        ("alg ES256 without a signature", none(es), "an empty part"),
        (
            "no alg",
            own(r#"{"typ":"JWT"}"#, &good),
            "algorithm is not one of its issuer's",
        ),
        (
            "alg null",
            own(r#"{"alg":null}"#, &good),
            "algorithm is not one of its issuer's",
        ),
        (
            "alg es256",
            own(r#"{"alg":"es256"}"#, &good),
            "algorithm is not one of its issuer's",
        ),
        (
            "alg RS256 of an EC signature",
            own(r#"{"alg":"RS256"}"#, &good),
            "algorithm is not one of its issuer's",
        ),
        (
            "alg ES384",
            own(r#"{"alg":"ES384"}"#, &good),
            "algorithm is not one of its issuer's",
        ),
        (
            "alg twice",
            own(r#"{"alg":"none","alg":"ES256"}"#, &good),
            "its header is no plain object",
        ),
        (
            "HS256 with the public PEM",
            shared(public),
            "algorithm is not one of its issuer's",
        ),
        (
            "HS256 with the public PEM, trimmed",
            shared(public.trim_ascii()),
            "algorithm is not one of its issuer's",
        ),
        (
            "HS256 with nothing",
            shared(b""),
            "algorithm is not one of its issuer's",
        ),
        (
            "a stranger's key",
            mint(&strangers_key(), &timed(), 900),
            "the signature is wrong",
        ),
        (
            "tampered payload",
            format!("{}.{richer}.{}", parts[0], parts[2]),
            "the signature is wrong",
        ),
        (
            "tampered header",
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","x":1}"#),
                parts[1],
                parts[2]
            ),
            "the signature is wrong",
        ),
        (
            "signature of zeros",
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64])),
            "the signature is wrong",
        ),
        (
            "signature cut",
            whole[..whole.len() - 2].to_owned(),
            "the signature is wrong",
        ),
        ("padded", format!("{whole}=="), "a part is no base64url"),
        ("four parts", format!("{whole}.x"), "not three parts"),
        ("five parts", format!("{whole}.x.y"), "not three parts"),
        ("two parts", format!("{}.{}", parts[0], parts[1]), "not three parts"),
        (
            "crit",
            headed(r#""crit":["exp"]"#),
            "header has `crit`, which is not taken",
        ),
        ("b64", headed(r#""b64":false"#), "header has `b64`, which is not taken"),
        ("zip", headed(r#""zip":"DEF""#), "header has `zip`, which is not taken"),
        (
            "jwk",
            headed(&format!(r#""jwk":{}"#, jwk(key_pair().1, "a"))),
            "header has `jwk`, which is not taken",
        ),
        (
            "jku",
            headed(r#""jku":"http://127.0.0.1:1/jwks.json""#),
            "header has `jku`, which is not taken",
        ),
        (
            "x5u",
            headed(r#""x5u":"http://127.0.0.1:1/x.pem""#),
            "header has `x5u`, which is not taken",
        ),
        (
            "kid of a list",
            headed(r#""kid":["../../keys/public.pem"]"#),
            "header has `kid`, which is not taken",
        ),
        (
            "typ of another thing",
            headed(r#""typ":"dpop+jwt""#),
            "header has `typ`, which is not taken",
        ),
        (
            "nested",
            headed(r#""cty":"JWT""#),
            "header has `cty`, which is not taken",
        ),
        ("claims are a list", own(es, "[]"), "its claims are no plain object"),
        ("claims are no JSON", own(es, "clerk"), "its claims are no plain object"),
        (
            "claims and more",
            own(es, &format!("{good} {{}}")),
            "its claims are no plain object",
        ),
        (
            "roles twice",
            doubled(r#""roles":["finance_admin"]"#),
            "its claims are no plain object",
        ),
        (
            "exp twice",
            doubled(r#""exp":9999999999"#),
            "its claims are no plain object",
        ),
        (
            "roles twice, escaped",
            doubled(r#""role\u0073":["finance_admin"]"#),
            "its claims are no plain object",
        ),
        ("no exp", plain(&without("exp")), "`exp` is missing"),
        (
            "exp of text",
            plain(&with("exp", json!((now + 900).to_string()))),
            "`exp` is no time",
        ),
        ("exp negative", plain(&with("exp", json!(-1))), "`exp` is no time"),
        (
            "exp huge",
            own(es, &good.replace(&format!("\"exp\":{}", now + 900), "\"exp\":1e400")),
            "its claims are no plain object",
        ),
        (
            "no iat where a lifetime is limited",
            plain(&without("iat")),
            "`iat` is missing",
        ),
        (
            "iat in the future",
            plain(&with("iat", json!(now + 300))),
            "`iat` is in the future",
        ),
        (
            "nbf in the future",
            plain(&with("nbf", json!(now + 300))),
            "`nbf` is in the future",
        ),
        (
            "S1.12 lives longer than it may",
            plain(&with("exp", json!(now + 3600))),
            "`exp` is too long after `iat`",
        ),
        ("no iss", plain(&without("iss")), "issuer is not one of the policy's"),
        (
            "another iss",
            plain(&with("iss", json!("https://idp.city.example/"))),
            "issuer is not one of the policy's",
        ),
        (
            "iss list",
            plain(&with("iss", json!([ISSUER]))),
            "issuer is not one of the policy's",
        ),
        ("no aud", plain(&without("aud")), "`aud` is missing"),
        (
            "another aud",
            plain(&with("aud", json!("billing-api2"))),
            "`aud` does not name us",
        ),
        (
            "aud list of others",
            plain(&with("aud", json!(["payroll", "billing"]))),
            "`aud` does not name us",
        ),
        (
            "aud by prefix",
            plain(&with("aud", json!("billing"))),
            "`aud` does not name us",
        ),
        (
            "roles of numbers",
            plain(&with("roles", json!([1]))),
            "`roles` is no list of strings",
        ),
        (
            "roles object",
            plain(&with("roles", json!({"clerk": true}))),
            "`roles` is neither a string nor a list",
        ),
        ("sub of a number", plain(&with("sub", json!(7))), "`sub` is no string"),
        ("no sub", plain(&without("sub")), "`sub` is missing"),
        (
            "20 KB",
            plain(&with("pad", json!("x".repeat(20_000)))),
            "the token is longer than 16384 bytes",
        ),
        ("not a token", "Li4u".into(), "not three parts"),
        ("dots", "..".into(), "an empty part"),
    ];
    refused(&gateway, &backend, &cases);

    let mut late = with("exp", json!(now - 5));
    late["iat"] = json!(now - 60);
    let late = plain(&late);
    // And what is good is taken, so that the table is about what it says.
    for (what, token) in [
        ("plain", whole.clone()),
        ("typ", headed(r#""typ":"JWT""#)),
        ("at+jwt", headed(r#""typ":"at+jwt""#)),
        ("any kid for a single key", headed(r#""kid":"k1""#)),
        (
            "aud list with ours",
            plain(&with("aud", json!(["payroll", "billing-api"]))),
        ),
        ("within the leeway", late),
    ] {
        let answer = gateway.call_as("GET", PATH, &token, "", "");
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    }
}

#[test]
fn s3_1_a_single_role_claim_will_do() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    for (name, value, status, error) in [
        ("role", json!("clerk"), 200, ""),
        ("role", json!(["clerk"]), 200, ""),
        ("roles", json!("clerk"), 200, ""),
        ("role", json!(""), 401, "no_role"),
        ("role", json!("clerk,finance_admin"), 401, "no_role"),
        ("roles", json!([]), 401, "no_role"),
        ("groups", json!("clerk"), 401, "no_role"),
    ] {
        let mut claims = without("roles");
        claims[name] = value;
        let answer = gateway.call_as("GET", PATH, &gateway.token(&claims), "", "");
        assert_eq!((answer.status, answer.error().as_str()), (status, error), "{claims}");
    }
}

#[test]
fn one_bearer_header_and_no_other_place() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let token = gateway.token(&claims(&["clerk"]));
    let rows = [
        (format!("Authorization: bearer {token}"), 200, ""),
        (format!("authorization: BEARER   {token}"), 200, ""),
        (
            format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}"),
            400,
            "ambiguous_request",
        ),
        (
            format!("Authorization: Bearer {token}\r\nauthorization: Basic dTpw"),
            400,
            "ambiguous_request",
        ),
        (
            format!("Authorization: Bearer {token}, Bearer {token}"),
            401,
            "invalid_token",
        ),
        (format!("Authorization: Bearer {token} x"), 401, "invalid_token"),
        (format!("Authorization: Bearer\t{token}"), 401, "invalid_token"),
        (format!("Authorization: Bearer{token}"), 401, "invalid_token"),
        (format!("Authorization: {token}"), 401, "invalid_token"),
        (format!("Authorization: Basic {token}"), 401, "invalid_token"),
        (format!("Authorization: Token {token}"), 401, "invalid_token"),
        ("Authorization: Basic dTpw".into(), 401, "invalid_token"),
        ("Authorization: Bearer".into(), 401, "invalid_token"),
        ("Authorization:".into(), 401, "invalid_token"),
        (format!("Proxy-Authorization: Bearer {token}"), 401, "missing_token"),
        (format!("X-Authorization: Bearer {token}"), 401, "missing_token"),
        (format!("Cookie: access_token={token}"), 401, "missing_token"),
        (format!("HTTP_AUTHORIZATION: Bearer {token}"), 401, "missing_token"),
    ];
    for (headers, status, error) in &rows {
        let answer = gateway.call_as("GET", PATH, "", &format!("{headers}\r\n"), "");
        assert_eq!((answer.status, answer.error().as_str()), (*status, *error), "{headers}");
    }
    let query = gateway.call_as("GET", &format!("{PATH}?access_token={token}"), "", "", "");
    assert_eq!((query.status, query.error().as_str()), (401, "missing_token"));
    let body = format!("access_token={token}");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = gateway.call_as("POST", "/portal/assignments", "", form, &body);
    assert_eq!((body.status, body.error().as_str()), (401, "missing_token"));
    assert_eq!(backend.count(), 2);
}

#[test]
fn s1_1_a_token_that_was_good_expires_although_it_is_known() {
    let backend = Backend::start();
    let policy = POLICY.replace(
        "      max_lifetime: 30m\n",
        "      max_lifetime: 30m\n      leeway: 0s\n",
    );
    assert_ne!(policy, POLICY);
    let gateway = Setup::new(&backend).policy(&policy).start();
    let token = mint(key_pair().0, &claims(&["clerk"]), 2);
    let ask = || gateway.call_as("GET", PATH, &token, "", "");
    assert_eq!(ask().status, 200);
    assert_eq!(ask().status, 200, "known by now");
    let mut last = ask();
    wait_for("the token to expire", || {
        last = ask();
        last.status != 200
    });
    assert_eq!((last.status, last.error().as_str()), (401, "expired_token"));
    assert!(
        last.json()["detail"].as_str().unwrap().contains("fresh"),
        "{}",
        last.text()
    );
    let challenge = last.field("www-authenticate").unwrap();
    assert!(challenge.starts_with(r#"Bearer error="invalid_token""#), "{challenge}");
    // Expired by another's signature is not expired but forged.
    let mut old = claims(&["clerk"]);
    old["iat"] = (unix_now() - 900).into();
    old["exp"] = (unix_now() - 300).into();
    let forged = gateway.call_as("GET", PATH, &mint(&strangers_key(), &old, 0), "", "");
    assert_eq!(forged.error(), "invalid_token");
    let old = gateway.call_as("GET", PATH, &gateway.token(&old), "", "");
    assert_eq!(old.error(), "expired_token");
}

#[test]
fn s1_12_a_replaced_key_ends_its_tokens_within_a_second() {
    let backend = Backend::start();
    let gateway = Setup {
        files: vec![("keys/rotating.pem", key_pair().1.to_owned())],
        ..Setup::new(&backend).policy(&POLICY.replace("keys/public.pem", "keys/rotating.pem"))
    }
    .start();
    let (private, public) = pair();
    let (old, new) = (mint_kid(key_pair().0, None), mint_kid(&private, None));
    let ask = |token: &str| gateway.call_as("GET", PATH, token, "", "").status;
    assert_eq!((ask(&old), ask(&old), ask(&new)), (200, 200, 401));
    let replaced = std::time::Instant::now();
    write(&gateway.path("keys"), "rotating.pem", &public);
    wait_for("the new key", || ask(&new) == 200);
    assert_eq!(ask(&old), 401, "the old key's token, though it was known");
    assert!(replaced.elapsed() < Duration::from_secs(1), "{:?}", replaced.elapsed());
}

#[test]
fn s1_12_a_set_of_keys_is_chosen_from_by_kid() {
    let backend = Backend::start();
    let (first, second, third) = (pair(), pair(), pair());
    let set = |keys: &[(&(String, String), &str)]| {
        json!({ "keys": keys.iter().map(|(pair, kid)| jwk(&pair.1, kid)).collect::<Vec<_>>() }).to_string()
    };
    let gateway = Setup {
        files: vec![("keys/jwks.json", set(&[(&first, "a"), (&second, "b")]))],
        ..Setup::new(&backend).policy(&keys("      jwks: ../keys/jwks.json\n      algorithms: [ES256]"))
    }
    .start();
    let ask = |pair: &(String, String), kid| gateway.call_as("GET", PATH, &mint_kid(&pair.0, kid), "", "").status;
    for (pair, kid, status) in [
        (&first, Some("a"), 200),
        (&second, Some("b"), 200),
        (&first, Some("b"), 401),
        (&second, Some("a"), 401),
        (&first, Some("A"), 401),
        (&first, Some("c"), 401),
        (&third, Some("a"), 401),
        (&third, Some("c"), 401),
        (&third, None, 401),
    ] {
        assert_eq!(ask(pair, kid), status, "{kid:?}");
    }
    // Rotation: the new key comes beside the old one, then the old one goes.
    let known = mint_kid(&first.0, Some("a"));
    let ask_known = || gateway.call_as("GET", PATH, &known, "", "").status;
    assert_eq!(ask_known(), 200);
    let replaced = std::time::Instant::now();
    write(
        &gateway.path("keys"),
        "jwks.json",
        &set(&[(&second, "b"), (&third, "c")]),
    );
    wait_for("the third key", || ask(&third, Some("c")) == 200);
    assert_eq!((ask_known(), ask(&second, Some("b"))), (401, 200));
    assert!(replaced.elapsed() < Duration::from_secs(1), "{:?}", replaced.elapsed());
}

#[test]
fn s3_1_a_shared_secret_is_for_hs256_alone() {
    let backend = Backend::start();
    let secret = "a-long-enough-secret-for-hs256-0123456789";
    let gateway = Setup {
        files: vec![("keys/secret", format!("{secret}\n"))],
        ..Setup::new(&backend).policy(&keys("      secret_file: ../keys/secret"))
    }
    .start();
    let own = claims(&["clerk"]);
    let own = own.as_object().unwrap();
    let ttl = Some(Duration::from_secs(900));
    let signed =
        |secret: &str| tollgate::identity::mint::with_secret(secret.as_bytes(), own, None, ttl, unix_now()).unwrap();
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(timed().to_string())
    );
    for (what, token, status) in [
        ("the secret", signed(secret), 200),
        ("another secret", signed("another-long-enough-secret-0123456789ab"), 401),
        ("no secret", signed(""), 401),
        ("a key pair", mint_kid(key_pair().0, None), 401),
        ("alg none", none, 401),
    ] {
        assert_eq!(gateway.call_as("GET", PATH, &token, "", "").status, status, "{what}");
    }
    let log = gateway.log();
    assert!(!log.contains(secret), "{log}");
}

/// Keys from a URL: fetched at the start, and again when a token names a key that is not known, once in a while.
#[test]
fn keys_rotate_behind_a_url_without_a_refused_token() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let (certificate, key) = pki.issue("localhost");
    let set = |keys: &[Value]| write(folder.path(), "jwks.json", &json!({ "keys": keys }).to_string());
    write(folder.path(), "server.crt", &certificate);
    write(folder.path(), "server.key", &key);
    let (first, public) = key_pair();
    let second = strangers_key();
    let second_public = rcgen::KeyPair::from_pem(&second).unwrap().public_key_pem();
    set(&[jwk(public, "k1")]);
    let port = free_port();
    let mut server = std::process::Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            &port.to_string(),
            "-cert",
            "server.crt",
            "-key",
            "server.key",
            "-WWW",
            "-quiet",
        ])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("this test starts openssl: apt-get install openssl");
    wait_for("the key server", || Client::try_open(port).is_some());
    let backend = Backend::start();
    let source = format!("jwks: https://localhost:{port}/jwks.json\n      jwks_ca: ../ca.pem");
    let mut setup = Setup::new(&backend).policy(&POLICY.replace("public_key: ../keys/public.pem", &source));
    setup.files = vec![("ca.pem", pki.authority())];
    let gateway = setup.start();
    let token = |private: &str, kid: &str| {
        let header = json!({ "alg": "ES256", "kid": kid }).to_string();
        let key = EncodingKey::from_ec_pem(private.as_bytes()).unwrap();
        forge(&header, &timed().to_string(), &key, Algorithm::ES256)
    };
    let status = |token: &str| gateway.call_as("GET", PATH, token, "", "").status;
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
    assert_eq!(status(&token(first, "k1")), 200);
    set(&[jwk(public, "k1"), jwk(&second_public, "k2")]);
    assert_eq!(
        status(&token(&second, "k2")),
        200,
        "the first token of a new key is taken"
    );
    assert_eq!(status(&token(first, "k1")), 200);
    set(&[jwk(&second_public, "k3")]);
    for at in 0..20 {
        assert_eq!(status(&token(&second, &format!("random-{at}"))), 401);
    }
    assert_eq!(status(&token(&second, "k3")), 401, "not asked again so soon");
    assert_eq!(status(&token(first, "k1")), 200, "the last good keys stay");
    server.kill().unwrap();
    server.wait().unwrap();
}
