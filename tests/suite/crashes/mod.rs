//! A payment is posted once, whatever crashes (S1.8; THREATS H11, H12, H16): the gateway or the bank behind it is killed
//! at each step of a payment and at random moments, both go on with the files that they had, and everything is sent again.
//!
//! What is checked after every kill: no key is posted twice; what a client was told is what it is told again; of what it
//! was told nothing, the outcome is found, or unknown for good, or it was never posted and now is.
//!
//! `make test` takes [`ROUNDS`] rounds, `make crash` takes thousands: `TOLLGATE_CRASH_ROUNDS` says how many.

mod bank;
mod full;
mod torn;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::harness::*;
use bank::{Bank, Posted, Stop};

/// How many rounds when nobody says so.
const ROUNDS: usize = 112;

/// Clients at once in a round with a random moment.
const CLIENTS: usize = 6;

/// A round's random moment is at most this much after its first request.
const LONGEST: Duration = Duration::from_millis(40);

/// A start is killed at most this much after it began.
const LONGEST_START: Duration = Duration::from_millis(150);

/// When somebody is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The key is on disk and the bank cannot be reached.
    Reserved,
    /// The store's file is being written.
    Commit,
    /// The bank has the payment and has not posted it.
    Received,
    /// The bank has posted it and answered nothing.
    Posted,
    /// Half of the bank's answer is sent.
    Half,
    /// The client has the answer.
    Answered,
    /// Many payments are on their way.
    Random,
    /// Likewise, and the gateway that takes the files over is killed, too.
    Starting,
    /// The bank is killed instead: it has the payment,
    BankReceived,
    /// has posted it,
    BankPosted,
    /// has answered half of it.
    BankHalf,
}

const MOMENTS: [Moment; 14] = [
    Moment::Reserved,
    Moment::Commit,
    Moment::Random,
    Moment::Received,
    Moment::Posted,
    Moment::Half,
    Moment::Commit,
    Moment::Random,
    Moment::Answered,
    Moment::Starting,
    Moment::BankReceived,
    Moment::BankPosted,
    Moment::BankHalf,
    Moment::Random,
];

/// What a client was told of its payment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, or that something is out of order.
    Nothing,
    /// That it is done, and what it is called.
    Done(String),
    /// That nobody knows.
    Unknown,
}

/// A gateway, the bank behind it, and what clients were promised.
struct Town {
    gateway: Gateway,
    bank: Bank,
    token: String,
    told: BTreeMap<String, Told>,
    /// Which keys are used up.
    next: usize,
    chance: Chance,
}

/// Numbers that nobody foresees.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = RandomState::new().hash_one(self.0);
        Duration::from_micros(self.0 % u64::try_from(limit.as_micros()).unwrap())
    }
}

impl Town {
    fn new() -> Self {
        // The folder of the gateway is not there before the gateway, which has to know where the bank is.
        let port = free_port();
        let unused = Backend::start();
        let setup = Setup {
            backend: port,
            ..Setup::new(&unused)
        };
        let gateway = setup.start();
        let bank = Bank::open(&gateway.path("ledger"), port);
        Self {
            gateway,
            bank,
            token: String::new(),
            told: BTreeMap::new(),
            next: 0,
            chance: Chance(0),
        }
    }

    fn key(&mut self) -> String {
        self.next += 1;
        format!("k{}", self.next)
    }

    /// Sends a payment and leaves it at that.
    fn begin(&self, key: &str) -> Client {
        let mut client = Client::open(self.gateway.port);
        client.write(&payment(&self.token, key));
        client
    }

    fn send(&self, key: &str) -> Answer {
        ask(self.gateway.port, &payment(&self.token, key))
    }

    /// The gateway is killed and started again on the same files.
    fn restart(&mut self) {
        self.gateway.kill();
        self.gateway.launch();
    }

    /// One round: something is killed at this moment, and then everything is sent again.
    fn round(&mut self, moment: Moment) {
        self.token = self.gateway.token(&claims(&["finance_admin"]));
        let heard = match moment {
            Moment::Reserved => self.kill_when_reserved(),
            Moment::Commit => self.kill_in_a_commit(),
            Moment::Received => self.kill_when_stopped(Stop::Received),
            Moment::Posted => self.kill_when_stopped(Stop::Posted),
            Moment::Half => self.kill_when_stopped(Stop::Half),
            Moment::Answered => self.kill_when_answered(),
            Moment::Random => self.kill_at_random(),
            Moment::Starting => self.kill_a_start(),
            Moment::BankReceived => self.kill_the_bank(Stop::Received),
            Moment::BankPosted => self.kill_the_bank(Stop::Posted),
            Moment::BankHalf => self.kill_the_bank(Stop::Half),
        };
        for (key, told) in heard {
            let again = self.send_again(&key, &told);
            self.told.insert(key, again);
        }
        self.nothing_is_posted_twice();
        let unknown = self.told.values().filter(|told| **told == Told::Unknown).count();
        let line = format!("tollgate_store_unknown {unknown}\n");
        assert!(self.gateway.metrics().contains(&line), "not {line}");
    }

    fn nothing_is_posted_twice(&self) {
        for (key, (times, _)) in self.bank.posted() {
            assert!(times == 1, "{key} was posted {times} times");
        }
    }

    /// Sends a payment again that was told of so; what is told now, which must be true and will not change.
    fn send_again(&self, key: &str, told: &Told) -> Told {
        let answer = self.send(key);
        Self::is_true(key, told, &answer, &self.bank.posted())
    }

    /// What an answer says, which must be so by the ledger, and what was told before if anything was.
    fn is_true(key: &str, told: &Told, answer: &Answer, posted: &Posted) -> Told {
        let name = posted.get(key).map(|(_, id)| id);
        let now = match (answer.status, told) {
            (201, Told::Nothing) => {
                let id = answer.json()["transaction_id"].as_str().unwrap().to_owned();
                assert_eq!(name, Some(&id), "{key} is done");
                Told::Done(id)
            }
            (409, _) if answer.error() == "duplicate_request" => {
                let id = answer.field("x-original-transaction-id").unwrap().to_owned();
                assert_eq!(name, Some(&id), "{key} is a duplicate");
                Told::Done(id)
            }
            (409, Told::Nothing | Told::Unknown) if answer.error() == "outcome_unknown" => Told::Unknown,
            _ => panic!("{key} was told {told:?} and now {}: {}", answer.status, answer.text()),
        };
        assert!(*told == Told::Nothing || *told == now, "{key}: {told:?}, then {now:?}");
        now
    }

    /// What is said of a payment whose outcome cannot be known; its key.
    fn must_be_unknown(&self, key: String) -> Vec<(String, Told)> {
        for _ in 0..2 {
            assert_eq!(self.send_again(&key, &Told::Nothing), Told::Unknown, "{key}");
        }
        vec![(key, Told::Unknown)]
    }
}

fn payment(token: &str, key: &str) -> Vec<u8> {
    let headers = format!("Content-Type: application/json\r\nX-Idempotency-Key: {key}\r\n");
    let body = format!(r#"{{"county":"County_A","amount":"1.00","for":"{key}"}}"#);
    request("POST", "/api/ledger/sync", token, &headers, &body)
}

/// What an answer to a first request says of its payment.
fn told(answer: Option<&Answer>) -> Told {
    match answer {
        Some(answer) if answer.status == 201 => {
            Told::Done(answer.json()["transaction_id"].as_str().unwrap().to_owned())
        }
        _ => Told::Nothing,
    }
}

type Heard = Vec<(String, Told)>;

/// The moments.
impl Town {
    fn kill_when_reserved(&mut self) -> Heard {
        let key = self.key();
        self.bank.kill();
        let clog = Clog::at(self.bank.port());
        let before = self.keys();
        let mut client = self.begin(&key);
        wait_for("the reservation", || self.keys() > before);
        self.gateway.kill();
        assert!(client.is_closed());
        drop(clog);
        self.bank.launch();
        self.gateway.launch();
        let heard = self.must_be_unknown(key.clone());
        assert!(!self.bank.posted().contains_key(&key));
        heard
    }

    fn kill_when_stopped(&mut self, stop: Stop) -> Heard {
        let key = self.key();
        self.bank.stop_at(stop, &key);
        let mut client = self.begin(&key);
        self.bank.wait_for(stop);
        self.gateway.kill();
        assert!(client.try_read().is_none());
        self.gateway.launch();
        let heard = self.must_be_unknown(key);
        self.bank.go();
        heard
    }

    fn kill_when_answered(&mut self) -> Heard {
        let key = self.key();
        let mut client = self.begin(&key);
        let answer = client.try_head().expect("no answer");
        self.restart();
        assert_eq!(answer.status, 201);
        let now = self.send_again(&key, &Told::Nothing);
        let posted = self.bank.posted().remove(&key);
        assert_eq!(
            now,
            Told::Done(posted.unwrap().1),
            "the outcome is on disk before the answer"
        );
        vec![(key, now)]
    }

    fn kill_in_a_commit(&mut self) -> Heard {
        let key = self.key();
        // The daybook is written twice for a payment: which of the commits it is, and where in it, is left to chance.
        let pause = self.chance.below(LONGEST / 8);
        let written = || {
            ["state/keys.day-0", "state/keys.day-1"].map(|name| {
                let file = fs::metadata(self.gateway.path(name)).unwrap();
                file.modified().unwrap()
            })
        };
        let before = written();
        let mut client = self.begin(&key);
        let patience = Instant::now();
        while written() == before && patience.elapsed() < DEADLINE {
            std::hint::spin_loop();
        }
        let changed = Instant::now();
        while changed.elapsed() < pause {
            std::hint::spin_loop();
        }
        self.gateway.kill();
        let heard = told(client.try_read().as_ref());
        self.gateway.launch();
        vec![(key, heard)]
    }

    fn kill_at_random(&mut self) -> Heard {
        let heard = self.pay_until_killed();
        self.gateway.launch();
        heard
    }

    fn kill_a_start(&mut self) -> Heard {
        let heard = self.pay_until_killed();
        self.gateway.spawn();
        thread::sleep(self.chance.below(LONGEST_START));
        self.gateway.kill();
        self.gateway.launch();
        heard
    }

    /// Several clients pay one thing after the other until the gateway is killed under them.
    fn pay_until_killed(&mut self) -> Heard {
        let first = self.next;
        let pause = self.chance.below(LONGEST);
        let next = AtomicUsize::new(first);
        let heard = thread::scope(|scope| {
            let (gateway, token) = (&self.gateway, &self.token);
            let pay = || {
                let mut heard = Vec::new();
                loop {
                    let key = format!("k{}", next.fetch_add(1, Ordering::Relaxed) + 1);
                    let answer = Client::try_open(gateway.port).and_then(|mut client| {
                        client.write(&payment(token, &key));
                        client.try_read()
                    });
                    let is_dead = answer.is_none();
                    heard.push((key, told(answer.as_ref())));
                    if is_dead {
                        return heard;
                    }
                }
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(pay)).collect();
            thread::sleep(pause);
            gateway.signal("KILL");
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        self.next = next.into_inner();
        self.gateway.kill();
        heard
    }

    fn kill_the_bank(&mut self, stop: Stop) -> Heard {
        let key = self.key();
        self.bank.stop_at(stop, &key);
        let mut client = self.begin(&key);
        self.bank.wait_for(stop);
        self.bank.kill();
        let answer = client.try_read().expect("the gateway lives");
        assert_eq!((answer.status, &*answer.error()), (502, "upstream_broken"));
        assert_eq!(self.send_again(&key, &Told::Nothing), Told::Unknown);
        self.bank.launch();
        self.restart();
        self.must_be_unknown(key)
    }

    /// How many keys are on disk.
    fn keys(&self) -> u64 {
        let metrics = self.gateway.metrics();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("tollgate_store_keys "));
        line.unwrap().parse().unwrap()
    }
}

/// A listener whose waiting room is full: who connects gets no answer.
struct Clog {
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl Clog {
    fn at(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        wait_for("the port of the bank", || listener.bind(&address.into()).is_ok());
        listener.listen(0).unwrap();
        let patience = Duration::from_millis(100);
        let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok()).collect();
        Self {
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[test]
fn s1_8_a_payment_is_posted_once_whatever_crashes() {
    let rounds = env::var("TOLLGATE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut town = Town::new();
    let mut count: BTreeMap<Moment, usize> = BTreeMap::new();
    for round in 0..rounds {
        let moment = MOMENTS[round % MOMENTS.len()];
        town.round(moment);
        *count.entry(moment).or_default() += 1;
    }
    // Nothing that was ever promised has changed since.
    town.token = town.gateway.token(&claims(&["finance_admin"]));
    let posted = town.bank.posted();
    for (key, told) in &town.told {
        assert_eq!(Town::is_true(key, told, &town.send(key), &posted), *told);
    }
    let of = |kind: fn(&Told) -> bool| town.told.values().filter(|told| kind(told)).count();
    let (done, unknown) = (
        of(|told| matches!(told, Told::Done(_))),
        of(|told| *told == Told::Unknown),
    );
    println!(
        "{rounds} rounds: {} payments, {done} posted and known, {unknown} unknown, none twice, none lost; {count:?}",
        town.told.len()
    );
    assert!(done > 0 && unknown > 0);
}

/// The same checks, and a store that forgets.
#[test]
#[should_panic(expected = "k1 was posted 2 times")]
fn a_payment_that_is_posted_twice_is_noticed() {
    let mut town = Town::new();
    town.token = town.gateway.token(&claims(&["finance_admin"]));
    let key = town.key();
    assert_eq!(town.send(&key).status, 201);
    town.gateway.kill();
    fs::remove_dir_all(town.gateway.path("state")).unwrap();
    town.gateway.launch();
    town.send_again(&key, &Told::Nothing);
    town.nothing_is_posted_twice();
}
