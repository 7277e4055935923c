//! What the list keeps, through changes, restarts and disks that fail.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

fn user(name: &str) -> Entry {
    Entry {
        revocation: Revocation {
            revoked: Revoked::User(name.into()),
            issuer: None,
            issued_before: None,
            until: None,
        },
        at: 1,
        reason: Some("left".to_owned()),
        operator: None,
    }
}

fn until(time: u64, entry: Entry) -> Entry {
    let revocation = Revocation {
        until: Some(time),
        ..entry.revocation
    };
    Entry { revocation, ..entry }
}

fn of(issuer: &str, entry: Entry) -> Entry {
    let revocation = Revocation {
        issuer: Some(issuer.into()),
        ..entry.revocation
    };
    Entry { revocation, ..entry }
}

fn caller(name: &str) -> Caller {
    Caller {
        user: name.to_owned(),
        ..Caller::default()
    }
}

#[test]
fn who_was_cleared_before_a_change_is_looked_up_after_it() {
    let folder = TempDir::new().unwrap();
    let register = Register::open(folder.path()).unwrap();
    let (mallory, proof) = (caller("mallory"), Cleared::of_none());
    assert_eq!(register.refuse(&mallory, &proof, 10), None);
    register.add(user("alice"), 10).unwrap();
    assert_eq!(register.refuse(&mallory, &proof, 10), None);
    register.add(user("mallory"), 10).unwrap();
    assert!(register.refuse(&mallory, &proof, 10).is_some());
    assert!(
        register.refuse(&mallory, &proof, 10).is_some(),
        "a refusal clears nobody"
    );
    register
        .lift(&Revoked::User("mallory".into()), None, 10)
        .unwrap()
        .unwrap();
    assert_eq!(register.refuse(&mallory, &proof, 10), None);
}

#[test]
fn an_entry_ends_by_itself_and_makes_room() {
    let folder = TempDir::new().unwrap();
    let register = Register::open(folder.path()).unwrap();
    let room = register.room(10);
    register.add(until(20, user("mallory")), 10).unwrap();
    let (mallory, proof) = (caller("mallory"), Cleared::of_none());
    assert!(register.refuse(&mallory, &proof, 19).is_some());
    assert_eq!(register.refuse(&mallory, &proof, 20), None);
    assert_eq!((register.room(19), register.room(20)), (room - 1, room));
    register.add(user("alice"), 20).unwrap();
    let again = Register::open(folder.path()).unwrap();
    assert_eq!(again.list(10), [user("alice")], "what has ended is not kept");
}

#[test]
fn the_list_is_there_after_a_restart_with_all_that_was_said() {
    let folder = TempDir::new().unwrap();
    let register = Register::open(folder.path()).unwrap();
    assert!(!register.add(user("mallory"), 10).unwrap());
    assert!(
        !register.add(of("https://idp", user("mallory")), 10).unwrap(),
        "for one issuer is another entry"
    );
    assert!(
        register.add(until(99, user("mallory")), 10).unwrap(),
        "and the same takes the place of the same"
    );
    let kept = register.list(10);
    assert_eq!(kept, [of("https://idp", user("mallory")), until(99, user("mallory"))]);
    assert_eq!(Register::open(folder.path()).unwrap().list(10), kept);
    let mode = std::fs::metadata(folder.path().join(FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        register.lift(&Revoked::Token("mallory".into()), None, 10).unwrap(),
        None
    );
}

#[test]
fn a_file_that_is_no_list_is_never_an_empty_one() {
    let good = r#"{"format":1,"revoked":[{"user":"mallory","at":1}]}"#;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(FILE);
    std::fs::write(&file, good).unwrap();
    assert_eq!(Register::open(folder.path()).unwrap().list(0).len(), 1);
    for end in 0..good.len() {
        std::fs::write(&file, good.get(..end).unwrap()).unwrap();
        assert!(Register::open(folder.path()).is_err(), "{}", good.get(..end).unwrap());
    }
    for bad in [
        r#"{"format":2,"revoked":[]}"#,
        r#"{"format":1,"revoked":[{"at":1}]}"#,
        r#"{"format":1,"revoked":[{"user":"a","token":"b","at":1}]}"#,
        r#"{"format":1,"revoked":[{"user":"a","at":1,"unknown":1}]}"#,
        r#"{"format":1,"revoked":[{"user":"a","at":1,"until":-1}]}"#,
    ] {
        std::fs::write(&file, bad).unwrap();
        assert!(
            matches!(Register::open(folder.path()), Err(RegisterFault::Corrupt(..))),
            "{bad}"
        );
    }
}

#[test]
fn a_full_list_takes_no_more_and_still_lifts() {
    let folder = TempDir::new().unwrap();
    let lines: Vec<_> = (0..MAX_REVOKED).map(|at| user(&format!("u{at}"))).collect();
    std::fs::write(folder.path().join(FILE), text(&lines)).unwrap();
    let register = Register::open(folder.path()).unwrap();
    assert!(matches!(register.add(user("one more"), 10), Err(RegisterFault::Full)));
    assert!(
        register.add(until(99, user("u7")), 10).unwrap(),
        "the same again needs no room"
    );
    register.lift(&Revoked::User("u8".into()), None, 10).unwrap().unwrap();
    register.add(user("one more"), 10).unwrap();
    assert_eq!(register.room(10), 0);
}

#[test]
fn a_disk_that_fails_revokes_and_does_not_lift() {
    let folder = TempDir::new().unwrap();
    let register = Register::open(folder.path()).unwrap();
    register.add(user("mallory"), 10).unwrap();
    // A folder in the place of the unfinished file cannot be written, not even by root.
    std::fs::create_dir(folder.path().join(UNFINISHED)).unwrap();
    assert!(matches!(
        register.add(user("alice"), 10),
        Err(RegisterFault::Unwritten(..))
    ));
    let lifted = register.lift(&Revoked::User("mallory".into()), None, 10);
    assert!(matches!(lifted, Err(RegisterFault::Unwritten(..))));
    for name in ["mallory", "alice"] {
        assert!(
            register.refuse(&caller(name), &Cleared::of_none(), 10).is_some(),
            "{name}"
        );
    }
    assert_eq!(Register::open(folder.path()).unwrap().list(10), [user("mallory")]);
}

#[test]
fn a_copy_is_what_is_in_force_and_takes_the_place_of_the_file() {
    let folder = TempDir::new().unwrap();
    let register = Register::open(folder.path()).unwrap();
    assert_eq!(register.back_up(5).unwrap(), 0, "of a list that was never written too");
    register.add(user("mallory"), 5).unwrap();
    register.add(until(8, user("eve")), 5).unwrap();
    assert_eq!(register.back_up(5).unwrap(), 2);
    assert_eq!(register.back_up(9).unwrap(), 1, "what is over is not in it");
    let copy = folder.path().join(BACKUP);
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let other = TempDir::new().unwrap();
    std::fs::rename(copy, other.path().join(FILE)).unwrap();
    assert_eq!(Register::open(other.path()).unwrap().list(9), [user("mallory")]);
    assert_eq!(register.list(9), [user("mallory")]);
}
