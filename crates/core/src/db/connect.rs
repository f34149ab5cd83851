//! Sessions: a client and the task that drives it, opened and closed together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::beneath::Beneath;
use super::socket::Address;
use super::tap::Errors;
use super::tls::{self, Canceller, Connector};
use super::{BoxError, Error, Program, passfile, watch};
use crate::words::environment::TlsSettings;
use crate::words::limits::Limits;

/// Who we are to the servers, and how long we wait for them; read once from the environment by the program.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub limits: Limits,
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
    /// Of a master: its segments, where they can be asked from here.
    pub beneath: Option<Arc<Beneath>>,
}

/// Longest wait for one attempt at one address; never longer than the limit for the whole.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

/// Pauses before connecting is tried again: only where nothing has been done yet can trying again do no harm.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How long a server may take to notice that we are gone.
const NOTICE_PATIENCE: Duration = Duration::from_millis(1500);

/// Tries at an address where nobody listens: a server that restarts is back soon, a wrong port will not get right.
const REFUSED_TRIES: u32 = 3;

/// An open session. Dropping it closes the connection; the server rolls back what was open.
#[derive(Debug)]
pub struct Session {
    client: Client,
    tls: Connector,
    errors: Errors,
    driver: JoinHandle<()>,
    whom: String,
    backend_pid: i32,
    /// The way to the same server, for a second connection.
    spec: ConnectSpec,
}

/// A connection before it is anybody's session.
pub(super) struct Wire {
    pub(super) client: Client,
    tls: Connector,
    errors: Errors,
    pub(super) driver: JoinHandle<()>,
    pub(super) backend_pid: i32,
    /// The server is older than 9.2: some columns have other names.
    pub(super) is_old: bool,
}

/// One attempt that came to nothing.
pub(super) struct FailedAttempt {
    pub(super) error: Box<Error>,
    pub(super) again: Again,
    /// The server itself said no: it lives.
    pub(super) is_answer: bool,
}

/// Whether the next attempt may have another end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    FewTimes,
    WhileTimeIsLeft,
}

/// A row of a simple query: texts or NULL.
pub type Row = Vec<Option<String>>;

impl Session {
    /// Tries the candidate hosts in order; the error of the last one is reported. A server that is starting, has no free
    /// place or refuses is tried again within the limit for connecting.
    pub async fn open(spec: &ConnectSpec) -> Result<Session, Error> {
        let deadline = Instant::now() + spec.login.limits.connect;
        let mut pause = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match Session::open_once(spec, deadline).await {
                Ok(session) => return Ok(session),
                Err(failed) => failed,
            };
            let again = match failed.again {
                Again::Never => false,
                Again::FewTimes => tries < REFUSED_TRIES,
                Again::WhileTimeIsLeft => true,
            };
            if !again || Instant::now() + pause >= deadline {
                return Err(*failed.error);
            }
            tracing::warn!(
                "{}; trying again in {:.1} s",
                super::error_chain(&*failed.error),
                pause.as_secs_f32()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn open_once(spec: &ConnectSpec, deadline: Instant) -> Result<Session, FailedAttempt> {
        let mut last = None;
        for host in &spec.hosts {
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = left.clamp(Duration::from_secs(1), ATTEMPT_LIMIT);
            match connect(spec, host, limit).await {
                Ok(wire) => return Ok(Session::on(spec, host, wire)),
                Err(failed) => last = Some(failed),
            }
        }
        Err(last.unwrap_or_else(|| FailedAttempt {
            error: Box::new(Error::Connect {
                whom: spec.whom.clone(),
                source: "no address is known".into(),
                is_answer: false,
            }),
            again: Again::Never,
            is_answer: false,
        }))
    }

    fn on(spec: &ConnectSpec, host: &str, wire: Wire) -> Session {
        Session {
            client: wire.client,
            tls: wire.tls,
            errors: wire.errors,
            driver: wire.driver,
            whom: spec.whom.clone(),
            backend_pid: wire.backend_pid,
            spec: ConnectSpec {
                hosts: vec![host.to_owned()],
                ..spec.clone()
            },
        }
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

    /// How many errors the server has told in this session: heard at once, also while rows are sent to it.
    pub fn errors_told(&self) -> u64 {
        self.errors.count()
    }

    /// The last of them, for a session that broke.
    pub fn last_error_told(&self) -> Option<String> {
        self.errors.last()
    }

    /// Runs statements whose rows do not matter.
    pub async fn run(&self, sql: &str, doing: &str) -> Result<(), Error> {
        self.watch(doing, self.client.batch_execute(sql))
            .await?
            .map_err(|e| self.error(e, doing))
    }

    /// Runs one statement that changes rows, and gives the number of them that the server says.
    pub async fn change(&self, sql: &str, doing: &str) -> Result<u64, Error> {
        let messages = self
            .watch(doing, self.client.simple_query(sql))
            .await?
            .map_err(|e| self.error(e, doing))?;
        let counted = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        });
        counted.ok_or_else(|| Error::Unexpected {
            whom: self.whom.clone(),
            doing: doing.to_owned(),
            what: "no word about how many rows there were".to_owned(),
        })
    }

    /// Waits for something that this session's server has to do, as long as the server lives: when it is quiet it is
    /// asked over a second connection. A statement that waits for a lock longer than allowed is cancelled.
    pub async fn watch<T>(&self, doing: &str, work: impl Future<Output = T>) -> Result<T, Error> {
        watch::watch(self, &self.spec, None, doing, work).await
    }

    /// The same for another program that works on the same server.
    pub async fn watch_program<T>(
        &self,
        program: Program<'_>,
        doing: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        watch::watch(self, &self.spec, Some(program), doing, work).await
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
            .watch(doing, self.client.simple_query_raw(sql))
            .await?
            .map_err(|e| self.error(e, doing))?;
        pin_mut!(stream);
        while let Some(message) = self.watch(doing, stream.next()).await? {
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

    /// Cuts the connection, and cancels what runs on after that. A COPY that is cancelled Greenplum drains to its last row;
    /// one whose client is gone it ends at once.
    pub async fn leave(self) {
        let canceller = self.canceller();
        self.driver.abort();
        drop(self);
        tokio::time::sleep(NOTICE_PATIENCE).await;
        canceller.cancel().await;
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

/// One attempt at one address.
pub(super) async fn connect(spec: &ConnectSpec, host: &str, limit: Duration) -> Result<Wire, FailedAttempt> {
    let address = Address {
        host: host.to_owned(),
        port: spec.port,
        silence: spec.login.limits.silence,
    };
    let mut config = tokio_postgres::Config::new();
    config
        .user(&spec.login.user)
        .dbname(&spec.database)
        .application_name(&spec.application_name);
    if let Some(setting) = &spec.utility_setting {
        config.options(format!("-c {setting}=utility"));
    }
    if let Some(password) = spec.password_for(host) {
        config.password(password);
    }
    let failed = |source: BoxError, again: Again, is_answer: bool| FailedAttempt {
        error: Box::new(Error::Connect {
            whom: format!("{} at {host}", spec.whom),
            source,
            is_answer,
        }),
        again,
        is_answer,
    };
    let shake = async {
        let errors = Errors::default();
        let connecting = tls::connect(&mut config, &spec.login.tls, &address, &errors, limit);
        let (client, mut connection, tls) = connecting.await?;
        let is_old = connection.parameter("server_version").is_some_and(is_before_9_2);
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
        let rows = client.simple_query("SELECT pg_backend_pid()").await;
        let rows = rows.map_err(|error| FailedTry::of(&error))?;
        let backend_pid = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).and_then(|pid| pid.parse().ok()),
            _ => None,
        });
        Ok::<Wire, FailedTry>(Wire {
            client,
            tls,
            errors,
            driver,
            backend_pid: backend_pid.unwrap_or(0),
            is_old,
        })
    };
    // The whole handshake gets the limit, not only the TCP part: a stopped server accepts and stays silent.
    match tokio::time::timeout(limit, shake).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(tried)) => Err(failed(tried.source, tried.again, tried.is_answer)),
        Err(_) => Err(failed(
            format!("no answer within {} s", limit.as_secs()).into(),
            Again::Never,
            false,
        )),
    }
}

/// Why a try came to nothing, before it has a name.
pub(super) struct FailedTry {
    source: BoxError,
    again: Again,
    is_answer: bool,
}

impl FailedTry {
    pub(super) fn of(error: &tokio_postgres::Error) -> FailedTry {
        FailedTry {
            source: describe(error).into(),
            again: again_after(error),
            is_answer: error.as_db_error().is_some(),
        }
    }
}

/// There is no connection on which anything could be said.
impl From<std::io::Error> for FailedTry {
    fn from(error: std::io::Error) -> Self {
        FailedTry {
            again: again_after_break(&error),
            source: error.into(),
            is_answer: false,
        }
    }
}

/// Nothing was even tried, or there was no answer.
impl From<BoxError> for FailedTry {
    fn from(source: BoxError) -> Self {
        FailedTry {
            source,
            again: Again::Never,
            is_answer: false,
        }
    }
}

/// What a segment of Greenplum says to whom it takes for a stray client.
pub(super) const IS_A_SEGMENT: &str = "connections to primary segments are not allowed";

fn again_after(error: &tokio_postgres::Error) -> Again {
    // It comes with the code of a server that is starting, but will be a segment for ever.
    if error
        .as_db_error()
        .is_some_and(|said| said.message().contains(IS_A_SEGMENT))
    {
        return Again::Never;
    }
    match error.code().map(tokio_postgres::error::SqlState::code) {
        // cannot_connect_now (it starts, recovers or shuts down), too_many_connections
        Some("57P03" | "53300") => Again::WhileTimeIsLeft,
        Some(_) => Again::Never,
        None => {
            let mut cause = std::error::Error::source(error);
            while let Some(inner) = cause {
                if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                    return again_after_break(io);
                }
                cause = inner.source();
            }
            Again::Never
        }
    }
}

fn again_after_break(error: &std::io::Error) -> Again {
    use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof};
    match error.kind() {
        ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof => Again::FewTimes,
        _ => Again::Never,
    }
}

/// `8.3.23`, `9.4.26`, `12.12`
fn is_before_9_2(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let first = numbers.next().and_then(Result::ok).unwrap_or(0);
    let second = numbers.next().and_then(Result::ok).unwrap_or(0);
    (first, second) < (9, 2)
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
