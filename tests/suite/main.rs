//! The whole gateway as its users meet it: the real program, real sockets, a backend that records what it is sent.
//!
//! One file per step of a request's life; `harness` starts and stops things. Test names carry the rule that they hold
//! (S1.1 … S3.5) where there is one.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    unreachable_pub
)]

mod harness;
#[path = "../servers/mod.rs"]
mod servers;

mod admin;
mod answers;
mod audit;
mod bound;
mod canaries;
mod cli;
mod codings;
mod compression;
mod conditions;
mod crashes;
mod demo;
mod dryruns;
mod floods;
mod forgeries;
mod headers;
mod idempotency;
mod leases;
mod links;
mod listener;
mod masking;
mod metrics;
mod operators;
mod pages;
mod paths;
mod pipeline;
mod provider;
mod rates;
mod readers;
mod reload;
mod replays;
mod requests;
mod requests_two;
mod revoked;
mod rows;
mod scale;
mod sealed;
mod shadow;
mod slow;
mod sources;
mod stores;
mod tables;
mod tls;
mod tokens;
mod tolerant;
mod tomcat;
mod tools;
mod trust;
mod upstream_tls;
mod versions;
mod views;
mod xml;
