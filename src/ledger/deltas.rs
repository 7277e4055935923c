//! What a batch of entries would do to each account: the arithmetic of a dry run (S1.10; interface, section 7).
//!
//! Amounts are read from the bytes of the body, never from a float, and added up exactly.

use serde_json::value::RawValue;
use std::collections::HashMap;

use super::decimal::{Decimal, Sum};
use super::schema::{Fault, MAX_FAULTS};
use crate::call::document::{self, Located};
use crate::call::json;

/// Most entries unless a route says otherwise.
pub const DEFAULT_ENTRIES: u32 = 10_000;

/// Most entries that a route may allow.
pub const MAX_ENTRIES: u32 = 50_000;

/// Where a body has its entries, and what must hold for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryRules {
    /// JSON pointer to the array of entries; empty: the body is the array.
    pub entries: String,
    /// JSON pointer from an entry to its account, a string.
    pub account: String,
    /// JSON pointer from an entry to its amount: a number, or a number in a string.
    pub amount: String,
    /// JSON pointer from an entry to its currency, a string, the same in all entries of a request.
    pub currency: Option<String>,
    /// Currencies that may be used; empty: any.
    pub currencies: Vec<String>,
    /// All amounts together must come to nothing: double entry.
    pub balanced: bool,
    /// Every amount must be above zero.
    pub positive: bool,
    /// Most entries in a request, if a route says so; [`DEFAULT_ENTRIES`] in a dry run otherwise.
    pub max_entries: Option<u32>,
}

/// What entries come to.
#[derive(Debug, Default)]
pub struct Deltas {
    /// How many entries there are.
    pub entries: usize,
    /// In the order in which the accounts first appear.
    pub accounts: Vec<Delta>,
    /// All amounts together.
    pub total: Sum,
    /// The currency of every entry, if the route says where it stands and there is an entry.
    pub currency: Option<String>,
}

/// What entries come to for one account.
#[derive(Debug)]
pub struct Delta {
    /// The account.
    pub account: String,
    /// Its amounts together.
    pub sum: Sum,
    /// The first entry that names it, from 0.
    first: usize,
}

/// What an account has, and would have.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    /// Now, in plain decimals.
    pub balance: String,
    /// Afterwards.
    pub expected: String,
}

/// Why no balance can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BalanceFault {
    /// The answer has no object of balances, or gives one twice, or one that is no plain decimal.
    #[error("no balances can be read in the answer")]
    Unreadable,
    /// There is no balance for the account of this entry, from 0.
    #[error("an account has no balance")]
    NoAccount(usize),
}

impl Deltas {
    /// What each account has by `answer`, where an object at `pointer` has balances by account, and what it would have.
    ///
    /// # Errors
    /// [`BalanceFault`].
    pub fn expected(&self, answer: &[u8], pointer: &str) -> Result<Vec<Expected>, BalanceFault> {
        let unreadable = |_| BalanceFault::Unreadable;
        let raw = document::raw(answer, pointer).map_err(|_| BalanceFault::Unreadable)?;
        let raw = raw.ok_or(BalanceFault::Unreadable)?;
        // A member that is given twice is no balance.
        json::read(raw.as_bytes(), BALANCE_DEPTH).ok_or(BalanceFault::Unreadable)?;
        let balances: HashMap<String, &RawValue> = serde_json::from_str(raw).map_err(unreadable)?;
        let told = |delta: &Delta| {
            let raw = balances
                .get(&delta.account)
                .ok_or(BalanceFault::NoAccount(delta.first))?;
            let (Located::Text(text) | Located::Number(text)) = document::located(raw.get()) else {
                return Err(BalanceFault::Unreadable);
            };
            let balance = Decimal::parse(&text).map_err(|_| BalanceFault::Unreadable)?;
            let (mut before, mut after) = (Sum::default(), delta.sum.clone());
            before.add(&balance);
            after.add(&balance);
            Ok(Expected {
                balance: before.to_plain(),
                expected: after.to_plain(),
            })
        };
        self.accounts.iter().map(told).collect()
    }
}

/// How deep an object of balances may be nested: an account may have more than a balance where nobody asks for it.
const BALANCE_DEPTH: usize = 8;

impl EntryRules {
    /// Whether they ask more of entries than that they can be added up. Then they hold for real writes too.
    #[must_use]
    pub fn ask_more(&self) -> bool {
        self.currency.is_some() || self.balanced || self.positive || self.max_entries.is_some()
    }

    /// Adds up the entries of a body.
    ///
    /// # Errors
    /// What is wrong with them: at most [`MAX_FAULTS`], and never an amount or an account.
    pub fn add_up(&self, body: &[u8]) -> Result<Deltas, Vec<Fault>> {
        let whole = |detail: String| vec![Fault::new(&self.entries, detail)];
        let list = document::raw(body, &self.entries).map_err(|fault| whole(fault.to_string()))?;
        let list = list.and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw).ok());
        let list = list.ok_or_else(|| whole("is no list of entries".into()))?;
        let most = self.max_entries.unwrap_or(DEFAULT_ENTRIES);
        if list.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(whole(format!("has more than {most} entries")));
        }
        let mut book = Book::default();
        let mut faults = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            if let Err((below, detail)) = self.enter(index, entry.get(), &mut book) {
                faults.push(Fault::new(&format!("{}/{index}{below}", self.entries), detail));
                if faults.len() == MAX_FAULTS {
                    return Err(faults);
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        if self.balanced && !book.deltas.total.is_zero() {
            return Err(whole("do not balance: their total is not zero".into()));
        }
        book.deltas.entries = list.len();
        Ok(book.deltas)
    }

    /// Takes one entry in, or says what is wrong with it and where.
    fn enter<'r>(&'r self, index: usize, entry: &str, book: &mut Book) -> Result<(), (&'r str, String)> {
        let find = |pointer: &'r str| {
            let found = document::raw(entry.as_bytes(), pointer).map_err(|fault| (pointer, fault.to_string()))?;
            Ok(found.map_or(Located::Missing, document::located))
        };
        let text = |pointer: &'r str| match find(pointer)? {
            Located::Text(text) => Ok(text),
            Located::Missing => Err((pointer, "is missing".to_owned())),
            _ => Err((pointer, "is not a string".to_owned())),
        };
        let account = text(&self.account)?;
        let amount = match find(&self.amount)? {
            Located::Text(text) | Located::Number(text) => text,
            Located::Missing => return Err((&self.amount, "is missing".to_owned())),
            Located::Other => return Err((&self.amount, "is neither a number nor a string".to_owned())),
        };
        let amount = Decimal::parse(&amount).map_err(|fault| (&*self.amount, fault.to_string()))?;
        if self.positive && !amount.is_positive() {
            return Err((&self.amount, "is not above zero".to_owned()));
        }
        if let Some(pointer) = &self.currency {
            let currency = text(pointer)?;
            if !self.currencies.is_empty() && !self.currencies.contains(&currency) {
                return Err((pointer, "is none of the currencies that may be used".to_owned()));
            }
            if *book.deltas.currency.get_or_insert_with(|| currency.clone()) != currency {
                return Err((pointer, "is another currency than that of the first entry".to_owned()));
            }
        }
        book.add(index, account, &amount);
        Ok(())
    }
}

/// Deltas, and where each account stands in them. Accounts are the caller's words: the map's hash is keyed.
#[derive(Default)]
struct Book {
    deltas: Deltas,
    places: HashMap<String, usize>,
}

impl Book {
    fn add(&mut self, first: usize, account: String, amount: &Decimal) {
        self.deltas.total.add(amount);
        let accounts = &mut self.deltas.accounts;
        let at = *self.places.entry(account).or_insert_with_key(|account| {
            accounts.push(Delta {
                account: account.clone(),
                sum: Sum::default(),
                first,
            });
            accounts.len() - 1
        });
        if let Some(delta) = accounts.get_mut(at) {
            delta.sum.add(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> EntryRules {
        EntryRules {
            account: "/a".into(),
            amount: "/m".into(),
            ..EntryRules::default()
        }
    }

    #[test]
    fn balances_are_told_exactly_or_not_at_all() {
        let body = br#"[{"a":"A","m":"0.10"},{"a":"B","m":-7},{"a":"A","m":0.2}]"#;
        let deltas = rules().add_up(body).unwrap();
        let told = |answer: &str, pointer: &str| {
            let told = deltas.expected(answer.as_bytes(), pointer)?;
            Ok(told
                .into_iter()
                .map(|one| (one.balance, one.expected))
                .collect::<Vec<_>>())
        };
        let good = vec![("100.5".into(), "100.80".into()), ("7.00".into(), "0.00".into())];
        for (answer, pointer, expected) in [
            (r#"{"A":"100.5","B":7.00,"C":"x"}"#, "", Ok(good.clone())),
            (r#"{"x":{"B":7.00,"A":100.5}}"#, "/x", Ok(good)),
            (r#"{"A":"1"}"#, "", Err(BalanceFault::NoAccount(1))),
            (r#"{"B":"1"}"#, "", Err(BalanceFault::NoAccount(0))),
            (r#"{"A":"1","B":"1","A":"2"}"#, "", Err(BalanceFault::Unreadable)),
            (r#"{"A":"1","B":null}"#, "", Err(BalanceFault::Unreadable)),
            (r#"{"A":"1","B":"[REDACTED]"}"#, "", Err(BalanceFault::Unreadable)),
            (r#"{"A":"0001.00","B":"1"}"#, "", Err(BalanceFault::Unreadable)),
            (r#"{"A":1e99,"B":"1"}"#, "", Err(BalanceFault::Unreadable)),
            (r#"["A"]"#, "", Err(BalanceFault::Unreadable)),
            ("{}", "/x", Err(BalanceFault::Unreadable)),
            (r#"{"x":{},"X":{}}"#, "/x", Err(BalanceFault::Unreadable)),
            ("", "", Err(BalanceFault::Unreadable)),
        ] {
            assert_eq!(told(answer, pointer), expected, "{answer}");
        }
    }

    #[test]
    fn accounts_stand_in_the_order_of_their_first_entries() {
        let body = br#"[{"a":"Z","m":1},{"a":"A","m":2},{"a":"Z","m":3},{"a":"","m":"4.0"}]"#;
        let deltas = rules().add_up(body).unwrap();
        let told: Vec<_> = deltas
            .accounts
            .iter()
            .map(|one| (&*one.account, one.sum.to_plain(), one.first))
            .collect();
        assert_eq!(
            told,
            [("Z", "4".into(), 0), ("A", "2".into(), 1), ("", "4.0".into(), 3)]
        );
        assert_eq!((deltas.entries, deltas.total.to_plain()), (4, "10.0".into()));
    }
}
