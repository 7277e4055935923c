//! `tollgate explain`: decides a request offline, with the gateway's own engine, and shows each step.

use anyhow::Context as _;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::{ERROR, FAINT, Format, GOOD, WARNING, load};
use crate::gateway::offline::{self, Explanation, Request};
use crate::reason::Outcome;
use crate::server::certificate;

/// What a denied request exits with (interface, section 1).
const DENIED: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The gateway file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The token's claims, as a JSON object; without them the request has no token.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// A request header.
    #[arg(long = "header", value_name = "N: V")]
    headers: Vec<String>,
    /// The request's body.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Where the request comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    source: IpAddr,
    /// The client's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// How to print the decision.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The method.
    method: Method,
    /// The path with its query, or a URL.
    url: String,
}

impl Explain {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let Some((_, loaded)) = load(&self.config) else {
            return Ok(ExitCode::FAILURE);
        };
        let rules = loaded.issuers.iter().map(|(rules, _)| rules);
        let explanation = offline::explain(&Arc::new(loaded.policy), rules, &self.request()?);
        match self.format {
            Format::Text => print(&explanation),
            Format::Json => anstream::println!("{}", serde_json::to_string_pretty(&explanation.told())?),
        }
        Ok(if explanation.is_allowed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(DENIED)
        })
    }

    fn request(&self) -> anyhow::Result<Request> {
        let claims = self.claims.as_deref().map(serde_json::from_str).transpose();
        let mut headers = HeaderMap::new();
        for text in &self.headers {
            let (name, value) = text.split_once(':').context("a header is written `Name: value`")?;
            let name: HeaderName = name
                .trim()
                .parse()
                .with_context(|| format!("`{name}` is no header name"))?;
            let value: HeaderValue = value
                .trim()
                .parse()
                .with_context(|| format!("`{value}` is no header value"))?;
            headers.append(name, value);
        }
        let body = self.body.as_ref().map(|path| {
            let read = std::fs::read(path);
            read.with_context(|| format!("cannot read `{}`", path.display()))
        });
        let certificate = self.certificate.as_ref().map(|path| {
            let read = certificate::read_pem(path);
            read.with_context(|| format!("cannot read a certificate from `{}`", path.display()))
        });
        Ok(Request {
            claims: claims.context("the claims are no JSON object")?,
            method: self.method.clone(),
            url: self.url.clone(),
            headers,
            body: body.transpose()?.unwrap_or_default(),
            source: self.source,
            certificate: certificate.transpose()?.map(Arc::new),
        })
    }
}

fn print(explanation: &Explanation) {
    print_steps(explanation, "");
    if let Some(reason) = explanation.would_deny {
        anstream::println!(
            "{}would be denied:{} {}  {} (shadow)",
            ERROR.render(),
            ERROR.render_reset(),
            reason.decision(),
            reason.code()
        );
    }
    let style = if explanation.is_allowed() { GOOD } else { ERROR };
    let error = match explanation.outcome {
        Outcome::Refused(reason) => format!("  {}", reason.code()),
        Outcome::Allowed | Outcome::DryRun | Outcome::Abandoned => String::new(),
    };
    anstream::println!(
        "{}{}{}{error}",
        style.render(),
        explanation.outcome.decision(),
        style.render_reset()
    );
    if let Some(hint) = &explanation.hint {
        anstream::println!("{}would take:{} {hint}", FAINT.render(), FAINT.render_reset());
    }
}

/// The steps of a decision, each on a line that starts with `margin`.
pub(super) fn print_steps(explanation: &Explanation, margin: &str) {
    for line in &explanation.steps {
        let (style, mark) = if line.passed { (GOOD, "pass") } else { (ERROR, "FAIL") };
        anstream::println!(
            "{margin}{}{mark}{}  {:<12} {}{}",
            style.render(),
            style.render_reset(),
            line.step,
            line.text,
            place(line.file.as_deref(), line.line)
        );
        for note in &line.notes {
            anstream::println!("{margin}{:>20}{note}", "");
        }
    }
    for field in &explanation.fields {
        let (style, mark, how) = match field.masked {
            Some(how) => (WARNING, "mask", how),
            None => (GOOD, "show", "as it is"),
        };
        anstream::println!(
            "{margin}{}{mark}{}  {:<12} {how}: {}{}",
            style.render(),
            style.render_reset(),
            field.class,
            field.why,
            place(field.file.as_deref(), field.line)
        );
    }
}

fn place(file: Option<&str>, line: Option<u32>) -> String {
    match (file, line) {
        (Some(file), Some(line)) => format!("  {}{file}:{line}{}", FAINT.render(), FAINT.render_reset()),
        _ => String::new(),
    }
}
