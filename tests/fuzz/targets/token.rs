//! Tokens: whoever cannot sign is nobody, whatever the bytes; and who can sign is only who the claims may say.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tollgate::identity::{Algorithm, Caller, ClaimNames, IssuerRules, KeySet, Keyring, mint};

/// The time that it always is, in unix seconds.
const NOW: u64 = 1_790_000_000;
/// How far clocks may differ.
const LEEWAY: f64 = 30.0;
const SECRET: &[u8] = b"a secret that everybody knows, and none will use";
/// The key pair that RFC 8410 has for an example (section 10).
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";
/// Who signs with the secret, and who with the key.
const ISSUERS: [&str; 2] = ["https://a.example", "https://b.example"];
/// What a header cannot ask for.
const REFUSED: [&str; 9] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "cty"];

/// What all inputs are asked of.
struct Issued {
    ring: Keyring,
    /// The only tokens that are good, one of each issuer.
    good: [String; 2],
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| {
    let rules = |issuer: &str, algorithm| IssuerRules {
        issuer: issuer.into(),
        audiences: vec!["billing-api".into()],
        algorithms: vec![algorithm],
        max_lifetime: Some(Duration::from_secs(1800)),
        leeway: Duration::from_secs_f64(LEEWAY),
        require_bound: false,
        claims: ClaimNames::default(),
    };
    let secret = Arc::new(KeySet::secret(SECRET).unwrap());
    let public = Arc::new(KeySet::public_key(PUBLIC.as_bytes(), &[Algorithm::EdDSA]).unwrap());
    let good = [
        mint::with_secret(SECRET, &claims(ISSUERS[0]), None, None, NOW).unwrap(),
        mint::with_key(PRIVATE.as_bytes(), &claims(ISSUERS[1]), None, None, NOW).unwrap(),
    ];
    let ring = Keyring::new(vec![
        (rules(ISSUERS[0], Algorithm::HS256), secret),
        (rules(ISSUERS[1], Algorithm::EdDSA), public),
    ]);
    for token in &good {
        let caller = ring.verify(token, NOW).unwrap();
        assert_eq!((&*caller.user, &caller.roles[..]), ("ops7", &["clerk".to_owned()][..]));
    }
    Issued { ring, good }
});

fn claims(issuer: &str) -> Map<String, Value> {
    let claims = json!({
        "iss": issuer, "aud": "billing-api", "sub": "ops7", "iat": NOW, "exp": NOW + 900, "roles": ["clerk"],
    });
    claims.as_object().unwrap().clone()
}

/// The first byte says what the rest is: a token, changes to a good one, or what an issuer signs.
pub(crate) fn run(data: &[u8]) {
    let Some((&ask, rest)) = data.split_first() else { return };
    match ask & 3 {
        0 => any(rest),
        1 => changed(&ISSUED.good[0], rest),
        2 => changed(&ISSUED.good[1], rest),
        _ => signed(rest),
    }
}

fn any(token: &[u8]) {
    if let Ok(token) = std::str::from_utf8(token) {
        hold(token);
    }
}

/// Four bytes a change: what is done, where (two bytes), and with which byte.
fn changed(good: &str, changes: &[u8]) {
    let mut token = good.as_bytes().to_vec();
    for change in changes.chunks_exact(4).take(16) {
        let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % (token.len() + 1);
        let byte = change[3];
        match change[0] % 5 {
            0 => token.insert(at, byte),
            1 => drop((at < token.len()).then(|| token.remove(at))),
            2 => token.truncate(at),
            3 => token.extend_from_within(at.saturating_sub(usize::from(byte))..at),
            _ => {
                if let Some(old) = token.get_mut(at) {
                    *old = byte;
                }
            }
        }
    }
    any(&token);
}

/// A token that nobody signed but the issuers is one of theirs, in every byte that counts.
fn hold(token: &str) {
    let Issued { ring, good } = &*ISSUED;
    let Ok(caller) = ring.verify(token, NOW) else { return };
    let what_is_signed = |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
    let at = good
        .iter()
        .position(|good| what_is_signed(good) == what_is_signed(token));
    let at = at.unwrap_or_else(|| panic!("verified, and never signed: {token}"));
    assert_eq!(&*caller.issuer, ISSUERS[at]);
    assert_eq!(caller.claims, claims(ISSUERS[at]));
}

/// A header and claims, each on a line, that the first issuer has signed as they are.
fn signed(lines: &[u8]) {
    let at = lines.iter().position(|&byte| byte == b'\n').unwrap_or(lines.len());
    let (header, claims) = (&lines[..at], lines.get(at + 1..).unwrap_or_default());
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let what = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&key, what.as_bytes());
    let token = format!("{what}.{}", URL_SAFE_NO_PAD.encode(tag));
    if let Ok(caller) = ISSUED.ring.verify(&token, NOW) {
        let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
        let claims: Map<String, Value> = serde_json::from_slice(claims).unwrap();
        may_be(&header, &claims, &caller);
    }
}

fn may_be(header: &Map<String, Value>, claims: &Map<String, Value>, caller: &Caller) {
    assert_eq!(header["alg"], "HS256");
    assert_eq!(REFUSED.into_iter().find(|name| header.contains_key(*name)), None);
    assert_eq!(claims["iss"], ISSUERS[0]);
    let audience = &claims["aud"];
    let named = audience
        .as_array()
        .is_some_and(|list| list.contains(&"billing-api".into()));
    assert!(named || audience == "billing-api", "{audience}");
    let now = json!(NOW).as_f64().unwrap();
    let (issued, expires) = (claims["iat"].as_f64().unwrap(), claims["exp"].as_f64().unwrap());
    assert!(issued <= now + LEEWAY && now < expires + LEEWAY, "{issued} {expires}");
    assert!(issued < expires && expires - issued <= 1800.0, "{issued} {expires}");
    let from = claims.get("nbf").map_or(0.0, |from| from.as_f64().unwrap());
    assert!(from <= now + LEEWAY);
    assert_eq!(claims["sub"], *caller.user);
    assert!(!caller.user.trim().is_empty() && !caller.user.contains(char::is_control));
    let roles = claims.get("roles").or_else(|| claims.get("role"));
    let said = match roles {
        None => json!([]),
        Some(Value::String(role)) => json!([role]),
        Some(list) => list.clone(),
    };
    assert_eq!(said, json!(caller.roles));
    assert_eq!(&caller.claims, claims);
}
