//! `tollgate explain`: decides a request offline, with the gateway's own engine, and shows each step.

use anyhow::Context as _;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::{ERROR, FAINT, GOOD, environment, print_problems};
use crate::call::{Call, Path, Query, headers};
use crate::config;
use crate::identity;
use crate::policy::parts::Origin;
use crate::policy::{Authority, Condition, Decision, Denial, Permit, Policy, Step, Trace, evaluate};
use crate::reason::Reason;
use crate::server::prepare::{self, Ruling};

/// What a denied request exits with (interface, section 1).
const DENIED: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The token's claims, as a JSON object; without them the request has no token.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// A request header.
    #[arg(long = "header", value_name = "N: V")]
    headers: Vec<String>,
    /// The request's body.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Where the request comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    source: IpAddr,
    /// The method.
    method: Method,
    /// The path with its query, or a URL.
    url: String,
}

impl Explain {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let loaded =
            config::load_gateway(&self.config, &environment).and_then(|(gateway, _)| prepare::policy(&gateway, None));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(problems) => {
                print_problems(&problems);
                return Ok(ExitCode::FAILURE);
            }
        };
        let allowed = self.explain(loaded)?;
        Ok(if allowed {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(DENIED)
        })
    }

    fn explain(&self, loaded: Ruling) -> anyhow::Result<bool> {
        let Ruling { policy, issuers, .. } = loaded;
        let policy = Arc::new(policy);
        let call = match self.call(&policy)? {
            Ok(call) => call,
            Err(fault) => {
                line(false, "request", &fault);
                return Ok(denied(Reason::AmbiguousPath));
            }
        };
        line(true, "request", &format!("{} {}", call.method, call.path.decoded()));
        let authority = match &self.claims {
            None => {
                line(true, "token", "none: only public routes are open");
                None
            }
            Some(claims) => {
                let claims = serde_json::from_str(claims).context("the claims are no JSON object")?;
                let rules = issuers.iter().map(|(rules, _)| rules);
                let caller = match identity::caller_of(rules, &claims) {
                    Ok(caller) => caller,
                    Err(fault) => {
                        line(false, "token", &fault.to_string());
                        return Ok(denied(fault.reason()));
                    }
                };
                match Authority::new(&policy, caller) {
                    Ok(authority) => {
                        let roles: Vec<&str> = authority.roles.iter().map(|role| &**role).collect();
                        let text = format!("user `{}` with roles {}", authority.caller.user, list(&roles));
                        line(true, "caller", &text);
                        Some(authority)
                    }
                    Err(refused) => {
                        let (reason, caller) = *refused;
                        let roles: Vec<&str> = caller.roles.iter().map(String::as_str).collect();
                        let text = format!("the token's roles are {}", list(&roles));
                        line(false, "roles", &text);
                        return Ok(denied(reason));
                    }
                }
            }
        };
        let admitted = policy.admits(call.source) && authority.as_ref().is_none_or(|who| who.admits(call.source));
        line(admitted, "source", &call.source.to_string());
        if !admitted {
            return Ok(denied(Reason::SourceNotAllowed));
        }
        self.decide(&policy, &call, authority.as_ref())
    }

    fn decide(&self, policy: &Arc<Policy>, call: &Call, authority: Option<&Authority>) -> anyhow::Result<bool> {
        let mut printer = Printer;
        let mut decision = evaluate(policy, call, authority, jiff::Timestamp::now(), &mut printer);
        if let Decision::NeedsBody(pending) = decision {
            let body = match &self.body {
                Some(path) => std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?,
                None => Vec::new(),
            };
            decision = pending.resume(&body, &mut printer);
        }
        match decision {
            Decision::Allow(permit) => match call.query.dry_run() {
                Ok(false) => Ok(allowed(&permit)),
                Ok(true) => Ok(denied(Reason::DryRunUnsupported)),
                Err(fault) => {
                    line(false, "query", &fault.to_string());
                    Ok(denied(Reason::AmbiguousRequest))
                }
            },
            Decision::Deny(denial) => {
                hint(&denial);
                Ok(denied(denial.reason))
            }
            Decision::NeedsBody(_) => anyhow::bail!("the decision asked for the body twice"),
        }
    }

    /// The call as the gateway would make it, or why it would not.
    fn call(&self, policy: &Policy) -> anyhow::Result<Result<Call, String>> {
        let (target, host) = match self.url.split_once("://") {
            None => (self.url.clone(), String::new()),
            Some(_) => {
                let url: Uri = self.url.parse().context("the URL is malformed")?;
                let host = url.authority().map(ToString::to_string).unwrap_or_default();
                (
                    url.path_and_query().map_or_else(|| "/".into(), ToString::to_string),
                    host,
                )
            }
        };
        let (path, query) = match target.split_once('?') {
            None => (target.as_str(), None),
            Some((path, query)) => (path, Some(query)),
        };
        let path = match Path::parse(path) {
            Ok(path) if path.has_parameters() && !policy.allows_path_parameters(&path) => {
                return Ok(Err(
                    "the path has `;` parameters, and the module does not allow them".into()
                ));
            }
            Ok(path) => path,
            Err(fault) => return Ok(Err(fault.to_string())),
        };
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(fault) => return Ok(Err(fault.to_string())),
        };
        let mut fields = HeaderMap::new();
        for text in &self.headers {
            let (name, value) = text.split_once(':').context("a header is written `Name: value`")?;
            let name: HeaderName = name
                .trim()
                .parse()
                .with_context(|| format!("`{name}` is no header name"))?;
            let value: HeaderValue = value
                .trim()
                .parse()
                .with_context(|| format!("`{value}` is no header value"))?;
            fields.append(name, value);
        }
        headers::strip_request(&mut fields, &policy.forward_as().iter().map(|(name, _)| name), false);
        Ok(Ok(Call {
            method: self.method.clone(),
            path,
            query,
            host: host.to_ascii_lowercase().into(),
            headers: fields,
            source: self.source.to_canonical(),
        }))
    }
}

/// Prints each step as it is made.
struct Printer;

impl Trace for Printer {
    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Route { module, route } => {
                match module {
                    Some((name, origin)) => line(true, "module", &format!("`{name}`{}", at(origin))),
                    None => line(false, "module", "no module's prefix takes this path"),
                }
                match (route, module) {
                    (Some((label, origin)), _) => line(true, "route", &format!("`{label}`{}", at(origin))),
                    (None, Some(_)) => line(false, "route", "no route of the module takes this path"),
                    (None, None) => {}
                }
            }
            Step::Method { allowed, passed } => {
                let methods: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                line(*passed, "method", &format!("the route has {}", list(&methods)));
            }
            Step::Scope { required: None, .. } => line(true, "scope", "the route is public"),
            Step::Scope {
                required: Some(scope),
                passed,
            } => {
                let holds = if *passed { "holds it" } else { "does not hold it" };
                line(
                    *passed,
                    "scope",
                    &format!("the route asks for `{scope}`; the caller {holds}"),
                );
            }
            Step::Module { module, passed } => {
                let text = if *passed {
                    format!("no held role is kept out of `{module}`")
                } else {
                    format!("a held role is kept out of `{module}`")
                };
                line(*passed, "isolation", &text);
            }
            Step::Jurisdiction {
                source,
                found,
                allowed,
                passed,
            } => {
                let found: Vec<&str> = found.iter().map(String::as_str).collect();
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let text = if found.is_empty() {
                    format!(
                        "{source} does not name one, once and as text; the caller's are {}",
                        list(&allowed)
                    )
                } else {
                    format!("{source} says {}; the caller's are {}", list(&found), list(&allowed))
                };
                line(*passed, "jurisdiction", &text);
            }
            Step::Condition { when, facts, outcome } => {
                line(
                    *outcome == Ok(true),
                    "condition",
                    &format!("`{}`{}", one_line(&when.condition), at(&when.origin)),
                );
                for part in when.condition.why_not(facts) {
                    anstream::println!("      {:<12} {part}", "");
                }
            }
        }
    }
}

/// A condition's text without its line breaks.
fn one_line(condition: &Condition) -> String {
    condition.source().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn at(origin: &Origin) -> String {
    if origin.line == 0 {
        return String::new();
    }
    format!(
        "  {}{}:{}{}",
        FAINT.render(),
        origin.file,
        origin.line,
        FAINT.render_reset()
    )
}

fn list(items: &[&str]) -> String {
    if items.is_empty() {
        return "none".into();
    }
    items
        .iter()
        .map(|item| format!("`{item}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn line(passed: bool, step: &str, text: &str) {
    let (style, mark) = if passed { (GOOD, "pass") } else { (ERROR, "FAIL") };
    anstream::println!("{}{mark}{}  {step:<12} {text}", style.render(), style.render_reset());
}

fn allowed(permit: &Permit) -> bool {
    let hidden: Vec<&str> = permit.hidden_classes().map(|class| &**class).collect();
    line(true, "fields", &format!("masked classes: {}", list(&hidden)));
    if let Some(rule) = permit.row_rule() {
        let place = match rule.at.to_string() {
            root if root.is_empty() => "the whole answer".to_owned(),
            path => format!("`{path}`"),
        };
        let text = format!("of {place} stay those for which `{}`", one_line(&rule.condition));
        line(true, "rows", &format!("{text}{}", at(&rule.origin)));
    }
    if let Some(rules) = permit.idempotency().filter(|rules| rules.required) {
        let days = rules.keep.as_secs() / (24 * 60 * 60);
        line(
            true,
            "idempotency",
            &format!("an X-Idempotency-Key is required; it is kept {days} days"),
        );
    }
    anstream::println!("{}ALLOWED{}", GOOD.render(), GOOD.render_reset());
    true
}

fn denied(reason: Reason) -> bool {
    anstream::println!(
        "{}{}{}  {}",
        ERROR.render(),
        reason.decision(),
        ERROR.render_reset(),
        reason.code()
    );
    false
}

/// What would have to change.
fn hint(denial: &Denial) {
    let text = match denial.reason {
        Reason::DeniedScope => denial
            .scope
            .as_ref()
            .map(|scope| format!("a role that grants `{scope}`, and a token that does not narrow it away")),
        Reason::MissingToken => Some("a token; or, if anybody may ask this, `public: true` on the route".into()),
        Reason::DeniedModule => Some("a token without the role that names this module in `restricted_modules`".into()),
        Reason::JurisdictionMismatch => Some("a token whose jurisdictions include the request's".into()),
        Reason::DeniedCondition => Some("a request, or a token, for which the condition holds".into()),
        Reason::NoRoute => Some("a module whose `prefix` takes the path, and a route in it that does".into()),
        _ => None,
    };
    if let Some(text) = text {
        anstream::println!("{}would take:{} {text}", FAINT.render(), FAINT.render_reset());
    }
}
