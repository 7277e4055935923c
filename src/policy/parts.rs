//! What a policy is made of once every name in it has been resolved: the door between the files that
//! authors write (`config`) and the tables that decide ([`Policy::compile`](super::Policy::compile)).
//!
//! Plain values: nothing here can be wrong in a way that needs a file position to explain.

use http::{HeaderName, Method};
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::cors::CorsRules;
use super::pattern::{PathPattern, ScopePattern};
use super::rate::RateLimit;
use crate::identity::Revocation;
use crate::ledger::schema::{Fault, Schema};
use crate::ledger::{Deltas, EntryRules, StoreKeys};
use crate::masking::coding::Coding;
use crate::masking::seal::FieldKey;
use crate::masking::{Charset, Delimiter, Dialect, RowPath};

/// Index of a role in [`Parts::roles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleId(pub u16);

/// Index of a module in [`Parts::modules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u16);

/// Index of an upstream in the gateway file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u16);

/// Where in the author's files something stands; for `explain`, never for clients.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origin {
    /// The file as the author names it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

/// A whole policy, names resolved.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Identifies the bytes this policy was read from; printed in audit lines and metrics.
    pub version: Arc<str>,
    /// Every role.
    pub roles: Vec<Role>,
    /// Sets of roles of which a token may hold at most one (S2.1).
    pub exclusive_roles: Vec<Vec<RoleId>>,
    /// Every module.
    pub modules: Vec<Module>,
    /// Every class of response fields, in the order of `masking::ClassId`.
    pub classes: Vec<FieldClass>,
    /// Request headers that Tollgate sets for the backend, and from what.
    pub forward_as: Vec<(HeaderName, CallerFact)>,
    /// Source addresses admitted at all; absent = all.
    pub allow_from: Option<Vec<IpNet>>,
    /// Which web pages may ask; absent: browsers are told nothing.
    pub cors: Option<CorsRules>,
    /// Tokens and users that are refused whatever their tokens say. None has an end.
    pub revoked: Vec<Revocation>,
}

/// A role as written; what it inherits is followed by `Policy::compile`.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// Its name in tokens.
    pub name: Arc<str>,
    /// Scopes that it grants itself.
    pub scopes: Vec<ScopePattern>,
    /// Roles that it includes, with their scopes and their restrictions. No cycles.
    pub inherits: Vec<RoleId>,
    /// Modules that it is kept out of, whatever else grants.
    pub restricted_modules: Vec<ModuleId>,
    /// Source addresses from which the role may be used; absent = all.
    pub allow_from: Option<Vec<IpNet>>,
    /// How often a user who holds it may ask; absent = as often as they like.
    pub rate_limit: Option<RateLimit>,
    /// Where it stands.
    pub origin: Origin,
}

/// A fact about the caller that a backend may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerFact {
    /// The user claim.
    User,
    /// The known roles, comma separated.
    Roles,
    /// The jurisdictions, comma separated.
    Jurisdictions,
    /// The token's scopes that are in force, space separated (as in RFC 6749, 3.3).
    Scopes,
    /// The issuer.
    Issuer,
}

/// A part of the backends' URL space with one owner.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name in policy, audit and metrics.
    pub name: Arc<str>,
    /// Literal path prefixes, at least one.
    pub prefixes: Vec<PathPattern>,
    /// Who serves it.
    pub upstream: UpstreamId,
    /// The upstream's name, for audit lines.
    pub upstream_name: Arc<str>,
    /// Where a request's jurisdiction is read, for routes that do not say otherwise (S1.5).
    pub jurisdiction: Option<Jurisdiction>,
    /// `;` parameters pass (`path_parameters: allow`).
    pub path_parameters: bool,
    /// The client's `Authorization` goes to the backend.
    pub forward_token: bool,
    /// Media types that pass although they cannot be masked.
    pub unmaskable: Unmaskable,
    /// With which codings answers are compressed for clients that ask, the preferred first; empty = never.
    pub compress: Vec<Coding>,
    /// JSON that is not quite JSON is masked, too (`json: tolerant`).
    pub tolerant_json: bool,
    /// How its text answers are written.
    pub dialect: Dialect,
    /// Whether denials hold, on routes that do not say otherwise.
    pub mode: Mode,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Where it stands.
    pub origin: Origin,
}

impl Module {
    /// What it says of how answers are read, in words; nothing for a module that leaves it at what goes without saying.
    #[must_use]
    pub fn answers(&self) -> Vec<String> {
        let Dialect { delimiter, charset } = self.dialect;
        let mut words = Vec::new();
        if self.tolerant_json {
            words.push("JSON that is not quite JSON is read".to_owned());
        }
        if delimiter != Delimiter::default() {
            words.push(format!("fields of CSV are separated by `{}`", delimiter.word()));
        }
        if charset != Charset::default() {
            words.push(format!("CSV and XML are in {}", charset.name()));
        }
        match &self.unmaskable {
            Unmaskable { pass_all: true, .. } => words.push("what cannot be masked passes unmasked".to_owned()),
            Unmaskable { pass, .. } if pass.is_empty() => {}
            Unmaskable { pass, .. } => words.push(format!("unmasked passes: {}", pass.join(", "))),
        }
        words
    }
}

/// What a module says of answers that cannot be masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmaskable {
    /// `unmaskable: pass`: every media type that Tollgate cannot mask passes unmasked.
    pub pass_all: bool,
    /// Media types (`type/subtype`, lower case) that pass unmasked.
    pub pass: Vec<String>,
}

/// A route: a path below its module's prefix, methods, and what they ask of the caller.
#[derive(Clone, Debug)]
pub struct Route {
    /// Path below the module's prefix; a prefix itself.
    pub pattern: PathPattern,
    /// Methods, at least one.
    pub methods: Vec<Method>,
    /// The scope asked; absent only on public routes.
    pub scope: Option<Arc<str>>,
    /// Needs no token; everything classified is masked.
    pub public: bool,
    /// Overrides the module's jurisdiction.
    pub jurisdiction: Option<Jurisdiction>,
    /// What must hold beside all that (S1.3, S2.7, S3.4).
    pub when: Option<When>,
    /// The author says that the body may be read to decide.
    pub reads_body: bool,
    /// Each write is done once (S1.8).
    pub idempotency: Option<Idempotency>,
    /// Each write says which version it was made for (S1.9).
    pub concurrency: Option<Concurrency>,
    /// What a write's body must be, and what it would do (S1.10).
    pub dry_run: Option<Arc<DryRun>>,
    /// In place of the module's.
    pub mode: Option<Mode>,
    /// Which elements of the answer's arrays stay (S3.4, S3.5).
    pub rows: Option<RowRule>,
    /// Where it stands.
    pub origin: Origin,
}

/// What a route's writes are held against, and how a dry run of one is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct DryRun {
    /// What a body must be.
    pub schema: Schema,
    /// The file that the schema is in, as the author names it.
    pub schema_file: Arc<str>,
    /// Where its entries are, and what must hold for them.
    pub entries: EntryRules,
    /// Where the caller could read what accounts have now.
    pub balances: Option<Balances>,
}

/// A backend's answer with the balances of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Its canonical path, without a query; some route of the policy takes a `GET` of it.
    pub get: Box<str>,
    /// JSON pointer to the object that has balances by account.
    pub pointer: String,
}

impl DryRun {
    /// What of a real write's body is not as it must be: what the schema says, then what the route asks of entries.
    #[must_use]
    pub fn check(&self, body: &[u8]) -> Vec<Fault> {
        if self.entries.ask_more() {
            return self.add_up(body).err().unwrap_or_default();
        }
        self.schema.check(body)
    }

    /// What a dry run says of a body.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn add_up(&self, body: &[u8]) -> Result<Deltas, Vec<Fault>> {
        let faults = self.schema.check(body);
        if faults.is_empty() {
            self.entries.add_up(body)
        } else {
            Err(faults)
        }
    }
}

/// A filter of rows and where its condition stands.
#[derive(Clone, Debug)]
pub struct RowRule {
    /// The arrays that hold the rows.
    pub at: Arc<RowPath>,
    /// What must hold for a row that stays.
    pub condition: Condition,
    /// Where it stands.
    pub origin: Origin,
}

/// Whether what a route's rules deny is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is let through and recorded: a rule on trial. Who asks, and what is masked for them, stays as it is.
    Shadow,
}

/// A condition and where it stands.
#[derive(Clone, Debug)]
pub struct When {
    /// The condition.
    pub condition: Condition,
    /// Where it stands.
    pub origin: Origin,
}

/// Where the jurisdiction of a request is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jurisdiction {
    /// `path:NAME`: the route's path parameter.
    Path(String),
    /// `query:NAME`: the decoded query parameter, given once.
    Query(String),
    /// `header:NAME`: the request header, given once.
    Header(HeaderName),
    /// `body:POINTER`: a string in the JSON body, by JSON pointer (RFC 6901).
    Body(String),
    /// `fixed: [...]`: the module is about these, whatever the request says.
    Fixed(Vec<String>),
}

/// How a route keeps writes from happening twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// A request without a key is refused.
    pub required: bool,
    /// Where the backend's answer has its transaction id.
    pub transaction_id: Option<TransactionId>,
    /// How long a finished key is remembered.
    pub keep: Duration,
    /// How long a second request waits for a first one that still runs; absent: it is told so at once.
    pub wait: Option<Duration>,
    /// Answers are kept, sealed with these, and given once more to a second request; absent: it is told what became of the
    /// first.
    pub replay: Option<Arc<StoreKeys>>,
}

/// How writes on a route are kept from undoing each other: each has an `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Where Tollgate reads the version that it compares; absent: the backend compares.
    pub version: Option<VersionRule>,
    /// How long a write waits for others to the same resource.
    pub wait: Duration,
}

/// Where the version of a resource is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRule {
    /// The canonical path of the resource; absent: the write's own.
    pub get: Option<Box<str>>,
    /// What of the answer to a `GET` of it is the version.
    pub from: VersionFrom,
}

/// What of an answer is the version of its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionFrom {
    /// The string or number at a JSON pointer.
    Pointer(String),
    /// The value of a header.
    Header(HeaderName),
    /// All of the body, through these keys.
    Body(Arc<StoreKeys>),
}

/// Where a backend's answer has its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionId {
    /// JSON pointer into the answer's body.
    Pointer(String),
    /// `header:NAME` of the answer.
    Header(HeaderName),
}

/// A class of response fields and who may see it (S1.7, S2.5).
#[derive(Clone, Debug, Default)]
pub struct FieldClass {
    /// Its name in metrics and audit lines.
    pub name: Arc<str>,
    /// Names of members at any depth, and of columns of a table.
    pub names: Vec<String>,
    /// Names of columns only.
    pub columns: Vec<String>,
    /// JSON pointers with `*` and `**`.
    pub paths: Vec<String>,
    /// Names are compared exactly.
    pub exact: bool,
    /// Response headers of the class.
    pub headers: Vec<String>,
    /// Scopes any of which, granted by its own name, shows the class.
    pub visible_to: Vec<Arc<str>>,
    /// Roles that never see it, whatever else they hold.
    pub never_to: Vec<RoleId>,
    /// What happens to the field.
    pub mask: MaskAction,
    /// The text in place of a redacted value; absent = `[REDACTED]`.
    pub redact_as: Option<String>,
    /// What hashes or encrypts it. Without one, what should be hashed or encrypted is removed.
    pub key: Option<FieldKeyRef>,
    /// Modules it applies in; absent = everywhere.
    pub modules: Option<Vec<ModuleId>>,
    /// Where it stands.
    pub origin: Origin,
}

impl FieldClass {
    /// Whether it has paths alone: a table cannot be masked for those who may not see the class.
    #[must_use]
    pub fn is_columnless(&self) -> bool {
        self.names.is_empty() && self.columns.is_empty() && !self.paths.is_empty()
    }
}

/// A key that hashes or encrypts fields. Two are one if they have one name and one secret.
#[derive(Clone, Debug)]
pub struct FieldKeyRef(pub Arc<FieldKey>);

impl PartialEq for FieldKeyRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }
}

impl Eq for FieldKeyRef {}

/// What masking does to a classified field, weakest first: hashes can be compared, envelopes be opened by who has the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MaskAction {
    /// The value's keyed hash in its place.
    Hash,
    /// The value's envelope in its place.
    Encrypt,
    /// `"[REDACTED]"` in place of the value.
    Redact,
    /// `null` in place of the value.
    Null,
    /// The member is cut out.
    #[default]
    Remove,
}

impl MaskAction {
    /// As authors write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Encrypt => "encrypt",
            Self::Redact => "redact",
            Self::Null => "null",
            Self::Remove => "remove",
        }
    }
}
