//! A connection to PostgreSQL, as the store wants one: every commit on disk, and no wait without an end.

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::statements::Statements;
use super::{Values, fault};
use crate::config::{Host, SharedStore};
use crate::edge::store::{StoreFault, wire};

/// The tables, as they came to be. Each is applied once, by whichever gateway comes first.
const MIGRATIONS: [&str; 2] = [include_str!("1-keys.sql"), include_str!("2-locks.sql")];

/// The advisory lock under which they are applied: "tollgate" in ASCII.
const LOCK: i64 = 0x746f_6c6c_6761_7465;

/// What a session is told first. A transaction is on disk when it is committed (and on a standby, if the server says so),
/// and the server gives up what the gateway has given up.
const SESSION: &str = "
    SET statement_timeout = '4s';
    SET lock_timeout = '2s';
    SET idle_in_transaction_session_timeout = '10s';
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off;
    SET client_min_messages = error;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
";

/// An open connection.
pub(in crate::edge::store) struct Link {
    pub(super) client: Client,
    pub(super) statements: Statements,
    _driver: Driver,
}

/// What moves the bytes. It would wait for the answers to questions that nobody asks any more.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    pub(super) async fn open(server: &SharedStore) -> Result<Self, StoreFault> {
        let mut config = Config::new();
        config.application_name("tollgate").dbname(&server.database);
        if let Some(user) = &server.user {
            config.user(user);
        }
        if let Some(password) = &server.password {
            config.password(password.expose());
        }
        let wire = wire::connect(server).await?;
        let (client, driver) = match &server.host {
            Host::Name(name) if server.tls => {
                config.ssl_mode(SslMode::Require);
                let mut tls = MakeRustlsConnect::new(wire::tls(server)?);
                let tls = tokio_postgres::tls::MakeTlsConnect::<wire::Wire>::make_tls_connect(&mut tls, name)
                    .map_err(|error| StoreFault::Io(error.to_string()))?;
                let (client, connection) = config.connect_raw(wire, tls).await.map_err(|error| fault(&error))?;
                (client, tokio::task::spawn_local(async move { drop(connection.await) }))
            }
            _ => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config.connect_raw(wire, NoTls).await.map_err(|error| fault(&error))?;
                (client, tokio::task::spawn_local(async move { drop(connection.await) }))
            }
        };
        let driver = Driver(driver);
        client.batch_execute(SESSION).await.map_err(|error| fault(&error))?;
        Session(&client).migrate(server.insecure_volatile).await?;
        let statements = Statements::prepare(&client).await?;
        Ok(Self {
            client,
            statements,
            _driver: driver,
        })
    }

    pub(super) async fn rows(&self, statement: &Statement, values: Values<'_>) -> Result<Vec<Row>, StoreFault> {
        self.client
            .query(statement, values)
            .await
            .map_err(|error| fault(&error))
    }

    pub(super) async fn row(&self, statement: &Statement, values: Values<'_>) -> Result<Option<Row>, StoreFault> {
        self.client
            .query_opt(statement, values)
            .await
            .map_err(|error| fault(&error))
    }

    pub(super) async fn one(&self, statement: &Statement, values: Values<'_>) -> Result<Row, StoreFault> {
        self.client
            .query_one(statement, values)
            .await
            .map_err(|error| fault(&error))
    }

    pub(super) async fn count(&self, statement: &Statement, values: Values<'_>) -> Result<u64, StoreFault> {
        self.client
            .execute(statement, values)
            .await
            .map_err(|error| fault(&error))
    }
}

/// A connection that is not yet known to lead to the tables.
struct Session<'a>(&'a Client);

impl Session<'_> {
    /// Makes sure that the server is fit, and brings the tables up to date.
    pub(super) async fn migrate(&self, takes_volatile: bool) -> Result<(), StoreFault> {
        let asked = "SELECT pg_is_in_recovery() AS standby, current_setting('fsync') AS fsync";
        let row = self.0.query_one(asked, &[]).await.map_err(|error| fault(&error))?;
        let (standby, fsync): (bool, String) = (super::column(&row, "standby")?, super::column(&row, "fsync")?);
        if standby {
            return Err(StoreFault::Unavailable(
                "it is a standby, where nothing can be written".to_owned(),
            ));
        }
        if fsync != "on" && !takes_volatile {
            return Err(StoreFault::Volatile("PostgreSQL runs with `fsync = off`".to_owned()));
        }
        if self.format().await? < MIGRATIONS.len() {
            self.apply().await?;
        }
        Ok(())
    }

    async fn apply(&self) -> Result<(), StoreFault> {
        let execute = async |text: &str| self.0.batch_execute(text).await.map_err(|error| fault(&error));
        // A transaction that is given up half-way ends with the connection.
        execute("BEGIN").await?;
        execute(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
        for (at, migration) in MIGRATIONS.iter().enumerate().skip(self.format().await?) {
            execute(migration).await?;
            execute(&format!(
                "UPDATE tollgate.facts SET value = {} WHERE name = 'format'",
                at + 1
            ))
            .await?;
        }
        execute("COMMIT").await
    }

    /// How many migrations were applied.
    async fn format(&self) -> Result<usize, StoreFault> {
        let there = "SELECT to_regclass('tollgate.facts') IS NOT NULL AS there";
        let row = self.0.query_one(there, &[]).await.map_err(|error| fault(&error))?;
        if !super::column::<bool>(&row, "there")? {
            return Ok(0);
        }
        let asked = "SELECT value FROM tollgate.facts WHERE name = 'format'";
        let row = self.0.query_one(asked, &[]).await.map_err(|error| fault(&error))?;
        let (found, known) = (super::unsigned(super::column(&row, "value")?)?, MIGRATIONS.len());
        match usize::try_from(found) {
            Ok(format) if format <= known => Ok(format),
            _ => Err(StoreFault::Newer {
                found,
                known: known as u64,
            }),
        }
    }
}
