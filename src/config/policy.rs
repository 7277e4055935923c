//! A policy from its files: read as one snapshot, merged, checked, its names resolved, compiled (interface, section 3).

use aws_lc_rs::digest;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::Fields;
use super::files::{self, MAX_FOLDER_BYTES};
use super::keys::{Inputs, IssuerSource};
use super::modules::Known;
use super::names::Names;
use super::policy_keys::{LATER, POLICY};
use super::problem::{Problem, Problems, Span, quote};
use super::roles::Grants;
use super::shape::{Shape, check};
use super::yaml::{Key, Node, Value};
use super::{analysis, classes, cors, identity, modules, revoked, roles, store_keys};
use crate::policy::{CompileFault, Parts, Policy};

/// How many hexadecimal digits of the digest make a version.
const VERSION_DIGITS: usize = 16;

/// A policy that may come into force.
#[derive(Debug)]
pub struct LoadedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Whose tokens are believed, and where their keys are.
    pub issuers: Vec<IssuerSource>,
    /// What its author probably did not mean.
    pub warnings: Vec<Problem>,
    /// Every file that was read: policy, keys, authorities.
    pub files: Vec<PathBuf>,
    /// The folders whose change may change the policy.
    pub directories: Vec<PathBuf>,
    /// The first 16 hexadecimal digits of the SHA-256 over names and bytes of all files.
    pub version: Arc<str>,
}

/// Reads a policy: a file, or a folder whose `*.yaml` are read as one. A place in `upstream_names` is an `UpstreamId`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_policy(path: &Path, upstream_names: &[Arc<str>]) -> Result<LoadedPolicy, Vec<Problem>> {
    let mut problems = Problems::default();
    let loaded = load(path, upstream_names, &mut problems);
    let warnings = problems.finish()?;
    match loaded {
        Some(loaded) => Ok(LoadedPolicy { warnings, ..loaded }),
        None => Err(vec![Problem::of_file(path.display().to_string(), "cannot be read")]),
    }
}

fn load(path: &Path, upstream_names: &[Arc<str>], problems: &mut Problems) -> Option<LoadedPolicy> {
    let sources = sources(path, problems)?;
    let before = files::fingerprint(sources.iter().map(PathBuf::as_path));
    let mut inputs = Inputs::default();
    let root = read_all(path, &sources, &mut inputs, problems)?;
    let (parts, issuers) = compile(&root, upstream_names, &mut inputs, problems);
    let after = if path.is_dir() {
        files::list(path).map(|folder| folder.files)
    } else {
        Ok(sources.clone())
    };
    if after.as_ref() != Ok(&sources) || files::fingerprint(sources.iter().map(PathBuf::as_path)) != before {
        problems.add(Problem::of_file(
            path.display().to_string(),
            "changed while it was read",
        ));
    }
    if problems.errors() > 0 {
        return None;
    }
    let version = version(&inputs);
    let policy = Policy::compile(Parts {
        version: Arc::clone(&version),
        ..parts
    })
    .map_err(|fault| compile_fault(&fault, path, &root, problems))
    .ok()?;
    analysis::warn(&policy, &root, problems);
    let files = inputs.paths();
    Some(LoadedPolicy {
        policy,
        issuers,
        warnings: Vec::new(),
        directories: directories(path, &files),
        files,
        version,
    })
}

/// The files of the policy, sorted by name.
fn sources(path: &Path, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    if !path.is_dir() {
        return Some(vec![path.to_owned()]);
    }
    let whole = |message: &str| Problem::of_file(path.display().to_string(), message);
    let folder = match files::list(path) {
        Ok(folder) => folder,
        Err(fault) => {
            problems.add(whole(&fault));
            return None;
        }
    };
    for file in folder.passed_over {
        let at = super::whole(problems.file(file.display().to_string()));
        problems
            .warn(at, "is not read")
            .hint("files of a policy end in `.yaml`");
    }
    if folder.files.is_empty() {
        problems.add(whole("has no `*.yaml` file"));
        return None;
    }
    Some(folder.files)
}

/// Reads, parses and checks each file, and merges them.
fn read_all(path: &Path, sources: &[PathBuf], inputs: &mut Inputs, problems: &mut Problems) -> Option<Node> {
    let mut merged = Merged::default();
    let mut any = false;
    for source in sources {
        let Some((root, bytes)) = super::parse_file(source, problems) else {
            continue;
        };
        inputs.policy_file(root.at.file, source, bytes);
        if inputs.is_too_much() {
            let message = format!("is larger than {} MiB in all", MAX_FOLDER_BYTES >> 20);
            problems.add(Problem::of_file(path.display().to_string(), message));
            return None;
        }
        check(&root, &Shape::Section(&POLICY), super::start(&root), LATER, problems);
        if let Value::Map(entries) = root.value {
            any = true;
            let known = |key: &Key| POLICY.keys.iter().any(|known| known.name == key.text);
            for entry in entries.into_iter().filter(|(key, _)| known(key)) {
                merged.add(entry, problems);
            }
        }
    }
    let first = problems.file(sources.first()?.display().to_string());
    let at = Span {
        file: first,
        line: 1,
        col: 1,
        len: 0,
    };
    if any && !merged.sections.iter().any(|(key, _)| key.text == "version") {
        problems
            .error(at, "`version` is missing")
            .hint("write `version: 1` at the top of one file");
    }
    any.then_some(Node {
        at,
        value: Value::Map(merged.sections),
    })
}

/// What all files said so far.
#[derive(Default)]
struct Merged {
    sections: Vec<(Key, Node)>,
    /// For each section that is a map, its names and where they stand.
    names: HashMap<String, HashMap<String, Span>>,
}

impl Merged {
    /// Adds a section of one file to what other files said: maps grow, lists of exclusive roles grow, everything else may be
    /// said once.
    fn add(&mut self, (key, node): (Key, Node), problems: &mut Problems) {
        let Some((first, held)) = self.sections.iter_mut().find(|(known, _)| known.text == key.text) else {
            self.sections.push((key, node));
            return;
        };
        match (&mut held.value, node.value) {
            (Value::Map(held), Value::Map(entries)) => {
                let names = self.names.entry(key.text).or_insert_with(|| {
                    let names = held.iter().map(|(key, _)| (key.text.clone(), key.at));
                    names.collect()
                });
                for (key, node) in entries {
                    match names.get(&key.text) {
                        Some(first) => twice(&key, *first, problems),
                        None => {
                            names.insert(key.text.clone(), key.at);
                            held.push((key, node));
                        }
                    }
                }
            }
            (Value::List(held), Value::List(items)) if key.text == "exclusive_roles" => held.extend(items),
            (Value::Scalar(held), Value::Scalar(other)) if key.text == "version" && held.text == other.text => {}
            (Value::List(_), Value::List(_)) | (Value::Scalar(_), Value::Scalar(_)) => twice(&key, first.at, problems),
            // One of them is not what the key wants, which has been said.
            _ => {}
        }
    }
}

fn twice(key: &Key, first: Span, problems: &mut Problems) {
    let place = problems.place(first);
    problems
        .error(key.at, format!("{} is given twice", quote(&key.text)))
        .hint(format!("it stands at {place} already"));
}

/// Resolves every name.
fn compile(
    root: &Node,
    upstream_names: &[Arc<str>],
    inputs: &mut Inputs,
    problems: &mut Problems,
) -> (Parts, Vec<IssuerSource>) {
    let fields = Fields::new(root, root.at, &POLICY);
    // Its value has been checked, and that there is one.
    let _ = fields.key("version");
    let (role_entries, module_entries) = (fields.named("roles"), fields.named("modules"));
    let role_names = Names::new("role", role_entries.iter().map(|(key, _)| key.text.as_str()));
    let module_names = Names::new("module", module_entries.iter().map(|(key, _)| key.text.as_str()));
    let upstreams = Names::new("upstream", upstream_names.iter().map(|name| &**name));

    let identity = identity::section(&fields);
    let issuers = identity::issuers(identity, inputs, problems);
    if identity.is_none() {
        problems.warn(root.at, "the policy has no `identity`: only public routes can be used");
    }
    if fields.key("modules").is_none() {
        problems.warn(root.at, "the policy has no `modules`: every request is refused");
    }
    let roles = roles::read(role_entries, &role_names, &module_names, problems);
    let exclusive_roles = roles::exclusive(
        fields.list("exclusive_roles"),
        role_entries,
        &roles,
        &role_names,
        problems,
    );
    let grants = Grants::new(&roles);
    let forward_as = identity::forward_as(identity, problems);
    let known = Known {
        upstreams: &upstreams,
        upstream_names,
        roles: &role_names,
        grants: &grants,
        forward_as: &forward_as,
        store_keys: &store_keys::read(&fields, inputs, problems),
    };
    let modules = modules::read(module_entries, &known, inputs, problems);
    let key_entries = fields.named("field_keys");
    let known_to_classes = classes::Known {
        roles: &role_names,
        modules: &module_names,
        grants: &grants,
        keys: &classes::keys(key_entries, inputs, problems),
        key_names: &Names::new("field key", key_entries.iter().map(|(key, _)| key.text.as_str())),
    };
    let classes = classes::read(fields.named("fields"), &known_to_classes, problems);
    classes::columnless(module_entries, &classes, problems);
    let allow_from = fields
        .key("allow_from")
        .map(|_| super::ranges(fields.list("allow_from"), problems));
    let cors = cors::read(&fields, problems);
    let revoked = revoked::read(&fields, problems);
    let parts = Parts {
        version: Arc::default(),
        exclusive_roles,
        modules,
        classes,
        forward_as,
        allow_from,
        cors,
        revoked,
        roles,
    };
    (parts, issuers)
}

/// What only the tables show. A class is found again by its name.
fn compile_fault(fault: &CompileFault, path: &Path, root: &Node, problems: &mut Problems) {
    let fields = Fields::new(root, root.at, &POLICY);
    let place = match fault {
        CompileFault::Selector { class, .. } => fields
            .named("fields")
            .iter()
            .find(|(key, _)| *key.text == **class)
            .map(|(key, _)| key.at),
        _ => None,
    };
    match place {
        Some(at) => problems.error(at, fault.to_string()).done(),
        None => problems
            .add(Problem::of_file(path.display().to_string(), fault.to_string()))
            .done(),
    }
}

/// One name for exactly these bytes under these names: lengths keep one file's end from being another's beginning.
fn version(inputs: &Inputs) -> Arc<str> {
    let mut context = digest::Context::new(&digest::SHA256);
    for (name, bytes) in inputs.contents() {
        for part in [name.as_bytes(), bytes] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
    }
    let mut text = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(VERSION_DIGITS);
    text.into()
}

/// The folder itself, and the folder of each file that was read.
fn directories(path: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    let own = path.is_dir().then(|| path.to_owned());
    let parents = files.iter().filter_map(|file| file.parent()).map(|parent| {
        if parent.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            parent.to_owned()
        }
    });
    let mut list: Vec<PathBuf> = own.into_iter().chain(parents).collect();
    list.sort();
    list.dedup();
    list
}
