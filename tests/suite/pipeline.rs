//! Each step of a request's life, in the order in which they answer (interface, section 4).

use super::harness::*;

#[test]
fn s1_7_each_role_sees_its_own_view_of_an_account() {
    let backend = Backend::start();
    let gateway = Setup::new(&backend).start();
    let analyst = gateway.get("/api/accounts/A1001", &["billing_analyst"]);
    assert_eq!(analyst.status, 200);
    assert_eq!(
        analyst.text(),
        r#"{"account_id":"A1001", "balance":1234.5000,"customer":{"ssn":"[REDACTED]","phone":"[REDACTED]","name":"x"},"note":"\/ok"}"#
    );
    let caseworker = gateway.get("/api/accounts/A1001", &["caseworker"]);
    assert_eq!(
        caseworker.body,
        ACCOUNT.as_bytes(),
        "whoever may see all gets the backend's own bytes"
    );
}
