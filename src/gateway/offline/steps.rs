//! The steps of a decision in words: one text for the terminal, for `test` and for the admin port.

use http::Method;
use http::header::{self, HeaderMap};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::refusal::Refusal;
use crate::identity::Caller;
use crate::ledger::schema::Fault;
use crate::policy::parts::{Concurrency, DryRun, Idempotency, Origin};
use crate::policy::{Authority, ClassView, Denial, Permit, Place, Policy, Step, Trace, Why};
use crate::reason::Reason;

/// How many faults of a body are shown.
const SHOWN_FAULTS: usize = 3;

/// One step: what was compared, and the line of the policy that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name.
    pub step: &'static str,
    /// Whether the request got past it.
    pub passed: bool,
    /// What was found.
    pub text: String,
    /// More about it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The file that says so.
    pub file: Option<Arc<str>>,
    /// The line in it.
    pub line: Option<u32>,
}

/// What becomes of a class of fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The class.
    pub class: Arc<str>,
    /// How it is masked; none = seen.
    pub masked: Option<&'static str>,
    /// Why.
    pub why: String,
    /// The file that says so.
    pub file: Option<Arc<str>>,
    /// The line in it.
    pub line: Option<u32>,
}

/// Notes each step as it is made.
pub(super) struct Steps<'p> {
    pub(super) lines: Vec<Line>,
    pub(super) fields: Vec<Field>,
    pub(super) hint: Option<String>,
    /// What is wrong with the body, on a route in shadow mode.
    pub(super) on_trial: Option<Reason>,
    /// Where the request goes, as far as known.
    pub(super) place: Option<Place>,
    policy: &'p Policy,
    caller: Option<Arc<Authority>>,
    /// Where the route stands.
    route: Option<Origin>,
}

impl<'p> Steps<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        Self {
            lines: Vec::new(),
            fields: Vec::new(),
            hint: None,
            on_trial: None,
            place: None,
            policy,
            caller: None,
            route: None,
        }
    }

    pub(super) fn line(&mut self, passed: bool, step: &'static str, text: String) {
        self.line_at(passed, step, text, None);
    }

    fn line_at(&mut self, passed: bool, step: &'static str, text: String, origin: Option<&Origin>) {
        let (file, line) = place(origin);
        self.lines.push(Line {
            step,
            passed,
            text,
            notes: Vec::new(),
            file,
            line,
        });
    }

    /// A step that is not the policy's refused.
    pub(super) fn refused(&mut self, step: &'static str, refusal: &Refusal) {
        let text = match (&refusal.detail, refusal.reason) {
            (Some(detail), _) => detail.to_string(),
            (None, Reason::UnsupportedMethod) => "no route can have this method".into(),
            (None, Reason::DryRunUnsupported) => "the route has no dry run".into(),
            (None, Reason::IdempotencyKeyMissing) => "the route needs an X-Idempotency-Key, and there is none".into(),
            (None, Reason::PreconditionRequired) => "the route needs an If-Match, and there is none".into(),
            (None, reason) => reason.code().into(),
        };
        let origin = self.route.clone();
        self.line_at(false, step, text, origin.as_ref());
    }

    /// The body is not what it must be: the first faults.
    pub(super) fn invalid(&mut self, step: &'static str, rules: &DryRun, faults: &[Fault]) {
        let said = |fault: &Fault| format!("`{}` {}", fault.pointer, fault.detail);
        let shown: Vec<String> = faults.iter().take(SHOWN_FAULTS).map(said).collect();
        let more = if faults.len() > shown.len() { "; and more" } else { "" };
        let text = format!(
            "the body does not meet `{}`: {}{more}",
            rules.schema_file,
            shown.join("; ")
        );
        let origin = self.route.clone();
        self.line_at(false, step, text, origin.as_ref());
    }

    /// Whether a web page that asks could read the answer.
    pub(super) fn page(&mut self, headers: &HeaderMap) {
        let (Some(cors), Some(origin)) = (self.policy.cors(), headers.get(header::ORIGIN)) else {
            return;
        };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let text = match cors.admitted(headers) {
            Some(_) => format!("pages of `{origin}` may read the answer"),
            None => format!("`{origin}` is not in `cors`: browsers keep the answer from its pages"),
        };
        self.line(true, "origin", text);
    }

    pub(super) fn caller(&mut self, caller: &Arc<Authority>) {
        let roles: Vec<&str> = caller.roles.iter().map(|role| &**role).collect();
        let text = format!("user `{}` with roles {}", caller.caller.user, list(&roles));
        self.line(true, "caller", text);
        self.caller = Some(Arc::clone(caller));
    }

    pub(super) fn no_caller(&mut self, reason: Reason, caller: &Caller) {
        if reason == Reason::InvalidToken {
            return self.line(false, "token", "revoked by the policy".into());
        }
        let roles: Vec<&str> = caller.roles.iter().map(String::as_str).collect();
        let why = match reason {
            Reason::ConflictingRoles => "two of them exclude each other",
            _ => "the policy knows none of them",
        };
        self.line(false, "roles", format!("the token's roles are {}; {why}", list(&roles)));
    }

    pub(super) fn not_from(&mut self, caller: &Authority, source: IpAddr) {
        let policy = self.policy;
        match policy.not_from(caller, source) {
            Some((role, origin)) => {
                let text = format!("{source} is not in the `allow_from` of role `{role}`");
                self.line_at(false, "source", text, Some(origin));
            }
            None => self.line(false, "source", source.to_string()),
        }
    }

    /// The end of an allowed request: what its caller sees of the answer, and what is asked of it.
    pub(super) fn allowed(&mut self, permit: &Permit, key: Option<&Idempotency>) {
        self.fields = permit.classes(self.caller.as_deref()).iter().map(field).collect();
        let hidden: Vec<&str> = permit.hidden_classes().map(|class| &**class).collect();
        self.line(true, "fields", format!("masked classes: {}", list(&hidden)));
        if let Some(module) = permit.module() {
            let answers = module.answers();
            if !answers.is_empty() {
                self.line_at(true, "answer", answers.join("; "), Some(&module.origin));
            }
        }
        if let Some(rule) = permit.row_rule() {
            let place = match rule.at.to_string() {
                root if root.is_empty() => "the whole answer".to_owned(),
                path => format!("`{path}`"),
            };
            let condition: Vec<&str> = rule.condition.source().split_whitespace().collect();
            let text = format!("of {place} stay those for which `{}`", condition.join(" "));
            self.line_at(true, "rows", text, Some(&rule.origin));
        }
        let codings = permit
            .module()
            .map(|module| module.compress.as_slice())
            .unwrap_or_default();
        if !codings.is_empty() {
            let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
            self.line(true, "compress", format!("with {}, if the client asks", list(&names)));
        }
        if let Some(rules) = key {
            let days = rules.keep.as_secs() / (24 * 60 * 60);
            let again = if rules.replay.is_some() {
                ", and the answer with it"
            } else {
                ""
            };
            let text = format!("the X-Idempotency-Key is there; it is kept {days} days{again}");
            let origin = self.route.clone();
            self.line_at(true, "idempotency", text, origin.as_ref());
        }
    }

    /// The write says which version it was made for.
    pub(super) fn version(&mut self, rules: &Concurrency) {
        let text = match &rules.version {
            None => "the backend compares the version in If-Match with its own".to_owned(),
            Some(rule) => {
                let place = rule
                    .get
                    .as_ref()
                    .map_or("its own path".to_owned(), |path| format!("`{path}`"));
                format!("the version in If-Match is compared with that at {place}")
            }
        };
        let origin = self.route.clone();
        self.line_at(true, "version", text, origin.as_ref());
    }

    /// What would have to change.
    pub(super) fn hint(&mut self, denial: &Denial) {
        self.hint = match denial.reason {
            Reason::DeniedScope => denial
                .scope
                .as_ref()
                .map(|scope| format!("a role that grants `{scope}`, and a token that does not narrow it away")),
            Reason::MissingToken => Some("a token; or, if anybody may ask this, `public: true` on the route".into()),
            Reason::DeniedModule => {
                Some("a token without the role that names this module in `restricted_modules`".into())
            }
            Reason::JurisdictionMismatch => Some("a token whose jurisdictions include the request's".into()),
            Reason::DeniedCondition => Some("a request, or a token, for which the condition holds".into()),
            Reason::NoRoute => Some("a module whose `prefix` takes the path, and a route in it that does".into()),
            _ => None,
        };
    }

    fn scope(&mut self, scope: &str, passed: bool) {
        let policy = self.policy;
        let granted = self
            .caller
            .as_deref()
            .and_then(|caller| policy.granted_by(caller, scope));
        let (text, origin) = match granted {
            Some((role, origin)) if passed => (format!("role `{role}` grants it"), Some(origin.clone())),
            Some((role, origin)) => (
                format!("role `{role}` grants it, and the token narrows it away"),
                Some(origin.clone()),
            ),
            None => ("the caller does not hold it".into(), self.route.clone()),
        };
        let text = format!("the route asks for `{scope}`; {text}");
        self.line_at(passed, "scope", text, origin.as_ref());
    }

    fn module(&mut self, module: &str, passed: bool) {
        let policy = self.policy;
        let kept = self
            .caller
            .as_deref()
            .zip(self.place)
            .and_then(|(caller, place)| policy.kept_out_by(caller, place));
        match kept {
            Some((role, origin)) if !passed => {
                let text = format!("role `{role}` is kept out of `{module}`");
                self.line_at(false, "isolation", text, Some(origin));
            }
            _ => self.line(passed, "isolation", format!("no held role is kept out of `{module}`")),
        }
    }
}

impl Trace for Steps<'_> {
    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Route { module, route } => {
                match module {
                    Some((name, origin)) => self.line_at(true, "module", format!("`{name}`"), Some(origin)),
                    None => self.line(false, "module", "no module's prefix takes this path".into()),
                }
                match (route, module) {
                    (Some((label, origin)), _) => {
                        self.route = Some((*origin).clone());
                        self.line_at(true, "route", format!("`{label}`"), Some(origin));
                    }
                    (None, Some((_, origin))) => {
                        let text = "no route of the module takes this path".into();
                        self.line_at(false, "route", text, Some(origin));
                    }
                    (None, None) => {}
                }
            }
            Step::Method { allowed, passed } => {
                let methods: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                let origin = self.route.clone();
                self.line_at(
                    *passed,
                    "method",
                    format!("the route has {}", list(&methods)),
                    origin.as_ref(),
                );
            }
            Step::Scope { required: None, .. } => {
                let origin = self.route.clone();
                self.line_at(true, "scope", "the route is public".into(), origin.as_ref());
            }
            Step::Scope {
                required: Some(scope),
                passed,
            } => self.scope(scope, *passed),
            Step::Module { module, passed } => self.module(module, *passed),
            Step::Jurisdiction {
                source,
                found,
                allowed,
                passed,
            } => {
                let found: Vec<&str> = found.iter().map(String::as_str).collect();
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let says = if found.is_empty() {
                    "does not name one, once and as text".to_owned()
                } else {
                    format!("says {}", list(&found))
                };
                let text = format!("{source} {says}; the caller's are {}", list(&allowed));
                let origin = self.route.clone();
                self.line_at(*passed, "jurisdiction", text, origin.as_ref());
            }
            Step::Condition { when, facts, outcome } => {
                let source: Vec<&str> = when.condition.source().split_whitespace().collect();
                let text = format!("`{}`", source.join(" "));
                self.line_at(*outcome == Ok(true), "condition", text, Some(&when.origin));
                let why_not = when.condition.why_not(facts);
                if let Some(line) = self.lines.last_mut() {
                    line.notes = why_not;
                }
            }
        }
    }
}

fn field(view: &ClassView<'_>) -> Field {
    let scopes: Vec<&str> = view.class.visible_to.iter().map(|scope| &**scope).collect();
    let why = match view.why {
        Why::Held => "a scope of `visible_to` is held by its own name".into(),
        Why::Public => "the route is public, and everything classified is masked".into(),
        Why::Never(role) => format!("role `{role}` is in `never_to`"),
        Why::ByPatternOnly(scope) => format!("`{scope}` is not held by its own name: a pattern opens routes only"),
        Why::NotHeld if scopes.is_empty() => "it is visible to nobody".into(),
        Why::NotHeld => format!("no scope of `visible_to` is held: {}", list(&scopes)),
    };
    let (file, line) = place(Some(&view.class.origin));
    Field {
        class: Arc::clone(&view.class.name),
        masked: view.masked.map(crate::policy::parts::MaskAction::word),
        why,
        file,
        line,
    }
}

fn place(origin: Option<&Origin>) -> (Option<Arc<str>>, Option<u32>) {
    let known = origin.filter(|origin| origin.line > 0);
    (
        known.map(|origin| Arc::clone(&origin.file)),
        known.map(|origin| origin.line),
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
