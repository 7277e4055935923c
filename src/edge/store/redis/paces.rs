//! How fast users ask, and addresses show bad tokens, counted in Redis for all gateways that share it.
//!
//! A connection of its own, which a thread of its own drives: what waits when it is free is asked together. A gateway that
//! gets no answer, or none soon, is told so at once and goes by what it has counted itself: nobody waits for a server that
//! is away. Of a user or an address the server has a hash and a time, both gone by the time that nothing is to be kept of it.

#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{Context, SHA256};
use std::mem::replace;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Builder;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::link::{ROOT, admitted, ask, lost};
use super::resp::{Command, Line, Reply};
use super::{fault, hex, list, number, odd, text};
use crate::config::SharedStore;
use crate::edge::store::StoreFault;

/// What a request of a user comes to.
const SCRIPT: &str = include_str!("pace.lua");

/// Most questions that wait at one time; with more, a gateway counts for itself.
const MAX_ASKED: usize = 4096;

/// Most questions that are asked together.
const MAX_TOGETHER: usize = 256;

/// How long the server may take for what is asked together. A request waits for two of these at most.
const MAX_ANSWER: Duration = Duration::from_millis(100);

/// How long it may take to be connected to.
const MAX_CONNECT: Duration = Duration::from_secs(5);

/// How long nothing may be asked before it is asked whether it is still there.
const MAX_SILENCE: Duration = Duration::from_secs(1);

/// Longest time ahead, in microseconds: thirty years, which leaves the sum with the time of day exact in the server's floats.
const MAX_AHEAD: u64 = 1_000_000_000_000_000;

/// Shortest and longest pause before a server that is away is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Asks a server for a gateway. The thread ends when this is dropped.
#[derive(Debug)]
pub struct SharedPaces {
    asked: mpsc::Sender<Question>,
    health: Arc<Health>,
}

/// What both sides know of the server.
#[derive(Debug, Default)]
struct Health {
    up: AtomicBool,
    /// Questions that got no answer.
    unanswered: AtomicU64,
}

/// What was counted of a user, who asks for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// By how much the user is ahead of an even flow.
    pub ahead: Duration,
    /// How much too early the request comes; absent if it may pass, and is counted then.
    pub wait: Option<Duration>,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedPacing {
    /// Whether the server counts.
    pub up: bool,
    /// How many requests it did not count.
    pub alone: u64,
}

/// What is counted together.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// The requests of a user, who is known by issuer and name.
    Requests {
        /// `iss`.
        issuer: &'a str,
        /// The user claim.
        user: &'a str,
    },
    /// The bad tokens of an address, or of a network that is one client.
    BadTokens(IpAddr),
}

struct Question {
    who: [u8; 32],
    /// In microseconds.
    interval: u64,
    most: u64,
    reply: oneshot::Sender<Counted>,
}

impl SharedPaces {
    /// Starts the thread, which looks for the server until this is dropped.
    ///
    /// # Errors
    /// [`StoreFault::Io`]: no thread can be started.
    pub fn start(server: SharedStore) -> Result<Self, StoreFault> {
        let (asked, questions) = mpsc::channel(MAX_ASKED);
        let health = Arc::new(Health::default());
        let theirs = Arc::clone(&health);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreFault::io("a runtime", &error))?;
        let _runs_until_nobody_asks = Builder::new()
            .name("paces".to_owned())
            .spawn(move || runtime.block_on(drive(&server, questions, &theirs)))
            .map_err(|error| StoreFault::io("the thread that counts", &error))?;
        Ok(Self { asked, health })
    }

    /// Counts one more. None: the server does not say, and the gateway has to go by what it has counted itself.
    pub async fn take(&self, whose: Whose<'_>, interval: Duration, burst: u32) -> Option<Counted> {
        let told = self.ask(whose, interval, burst).await;
        if told.is_none() {
            self.health.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        told
    }

    async fn ask(&self, whose: Whose<'_>, interval: Duration, burst: u32) -> Option<Counted> {
        if !self.is_up() {
            return None;
        }
        // Rounded up: nobody may ask more often than the policy says.
        let interval = u64::try_from(interval.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        let interval = interval.clamp(1, MAX_AHEAD);
        let most = interval.saturating_mul(u64::from(burst.max(1))).min(MAX_AHEAD);
        let (reply, told) = oneshot::channel();
        let question = Question {
            who: hash(whose),
            interval,
            most,
            reply,
        };
        self.asked.try_send(question).ok()?;
        told.await.ok()
    }

    fn is_up(&self) -> bool {
        self.health.up.load(Ordering::Relaxed)
    }

    /// How it goes.
    #[must_use]
    pub fn stats(&self) -> SharedPacing {
        SharedPacing {
            up: self.is_up(),
            alone: self.health.unanswered.load(Ordering::Relaxed),
        }
    }
}

/// Of issuer and name neither can be taken for a part of the other, and of both none for an address: no issuer is so long.
fn hash(whose: Whose<'_>) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    match whose {
        Whose::Requests { issuer, user } => {
            let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX - 1);
            hash.update(&length.to_be_bytes());
            hash.update(issuer.as_bytes());
            hash.update(user.as_bytes());
        }
        Whose::BadTokens(source) => {
            hash.update(&u64::MAX.to_be_bytes());
            hash.update(source.to_string().as_bytes());
        }
    }
    hash.finish().as_ref().try_into().unwrap_or_default()
}

/// Connects, asks, and connects again, until nobody is left to ask for.
async fn drive(server: &SharedStore, mut questions: mpsc::Receiver<Question>, health: &Health) {
    let mut pause = PAUSES.0;
    let mut told_away = false;
    while let Some(counter) = unasked(&mut questions, timeout(MAX_CONNECT, Counter::open(server))).await {
        let counter = counter.unwrap_or_else(|_| Err(silent()));
        let fault = match counter {
            Ok(mut counter) => {
                health.up.store(true, Ordering::Relaxed);
                let ended = counter.serve(&mut questions).await;
                health.up.store(false, Ordering::Relaxed);
                if counter.has_answered {
                    (pause, told_away) = (PAUSES.0, false);
                }
                ended.err()
            }
            Err(fault) => Some(fault),
        };
        let Some(fault) = fault else { return };
        if !told_away {
            tracing::error!(%fault, "rate limits cannot be counted in the shared store; this gateway counts for itself");
            told_away = true;
        }
        if unasked(&mut questions, sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Does something without the server. Who asks meanwhile is told nothing, and counts for himself. None: nobody is left to
/// ask for.
async fn unasked<T>(questions: &mut mpsc::Receiver<Question>, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return Some(done),
            question = questions.recv() => drop(question?),
        }
    }
}

/// A connection on which the script is known.
struct Counter {
    line: Line,
    script: String,
    /// A server may take connections and answer nothing, a replica for one.
    has_answered: bool,
}

impl Counter {
    async fn open(server: &SharedStore) -> Result<Self, StoreFault> {
        let mut line = admitted(server).await?;
        let script = ask(&mut line, Command::new("SCRIPT").and("LOAD").and(SCRIPT)).await?;
        let script = text(&script)?;
        Ok(Self {
            line,
            script,
            has_answered: false,
        })
    }

    /// Asks what comes, until nobody is left to ask for.
    ///
    /// # Errors
    /// The connection is of no use any more.
    async fn serve(&mut self, questions: &mut mpsc::Receiver<Question>) -> Result<(), StoreFault> {
        let mut together = Vec::with_capacity(MAX_TOGETHER);
        loop {
            if let Ok(0) = timeout(MAX_SILENCE, questions.recv_many(&mut together, MAX_TOGETHER)).await {
                return Ok(());
            }
            let answers = timeout(MAX_ANSWER, self.ask(&together)).await;
            let answers = answers.unwrap_or_else(|_| Err(silent()))?;
            if !replace(&mut self.has_answered, true) {
                tracing::info!("rate limits are counted in the shared store");
            }
            for (question, told) in together.drain(..).zip(answers) {
                // Who has gone away meanwhile was counted all the same.
                let _ = question.reply.send(told);
            }
        }
    }

    /// Asks all of them; if there are none, whether the server is still there.
    async fn ask(&mut self, together: &[Question]) -> Result<Vec<Counted>, StoreFault> {
        let commands: Vec<Command> = if together.is_empty() {
            vec![Command::new("PING")]
        } else {
            together.iter().map(|question| self.command(question)).collect()
        };
        let replies = self.line.exchange(&commands).await.map_err(|error| lost(&error))?;
        let replies = replies.into_iter().map(|reply| match reply {
            // A server that has lost its script is connected to again, which brings it back.
            Reply::Error(said) => Err(fault(&said)),
            reply => Ok(reply),
        });
        let replies: Vec<Reply> = replies.collect::<Result<_, _>>()?;
        if together.is_empty() {
            return Ok(Vec::new());
        }
        replies.into_iter().map(read).collect()
    }

    fn command(&self, question: &Question) -> Command {
        Command::new("EVALSHA")
            .and(&self.script)
            .and("1")
            .and(format!("{ROOT}:pace:{}", hex(&question.who)))
            .and_number(question.interval)
            .and_number(question.most)
    }
}

fn read(reply: Reply) -> Result<Counted, StoreFault> {
    let [passed, ahead, wait]: [Reply; 3] = list(reply)?.try_into().map_err(|_| odd("a pace"))?;
    let wait = match number(&passed)? {
        1 => None,
        0 => Some(Duration::from_micros(number(&wait)?)),
        _ => return Err(odd("a pace")),
    };
    Ok(Counted {
        ahead: Duration::from_micros(number(&ahead)?),
        wait,
    })
}

fn silent() -> StoreFault {
    StoreFault::Unavailable("no answer in time".to_owned())
}
