//! A real Greenplum 6 or 7 on test hosts: its data directories, its configuration, its start.
//!
//! Nothing of gpinitsystem: one data directory is made and copied for every instance, and the master's catalog is told
//! where they are, by a server that serves nobody.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Instance, copy_of, free_port, local_host_name};
use crate::hosts::Hosts;
use crate::keeper::Keeper;
use crate::postgres::{Shape, prepared_by, single_user};

/// Programs of a release.
#[derive(Debug)]
pub(crate) struct Greenplum {
    home: PathBuf,
    /// Made of PostgreSQL 12 or later: Greenplum 7 and its kin.
    is_late: bool,
}

/// The Greenplum that the programs in `$GPHOME` belong to, or are closest to: 6 or 7.
pub fn release_of(gphome: &Path) -> u32 {
    match Greenplum::of(gphome).is_late {
        true => 7,
        false => 6,
    }
}

impl Greenplum {
    /// `home` is `$GPHOME`.
    pub(crate) fn of(home: &Path) -> Self {
        let said = Command::new(home.join("bin/postgres"))
            .arg("--version")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        // postgres (Greenplum Database) 9.4.26
        let base = said.rsplit(' ').next().unwrap_or_default();
        let major = base.trim().split('.').next().unwrap_or_default();
        let major: u32 = major.parse().unwrap_or_else(|_| panic!("no version in {said:?}"));
        Greenplum {
            home: home.to_owned(),
            is_late: major >= 12,
        }
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    /// The setting that opens a session on one instance.
    pub(crate) fn utility(&self) -> &'static str {
        match self.is_late {
            true => "gp_role",
            false => "gp_session_role",
        }
    }
}

/// The master, and the segments in the order of their contents; nothing runs yet.
pub(crate) fn lay_out(greenplum: &Greenplum, keeper: &Keeper, hosts: &Hosts, segments_each: usize) -> Vec<Instance> {
    let prepared = prepared_by(&greenplum.bin(), Shape::Real);
    let mut instances: Vec<Instance> = Vec::new();
    let mut add = |content: i32, host: &str, address: String, namespace: String| {
        let name = match content {
            -1 => "master".to_owned(),
            _ => format!("seg{content}"),
        };
        let data_dir = copy_of(&prepared, keeper, &name);
        let mut port = free_port();
        while instances.iter().any(|other| other.port == port) {
            port = free_port();
        }
        let mut instance = Instance::on(Path::new("/"), content + 2, content, host, port, data_dir);
        instance.address = address;
        instance.server.namespace = namespace;
        instance.target.utility = (content >= 0).then(|| greenplum.utility().to_owned());
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(instance.data_dir.join("internal.auto.conf"))
            .unwrap();
        writeln!(file, "gp_dbid={}", instance.dbid).unwrap();
        instances.push(instance);
    };
    let host = local_host_name();
    add(-1, &host, "10.77.0.1".to_owned(), hosts.namespace_of_master());
    for content in 0..hosts.count() * segments_each {
        let at = content / segments_each + 1;
        // All by IPv4: rows on their way between segments take one family for all.
        add(content as i32, &hosts.name(at), hosts.address(at), hosts.namespace(at));
    }
    instances
}

/// More lines for what `initdb` has written.
pub(crate) fn write_settings(greenplum: &Greenplum, instance: &Instance, more: &[(&str, &str)]) {
    let path = instance.data_dir.join("postgresql.conf");
    let mut text = fs::read_to_string(&path).unwrap();
    let _ = write!(
        text,
        "\nport={}\ngp_contentid={}\nlisten_addresses='*'\nunix_socket_directories='{}'\nfsync=off\nlog_statement=none\n\
         max_prepared_transactions=50\n",
        instance.port,
        instance.content,
        instance.server.sockets.display()
    );
    // Forks name libraries of their own, which nobody has built.
    text.push_str(match greenplum.is_late {
        true => "shared_preload_libraries=''\n",
        false => "checkpoint_segments=2\n",
    });
    for (name, value) in more {
        let _ = writeln!(text, "{name}={value}");
    }
    // Without its word the master would not send anything on to the segments.
    let words = match (greenplum.is_late, instance.content) {
        (true, -1) => "-c gp_role=dispatch",
        (true, _) => "-c gp_role=execute",
        (false, -1) => "-E",
        (false, _) => "",
    };
    fs::write(instance.data_dir.with_extension("options"), format!("{words}\n")).unwrap();
    if instance.content >= 0 {
        // A session of the master may have several on each segment.
        text.push_str("max_connections=45\n");
    }
    fs::write(&path, text).unwrap();
    let log = instance.data_dir.join(if greenplum.is_late { "log" } else { "pg_log" });
    let _ = fs::create_dir(&log);
    crate::postgres::give_to_server_user(&log);
}

/// Tells the master's catalog what instances there are. The first of them is the master.
pub(crate) fn write_configuration(greenplum: &Greenplum, instances: &[Instance]) {
    let mut sql = String::new();
    for instance in instances {
        let _ = write!(
            sql,
            "INSERT INTO gp_segment_configuration (dbid, content, role, preferred_role, mode, status, port, hostname, address, \
             datadir) VALUES ({}, {}, 'p', 'p', 'n', 'u', {}, '{}', '{}', '{}');\n\n",
            instance.dbid,
            instance.content,
            instance.port,
            instance.host,
            instance.address,
            instance.data_dir.display()
        );
    }
    single_user(&greenplum.bin(), &instances[0].data_dir, "template1", &sql);
}

/// Waits until an instance takes sessions; the master, until it can reach all segments too.
pub(crate) fn wait_until_ready(cluster: &Cluster, instance: &Instance) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let answer = match instance.content {
            -1 => cluster.try_sql("postgres", "SELECT count(*) FROM gp_dist_random('gp_id')"),
            _ => cluster.try_sql_behind(instance, "postgres", "SELECT 1"),
        };
        let Err(error) = answer else { return };
        assert!(
            Instant::now() < deadline,
            "the server in {} was not ready within 90 s: {error}\n{}",
            instance.data_dir.display(),
            fs::read_to_string(instance.data_dir.with_extension("log")).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
