//! What the process was given besides its arguments: read once at the edge, handed down as a value.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The surroundings of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub home: PathBuf,
    /// Name of the operating system account, from the password database.
    pub user: String,
    /// Name of this host up to the first dot: what log lines show.
    pub host: String,
    /// Name of this host as the kernel has it.
    pub host_full: String,
    /// `GPHOME`; not set where the server is a plain PostgreSQL.
    pub gphome: Option<PathBuf>,
    /// `MASTER_DATA_DIRECTORY`, or `COORDINATOR_DATA_DIRECTORY`, as Greenplum 7 and Cloudberry call it.
    pub master_data_directory: Option<PathBuf>,
    pub pg: PgEnvironment,
    /// The ssh program: `ssh` unless `GPDUMP_SSH` names another.
    pub ssh: PathBuf,
    /// `GPDUMP_LOG`: which events of libraries go to the log file too (`tokio_postgres=debug`).
    pub log_targets: Option<String>,
    /// The file that this process runs from: the worker is the same program.
    pub program_path: PathBuf,
    pub pid: u32,
    /// The folders of `PATH`, in order.
    pub path: Vec<PathBuf>,
}

/// The variables that libpq honours and so do we. Empty ones count as not set, as libpq counts them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PgEnvironment {
    /// `PGHOST`: a host, an address or the directory of a socket.
    pub host: Option<String>,
    /// `PGPORT`, already known to be a number.
    pub port: Option<u16>,
    /// `PGUSER`.
    pub user: Option<String>,
    /// `PGPASSWORD`.
    pub password: Option<Password>,
    /// `PGPASSFILE`.
    pub passfile: Option<PathBuf>,
    /// `PGDATABASE`.
    pub database: Option<String>,
    pub tls: TlsSettings,
}

impl PgEnvironment {
    /// Neither host nor port is said.
    pub fn names_no_server(&self) -> bool {
        self.host.is_none() && self.port.is_none()
    }
}

/// How much libpq wants of encryption: the values of `PGSSLMODE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    /// The mode of that name; libpq knows no others.
    pub fn named(name: &str) -> Option<SslMode> {
        Some(match name {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }

    /// The server's certificate must be one that the root certificates vouch for.
    pub fn verifies(self) -> bool {
        matches!(self, SslMode::VerifyCa | SslMode::VerifyFull)
    }
}

/// TLS as libpq's environment has it. The files are read when a connection needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `PGSSLMODE`.
    pub mode: SslMode,
    /// `PGSSLROOTCERT` or `~/.postgresql/root.crt`. The word `system` stands for the certificates of the machine.
    pub root_certificates: PathBuf,
    /// `PGSSLCERT` or `~/.postgresql/postgresql.crt`.
    pub certificate: PathBuf,
    /// `PGSSLKEY` or `~/.postgresql/postgresql.key`.
    pub key: PathBuf,
}

/// A secret that no log line and no bug report shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

/// How much the log tells. Both may be set: then the screen is quiet and the file has everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verbosity {
    /// `-q`: only warnings and worse on the screen.
    pub quiet: bool,
    /// `-v`: everything.
    pub verbose: bool,
}
