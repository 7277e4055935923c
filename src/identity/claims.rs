//! What a token's claims say, and whether they may: types are exact, nothing is guessed (RFC 7519, 4.1; RFC 8725).

use serde_json::{Map, Value};

use super::binding::bound_to;
use super::{Caller, IssuerRules, TokenFault};

/// Longest user name, in bytes.
const MAX_USER: usize = 256;

/// Most values in a claim that is a list.
pub(super) const MAX_VALUES: usize = 256;

/// Largest whole number that every JSON reader agrees on.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Who these claims would make the caller under one of the issuers: for `explain`, where nobody signs. Times are not
/// looked at, and without `iss` the first issuer is meant.
///
/// # Errors
/// No such issuer, or a claim that its rules refuse.
pub fn caller_of<'r>(
    issuers: impl IntoIterator<Item = &'r IssuerRules>,
    claims: &Map<String, Value>,
) -> Result<Caller, TokenFault> {
    let named = claims.get("iss");
    let rules = issuers
        .into_iter()
        .find(|rules| named.is_none_or(|iss| iss.as_str() == Some(&*rules.issuer)))
        .ok_or(TokenFault::Issuer)?;
    caller(rules, claims.clone(), 0, None)
}

/// Checks every claim of a token whose signature is right.
pub(super) fn check(rules: &IssuerRules, claims: Map<String, Value>, now: u64) -> Result<Caller, TokenFault> {
    let leeway = rules.leeway.as_secs();
    let expires = time(&claims, "exp")?.ok_or_else(|| missing("exp"))?;
    let issued = time(&claims, "iat")?;
    let latest = (now.saturating_add(leeway)) as f64;
    if time(&claims, "nbf")?.is_some_and(|from| from > latest) {
        return Err(wrong("nbf", "is in the future"));
    }
    if issued.is_some_and(|at| at > latest) {
        return Err(wrong("iat", "is in the future"));
    }
    if let Some(max) = rules.max_lifetime {
        let issued = issued.ok_or_else(|| missing("iat"))?;
        if expires <= issued {
            return Err(wrong("exp", "is not after `iat`"));
        }
        if expires - issued > max.as_secs_f64() {
            return Err(wrong("exp", "is too long after `iat`"));
        }
    }
    audience(rules, &claims)?;
    // Seconds of a valid NumericDate fit: they are at most 2^53.
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "checked by `time`"
    )]
    let ends = (expires as u64).saturating_add(leeway);
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "checked by `time`"
    )]
    let issued = issued.map(|at| at as u64);
    let caller = caller(rules, claims, ends, issued)?;
    if rules.require_bound && caller.bound_to.is_none() {
        return Err(wrong("cnf", "does not bind the token to a client certificate"));
    }
    // Last, so that `expired` is said only of a token that was good once (S1.1).
    if now >= ends {
        return Err(TokenFault::Expired);
    }
    Ok(caller)
}

fn caller(
    rules: &IssuerRules,
    claims: Map<String, Value>,
    expires_at: u64,
    issued_at: Option<u64>,
) -> Result<Caller, TokenFault> {
    let names = &rules.claims;
    let user = match claims.get(&names.user) {
        None => return Err(missing(&names.user)),
        Some(Value::String(user)) if user.trim().is_empty() => return Err(wrong(&names.user, "is empty")),
        Some(Value::String(user)) if user.len() > MAX_USER => return Err(wrong(&names.user, "is too long")),
        Some(Value::String(user)) if user.chars().any(char::is_control) => {
            return Err(wrong(&names.user, "has control characters"));
        }
        Some(Value::String(user)) => user.clone(),
        Some(_) => return Err(wrong(&names.user, "is no string")),
    };
    let roles = list(&claims, &names.roles, false)?.unwrap_or_default();
    let scopes = list(&claims, &names.scopes, true)?;
    let jurisdictions = list(&claims, &names.jurisdictions, false)?.unwrap_or_default();
    let token_id = match claims.get("jti") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        // A token whose name nobody can write down could not be revoked by it.
        Some(_) => return Err(wrong("jti", "is no string")),
    };
    let bound_to = bound_to(&claims)?;
    Ok(Caller {
        issuer: rules.issuer.clone(),
        user,
        roles,
        scopes,
        jurisdictions,
        claims,
        issued_at,
        expires_at,
        token_id,
        bound_to,
    })
}

/// `aud` names us, as a string or in a list of strings (RFC 7519, 4.1.3).
fn audience(rules: &IssuerRules, claims: &Map<String, Value>) -> Result<(), TokenFault> {
    let ours = |audience: &str| rules.audiences.iter().any(|own| own == audience);
    let named = match claims.get("aud") {
        None => return Err(missing("aud")),
        Some(Value::String(audience)) => ours(audience),
        Some(Value::Array(audiences)) if audiences.len() <= MAX_VALUES => {
            if !audiences.iter().all(Value::is_string) {
                return Err(wrong("aud", "is no list of strings"));
            }
            audiences.iter().filter_map(Value::as_str).any(ours)
        }
        Some(_) => return Err(wrong("aud", "is neither a string nor a list")),
    };
    if named {
        Ok(())
    } else {
        Err(wrong("aud", "does not name us"))
    }
}

/// A NumericDate (RFC 7519, 2): seconds, possibly with a fraction, that every reader takes for the same.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    value
        .as_f64()
        .filter(|_| value.is_number())
        .filter(|seconds| seconds.is_finite() && (0.0..MAX_EXACT).contains(seconds))
        .map(Some)
        .ok_or_else(|| wrong(name, "is no time"))
}

/// The first of the named claims that is there: a string or a list of strings. `split` takes a string apart at blanks,
/// as scopes are written (RFC 6749, 3.3); no other string is ever taken apart.
fn list(claims: &Map<String, Value>, names: &[String], split: bool) -> Result<Option<Vec<String>>, TokenFault> {
    let Some((name, value)) = names.iter().find_map(|name| Some((name, claims.get(name)?))) else {
        return Ok(None);
    };
    let items: Vec<String> = match value {
        Value::String(text) if split => text
            .split(' ')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong(name, "is no list of strings"))?,
        _ => return Err(wrong(name, "is neither a string nor a list")),
    };
    if items.len() > MAX_VALUES {
        return Err(wrong(name, "has too many values"));
    }
    Ok(Some(items))
}

fn missing(name: &str) -> TokenFault {
    wrong(name, "is missing")
}

fn wrong(name: &str, what: &'static str) -> TokenFault {
    TokenFault::Claim(name.to_owned(), what)
}
