//! Tokens and users that are refused although everything about their tokens is right.
//!
//! A token is known by its `jti`, a user by the claim that the issuer's `claims.user` names. Both are compared byte for byte.
//! Without an issuer an entry is about every issuer's tokens: a list that refuses is better too wide than too narrow.

use std::collections::HashMap;
use std::fmt;

use super::Caller;

/// Most entries of one list.
pub const MAX_REVOKED: usize = 10_000;

/// Longest `jti`, user or issuer in a list, in bytes.
pub const MAX_REVOKED_NAME: usize = 512;

/// Whom an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revoked {
    /// The token with this `jti`.
    Token(Box<str>),
    /// Every token of this user.
    User(Box<str>),
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whom it is about.
    pub revoked: Revoked,
    /// Only tokens of this issuer; absent = of any.
    pub issuer: Option<Box<str>>,
    /// Only tokens whose `iat` is before this time, or that have none; unix seconds.
    pub issued_before: Option<u64>,
    /// The entry is no more from this time on; unix seconds. Absent = it stays.
    pub until: Option<u64>,
}

/// A list, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    list: Vec<Revocation>,
    /// Places in the list.
    tokens: HashMap<Box<str>, Vec<usize>>,
    users: HashMap<Box<str>, Vec<usize>>,
}

impl Revocation {
    /// Whether the entry is still one at `now` (unix seconds).
    #[must_use]
    pub fn is_in_force(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether everybody whom `other` refuses is refused by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let later = |own: Option<u64>, others: Option<u64>| own.is_none_or(|own| others.is_some_and(|it| it <= own));
        self.revoked == other.revoked
            && (self.issuer.is_none() || self.issuer == other.issuer)
            && later(self.issued_before, other.issued_before)
            && later(self.until, other.until)
    }

    /// Whether it is about this token, of which the name is right.
    fn is_about(&self, caller: &Caller, now: u64) -> bool {
        self.is_in_force(now)
            && self.issuer.as_deref().is_none_or(|issuer| issuer == &*caller.issuer)
            // A token that does not say when it was issued may be as old as any.
            && self
                .issued_before
                .is_none_or(|before| caller.issued_at.is_none_or(|at| at < before))
    }
}

impl Revocations {
    /// A list.
    #[must_use]
    pub fn new(list: Vec<Revocation>) -> Self {
        let (mut tokens, mut users) = (HashMap::<_, Vec<usize>>::new(), HashMap::<_, Vec<usize>>::new());
        for (at, one) in list.iter().enumerate() {
            let (map, name) = match &one.revoked {
                Revoked::Token(id) => (&mut tokens, id),
                Revoked::User(user) => (&mut users, user),
            };
            map.entry(name.clone()).or_default().push(at);
        }
        Self { list, tokens, users }
    }

    /// Whether the caller's token is refused at `now` (unix seconds), and why: for the audit log and never for clients.
    #[must_use]
    pub fn refuse(&self, caller: &Caller, now: u64) -> Option<&'static str> {
        let any = |places: &Vec<usize>| {
            let mut entries = places.iter().filter_map(|&at| self.list.get(at));
            entries.any(|entry| entry.is_about(caller, now))
        };
        let token = caller.token_id.as_deref();
        if token.and_then(|id| self.tokens.get(id)).is_some_and(any) {
            return Some("revoked: this token");
        }
        self.users
            .get(caller.user.as_str())
            .is_some_and(any)
            .then_some("revoked: this user's tokens")
    }

    /// Whether some of a user's tokens are refused for the user's sake.
    #[must_use]
    pub fn has_user(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Every entry.
    #[must_use]
    pub fn list(&self) -> &[Revocation] {
        &self.list
    }
}

/// For people: ``token `t1` of `https://idp.example` ``.
impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.issued_before.is_some() {
            f.write_str("older tokens of ")?;
        }
        match &self.revoked {
            Revoked::Token(id) => write!(f, "token `{id}`")?,
            Revoked::User(user) => write!(f, "user `{user}`")?,
        }
        if let Some(issuer) = &self.issuer {
            write!(f, " of `{issuer}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDP: &str = "https://idp.city.example";

    fn caller(user: &str, id: Option<&str>, issued_at: Option<u64>) -> Caller {
        Caller {
            issuer: IDP.into(),
            user: user.to_owned(),
            token_id: id.map(str::to_owned),
            issued_at,
            ..Caller::default()
        }
    }

    fn entry(revoked: Revoked) -> Revocation {
        Revocation {
            revoked,
            issuer: None,
            issued_before: None,
            until: None,
        }
    }

    #[test]
    fn an_entry_is_about_those_whom_it_names_and_nobody_else() {
        let token = |id: &str| entry(Revoked::Token(id.into()));
        let user = |name: &str| entry(Revoked::User(name.into()));
        let issuer = |issuer: &str, entry| Revocation {
            issuer: Some(issuer.into()),
            ..entry
        };
        let before = |time, entry| Revocation {
            issued_before: Some(time),
            ..entry
        };
        let until = |time, entry| Revocation {
            until: Some(time),
            ..entry
        };
        let ops7 = || caller("ops7", Some("t1"), Some(100));
        let now = 500;
        for (name, entry, caller, refused) in [
            ("its id", token("t1"), ops7(), true),
            ("another id", token("t2"), ops7(), false),
            ("another case", token("T1"), ops7(), false),
            ("a user is no token", token("ops7"), ops7(), false),
            ("a token is no user", user("t1"), ops7(), false),
            ("no id", token("t1"), caller("ops7", None, Some(100)), false),
            ("its user", user("ops7"), ops7(), true),
            (
                "its user, without an id",
                user("ops7"),
                caller("ops7", None, None),
                true,
            ),
            ("another user", user("ops"), ops7(), false),
            ("its issuer", issuer(IDP, user("ops7")), ops7(), true),
            (
                "another issuer",
                issuer("https://other.example", user("ops7")),
                ops7(),
                false,
            ),
            (
                "a longer issuer",
                issuer("https://idp.city.example/", token("t1")),
                ops7(),
                false,
            ),
            ("issued before", before(101, user("ops7")), ops7(), true),
            ("issued then", before(100, user("ops7")), ops7(), false),
            (
                "issued nobody knows when",
                before(1, user("ops7")),
                caller("ops7", None, None),
                true,
            ),
            ("still in force", until(501, token("t1")), ops7(), true),
            ("over", until(500, token("t1")), ops7(), false),
        ] {
            let list = Revocations::new(vec![entry]);
            assert_eq!(list.refuse(&caller, now).is_some(), refused, "{name}");
        }
    }

    #[test]
    fn of_several_entries_about_one_user_each_counts() {
        let list = [
            Revocation {
                issuer: Some("https://other.example".into()),
                ..entry(Revoked::User("ops7".into()))
            },
            Revocation {
                issued_before: Some(50),
                ..entry(Revoked::User("ops7".into()))
            },
        ];
        let list = Revocations::new(list.to_vec());
        assert_eq!(list.refuse(&caller("ops7", None, Some(60)), 100), None);
        assert!(list.refuse(&caller("ops7", None, Some(40)), 100).is_some());
    }

    #[test]
    fn one_entry_covers_another_when_it_refuses_all_that_the_other_does() {
        let plain = entry(Revoked::User("ops7".into()));
        let of = |issuer: &str| Revocation {
            issuer: Some(issuer.into()),
            ..plain.clone()
        };
        let before = |time| Revocation {
            issued_before: Some(time),
            ..plain.clone()
        };
        for (wide, narrow) in [
            (plain.clone(), plain.clone()),
            (plain.clone(), of(IDP)),
            (plain.clone(), before(5)),
            (before(6), before(5)),
            (of(IDP), of(IDP)),
        ] {
            assert!(wide.covers(&narrow), "{wide:?} {narrow:?}");
        }
        for (one, other) in [
            (of(IDP), plain.clone()),
            (before(5), plain.clone()),
            (before(5), before(6)),
            (of(IDP), of("https://other.example")),
            (entry(Revoked::Token("ops7".into())), plain.clone()),
            (
                Revocation {
                    until: Some(9),
                    ..plain.clone()
                },
                plain.clone(),
            ),
        ] {
            assert!(!one.covers(&other), "{one:?} {other:?}");
        }
    }
}
