//! Gateways that share a store let one write at a time through to a resource, by the version that it was made for (S1.9).
//! The same stories are told of each kind of server.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::*;
use super::servers::{Postgres, Redis};
use super::stores::Kind;
use super::versions::{KEY, Ledger, SYNC, refused, sync, writes};

/// `wait` of the route, and more lines of the gateway file: a write takes 3 x 100 ms to connect and 2 s to be answered, so that
/// its lock lasts for 4.3 s.
const PATIENCE: &str = ", wait: 20s";
const SOON: &str = "shared_store: { lease: 2s }";
const LEASE: Duration = Duration::from_millis(4300);
const UPSTREAM: &str = "connect_timeout: 100ms, timeout: 2s";

const BODY: &str = r#"{"amount":"1.00"}"#;

fn gateway(backend: &Backend, server: &impl Kind, wait: &str) -> Gateway {
    let policy = sync("get: /api/ledger/state, pointer: /version_hash", wait);
    let setup = Setup::new(backend).policy(&policy).extra(SOON);
    Setup {
        state: server.url(),
        files: vec![("keys/store.key", KEY.into())],
        upstream: UPSTREAM.into(),
        ..setup
    }
    .start()
}
