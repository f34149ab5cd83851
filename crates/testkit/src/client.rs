//! SQL for tests: one call, one connection, text in and text out, from any thread and on any server since 8.3.

use std::future::Future;
use std::path::Path;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// Rows of text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// Where a session goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// A host name or the directory of a unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// The setting that opens a session on one instance of a real Greenplum: `gp_role` or `gp_session_role`.
    pub utility: Option<String>,
}

impl Target {
    /// Runs statements; the rows of all of them. The error is the server's message.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<Rows, String> {
        let (target, database, sql) = (self.clone(), database.to_owned(), sql.to_owned());
        wait(async move {
            let client = target.connect(&database).await?;
            collect(&client, &sql).await
        })
    }

    /// Runs statements that have to work.
    pub fn sql(&self, database: &str, sql: &str) -> Rows {
        self.try_sql(database, sql).unwrap_or_else(|e| {
            panic!(
                "{}:{} database {database}: {e}\nwhile running: {sql}",
                self.host, self.port
            )
        })
    }

    /// A session that stays open: for locks and transactions beside the program under test.
    pub fn session(&self, database: &str) -> Session {
        let (target, name) = (self.clone(), database.to_owned());
        let client = wait(async move { target.connect(&name).await });
        Session {
            client: client
                .unwrap_or_else(|e| panic!("{}:{} database {database}: {e}", self.host, self.port))
                .into(),
        }
    }

    /// The same where it may be refused.
    pub fn try_session(&self, database: &str) -> Result<Session, String> {
        let (target, name) = (self.clone(), database.to_owned());
        let client = wait(async move { target.connect(&name).await })?;
        Ok(Session { client: client.into() })
    }

    async fn connect(&self, database: &str) -> Result<tokio_postgres::Client, String> {
        let mut config = Config::new();
        config
            .port(self.port)
            .user(&self.user)
            .dbname(database)
            .connect_timeout(Duration::from_secs(20));
        config.application_name("testkit");
        if self.host.starts_with('/') {
            config.host_path(Path::new(&self.host));
        } else {
            config.host(&self.host);
        }
        if let Some(setting) = &self.utility {
            config.options(format!("-c {setting}=utility"));
        }
        let (client, connection) = config.connect(NoTls).await.map_err(|e| said(&e))?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// An open session of [`Target::session`].
#[derive(Clone)]
pub struct Session {
    client: std::sync::Arc<tokio_postgres::Client>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub fn try_sql(&self, sql: &str) -> Result<Rows, String> {
        let (client, sql) = (self.client.clone(), sql.to_owned());
        wait(async move { collect(&client, &sql).await })
    }

    pub fn sql(&self, sql: &str) -> Rows {
        self.try_sql(sql)
            .unwrap_or_else(|e| panic!("{e}\nwhile running: {sql}"))
    }
}

async fn collect(client: &tokio_postgres::Client, sql: &str) -> Result<Rows, String> {
    let messages = client.simple_query(sql).await.map_err(|e| said(&e))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.severity(), db.message()),
        None => {
            let cause = std::error::Error::source(error)
                .map(|s| format!(": {s}"))
                .unwrap_or_default();
            format!("{error}{cause}")
        }
    }
}

/// The runtime on which everything of the testkit lives, apart from that of a test.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// Waits for a future without a runtime of one's own, or beside one.
pub(crate) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    runtime().spawn(async move {
        let _ = tell.send(future.await);
    });
    told.recv()
        .expect("the task on the testkit's runtime panicked; its message stands above")
}
