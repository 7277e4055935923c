//! The demo, as a newcomer runs it: the COBOL program under lighttpd, the Java service, two gateways, and the whole tour.
//! Every step of the tour checks what it shows, so that its exit code is a verdict.

use super::harness::*;
use std::process::Command;

#[test]
fn the_tour_shows_what_it_says() {
    let root = env!("CARGO_MANIFEST_DIR");
    let work = tempfile::tempdir().unwrap();
    let mut demo = Command::new("bash");
    demo.arg("deploy/demo/demo.sh")
        .current_dir(root)
        .env("DEMO_ONCE", "1")
        .env("DEMO_TOLLGATE", PROGRAM)
        .env("DEMO_WORK", work.path())
        .env("NO_COLOR", "1");
    for name in [
        "MUNICIPAL_PORT",
        "FLEET_PORT",
        "MUNICIPAL_ADMIN_PORT",
        "FLEET_ADMIN_PORT",
        "BILLING_PORT",
        "RATES_PORT",
        "ARCHIVE_PORT",
    ] {
        demo.env(name, free_port().to_string());
    }
    let output = demo.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // What an analyst must not see and a caseworker does; what the duplicate is told; what tampering leads to.
    for needle in [
        "[REDACTED]",
        "duplicate_request",
        "jurisdiction_mismatch",
        "denied_module",
        "broken",
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
}
