//! The way to the master: which port, which address, as whom; and what the cluster looks like from there.

use std::path::{Path, PathBuf};

use crate::db::connect::{ConnectSpec, Login, Session, local_hosts};
use crate::db::{self, catalog};
use crate::words::cluster::{Cluster, HostName, Instance};
use crate::words::dialect::Dialect;
use crate::words::environment::Environment;
use crate::words::limits::Limits;
use crate::words::refusal::Refusal;

/// How sessions on the master are opened.
#[derive(Debug, Clone)]
pub struct MasterAddress {
    pub hosts: Vec<String>,
    pub port: u16,
    pub login: Login,
    /// The name that our sessions have in `pg_stat_activity`.
    pub application_name: String,
}

/// Deepest nesting of `include` in `postgresql.conf`, as in the original.
const INCLUDE_LEVELS: usize = 10;

/// Finds port and address of the master from its data directory and the environment.
///
/// The port is the one in `postgresql.conf`; a server whose configuration lies elsewhere (Debian's) has it in
/// `postmaster.pid`; with neither, and `PGHOST` set, `PGPORT` decides.
pub fn master_address(
    environment: &Environment,
    data_dir: Option<&Path>,
    application_name: &str,
    limits: Limits,
) -> Result<MasterAddress, Refusal> {
    let port = match data_dir {
        Some(directory) => {
            let is_server = directory.join("postgresql.conf").is_file();
            configured_port(&directory.join("postgresql.conf"), INCLUDE_LEVELS)
                .or_else(|| running_port(directory))
                // A wrong -d must not become a dump into /tmp; a server elsewhere has its directory elsewhere.
                .or(environment
                    .pg
                    .port
                    .filter(|_| is_server || environment.pg.host.is_some()))
                .or(is_server.then_some(5432))
        }
        None => environment.pg.port,
    };
    let port = port.ok_or_else(|| match data_dir {
        Some(directory) => Refusal::failed(format!(
            "[Errno 2] No such file or directory: '{}'",
            directory.join("postgresql.conf").display()
        ))
        .with_hint(
            "the master data directory (-d or $MASTER_DATA_DIRECTORY) must be that of a server, or PGHOST and PGPORT be set",
        ),
        None => Refusal::failed("Environment Variable MASTER_DATA_DIRECTORY not set!")
            .with_hint("set it, or give -d, or set PGPORT where one plain PostgreSQL server is meant"),
    })?;
    let hosts = match &environment.pg.host {
        Some(host) => vec![host.clone()],
        None => local_hosts(data_dir.unwrap_or(Path::new("/nonexistent")), "localhost", port),
    };
    Ok(MasterAddress {
        hosts,
        port,
        login: Login {
            limits,
            ..crate::cli::environment::login(environment)
        },
        application_name: application_name.to_owned(),
    })
}

impl MasterAddress {
    pub fn spec(&self, database: &str) -> ConnectSpec {
        ConnectSpec {
            hosts: self.hosts.clone(),
            port: self.port,
            database: database.to_owned(),
            login: self.login.clone(),
            utility_setting: None,
            application_name: self.application_name.clone(),
            whom: format!("the master, database \"{database}\", port {}", self.port),
        }
    }

    /// Opens an ordinary session: on Greenplum its locks and its DDL reach all segments.
    pub async fn open(&self, database: &str) -> Result<Session, db::Error> {
        Session::open(&self.spec(database)).await
    }
}

/// The cluster behind a master.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub dialect: Dialect,
    pub cluster: Cluster,
}

/// Asks the master, in `template1`, what it is and which instances it has.
pub async fn read_surroundings(address: &MasterAddress, own_host: &str) -> Result<Surroundings, db::Error> {
    let session = address.open("template1").await?;
    let dialect = catalog::read_dialect(&session).await?;
    let cluster = catalog::read_cluster(&session, &dialect, own_host).await?;
    session.close().await;
    Ok(Surroundings { dialect, cluster })
}

impl Surroundings {
    /// The same server with nothing behind it: all is asked of the master, and files lie on this host.
    pub fn through_master(self, address: &MasterAddress, own_host: &str, root: &Path) -> Surroundings {
        let host = HostName(own_host.to_owned());
        let server = Instance {
            host,
            address: HostName(address.hosts.first().cloned().unwrap_or_else(|| "localhost".to_owned())),
            port: address.port,
            data_dir: root.to_owned(),
            ..self.cluster.master().clone()
        };
        let mut dialect = self.dialect;
        dialect.utility_setting = None;
        Surroundings {
            dialect,
            cluster: Cluster::single(server),
        }
    }
}

/// The last `port = n` of a configuration file and those it includes.
fn configured_port(file: &Path, levels: usize) -> Option<u16> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut port = None;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (name, value) = line.split_once(['=', ' ', '\t']).unwrap_or((line, ""));
        let value = value.trim_start_matches([' ', '\t', '=']).trim().trim_matches('\'');
        match name.trim().to_ascii_lowercase().as_str() {
            "port" => port = value.parse().ok().or(port),
            "include" | "include_if_exists" if levels > 0 => {
                let included = file.parent().unwrap_or(Path::new("/")).join(value);
                port = configured_port(&included, levels - 1).or(port);
            }
            _ => {}
        }
    }
    port
}

/// Line 4 of `postmaster.pid` (PostgreSQL 9.1 and later).
fn running_port(data_dir: &Path) -> Option<u16> {
    std::fs::read_to_string(data_dir.join("postmaster.pid"))
        .ok()?
        .lines()
        .nth(3)?
        .trim()
        .parse()
        .ok()
}

/// The launcher of this run: same program, the system's ssh.
pub fn launcher(environment: &Environment, remote_bin: Option<PathBuf>, limits: Limits) -> crate::launch::Launcher {
    crate::launch::Launcher {
        limits,
        gphome: environment.gphome.clone(),
        program: environment.program_path.clone(),
        remote_bin,
        ssh: environment.ssh.clone(),
        own_names: vec![environment.host.clone(), environment.host_full.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_port_wins_and_includes_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("postgresql.conf");
        std::fs::write(&conf, "#port = 1\nport = 5432 # (change)\ninclude 'more.conf'\n").unwrap();
        assert_eq!(configured_port(&conf, 10), Some(5432));
        std::fs::write(folder.path().join("more.conf"), "Port=6000\n").unwrap();
        assert_eq!(configured_port(&conf, 10), Some(6000));
        std::fs::write(folder.path().join("more.conf"), "include 'more.conf'\nport='7000'\n").unwrap();
        assert_eq!(configured_port(&conf, 10), Some(7000));
    }
}
