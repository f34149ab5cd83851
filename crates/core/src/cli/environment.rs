//! Reads the surroundings of the process, once.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::db::connect::Login;
use crate::words::environment::{Environment, Password, PgEnvironment, SslMode, TlsSettings};
use crate::words::limits::Limits;
use crate::words::refusal::Refusal;

/// Variables, account, host name, own path and process id. Fails when something needed is missing or nonsense.
pub fn read_environment() -> Result<Environment, Refusal> {
    // Through the name service, not /etc/passwd: accounts of a directory server stand in no file.
    let user = whoami::username().map_err(|e| {
        Refusal::failed(format!(
            "could not find the name of the user in the password database: {e}"
        ))
        .with_hint("run this program as the user who owns the server.")
    })?;
    let home = set("HOME").map(PathBuf::from).ok_or_else(|| {
        Refusal::failed("the environment variable HOME is not set")
            .with_hint("the log file and the password file are looked for in that directory.")
    })?;
    let host_full = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Environment {
        user,
        host: host_full.split('.').next().unwrap_or_default().to_owned(),
        host_full,
        gphome: set("GPHOME").map(PathBuf::from),
        master_data_directory: ["MASTER_DATA_DIRECTORY", "COORDINATOR_DATA_DIRECTORY"]
            .into_iter()
            .find_map(set)
            .map(PathBuf::from),
        pg: PgEnvironment {
            host: text("PGHOST")?,
            port: port()?,
            user: text("PGUSER")?,
            password: text("PGPASSWORD")?.map(Password),
            passfile: set("PGPASSFILE").map(PathBuf::from),
            database: text("PGDATABASE")?,
            tls: tls(&home)?,
        },
        home,
        ssh: set("GPDUMP_SSH").map_or_else(|| PathBuf::from("ssh"), PathBuf::from),
        log_targets: text("GPDUMP_LOG")?,
        program_path: env::current_exe().map_err(|e| {
            Refusal::failed(format!("could not find the file that this program runs from: {e}"))
                .with_hint("/proc must be mounted.")
        })?,
        pid: std::process::id(),
        path: set("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default(),
    })
}

/// As whom to connect: `PGUSER` or the account's name, with the password that libpq would find.
pub fn login(environment: &Environment) -> Login {
    Login {
        limits: Limits::default(),
        user: environment.pg.user.clone().unwrap_or_else(|| environment.user.clone()),
        password: environment.pg.password.clone().map(|password| password.0),
        tls: environment.pg.tls.clone(),
        passfile: Some(match &environment.pg.passfile {
            Some(file) => file.clone(),
            None => environment.home.join(".pgpass"),
        }),
    }
}

fn tls(home: &Path) -> Result<TlsSettings, Refusal> {
    let mode = match text("PGSSLMODE")? {
        None => SslMode::default(),
        Some(name) => SslMode::named(&name).ok_or_else(|| {
            Refusal::failed(format!("PGSSLMODE=\"{name}\" is not a mode"))
                .with_hint("it is one of disable, allow, prefer, require, verify-ca and verify-full.")
        })?,
    };
    let file = |variable, name| match set(variable) {
        Some(path) => PathBuf::from(path),
        None => home.join(".postgresql").join(name),
    };
    Ok(TlsSettings {
        mode,
        root_certificates: file("PGSSLROOTCERT", "root.crt"),
        certificate: file("PGSSLCERT", "postgresql.crt"),
        key: file("PGSSLKEY", "postgresql.key"),
    })
}

/// An empty variable counts as not set.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Result<Option<String>, Refusal> {
    set(name)
        .map(|value| {
            // Not the value itself: it may be a password.
            value
                .into_string()
                .map_err(|_| Refusal::failed(format!("the value of {name} is not UTF-8")))
        })
        .transpose()
}

fn port() -> Result<Option<u16>, Refusal> {
    text("PGPORT")?
        .map(|value| match value.trim().parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(Refusal::failed(format!("PGPORT=\"{value}\" is not a port number"))),
        })
        .transpose()
}
