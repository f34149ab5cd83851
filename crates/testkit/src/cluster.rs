//! Clusters to test on: real PostgreSQL servers in the shape of a Greenplum, one plain server, or a real Greenplum.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::{Rows, Session, Target};
use crate::greenplum::{self, Greenplum};
use crate::hosts::Hosts;
use crate::keeper::{Keeper, postmaster_line, wait_until_ready};
use crate::postgres::{self, Shape, bin_dir, os_user};
use crate::proxy::Proxy;

/// What a cluster shall look like.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    pub segments: usize,
    /// Host name of each segment, by content; where there is none, the name of this host. All of them have to be this
    /// machine: `127.0.0.2` makes a program believe in another one.
    pub hostnames: Vec<String>,
    /// Hosts to spread the segments over, the same number on each; the master gets its own.
    pub hosts: Option<Arc<Hosts>>,
    /// More lines for `postgresql.conf`: name and value.
    pub settings: Vec<(&'static str, &'static str)>,
}

impl ClusterSpec {
    pub fn segments(segments: usize) -> Self {
        ClusterSpec {
            segments,
            hostnames: Vec::new(),
            hosts: None,
            settings: Vec::new(),
        }
    }

    /// So many segments on each of these hosts.
    pub fn on_hosts(hosts: &Arc<Hosts>, segments_each: usize) -> Self {
        ClusterSpec {
            hosts: Some(Arc::clone(hosts)),
            ..ClusterSpec::segments(hosts.count() * segments_each)
        }
    }
}

/// How a server of ours is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerPlace {
    pub(crate) port: u16,
    pub(crate) sockets: PathBuf,
    /// Of its host; empty for the machine's own.
    pub(crate) namespace: String,
}

/// One server of a cluster.
#[derive(Debug, Clone)]
pub struct Instance {
    pub dbid: i32,
    /// -1 is the master.
    pub content: i32,
    pub host: String,
    /// Where clients go; for the master of a test cluster that is the proxy.
    pub port: u16,
    pub data_dir: PathBuf,
    /// Where clients on other hosts go.
    pub address: String,
    pub(crate) target: Target,
    pub(crate) server: ServerPlace,
}

/// A running cluster; a started one is gone when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    master: Instance,
    /// By content. Empty for one plain server.
    segments: Vec<Instance>,
    user: String,
    /// `HOME` of the programs under test, so that their logs are apart from everybody else's.
    home: PathBuf,
    /// That of a cluster which was not started here.
    _home: Option<TempDir>,
    // The order matters: sessions end before the servers do.
    _proxy: Option<Proxy>,
    keeper: Option<Mutex<Keeper>>,
    hosts: Option<Arc<Hosts>>,
    /// `$GPHOME` of a real Greenplum whose servers are ours.
    greenplum: Option<Greenplum>,
}

/// One plain PostgreSQL server, without anything of Greenplum.
#[derive(Debug)]
pub struct Plain;

impl Plain {
    pub fn start() -> Cluster {
        let mut keeper = Keeper::new();
        let sockets = socket_dir(&keeper, "run");
        let data_dir = copy_data_dir(&keeper, "master", Shape::Plain);
        let port = start_server(&mut keeper, &data_dir, &sockets, "", |port| settings(port, &sockets));
        Cluster {
            master: Instance::on(&sockets, 1, -1, &local_host_name(), port, data_dir),
            segments: Vec::new(),
            user: os_user(),
            home: home_dir(&keeper),
            _home: None,
            _proxy: None,
            keeper: Some(Mutex::new(keeper)),
            hosts: None,
            greenplum: None,
        }
    }
}

impl Cluster {
    /// The cluster for a test that does not care which: a new one, or with `GPDUMP_TEST_CLUSTER=env` the running
    /// Greenplum that the environment names.
    pub fn for_tests(segments: usize) -> Self {
        match std::env::var("GPDUMP_TEST_CLUSTER").as_deref() {
            Ok("env") => Cluster::from_env(),
            Ok(other) if !other.is_empty() => panic!("GPDUMP_TEST_CLUSTER is {other:?}; only \"env\" is known"),
            _ => Cluster::start(ClusterSpec::segments(segments)),
        }
    }

    /// Starts a master and segments, about a second for three.
    pub fn start(spec: ClusterSpec) -> Self {
        let mut keeper = Keeper::new();
        let sockets = socket_dir(&keeper, "run");
        let behind = socket_dir(&keeper, "behind");
        let host = local_host_name();

        let mut segments = Vec::new();
        for content in 0..spec.segments {
            let data_dir = copy_data_dir(&keeper, &format!("seg{content}"), Shape::Greenplum);
            let place = spec.hosts.as_deref().map(|hosts| {
                let host = content / (spec.segments / hosts.count()).max(1) + 1;
                // One of them is reached by IPv6.
                let address = if host == hosts.count() {
                    hosts.address_v6(host)
                } else {
                    hosts.address(host)
                };
                (hosts.namespace(host), hosts.name(host), address)
            });
            let namespace = place.as_ref().map(|place| place.0.clone()).unwrap_or_default();
            let port = start_server(&mut keeper, &data_dir, &sockets, &namespace, |port| {
                settings(port, &sockets) + &lines_of(&spec.settings)
            });
            let name = place
                .as_ref()
                .map(|place| &place.1)
                .or(spec.hostnames.get(content))
                .unwrap_or(&host);
            let mut segment = Instance::on(&sockets, content as i32 + 2, content as i32, name, port, data_dir);
            segment.server.namespace = namespace;
            if let Some((_, _, address)) = place {
                segment.address = address;
            }
            segments.push(segment);
        }

        let data_dir = copy_data_dir(&keeper, "master", Shape::Greenplum);
        let namespace = spec
            .hosts
            .as_deref()
            .map(Hosts::namespace_of_master)
            .unwrap_or_default();
        let (port, real, proxy) = loop {
            let port = free_port();
            let mut master = Instance::on(&sockets, 1, -1, &host, port, data_dir.clone());
            if spec.hosts.is_some() {
                master.address = "10.77.0.1".to_owned();
            }
            let rows = configuration(std::iter::once(&master).chain(&segments));
            // The file says the proxy's port, as on a real master; the server's own comes on its command line.
            let real = start_server(&mut keeper, &data_dir, &behind, &namespace, |_| {
                format!(
                    "{}{}testkit.instances = '{}'\n",
                    settings(port, &sockets),
                    lines_of(&spec.settings),
                    rows.replace('\'', "''")
                )
            });
            let socket = |dir: &Path, port: u16| dir.join(format!(".s.PGSQL.{port}"));
            let behind_segments = segments.iter().map(|s| socket(&sockets, s.port)).collect();
            let elsewhere = spec.hosts.as_deref().map(|hosts| hosts.listen_on_master(port).unwrap());
            match Proxy::start(port, &sockets, socket(&behind, real), behind_segments, elsewhere) {
                Ok(proxy) => break (port, real, proxy),
                Err(_) => stop_server(&data_dir),
            }
        };
        let mut master = Instance::on(&sockets, 1, -1, &host, port, data_dir);
        master.server = ServerPlace {
            port: real,
            sockets: behind,
            namespace,
        };
        Cluster {
            master,
            segments,
            user: os_user(),
            home: home_dir(&keeper),
            _home: None,
            _proxy: Some(proxy),
            keeper: Some(Mutex::new(keeper)),
            hosts: spec.hosts,
            greenplum: None,
        }
    }

    /// A real Greenplum 6 or 7 of the programs in `gphome`, so many segments on each of the hosts, with these settings.
    pub fn greenplum(
        gphome: &Path,
        hosts: &Arc<Hosts>,
        segments_each: usize,
        settings: &[(&'static str, &'static str)],
    ) -> Self {
        let greenplum = Greenplum::of(gphome);
        let mut keeper = Keeper::of(&greenplum.bin());
        let sockets = socket_dir(&keeper, "run");
        let mut instances = greenplum::lay_out(&greenplum, &keeper, hosts, segments_each);
        for instance in &mut instances {
            instance.target.host = sockets.to_str().expect("made of ASCII").to_owned();
            instance.server.sockets = sockets.clone();
            greenplum::write_settings(&greenplum, instance, settings);
        }
        greenplum::write_configuration(&greenplum, &instances);
        // The segments first: the master asks them what they have not finished.
        for instance in instances.iter().rev() {
            keeper.start(&instance.data_dir, instance.port, &sockets, &instance.server.namespace);
        }
        let master = instances.remove(0);
        let cluster = Cluster {
            master,
            segments: instances,
            user: os_user(),
            home: home_dir(&keeper),
            _home: None,
            _proxy: None,
            keeper: Some(Mutex::new(keeper)),
            hosts: Some(Arc::clone(hosts)),
            greenplum: Some(greenplum),
        };
        for instance in cluster.segments.iter().chain([&cluster.master]) {
            greenplum::wait_until_ready(&cluster, instance);
        }
        cluster.sql("postgres", "CREATE ROLE gpadmin SUPERUSER LOGIN");
        cluster
    }

    /// Real Greenplum servers that were started for this value.
    pub fn is_greenplum(&self) -> bool {
        self.greenplum.is_some()
    }

    /// A master with a catalog that names many segments on many hosts, and nothing behind them: for measurements with
    /// workers that only speak. Its lock table has room for so many tables.
    pub fn simulated(hosts: usize, segments_each: usize, tables: usize) -> Self {
        let mut keeper = Keeper::new();
        let sockets = socket_dir(&keeper, "run");
        let data_dir = copy_data_dir(&keeper, "master", Shape::Greenplum);
        let host = local_host_name();
        let segments: Vec<Instance> = (0..hosts * segments_each)
            .map(|content| {
                let at = format!("sdw{}", content / segments_each + 1);
                let directory = PathBuf::from(format!("/data/primary/gpseg{content}"));
                let port = 40_000 + (content % segments_each) as u16;
                Instance::on(&sockets, content as i32 + 2, content as i32, &at, port, directory)
            })
            .collect();
        let port = start_server(&mut keeper, &data_dir, &sockets, "", |port| {
            let master = Instance::on(&sockets, 1, -1, &host, port, data_dir.clone());
            let rows = configuration(std::iter::once(&master).chain(&segments));
            format!(
                "{}max_locks_per_transaction = {}\ntestkit.instances = '{}'\n",
                settings(port, &sockets),
                tables / 30 + 64,
                rows.replace('\'', "''")
            )
        });
        Cluster {
            master: Instance::on(&sockets, 1, -1, &host, port, data_dir),
            segments: Vec::new(),
            user: os_user(),
            home: home_dir(&keeper),
            _home: None,
            _proxy: None,
            keeper: Some(Mutex::new(keeper)),
            hosts: None,
            greenplum: None,
        }
    }

    /// The running cluster that PGPORT, MASTER_DATA_DIRECTORY and so on name. It is left running.
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let user = variable("PGUSER").unwrap_or_else(os_user);
        let master = Target {
            host: variable("PGHOST").unwrap_or_else(|| "/tmp".into()),
            port: variable("PGPORT").map_or(5432, |p| p.parse().expect("PGPORT is a number")),
            user: user.clone(),
            utility: None,
        };
        // Up to Greenplum 6 both exist, and only the first may be set by a client; it is not in pg_settings.
        let utility = ["gp_session_role", "gp_role"]
            .into_iter()
            .find(|name| master.try_sql("postgres", &format!("SHOW {name}")).is_ok())
            .map(str::to_owned);
        let has_datadir = master.sql(
            "postgres",
            "SELECT 1 FROM pg_attribute WHERE attrelid = 'gp_segment_configuration'::regclass AND attname = 'datadir'",
        );
        let rows = master.sql(
            "postgres",
            if has_datadir.is_empty() {
                "SELECT dbid, content, hostname, port, fselocation FROM gp_segment_configuration \
                 JOIN pg_filespace_entry ON fsedbid = dbid JOIN pg_filespace f ON f.oid = fsefsoid \
                 WHERE role = 'p' AND fsname = 'pg_system' ORDER BY content"
            } else {
                "SELECT dbid, content, hostname, port, datadir FROM gp_segment_configuration \
                 WHERE role = 'p' ORDER BY content"
            },
        );
        let mut instances: Vec<Instance> = rows
            .into_iter()
            .map(|row| {
                let text = |i: usize| row[i].clone().expect("the columns of the configuration are not null");
                let number = |i: usize| text(i).parse().expect("a number");
                let content = number(1);
                let port = u16::try_from(number(3)).expect("a port");
                let target = Target {
                    host: text(2),
                    port,
                    user: user.clone(),
                    utility: utility.clone(),
                };
                Instance {
                    dbid: number(0),
                    content,
                    host: text(2),
                    address: text(2),
                    server: ServerPlace::default(),
                    port,
                    data_dir: text(4).into(),
                    target: if content == -1 { master.clone() } else { target },
                }
            })
            .collect();
        let home = tempfile::Builder::new().prefix("gpdump-home-").tempdir().unwrap();
        Cluster {
            master: instances.remove(0),
            segments: instances,
            user,
            home: home.path().to_path_buf(),
            _home: Some(home),
            _proxy: None,
            keeper: None,
            hosts: None,
            greenplum: None,
        }
    }

    pub fn master_port(&self) -> u16 {
        self.master.port
    }

    pub fn master_data_dir(&self) -> &Path {
        &self.master.data_dir
    }

    pub fn master(&self) -> &Instance {
        &self.master
    }

    /// A segment by content.
    pub fn segment(&self, content: usize) -> &Instance {
        &self.segments[content]
    }

    pub fn segments(&self) -> &[Instance] {
        &self.segments
    }

    /// The servers that hold rows: the segments, or the one plain server.
    pub fn row_holders(&self) -> &[Instance] {
        if self.segments.is_empty() {
            std::slice::from_ref(&self.master)
        } else {
            &self.segments
        }
    }

    /// The servers were started for this value.
    pub fn is_own(&self) -> bool {
        self.keeper.is_some()
    }

    /// `HOME` of the programs.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// SQL through the master; statements that change something run on the segments too.
    pub fn sql(&self, database: &str, sql: &str) -> Rows {
        self.master.target.sql(database, sql)
    }

    pub fn try_sql(&self, database: &str, sql: &str) -> Result<Rows, String> {
        self.master.target.try_sql(database, sql)
    }

    /// A session on the master that stays open.
    pub fn session(&self, database: &str) -> Session {
        self.master.target.session(database)
    }

    /// SQL on one segment alone.
    pub fn segment_sql(&self, content: usize, database: &str, sql: &str) -> Rows {
        self.segments[content].sql(database, sql)
    }

    /// Sends a signal to the postmaster of a segment, by content.
    pub fn kill(&self, content: usize, signal: Signal) {
        assert!(
            self.is_own(),
            "servers that the testkit did not start are not its to kill"
        );
        send(&self.segments[content].data_dir, signal);
    }

    /// The hosts that it lives on.
    pub fn hosts(&self) -> Option<&Hosts> {
        self.hosts.as_deref()
    }

    /// Processes of a server: its postmaster and what that has started.
    pub fn server_processes(&self, instance: &Instance) -> Vec<u32> {
        let Some(postmaster) = postmaster_line(&instance.data_dir, 0).and_then(|pid| pid.trim().parse().ok()) else {
            return Vec::new();
        };
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(postmaster).chain(children).collect()
    }

    /// Sends a signal to all processes of a server, the children first when they are to go on.
    pub fn signal_server(&self, instance: &Instance, signal: Signal) {
        for pid in self.server_processes(instance) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Ends a server that is not to be asked, and waits until its processes are gone.
    pub fn stop_server(&self, instance: &Instance) {
        let pids = self.server_processes(instance);
        self.signal_server(instance, Signal::CONT);
        if let Some(pid) = pids
            .first()
            .and_then(|pid| i32::try_from(*pid).ok())
            .and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while pids.iter().any(|pid| is_running(*pid)) {
            if std::time::Instant::now() > deadline {
                panic!("the server in {} does not end", instance.data_dir.display());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Starts a server again that has ended, or was killed.
    pub fn start_server_again(&self, instance: &Instance) {
        let keeper = self.keeper.as_ref().expect("the server is ours");
        let _ = fs::remove_file(instance.data_dir.join("postmaster.pid"));
        let _ = fs::remove_file(instance.data_dir.with_extension("log"));
        let server = &instance.server;
        let _ = fs::remove_file(server.sockets.join(format!(".s.PGSQL.{}.lock", server.port)));
        let mut keeper = keeper.lock().unwrap();
        keeper.start(&instance.data_dir, server.port, &server.sockets, &server.namespace);
        drop(keeper);
        if self.is_greenplum() {
            return greenplum::wait_until_ready(self, instance);
        }
        assert!(
            wait_until_ready(&instance.data_dir),
            "the server in {} did not start again",
            instance.data_dir.display()
        );
    }

    /// Whether the server has a process.
    pub fn server_runs(&self, instance: &Instance) -> bool {
        let pids = self.server_processes(instance);
        pids.first().is_some_and(|pid| is_running(*pid))
    }

    /// A session on the real server behind an instance: the proxy before the master is not asked.
    pub fn session_behind(&self, instance: &Instance, database: &str) -> Session {
        self.behind(instance).session(database)
    }

    /// SQL on the real server behind an instance.
    pub fn try_sql_behind(&self, instance: &Instance, database: &str, sql: &str) -> Result<Rows, String> {
        self.behind(instance).try_sql(database, sql)
    }

    fn behind(&self, instance: &Instance) -> Target {
        Target {
            host: instance.server.sockets.to_str().expect("made of ASCII").to_owned(),
            port: instance.server.port,
            user: self.user.clone(),
            utility: self.greenplum.as_ref().map(|greenplum| greenplum.utility().to_owned()),
        }
    }

    /// The environment for the programs under test.
    pub fn env(&self) -> Vec<(&'static str, OsString)> {
        let mut env: Vec<(&'static str, OsString)> = vec![
            ("PGHOST", (&self.master.target.host).into()),
            ("PGPORT", self.master.port.to_string().into()),
            ("PGUSER", (&self.user).into()),
            ("MASTER_DATA_DIRECTORY", (&self.master.data_dir).into()),
            ("HOME", (&self.home).into()),
        ];
        if let Some(hosts) = &self.hosts {
            env.push(("GPDUMP_SSH", hosts.ssh().into()));
        }
        if self.is_own() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let dirs = std::iter::once(self.bin_dir()).chain(std::env::split_paths(&path));
            env.push(("PATH", std::env::join_paths(dirs).expect("PATH was a path before")));
            env.push(("GPHOME", OsString::new()));
        }
        env
    }

    fn bin_dir(&self) -> PathBuf {
        match &self.greenplum {
            Some(greenplum) => greenplum.bin(),
            None => bin_dir(),
        }
    }

    /// A program of the server: from `$GPHOME/bin` for a real Greenplum.
    pub fn tool(&self, name: &str) -> Command {
        let dir = match std::env::var_os("GPHOME") {
            Some(home) if !self.is_own() => PathBuf::from(home).join("bin"),
            _ => self.bin_dir(),
        };
        let mut command = Command::new(dir.join(name));
        command
            .envs(self.env())
            .env_remove("PGDATABASE")
            .env_remove("PGOPTIONS");
        command
    }

    /// Makes the database of `tests/data/warehouse`, each segment with its share of the rows.
    pub fn load_warehouse(&self, database: &str) {
        let dir = crate::repository().join("tests/data/warehouse");
        self.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0"));
        self.run_file(&self.master, database, &dir.join("schema.sql"), 0);
        for (content, holder) in self.row_holders().iter().enumerate() {
            self.run_file(holder, database, &dir.join("rows.sql"), content);
        }
        self.run_file(&self.master, database, &dir.join("after.sql"), 0);
    }

    /// Runs a file through the master.
    pub fn load_file(&self, database: &str, file: &Path) {
        self.run_file(&self.master, database, file, 0);
    }

    fn run_file(&self, instance: &Instance, database: &str, file: &Path, content: usize) {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", database])
            .arg("-f")
            .arg(file)
            .arg("-v")
            .arg(format!("content={content}"))
            .arg("-v")
            .arg(format!("segments={}", self.row_holders().len()))
            .env("PGHOST", &instance.target.host)
            .env("PGPORT", instance.port.to_string())
            .env("PGCLIENTENCODING", "UTF8");
        postgres::run(&mut psql);
    }
}

impl Instance {
    pub(crate) fn on(sockets: &Path, dbid: i32, content: i32, host: &str, port: u16, data_dir: PathBuf) -> Self {
        let target = Target {
            host: sockets.to_str().expect("made of ASCII").to_owned(),
            port,
            user: os_user(),
            utility: None,
        };
        Instance {
            dbid,
            content,
            host: host.to_owned(),
            address: host.to_owned(),
            port,
            data_dir,
            target,
            server: ServerPlace {
                port,
                sockets: sockets.to_owned(),
                namespace: String::new(),
            },
        }
    }

    /// SQL on this instance alone (the master's goes to all).
    pub fn sql(&self, database: &str, sql: &str) -> Rows {
        self.target.sql(database, sql)
    }

    /// The same where it may be refused.
    pub fn try_session(&self, database: &str) -> Result<Session, String> {
        self.target.try_session(database)
    }

    /// A session on this instance alone that stays open.
    pub fn session(&self, database: &str) -> Session {
        self.target.session(database)
    }
}

/// What `gp_segment_configuration` shall show, as JSON.
fn configuration<'a>(instances: impl Iterator<Item = &'a Instance>) -> String {
    let rows: Vec<_> = instances
        .map(|i| {
            serde_json::json!({
                "dbid": i.dbid, "content": i.content, "role": "p", "preferred_role": "p", "mode": "n", "status": "u",
                "port": i.port, "hostname": i.host, "address": i.address, "datadir": i.data_dir,
            })
        })
        .collect();
    serde_json::Value::from(rows).to_string()
}

fn lines_of(settings: &[(&str, &str)]) -> String {
    let lines = settings.iter().map(|(name, value)| format!("{name} = {value}\n"));
    lines.collect()
}

/// `postgresql.conf` of an instance: small, quick, reached from this machine only (see `pg_hba.conf` below).
fn settings(port: u16, sockets: &Path) -> String {
    let mut text = format!(
        "port = {port}\nunix_socket_directories = '{}'\nlisten_addresses = '*'\n",
        sockets.display()
    );
    for (name, value) in [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("shared_buffers", "16MB"),
        ("max_connections", "100"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("max_wal_size", "64MB"),
        ("max_logical_replication_workers", "0"),
        ("autovacuum", "off"),
        ("jit", "off"),
    ] {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

fn copy_data_dir(keeper: &Keeper, name: &str, shape: Shape) -> PathBuf {
    copy_of(&postgres::prepared(shape), keeper, name)
}

pub(crate) fn copy_of(prepared: &Path, keeper: &Keeper, name: &str) -> PathBuf {
    let data_dir = keeper.top().join(name);
    postgres::run(
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(prepared)
            .arg(&data_dir),
    );
    fs::write(
        data_dir.join("pg_hba.conf"),
        "local all all trust\nhost all all samehost trust\nhost all all 10.77.0.0/24 trust\n\
         host all all fd77::/64 trust\n",
    )
    .unwrap();
    data_dir
}

/// Starts a server on a free port with the settings made for that port, and waits until it serves.
fn start_server(
    keeper: &mut Keeper,
    data_dir: &Path,
    sockets: &Path,
    namespace: &str,
    settings: impl Fn(u16) -> String,
) -> u16 {
    for _ in 0..20 {
        let port = free_port();
        fs::write(data_dir.join("postgresql.conf"), settings(port)).unwrap();
        let _ = fs::remove_file(data_dir.with_extension("log"));
        keeper.start(data_dir, port, sockets, namespace);
        if wait_until_ready(data_dir) {
            return port;
        }
    }
    let log = fs::read_to_string(data_dir.with_extension("log")).unwrap_or_default();
    panic!("no server could be started in {}: {log}", data_dir.display());
}

fn stop_server(data_dir: &Path) {
    send(data_dir, Signal::QUIT);
    while data_dir.join("postmaster.pid").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn send(data_dir: &Path, signal: Signal) {
    let pid = postmaster_line(data_dir, 0)
        .and_then(|pid| pid.parse().ok())
        .and_then(Pid::from_raw);
    kill_process(pid.expect("the server runs, and says its pid"), signal).unwrap();
}

/// A port that nobody listens on, below those that the kernel gives to clients. Somebody may still be quicker.
pub(crate) fn free_port() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    let mut port = 15_000 + (RandomState::new().hash_one(0) % 17_000) as u16;
    while TcpListener::bind(("0.0.0.0", port)).is_err() {
        port += 1;
    }
    port
}

/// A process that has not ended; one that waits to be reaped has.
fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn socket_dir(keeper: &Keeper, name: &str) -> PathBuf {
    let dir = keeper.top().join(name);
    fs::create_dir(&dir).unwrap();
    postgres::give_to_server_user(&dir);
    dir
}

fn home_dir(keeper: &Keeper) -> PathBuf {
    let dir = keeper.top().join("home");
    fs::create_dir(&dir).unwrap();
    dir
}

/// The name that this machine calls itself, if it can find itself by that name.
pub(crate) fn local_host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let found = (name.as_str(), 0)
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.next().is_some());
    if found { name } else { "localhost".into() }
}
