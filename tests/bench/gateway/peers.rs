//! The backend, and who stands before it: HAProxy, nginx, Tollgate. Each with one thread and kept connections.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::process::{Server, find};

/// The path of the small answer; some of it is classified.
pub(crate) const SMALL: &str = "/api/accounts/A-100042";
/// The same answer, in a module in which nothing is classified.
pub(crate) const PLAIN: &str = "/api/meters/A-100042";
/// The path of the large answer.
pub(crate) const LARGE: &str = "/api/export/accounts.json";
/// What must not come through.
pub(crate) const CLASSIFIED: [&str; 2] = ["assistance_eligibility", "subsidy_tier"];
/// Size of the large answer in bytes, at least.
pub(crate) const LARGE_BYTES: u64 = 100_000_000;

/// An account as a billing program would print it, 0.8 KB.
const ACCOUNT: &str = r#"{"account_id":"A-100042","county":"County_A","service_address":{"street":"1200 Mill Road","city":"Fairview","zip":"60601"},"rate_schedule":"R-2","tier":2,"meters":[{"id":"M-7781","kind":"water","unit":"m3","reading":18234.250,"read_at":"2026-10-31"},{"id":"M-7782","kind":"power","unit":"kWh","reading":90211.000,"read_at":"2026-10-31"}],"assistance_eligibility":{"program":"LIHEAP","since":"2024-07-01","income_verified":true},"balance":{"currency":"USD","current":118.40,"overdue":0.00,"last_payment":"2026-10-15"},"subsidy_tier":"T2","charges":[{"code":"W-BASE","amount":21.00},{"code":"W-USE","amount":48.15},{"code":"P-BASE","amount":12.50},{"code":"P-USE","amount":36.75}],"notes":"Estimated reading in August; corrected in September after a visit.","updated_at":"2026-11-02T08:15:00Z"}"#;

/// The folder and the cores of a run.
pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    pub(crate) proxy_core: Option<usize>,
    pub(crate) load_core: Option<usize>,
}

/// nginx as the backend: a fixed answer from memory, and a file.
pub(crate) fn backend(ground: &Ground) -> Result<Server> {
    let address = free_address()?;
    let site = format!(
        "server {{ listen {address} backlog=1024; default_type application/json;\n\
         location / {{ return 200 '{ACCOUNT}'; }}\n\
         location /api/export/ {{ root {folder}/www; }} }}",
        folder = ground.folder.display()
    );
    nginx("backend", &site, ground, ground.load_core, address)
}

/// nginx as a peer: passes requests on, keeps connections.
pub(crate) fn nginx_proxy(ground: &Ground, backend: SocketAddr) -> Result<Server> {
    let address = free_address()?;
    let site = format!(
        "upstream billing {{ server {backend}; keepalive 128; keepalive_requests 1000000000; }}\n\
         server {{ listen {address} backlog=1024;\n\
         location / {{ proxy_pass http://billing; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
    );
    nginx("nginx", &site, ground, ground.proxy_core, address)
}

fn nginx(name: &str, site: &str, ground: &Ground, core: Option<usize>, address: SocketAddr) -> Result<Server> {
    let folder = ground.folder.display();
    // As root its worker would become somebody who may not read this folder.
    let user = if fs::metadata("/proc/self")?.uid() == 0 {
        "user root;"
    } else {
        ""
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{name}-{kind};"))
        .concat();
    let text = format!(
        "daemon off; {user} worker_processes 1; pid {folder}/{name}.pid; error_log stderr warn;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; sendfile on; {temporary}\n\
         types {{ application/json json; }}\n{site} }}\n"
    );
    let file = ground.folder.join(format!("{name}.conf"));
    fs::write(&file, text)?;
    let program = program("nginx")?;
    Server::start(
        name,
        &[program, "-c".into(), path(&file), "-e".into(), "stderr".into()],
        core,
        &ground.folder,
        address,
    )
}

/// HAProxy as a peer: passes requests on, keeps connections, writes no log.
pub(crate) fn haproxy(ground: &Ground, backend: SocketAddr) -> Result<Server> {
    let address = free_address()?;
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n\
         listen bench\n  bind {address}\n  server billing {backend}\n"
    );
    let file = ground.folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let command = [program("haproxy")?, "-db".into(), "-f".into(), path(&file)];
    Server::start("haproxy", &command, ground.proxy_core, &ground.folder, address)
}

/// Tollgate with all that it does for a request: token, decision, masking, audit line.
pub(crate) fn tollgate(ground: &Ground, backend: SocketAddr) -> Result<Server> {
    let address = free_address()?;
    let admin = free_address()?;
    let gateway = format!(
        "listen: [{{ address: \"{address}\" }}]\nadmin: {{ address: \"{admin}\" }}\npolicy: policy.yaml\nstate: state/\n\
         audit: {{ path: audit.jsonl }}\nupstreams: {{ billing: {{ url: \"http://{backend}\" }} }}\nworkers: 1\n"
    );
    let policy = r"
version: 1
identity:
  issuers:
    - { issuer: https://idp.bench.example, audience: billing-api, public_key: public.pem, algorithms: [RS256] }
  forward_as: { X-Municipal-User: user, X-Municipal-Role: roles }
roles:
  billing_analyst: { scopes: [accounts:read] }
  assistance_caseworker: { scopes: [assistance:read] }
modules:
  accounts:
    prefix: /api/accounts
    upstream: billing
    routes: [{ path: '/{account_id}', methods: [GET], scope: accounts:read }]
  meters:
    prefix: /api/meters
    upstream: billing
    routes: [{ path: '/{account_id}', methods: [GET], scope: accounts:read }]
  export:
    prefix: /api/export
    upstream: billing
    routes: [{ methods: [GET], scope: accounts:read }]
fields:
  subsidy:
    names: [assistance_eligibility, subsidy_tier]
    visible_to: [assistance:read]
    never_to: [billing_analyst]
    mask: remove
    modules: [accounts, export]
";
    fs::write(ground.folder.join("policy.yaml"), policy)?;
    let file = ground.folder.join("tollgate.yaml");
    fs::write(&file, gateway)?;
    // Each run begins with an empty log.
    let _ = fs::remove_file(ground.folder.join("audit.jsonl"));
    let command = [
        env!("CARGO_BIN_EXE_tollgate").to_owned(),
        "serve".into(),
        "--config".into(),
        path(&file),
    ];
    Server::start("tollgate", &command, ground.proxy_core, &ground.folder, address)
}

/// A key pair, and the header of a caller who may read accounts but not what is classified in them.
pub(crate) fn token(ground: &Ground) -> Result<String> {
    let (private, public) = (ground.folder.join("private.pem"), ground.folder.join("public.pem"));
    let openssl = program("openssl")?;
    run(Command::new(&openssl)
        .args(["genrsa", "-out"])
        .arg(&private)
        .arg("2048"))?;
    run(Command::new(&openssl)
        .args(["rsa", "-pubout", "-in"])
        .arg(&private)
        .arg("-out")
        .arg(&public))?;
    let claims =
        r#"{"iss":"https://idp.bench.example","aud":"billing-api","sub":"analyst-7","roles":["billing_analyst"]}"#;
    let minted = run(Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["token", "--ttl", "1h", "--claims", claims, "--key"])
        .arg(&private))?;
    Ok(format!(
        "Authorization: Bearer {}",
        String::from_utf8(minted.stdout)?.trim()
    ))
}

/// Writes the large answer: accounts like the small one, with the same classified fields.
pub(crate) fn write_large(ground: &Ground) -> Result<u64> {
    let file = ground.folder.join("www").join(LARGE.trim_start_matches('/'));
    fs::create_dir_all(file.parent().context("a file has a folder")?)?;
    let mut out = BufWriter::new(File::create(&file)?);
    write!(out, "{{\"accounts\":[{ACCOUNT}")?;
    let mut written = ACCOUNT.len() as u64;
    while written < LARGE_BYTES {
        write!(out, ",\n{ACCOUNT}")?;
        written += ACCOUNT.len() as u64 + 2;
    }
    out.write_all(b"]}\n")?;
    out.flush()?;
    Ok(fs::metadata(&file)?.len())
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// A port that is free now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn program(name: &str) -> Result<String> {
    Ok(path(&find(name).with_context(|| format!("{name} is not there"))?))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
