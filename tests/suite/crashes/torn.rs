//! Store files that are not as they were left (THREATS H12, H13): the gateway does not start, and says what to do, or it knows
//! all that it knew. In `src/edge/store/damage.rs` many more files are damaged, without a gateway around them.

use std::fs;
use std::path::Path;

use crate::harness::*;

const DONE: &str = r#"{"transaction_id":"T-1"}"#;

/// How many payments are done; one more is unknown.
const PAYMENTS: usize = 24;

fn post(gateway: &Gateway, of: usize) -> Answer {
    let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: k{of}\r\n");
    let body = format!(r#"{{"county":"County_A","for":{of}}}"#);
    gateway.call("POST", "/api/ledger/sync", &["finance_admin"], &headers, &body)
}

/// What the file is damaged with.
#[derive(Debug)]
enum Damage {
    /// It ends here.
    Cut(usize),
    /// One bit of this byte is another.
    Flip(usize, u32),
    /// It is something else altogether, this over and over.
    Swap(&'static [u8]),
    /// It is gone, and the folder is not.
    Gone,
}

impl Damage {
    fn apply(&self, file: &Path, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Cut(at) => bytes.truncate(*at),
            Self::Flip(at, bit) => bytes[*at] ^= 1 << bit,
            Self::Swap(other) => bytes = other.iter().copied().cycle().take(bytes.len()).collect(),
            Self::Gone => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

fn damages(bytes: &[u8]) -> Vec<Damage> {
    let length = bytes.len();
    let used: Vec<usize> = (0..length).filter(|at| bytes[*at] != 0).collect();
    let cuts = (0..8)
        .map(|part| Damage::Cut(length * part / 8))
        .chain([Damage::Cut(length - 1), Damage::Cut(4097)]);
    // The header, and what is used of the pages.
    let flips = (0..10).map(|at| Damage::Flip(at * 29, 3));
    let pages = used
        .iter()
        .step_by(used.len().div_ceil(12))
        .map(|at| Damage::Flip(*at, 5));
    let swaps = [&b"these are no keys\n"[..], b"\0", b""].map(Damage::Swap);
    cuts.chain(flips)
        .chain(pages)
        .chain(swaps)
        .chain([Damage::Gone])
        .collect()
}

#[test]
fn s1_8_a_damaged_store_is_refused_or_whole() {
    let backend = Backend::bytes(answer("201 Created", "application/json", DONE));
    let mut gateway = Setup::new(&backend).start();
    for of in 0..PAYMENTS {
        assert_eq!(post(&gateway, of).status, 201);
    }
    gateway.kill();
    // The tree, the file of the daybook in which the payments are, and the one in which none is yet.
    let files = ["keys.redb", "keys.day-0", "keys.day-1"].map(|name| gateway.path("state").join(name));
    let whole = files.clone().map(|file| fs::read(file).unwrap());
    for (at, file) in files.iter().enumerate() {
        let (mut refused, mut opened) = (0, 0);
        for damage in damages(&whole[at]) {
            for (file, bytes) in files.iter().zip(&whole) {
                fs::write(file, bytes).unwrap();
            }
            damage.apply(file, &whole[at]);
            // Whoever tries again after a refusal fares no better.
            let said = start(&mut gateway).and_then(|_| start(&mut gateway));
            let Some(said) = said else {
                opened += 1;
                for of in 0..PAYMENTS {
                    assert_eq!(post(&gateway, of).error(), "duplicate_request", "{file:?}, {damage:?}");
                }
                gateway.kill();
                continue;
            };
            refused += 1;
            for words in ["state: the store is damaged", "keys.redb", "keys.day-", "backup"] {
                assert!(said.contains(words), "{file:?}, {damage:?}: `{words}` is not in {said}");
            }
        }
        assert!(refused > 10, "{file:?}: {refused} refused, {opened} opened");
    }
    assert_eq!(backend.count(), PAYMENTS, "nothing was sent again");
    for (file, bytes) in files.iter().zip(whole) {
        fs::write(file, bytes).unwrap();
    }
    let config = gateway.path("tollgate.yaml");
    let (code, _, said) = run(&["check", "--config", config.to_str().unwrap()], &gateway.path(""));
    assert_eq!(code, 0, "{said}");
}

/// Starts the gateway; what it said if it ended instead.
fn start(gateway: &mut Gateway) -> Option<String> {
    let before = gateway.log().len();
    (!gateway.launch_if_possible()).then(|| gateway.log().split_off(before))
}
