//! Sessions: a client and the task that drives it, opened and closed together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::tls::{self, Canceller, Connector};
use super::{Error, passfile};
use crate::words::environment::TlsSettings;

/// Who we are to the servers; read once from the environment by the program.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub user: String,
    /// `PGPASSWORD`.
    pub password: Option<String>,
    /// `PGPASSFILE` or `~/.pgpass`.
    pub passfile: Option<PathBuf>,
    pub tls: TlsSettings,
}

/// One server to connect to, and how.
#[derive(Debug, Clone)]
pub struct ConnectSpec {
    /// Candidates in order: directories of unix sockets (absolute paths) or host names.
    pub hosts: Vec<String>,
    pub port: u16,
    pub database: String,
    pub login: Login,
    /// Start-up setting for a session on this one instance (`gp_session_role`, `gp_role`), when wanted.
    pub utility_setting: Option<String>,
    pub application_name: String,
    /// How messages call the other side: `master (dbid 1, mdw:5432)`.
    pub whom: String,
}

/// Longest wait for a connection to be made, for each candidate host.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// An open session. Dropping it closes the connection; the server rolls back what was open.
#[derive(Debug)]
pub struct Session {
    client: Client,
    tls: Connector,
    driver: JoinHandle<()>,
    whom: String,
    backend_pid: i32,
}

/// A row of a simple query: texts or NULL.
pub type Row = Vec<Option<String>>;

impl Session {
    /// Tries the candidate hosts in order; the error of the last one is reported.
    pub async fn open(spec: &ConnectSpec) -> Result<Session, Error> {
        let mut last = None;
        for host in &spec.hosts {
            match Session::open_at(spec, host).await {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Connect {
            whom: spec.whom.clone(),
            source: "no address is known".into(),
        }))
    }

    async fn open_at(spec: &ConnectSpec, host: &str) -> Result<Session, Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(host)
            .port(spec.port)
            .user(&spec.login.user)
            .dbname(&spec.database)
            .application_name(&spec.application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(60))
            .keepalives_interval(Duration::from_secs(15))
            .keepalives_retries(4);
        if let Some(setting) = &spec.utility_setting {
            config.options(format!("-c {setting}=utility"));
        }
        if let Some(password) = spec.password_for(host) {
            config.password(password);
        }
        let failed = |source: super::BoxError| Error::Connect {
            whom: format!("{} at {host}", spec.whom),
            source,
        };
        let (client, mut connection, tls) = tls::connect(&mut config, &spec.login.tls, host).await.map_err(failed)?;
        let whom = spec.whom.clone();
        let driver = tokio::spawn(async move {
            loop {
                match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(tokio_postgres::AsyncMessage::Notice(notice))) => {
                        tracing::debug!("{whom}: {}:  {}", notice.severity(), notice.message());
                    }
                    Some(Ok(_)) => {}
                    // The client's own calls see the error; there is nobody else to tell.
                    Some(Err(_)) | None => break,
                }
            }
        });
        let mut session = Session {
            client,
            tls,
            driver,
            whom: spec.whom.clone(),
            backend_pid: 0,
        };
        let pid = session
            .one("SELECT pg_backend_pid()", "asking for the process id")
            .await?;
        session.backend_pid = pid.and_then(|p| p.parse().ok()).unwrap_or(0);
        Ok(session)
    }

    /// How messages call the server.
    pub fn whom(&self) -> &str {
        &self.whom
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.client.cancel_token(), self.tls.clone())
    }

    /// True as long as the connection stands, as far as this side knows.
    pub fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Runs statements whose rows do not matter.
    pub async fn run(&self, sql: &str, doing: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(|e| self.error(e, doing))
    }

    /// All rows of a query, as texts.
    pub async fn rows(&self, sql: &str, doing: &str) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.for_each_row(sql, doing, |row| {
            rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Feeds the rows of a query to `take`, one at a time: results of millions of rows need no memory of their own.
    pub async fn for_each_row<F>(&self, sql: &str, doing: &str, mut take: F) -> Result<(), Error>
    where
        F: FnMut(&tokio_postgres::SimpleQueryRow) -> Result<(), Error>,
    {
        let stream = self
            .client
            .simple_query_raw(sql)
            .await
            .map_err(|e| self.error(e, doing))?;
        pin_mut!(stream);
        while let Some(message) = stream.next().await {
            if let SimpleQueryMessage::Row(row) = message.map_err(|e| self.error(e, doing))? {
                take(&row)?;
            }
        }
        Ok(())
    }

    /// The first column of the first row.
    pub async fn one(&self, sql: &str, doing: &str) -> Result<Option<String>, Error> {
        Ok(self
            .rows(sql, doing)
            .await?
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .flatten())
    }

    /// Says which server, what was being done, and what the driver or the server said of it.
    pub fn error(&self, error: tokio_postgres::Error, doing: &str) -> Error {
        let (whom, doing) = (self.whom.clone(), doing.to_owned());
        match error.as_db_error() {
            Some(db) => {
                let mut message = db.message().to_owned();
                for extra in [db.detail(), db.hint(), db.where_()].into_iter().flatten() {
                    message.push_str("; ");
                    message.push_str(extra);
                }
                let code = Some(db.code().code().to_owned());
                Error::Statement {
                    whom,
                    doing,
                    message,
                    code,
                    position: None,
                }
            }
            None => Error::Broken {
                whom,
                doing,
                source: describe(&error).into(),
            },
        }
    }

    /// Stops whatever the server is doing for this session, and closes it.
    pub async fn abort(self) {
        self.canceller().cancel().await;
        self.close().await;
    }

    /// Closes the session and waits, shortly, until it is closed.
    pub async fn close(self) {
        let Session { client, mut driver, .. } = self;
        drop(client);
        if tokio::time::timeout(Duration::from_secs(2), &mut driver).await.is_err() {
            driver.abort();
        }
    }
}

impl ConnectSpec {
    fn password_for(&self, host: &str) -> Option<String> {
        if self.login.password.is_some() {
            return self.login.password.clone();
        }
        let path = self.login.passfile.as_deref()?;
        let text = read_passfile(path)?;
        let host = if host.starts_with('/') { "localhost" } else { host };
        passfile::find_password(&text, host, self.port, &self.database, &self.login.user)
    }
}

/// Like libpq, a password file that others may read is not used.
fn read_passfile(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() {
        return None;
    }
    if meta.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            "password file \"{}\" is not used: others can read it; chmod it to 0600",
            path.display()
        );
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// Where an instance on this host can be reached: its unix sockets first, then its address.
pub fn local_hosts(data_dir: &Path, address: &str, port: u16) -> Vec<String> {
    let mut hosts = Vec::new();
    // Line 5 of postmaster.pid names the first socket directory (PostgreSQL 9.1 and later).
    let from_pid = std::fs::read_to_string(data_dir.join("postmaster.pid"))
        .ok()
        .and_then(|text| text.lines().nth(4).map(str::to_owned))
        .filter(|line| line.starts_with('/'));
    let usual = ["/tmp", "/var/run/postgresql"].map(str::to_owned);
    for directory in from_pid.into_iter().chain(usual) {
        if Path::new(&directory).join(format!(".s.PGSQL.{port}")).exists() && !hosts.contains(&directory) {
            hosts.push(directory);
        }
    }
    hosts.push(address.to_owned());
    hosts
}

pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.severity(), db.message()),
        None => super::error_chain(error),
    }
}
