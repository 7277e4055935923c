//! `mode: shadow`: what it lets through, what it never does, and that nothing else differs.

use super::*;
use crate::policy::parts::Mode;
use proptest::prelude::*;

const SCOPES: [&str; 4] = ["a:read", "a:write", "b:read", "b:write"];
const COUNTIES: [&str; 2] = ["A", "B"];

/// One route of each kind per module: scoped, by path, by body, with a condition, and public with one.
#[derive(Clone, Debug)]
struct Drawn {
    roles: Vec<(Vec<usize>, Vec<u16>)>,
    /// For each module: the scope of its routes, the module's mode, and the modes of its routes.
    modules: Vec<(usize, Option<Mode>, Vec<Option<Mode>>)>,
    visible_to: usize,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let mode = || prop::option::of(prop_oneof![Just(Mode::Enforce), Just(Mode::Shadow)]);
    let roles = (
        prop::collection::vec(0..SCOPES.len(), 0..4),
        prop::collection::vec(0_u16..3, 0..3),
    );
    let modules = (0..SCOPES.len(), mode(), prop::collection::vec(mode(), 5));
    (
        prop::collection::vec(roles, 1..4),
        prop::collection::vec(modules, 1..4),
        0..SCOPES.len(),
    )
        .prop_map(|(roles, modules, visible_to)| Drawn {
            roles,
            modules,
            visible_to,
        })
}

fn when(source: &str, caller: bool) -> Option<parts::When> {
    let names = condition::Names {
        parameters: Vec::new(),
        caller,
        body: false,
        row: false,
    };
    Some(parts::When {
        condition: Condition::compile(source, &names).unwrap(),
        origin: parts::Origin::default(),
    })
}

impl Drawn {
    /// The policy; with `enforced`, the same one with nothing on trial.
    fn policy(&self, enforced: bool) -> Arc<Policy> {
        let mode = |drawn: Option<Mode>| drawn.filter(|_| !enforced);
        let modules = self.modules.iter().enumerate().map(|(at, (scope, own, modes))| {
            let scope = SCOPES[*scope];
            let route = |path: &str, number: usize, public: bool| Route {
                mode: mode(modes[number]),
                ..one_route(path, &[Method::GET, Method::POST], if public { "" } else { scope })
            };
            let routes = vec![
                route("/plain", 0, false),
                Route {
                    jurisdiction: Some(Jurisdiction::Path("county".into())),
                    ..route("/path/{county}", 1, false)
                },
                Route {
                    jurisdiction: Some(Jurisdiction::Body("/county".into())),
                    ..route("/body", 2, false)
                },
                Route {
                    when: when("query.x == \"1\" && caller.user == \"u1\"", true),
                    ..route("/when", 3, false)
                },
                Route {
                    when: when("query.x == \"1\"", false),
                    ..route("/public", 4, true)
                },
            ];
            Module {
                mode: mode(*own).unwrap_or_default(),
                ..module(&format!("m{at}"), &format!("/m{at}"), None, routes)
            }
        });
        let modules: Vec<Module> = modules.collect();
        let count = u16::try_from(modules.len()).unwrap();
        let roles = self.roles.iter().enumerate().map(|(at, (scopes, restricted))| {
            let scopes: Vec<&str> = scopes.iter().map(|&scope| SCOPES[scope]).collect();
            let restricted: Vec<u16> = restricted.iter().copied().filter(|&id| id < count).collect();
            role(&format!("r{at}"), &scopes, &[], &restricted)
        });
        Arc::new(
            Policy::compile(Parts {
                roles: roles.collect(),
                modules,
                classes: vec![FieldClass {
                    name: "pii".into(),
                    names: vec!["ssn".into()],
                    visible_to: vec![SCOPES[self.visible_to].into()],
                    ..FieldClass::default()
                }],
                ..Parts::default()
            })
            .unwrap(),
        )
    }

    /// Whether a route is on trial, by the module's number and the route's.
    fn on_trial(&self, place: Place) -> bool {
        let (_, own, modes) = &self.modules[usize::from(place.module)];
        let mode = modes[usize::from(place.route.unwrap())].or(*own);
        mode == Some(Mode::Shadow)
    }
}

fn on_trial(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DeniedScope | Reason::DeniedModule | Reason::JurisdictionMismatch | Reason::DeniedCondition
    )
}

proptest! {
    #[test]
    fn shadow_differs_in_its_four_denials_only(
        drawn in drawn(),
        held in prop::collection::vec(0_usize..4, 0..3),
        has_token in any::<bool>(),
        module in 0_usize..4,
        route in prop::sample::select(vec!["plain", "path/A", "path/B", "body", "when?x=1", "when", "public", "public?x=1", "no"]),
        method in prop::sample::select(vec!["GET", "POST", "PUT"]),
        body in prop::sample::select(vec![r#"{"county":"A"}"#, r#"{"county":"B"}"#, "{", ""]),
        counties in prop::sample::subsequence(&COUNTIES[..], 0..=2),
    ) {
        let (enforced, watched) = (drawn.policy(true), drawn.policy(false));
        let roles: Vec<String> = held.iter().map(|role| format!("r{role}")).collect();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        let who = |policy: &Policy| Authority::new(policy, caller(&roles, None, &counties));
        // Whose token names no known role is nobody under either policy.
        prop_assert_eq!(who(&enforced).is_ok(), who(&watched).is_ok());
        let (one, other) = (who(&enforced).ok(), who(&watched).ok());
        let (one, other) = (one.as_ref().filter(|_| has_token), other.as_ref().filter(|_| has_token));
        let call = call(method, &format!("/m{module}/{route}"), &[]);
        let strict = decide(&enforced, one, &call, body);
        let lax = decide(&watched, other, &call, body);
        match (strict, lax) {
            (Ok(strict), Ok(lax)) => {
                prop_assert_eq!(strict.place(), lax.place());
                prop_assert!(strict.would_deny().is_none() && lax.would_deny().is_none());
                prop_assert!(strict.hidden_classes().eq(lax.hidden_classes()));
            }
            (Err(strict), Err(lax)) => {
                prop_assert!(!on_trial(strict.reason) || !drawn.on_trial(strict.place.unwrap()));
                prop_assert_eq!(strict, lax);
            }
            (Err(strict), Ok(lax)) => {
                prop_assert!(on_trial(strict.reason) && drawn.on_trial(lax.place()));
                prop_assert_eq!(lax.would_deny(), Some(&strict));
                // Nothing is shown that the caller's own rights do not show.
                let sees = other.is_some_and(|who| {
                    who.actions.first().is_some_and(Option::is_none)
                }) && !lax.route().public;
                prop_assert_eq!(lax.mask(&call, None, jiff::Timestamp::UNIX_EPOCH).is_none(), sees);
            }
            (Ok(_), Err(lax)) => prop_assert!(false, "shadow denied what would be allowed: {lax:?}"),
        }
    }
}

#[test]
fn what_is_denied_without_its_body_is_let_through_without_it() {
    let shadow = |policy: &Arc<Policy>, roles: &[&str], target: &str, body: &str| {
        let authority = Authority::new(policy, caller(roles, None, &["A"])).unwrap();
        let call = call("POST", target, &[]);
        let now = jiff::Timestamp::UNIX_EPOCH;
        match evaluate(policy, &call, Some(&authority), now, &mut ()) {
            Decision::NeedsBody(pending) => match pending.resume(body.as_bytes(), &mut ()) {
                Decision::Allow(permit) => (true, permit.would_deny().map(|denial| denial.reason)),
                other => panic!("{other:?}"),
            },
            Decision::Allow(permit) => (false, permit.would_deny().map(|denial| denial.reason)),
            Decision::Deny(denial) => panic!("{denial:?}"),
        }
    };
    let drawn = Drawn {
        roles: vec![(vec![0], vec![]), (vec![1], vec![])],
        modules: vec![(0, Some(Mode::Shadow), vec![None; 5])],
        visible_to: 0,
    };
    let policy = drawn.policy(false);
    let home = Some(Reason::JurisdictionMismatch);
    for (roles, body, expected) in [
        (["r0"], r#"{"county":"A"}"#, (true, None)),
        (["r0"], r#"{"county":"B"}"#, (true, home)),
        (["r0"], "{", (true, home)),
        (["r1"], "", (false, Some(Reason::DeniedScope))),
    ] {
        assert_eq!(shadow(&policy, &roles, "/m0/body", body), expected, "{roles:?} {body}");
    }
}
