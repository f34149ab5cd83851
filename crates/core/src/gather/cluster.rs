//! The way to the master: which port, which address, as whom; and what the cluster looks like from there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::db::beneath::Beneath;
use crate::db::connect::{ConnectSpec, Login, Session, local_hosts};
use crate::db::{self, catalog};
use crate::store::files::Files;
use crate::words::cluster::{Cluster, HostName, Instance, Role};
use crate::words::dialect::Dialect;
use crate::words::environment::Environment;
use crate::words::ids::{ContentId, DbId};
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
    /// Databases to ask about the server in, the first that lets us in.
    pub maintenance: Vec<String>,
    /// The segments that the master hands statements on to.
    pub beneath: Option<Arc<Beneath>>,
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
        maintenance: vec!["template1".to_owned()],
        beneath: None,
    })
}

/// The address that `--through-master` goes to: as libpq finds it, no directory is looked into. `databases`: those that
/// the run is about, should the role be let into no other.
pub fn server_address(
    environment: &Environment,
    databases: &[String],
    application_name: &str,
    limits: Limits,
) -> MasterAddress {
    let port = environment.pg.port.unwrap_or(5432);
    // One address, and the same for all: on another server at the same port would be other rows.
    let mut hosts = match &environment.pg.host {
        Some(host) => vec![host.clone()],
        None => local_hosts(Path::new("/nonexistent"), "localhost", port),
    };
    hosts.truncate(1);
    let usual = ["template1", "postgres"].map(str::to_owned);
    let of_environment = environment.pg.database.iter();
    MasterAddress {
        hosts,
        port,
        login: Login {
            limits,
            ..crate::cli::environment::login(environment)
        },
        application_name: application_name.to_owned(),
        maintenance: usual.iter().chain(of_environment).chain(databases).cloned().collect(),
        beneath: None,
    }
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
            beneath: self.beneath.clone(),
        }
    }

    /// From now on statements that take long are also held against the segments. Only on the master's own host: its
    /// dispatcher reaches them from there by the same addresses, and from elsewhere silence may be a firewall's.
    pub fn watch_segments(&mut self, around: &Surroundings, own_host: &str) {
        let is_here = |host: &String| host.starts_with('/') || host == "localhost" || host == own_host;
        if around.cluster.is_single_server() || !self.hosts.iter().all(is_here) {
            return;
        }
        let spec = |instance: &Instance| ConnectSpec {
            hosts: vec![instance.address.0.clone()],
            port: instance.port,
            utility_setting: around.dialect.utility_setting.clone(),
            whom: instance.to_string(),
            beneath: None,
            ..self.spec("template1")
        };
        let segments = around.cluster.primaries().iter().map(spec).collect();
        self.beneath = Some(Beneath::new(segments, around.dialect.utility_setting.clone()));
    }

    /// Opens an ordinary session: on Greenplum its locks and its DDL reach all segments.
    pub async fn open(&self, database: &str) -> Result<Session, db::Error> {
        Session::open(&self.spec(database)).await
    }

    /// A session that stays on the master: what it sees of locks there is not gathered from all segments, where a dump of
    /// many tables has millions. `None` where there is no such thing.
    pub async fn open_alone(&self, database: &str, dialect: &Dialect) -> Option<Session> {
        let spec = ConnectSpec {
            utility_setting: Some(dialect.utility_setting.clone()?),
            beneath: None,
            ..self.spec(database)
        };
        let opened = Session::open(&spec).await;
        opened
            .inspect_err(|error| tracing::debug!("No session that stays on the master: {}", db::error_chain(error)))
            .ok()
    }

    /// The same in a database that the run is not about, where there is one that lets us in.
    pub async fn open_maintenance(&self) -> Result<Session, db::Error> {
        let mut first = None;
        for database in &self.maintenance {
            match self.open(database).await {
                Ok(session) => return Ok(session),
                Err(error) => {
                    // A server that is not there will not be there for another database.
                    let may_be_the_database = matches!(&error, db::Error::Connect { is_answer: true, .. });
                    first.get_or_insert(error);
                    if !may_be_the_database {
                        break;
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| db::Error::Connect {
            whom: format!("the master, port {}", self.port),
            source: "no database is known".into(),
            is_answer: false,
        }))
    }
}

/// The cluster behind a master.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub dialect: Dialect,
    pub cluster: Cluster,
    /// Sessions on the master can have the same snapshot, rows of segments included.
    pub shares_snapshots: bool,
}

/// Asks the master, in `template1`, what it is and which instances it has.
pub async fn read_surroundings(address: &MasterAddress, own_host: &str) -> Result<Surroundings, db::Error> {
    let session = address.open_maintenance().await?;
    let dialect = catalog::read_dialect(&session).await?;
    let cluster = catalog::read_cluster(&session, &dialect, own_host).await?;
    session.close().await;
    Ok(Surroundings {
        shares_snapshots: dialect.shares_snapshots(),
        dialect,
        cluster,
    })
}

/// Asks the server what it is and nothing else; its "cluster" is one stream. Files lie under `root` on this host.
pub async fn read_server(address: &MasterAddress, own_host: &str, root: &Path) -> Result<Surroundings, db::Error> {
    let session = address.open_maintenance().await?;
    let mut dialect = catalog::read_dialect(&session).await?;
    // Sessions are ordinary ones, wherever they are opened.
    dialect.utility_setting = None;
    // Whether the role may is known when it tries.
    let shares_snapshots = dialect.shares_snapshots() && catalog::may_export_snapshots(&session).await?;
    session.close().await;
    Ok(Surroundings {
        dialect,
        cluster: streams(address, own_host, root, 1),
        shares_snapshots,
    })
}

/// So many connections to one address.
pub fn streams(address: &MasterAddress, own_host: &str, root: &Path, connections: usize) -> Cluster {
    let server = Instance {
        dbid: DbId(1),
        content: ContentId::MASTER,
        role: Role::Primary,
        up: true,
        host: HostName(own_host.to_owned()),
        address: HostName(address.hosts.first().cloned().unwrap_or_else(|| "localhost".to_owned())),
        port: address.port,
        data_dir: root.to_owned(),
    };
    Cluster::streams(server, connections)
}

impl Surroundings {
    /// The same server with one connection to it for a cluster, as a set that external tables wrote has one data file; files
    /// lie on this host.
    pub fn through_master(mut self, address: &MasterAddress, own_host: &str, root: &Path) -> Surroundings {
        self.cluster = streams(address, own_host, root, 1);
        self.dialect.utility_setting = None;
        self
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
pub fn launcher(
    environment: &Environment,
    remote_bin: Option<PathBuf>,
    limits: Limits,
    files: &Files,
) -> crate::launch::Launcher {
    crate::launch::Launcher {
        files: files.clone(),
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
