//! A connection to Redis, as the store wants one: its scripts are there, and it is known what the server may forget.

use super::resp::{Command, Line, Reply};
use super::{fault, text};
use crate::config::{Secret, SharedStore};
use crate::edge::store::{StoreFault, wire};

/// What all names of the store begin with. The braces keep them on one node of a cluster.
pub(super) const ROOT: &str = "{tollgate}";

/// How the names and what is under them are laid out; a change of it changes this.
const FORMAT: u64 = 1;

/// The scripts, each behind what all of them begin with.
const SCRIPTS: [&str; 8] = [
    concat!(include_str!("prelude.lua"), include_str!("reserve.lua")),
    concat!(include_str!("prelude.lua"), include_str!("settle.lua")),
    concat!(include_str!("prelude.lua"), include_str!("rule.lua")),
    concat!(include_str!("prelude.lua"), include_str!("list.lua")),
    concat!(include_str!("prelude.lua"), include_str!("beat.lua")),
    concat!(include_str!("prelude.lua"), include_str!("sweep.lua")),
    concat!(include_str!("prelude.lua"), include_str!("leave.lua")),
    concat!(include_str!("prelude.lua"), include_str!("lock.lua")),
];

/// The names under which the server knows them.
pub(super) struct Scripts {
    pub(super) reserve: String,
    pub(super) settle: String,
    pub(super) rule: String,
    pub(super) list: String,
    pub(super) beat: String,
    pub(super) sweep: String,
    pub(super) leave: String,
    pub(super) lock: String,
}

/// An open connection.
pub(in crate::edge::store) struct Link {
    line: Line,
    pub(super) scripts: Scripts,
}

impl Link {
    pub(super) async fn open(server: &SharedStore) -> Result<Self, StoreFault> {
        let mut line = admitted(server).await?;
        if !server.insecure_volatile {
            is_durable(&mut line).await?;
        }
        has_format(&mut line).await?;
        let scripts = load(&mut line).await?;
        Ok(Self { line, scripts })
    }

    pub(super) fn is_broken(&mut self) -> bool {
        self.line.is_broken()
    }

    /// Sends commands together; each has a reply of its own.
    pub(super) async fn all(&mut self, commands: &[Command]) -> Result<Vec<Reply>, StoreFault> {
        self.line.exchange(commands).await.map_err(|error| lost(&error))
    }

    /// Sends a command whose reply is not to be an error.
    pub(super) async fn one(&mut self, command: Command) -> Result<Reply, StoreFault> {
        ask(&mut self.line, command).await
    }
}

/// A connection on which commands are taken, in the database that is named.
pub(super) async fn admitted(server: &SharedStore) -> Result<Line, StoreFault> {
    let mut line = Line::new(wire::secured(server).await?);
    if server.user.is_some() || server.password.is_some() {
        let user = server.user.as_deref().unwrap_or("default");
        let password = server.password.as_ref().map_or("", Secret::expose);
        ask(&mut line, Command::new("AUTH").and(user).and(password)).await?;
    }
    // Where everybody begins, and not everybody may ask for it.
    if server.database != "0" {
        ask(&mut line, Command::new("SELECT").and(&server.database)).await?;
    }
    Ok(line)
}

/// A command whose reply is not to be an error.
pub(super) async fn ask(line: &mut Line, command: Command) -> Result<Reply, StoreFault> {
    let replies = line.exchange(&[command]).await.map_err(|error| lost(&error))?;
    match replies.into_iter().next() {
        Some(Reply::Error(said)) => Err(fault(&said)),
        Some(reply) => Ok(reply),
        None => Err(StoreFault::Closed),
    }
}

pub(super) fn lost(error: &std::io::Error) -> StoreFault {
    StoreFault::Unavailable(format!("the connection broke: {error}"))
}

/// A call of a script, at a time that was told or the server's own.
pub(super) fn call(script: &str, told: Option<i64>) -> Command {
    let time = told.map_or(String::new(), |seconds| seconds.to_string());
    Command::new("EVALSHA").and(script).and("1").and(ROOT).and(time)
}

/// What the name of a record's hash is.
pub(super) fn name(record: &str) -> String {
    format!("{ROOT}:key:{record}")
}

/// Whether what is answered is on the server's disk, and stays until the store removes it.
async fn is_durable(line: &mut Line) -> Result<(), StoreFault> {
    for (setting, wanted) in [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-policy", "noeviction"),
    ] {
        let asked = line.exchange(&[Command::new("CONFIG").and("GET").and(setting)]).await;
        let mut replies = asked.map_err(|error| lost(&error))?;
        let why = match replies.pop() {
            Some(Reply::List(said)) => match said.get(1).map(text).transpose()? {
                Some(value) if value == wanted => continue,
                Some(value) => format!("Redis runs with `{setting} {value}`"),
                None => format!("Redis does not say what its `{setting}` is"),
            },
            // Whoever runs Redis for others often keeps this command to himself.
            Some(Reply::Error(said)) if said.starts_with("ERR ") || said.starts_with("NOPERM ") => {
                format!("Redis does not let the gateway ask what its `{setting}` is")
            }
            Some(Reply::Error(said)) => return Err(fault(&said)),
            _ => format!("Redis does not say what its `{setting}` is"),
        };
        return Err(StoreFault::Volatile(why));
    }
    Ok(())
}

async fn has_format(line: &mut Line) -> Result<(), StoreFault> {
    let facts = format!("{ROOT}:facts");
    let format = FORMAT.to_string();
    ask(line, Command::new("HSETNX").and(&facts).and("format").and(format)).await?;
    let found = ask(line, Command::new("HGET").and(&facts).and("format")).await?;
    let found: u64 = super::number(&found)?;
    if found > FORMAT {
        return Err(StoreFault::Newer { found, known: FORMAT });
    }
    Ok(())
}

async fn load(line: &mut Line) -> Result<Scripts, StoreFault> {
    let mut names = Vec::with_capacity(SCRIPTS.len());
    for script in SCRIPTS {
        let name = ask(line, Command::new("SCRIPT").and("LOAD").and(script)).await?;
        names.push(text(&name)?);
    }
    let [reserve, settle, rule, list, beat, sweep, leave, lock] =
        <[String; 8]>::try_from(names).map_err(|_| StoreFault::Closed)?;
    Ok(Scripts {
        reserve,
        settle,
        rule,
        list,
        beat,
        sweep,
        leave,
        lock,
    })
}
