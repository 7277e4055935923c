//! Which paths have a version, and what of the answer to a `GET` of them it is (S1.9; interface, section 7).
//!
//! A write says where the version of its resource is read; whoever gets that resource is given the version, so that it can
//! be named in `If-Match`. A version goes out to everybody who may get the resource, and back in a refusal: what is
//! classified is none.

use http::{HeaderMap, Method};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::compile::takes_get;
use super::parts::{Concurrency, VersionFrom, VersionRule};
use super::{CompiledModule, Permit, Place, Policy, route};
use crate::call::document::{Located, locate};
use crate::call::{Call, Path, Query};
use crate::masking::{Format, Mask, Masker, fold};

/// Stands in for a version.
const SAMPLE: &str = "tollgate-sample";

/// Largest array index in a pointer that is tried as one.
const MAX_INDEX: usize = 64;

/// Why a route's version is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionFault {
    /// No route takes a `GET` of where it is read: clients learn it from refusals only.
    NotRead,
    /// Its path is one of another backend's.
    Elsewhere,
    /// It is a classified field or header, or one of rows that not everybody sees.
    Classified,
    /// Another route takes another version of the same resource.
    Another,
}

impl Policy {
    /// Every route whose version is none, in order.
    #[must_use]
    pub fn version_faults(&self) -> Vec<(Place, VersionFault)> {
        let mut known: HashMap<Box<str>, &VersionFrom> = HashMap::new();
        let mut faults = Vec::new();
        for (at, module) in self.modules.iter().enumerate() {
            for (number, route) in module.module.routes.iter().enumerate() {
                let Some(rule) = route.concurrency.as_ref().and_then(|rules| rules.version.as_ref()) else {
                    continue;
                };
                let narrow = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
                let place = Place {
                    module: narrow(at),
                    route: Some(narrow(number)),
                };
                let fault = match self.read_at(place, rule) {
                    _ if self.is_elsewhere(module, rule) => Some(VersionFault::Elsewhere),
                    // Whose fields are classified there is not said: those of the write's own module are none.
                    None if self.is_classified(place, &rule.from) => Some(VersionFault::Classified),
                    None => Some(VersionFault::NotRead),
                    Some(read) if self.is_classified(read, &rule.from) => Some(VersionFault::Classified),
                    Some(read) => {
                        // With a path of its own it is another resource than the others of the same pattern.
                        let name = rule.get.clone().unwrap_or_else(|| format!("{read:?}").into());
                        let own = rule.get.as_ref().and_then(|_| self.own_version(read));
                        let other = own.or_else(|| known.get(&name).copied());
                        known.insert(name, &rule.from);
                        (other.is_some_and(|other| *other != rule.from)).then_some(VersionFault::Another)
                    }
                };
                faults.extend(fault.map(|fault| (place, fault)));
            }
        }
        faults
    }

    /// The route that takes a `GET` of where a version is read.
    fn read_at(&self, of: Place, rule: &VersionRule) -> Option<Place> {
        let (module, candidates) = match &rule.get {
            Some(path) => {
                let (place, candidates) = route(self, &get(path)?).ok()?;
                (place.module, candidates)
            }
            None => {
                let module = self.module(of)?;
                let route = of.route?;
                let leaf = module.leaves.iter().find(|leaf| leaf.contains(&route))?;
                (of.module, leaf.as_slice())
            }
        };
        let routes = &self.modules.get(usize::from(module))?.module.routes;
        let takes = |at: &&u16| routes.get(usize::from(**at)).is_some_and(takes_get);
        candidates.iter().find(takes).map(|&at| Place {
            module,
            route: Some(at),
        })
    }

    /// Whether a path belongs to a module of another backend than the write's.
    fn is_elsewhere(&self, module: &CompiledModule, rule: &VersionRule) -> bool {
        let found = rule.get.as_deref().and_then(get).map(|call| match route(self, &call) {
            Ok((place, _)) => Some(place),
            Err(denial) => denial.place,
        });
        let owner = found.flatten().and_then(|place| self.module(place));
        owner.is_some_and(|owner| owner.module.upstream != module.module.upstream)
    }

    fn own_version(&self, place: Place) -> Option<&VersionFrom> {
        let facts = self.module(place)?.route_facts.get(usize::from(place.route?))?;
        facts.version.as_ref()
    }

    fn is_classified(&self, place: Place, from: &VersionFrom) -> bool {
        let Some(module) = self.module(place) else { return true };
        match from {
            VersionFrom::Body(_) => false,
            VersionFrom::Header(name) => {
                let folded = fold(name.as_str());
                module.headers.iter().any(|(own, _)| *own == folded)
            }
            VersionFrom::Pointer(pointer) => {
                let route = place.route.and_then(|at| module.module.routes.get(usize::from(at)));
                let rows = route.and_then(|route| route.rows.as_ref());
                rows.is_some_and(|rows| is_within(&rows.at.to_string(), pointer))
                    || [true, false]
                        .into_iter()
                        .any(|arrays| self.masks(module, pointer, arrays))
            }
        }
    }

    /// Whether the value at a pointer is masked for somebody: seen on a small document that has it.
    fn masks(&self, module: &CompiledModule, pointer: &str, arrays: bool) -> bool {
        let mask = Mask {
            selectors: Arc::clone(&module.selectors),
            actions: Arc::clone(&self.closed),
            rows: None,
            home: None,
        };
        let mut masker = Masker::new(mask, Format::Json);
        let mut out = Vec::new();
        let seen = masker
            .feed(sample(pointer, arrays).as_bytes(), &mut out)
            .and_then(|()| masker.finish(&mut out));
        seen.is_err() || !matches!(locate(&out, pointer), Ok(Located::Text(text)) if text == SAMPLE)
    }

    /// The resources with paths of their own that have versions.
    pub(super) fn versions_at(modules: &[CompiledModule]) -> HashMap<Box<str>, VersionFrom> {
        let routes = modules.iter().flat_map(|module| &module.module.routes);
        let rules = routes.filter_map(|route| route.concurrency.as_ref()?.version.as_ref());
        rules
            .filter_map(|rule| {
                let path = Path::parse(rule.get.as_deref()?).ok()?;
                Some((path.decoded().into(), rule.from.clone()))
            })
            .collect()
    }
}

fn get(path: &str) -> Option<Call> {
    Some(Call {
        method: Method::GET,
        path: Path::parse(path).ok()?,
        query: Query::default(),
        host: Box::default(),
        headers: HeaderMap::new(),
        source: IpAddr::from([0, 0, 0, 0]),
        certificate: None,
    })
}

/// Whether a pointer leads into rows, which not everybody sees. In the path to them `*` is one step.
fn is_within(rows: &str, pointer: &str) -> bool {
    let mut steps = pointer.split('/').skip(1);
    rows.split('/')
        .skip(1)
        .all(|step| steps.next().is_some_and(|own| step == "*" || step == own))
}

/// JSON that has something at a pointer. Numbers in it are places in arrays, or names.
fn sample(pointer: &str, arrays: bool) -> String {
    let mut text = serde_json::Value::from(SAMPLE).to_string();
    for step in pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
        let index = step.parse::<usize>().ok().filter(|&index| arrays && index <= MAX_INDEX);
        text = match index {
            Some(index) => format!("[{}{text}]", "null,".repeat(index)),
            None => {
                let name = step.replace("~1", "/").replace("~0", "~");
                format!("{{{}:{text}}}", serde_json::Value::from(name))
            }
        };
    }
    text
}

impl Permit {
    /// How writes on the route are kept from undoing each other.
    #[must_use]
    pub fn concurrency(&self) -> Option<&Concurrency> {
        self.route().concurrency.as_ref()
    }

    /// What of the answer is the version of the resource that the call gets, if it has one. With a query it may be a part of
    /// the resource, or another one.
    #[must_use]
    pub fn version_of(&self, call: &Call) -> Option<&VersionFrom> {
        let own = self.facts().and_then(|facts| facts.version.as_ref());
        if own.is_none() && self.policy.versions.is_empty() {
            return None;
        }
        if !matches!(call.method, Method::GET | Method::HEAD) || call.query.raw().is_some() {
            return None;
        }
        self.policy.versions.get(call.path.decoded()).or(own)
    }
}
