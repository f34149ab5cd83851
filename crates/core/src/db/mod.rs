//! The wire to the servers: sessions, catalog queries, locks, COPY. The only place that holds SQL.
//!
//! There is no trait here: the seam is the protocol itself, and tests run real servers.

pub mod activity;
pub mod beneath;
pub mod catalog;
pub mod connect;
pub mod copy;
pub mod definitions;
pub mod distribution;
pub mod external;
pub mod heap_states;
mod holders;
pub mod large_objects;
pub mod locks;
pub mod passfile;
pub mod proof;
pub mod relations;
pub mod rights;
pub mod room;
pub mod segment_load;
mod socket;
pub mod statistics;
pub mod table_states;
mod tap;
pub mod target;
pub mod tls;
mod watch;

pub use connect::{ConnectSpec, Session};
pub use watch::Program;

pub use crate::words::errors::error_chain;

/// What went wrong between us and a server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not connect to {whom}")]
    Connect {
        whom: String,
        #[source]
        source: BoxError,
        /// The server itself said no.
        is_answer: bool,
    },
    #[error("{whom} waited more than {seconds} s for a lock while {doing}{}", named(.blockers))]
    LockWait {
        whom: String,
        doing: String,
        seconds: u64,
        /// Who holds it: `process 123 of user u holds AccessExclusiveLock (query)`.
        blockers: Vec<String>,
    },
    #[error("{whom}: {doing}: a session that waits for a lock of ours stands between{}", named(.who))]
    Between {
        whom: String,
        doing: String,
        /// As of the above.
        who: Vec<String>,
    },
    #[error("{whom} gives no sign of life while {doing}")]
    Silent {
        whom: String,
        doing: String,
        #[source]
        source: BoxError,
    },
    #[error("{whom} refused: {doing}: {message}")]
    Statement {
        whom: String,
        doing: String,
        message: String,
        code: Option<String>,
        position: Option<String>,
    },
    #[error("the connection to {whom} broke while {doing}")]
    Broken {
        whom: String,
        doing: String,
        #[source]
        source: BoxError,
    },
    #[error("{whom} answered something unexpected while {doing}: {what}")]
    Unexpected { whom: String, doing: String, what: String },
}

fn named(blockers: &[String]) -> String {
    match blockers {
        [] => String::new(),
        _ => format!("; in the way: {}", blockers.join("; ")),
    }
}

/// A cause that is only printed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

impl Error {
    /// The server's five-character code of the error, when the server said one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Statement { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The wait for a lock, or the time for a statement, was over.
    pub fn is_timeout(&self) -> bool {
        // lock_not_available, query_canceled
        matches!(self.code(), Some("55P03" | "57014"))
    }

    /// The server has no lock table entries left; more of the same statement cannot help.
    pub fn is_out_of_locks(&self) -> bool {
        self.code() == Some("53200")
    }

    /// What helps, where something is known to help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Connect {
                source,
                is_answer: true,
                ..
            } if source.to_string().contains("out of shared memory") => {
                Some("raise max_locks_per_transaction on the server it names, restart it, and run again")
            }
            Error::Connect { source, .. } if source.to_string().contains(connect::IS_A_SEGMENT) => Some(
                "this is a segment: MASTER_DATA_DIRECTORY or -d, and PGHOST and PGPORT where they are set, must be those \
                 of the master",
            ),
            Error::Connect { .. } => Some(
                "check that the server runs, that PGHOST, PGPORT and PGUSER are right, that pg_hba.conf lets this \
                 host in, and that a password, if one is asked for, stands in ~/.pgpass or PGPASSWORD",
            ),
            Error::Statement { code: Some(code), .. } if code == "42501" => Some(
                "run this as the role that owns the server (PGUSER); a role that may only read can use --through-master",
            ),
            // character_not_in_repertoire: our sessions are UTF-8, and in SQL_ASCII any bytes are a name.
            Error::Statement {
                code: Some(code),
                doing,
                ..
            } if code == "22021" && doing.starts_with("reading") => {
                Some("something in this database has a name that is not UTF-8: rename it, such a name cannot be dumped")
            }
            Error::LockWait { .. } => Some(
                "end the session that holds the lock, or wait for it; --lock-timeout says how long we wait for locks",
            ),
            Error::Silent { .. } => {
                Some("look at that server and its host; --silence-timeout says how long we wait for a sign of life")
            }
            Error::Broken { .. } => Some("the server's log tells why the session ended"),
            Error::Statement { code: Some(code), .. } if code == "53300" => {
                Some("raise max_connections on the server it names, or run when fewer sessions are open")
            }
            _ if self.is_out_of_locks() => {
                Some("raise max_locks_per_transaction on the server it names, restart it, and run again")
            }
            _ => None,
        }
    }
}

/// The same with what helps: for messages that travel as text.
pub fn error_and_hint(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{} ({hint})", error_chain(error)),
        None => error_chain(error),
    }
}
