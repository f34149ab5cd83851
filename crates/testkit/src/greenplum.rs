//! A real Greenplum 6 on test hosts: its data directories, its configuration, its start.
//!
//! Nothing of gpinitsystem: one data directory is made and copied for every instance, and the master's catalog is told
//! where they are, by a server that serves nobody.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Instance, copy_of, free_port, local_host_name};
use crate::hosts::Hosts;
use crate::keeper::Keeper;
use crate::postgres::{Shape, prepared_by, single_user};

/// The setting that opens a session on one instance.
pub(crate) const UTILITY: &str = "gp_session_role";

/// The master, and the segments in the order of their contents; nothing runs yet.
pub(crate) fn lay_out(gphome: &Path, keeper: &Keeper, hosts: &Hosts, segments_each: usize) -> Vec<Instance> {
    let prepared = prepared_by(&gphome.join("bin"), Shape::Real);
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
        instance.target.utility = (content >= 0).then(|| UTILITY.to_owned());
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
pub(crate) fn write_settings(instance: &Instance, more: &[(&str, &str)]) {
    let path = instance.data_dir.join("postgresql.conf");
    let mut text = fs::read_to_string(&path).unwrap();
    let _ = write!(
        text,
        "\nport={}\ngp_contentid={}\nlisten_addresses='*'\nunix_socket_directories='{}'\nfsync=off\nlog_statement=none\n\
         checkpoint_segments=2\nmax_prepared_transactions=50\n",
        instance.port,
        instance.content,
        instance.server.sockets.display()
    );
    for (name, value) in more {
        let _ = writeln!(text, "{name}={value}");
    }
    match instance.content {
        // Without this word it would not send anything on to the segments.
        -1 => fs::write(instance.data_dir.with_extension("options"), "-E\n").unwrap(),
        // A session of the master may have several on each segment.
        _ => text.push_str("max_connections=45\n"),
    }
    fs::write(&path, text).unwrap();
    let _ = fs::create_dir(instance.data_dir.join("pg_log"));
    crate::postgres::give_to_server_user(&instance.data_dir.join("pg_log"));
}

/// Tells the master's catalog what instances there are. The first of them is the master.
pub(crate) fn write_configuration(gphome: &Path, instances: &[Instance]) {
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
    single_user(&gphome.join("bin"), &instances[0].data_dir, "template1", &sql);
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
