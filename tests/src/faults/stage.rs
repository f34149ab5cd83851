//! The cluster of the matrix, and the ways to hold a run at a phase.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gpdump_testkit::client::Session;
use gpdump_testkit::{Cluster, ClusterSpec, Hosts, Instance, Program};
use rustix::process::Signal;

use super::Phase;
use crate::{signal, within};

/// Database that is dumped, and the one that it is restored into.
pub const SOURCE: &str = "faults";
pub const TARGET: &str = "copy";

/// The host that faults befall, and the first of its segments.
pub const BAD_HOST: usize = 2;
pub const BAD_SEGMENT: usize = 2;

/// The segment whose lock holds a run; on another host.
const HOLDING_SEGMENT: usize = 7;
const HOLDING_HOST: usize = 4;

const SCHEMA: &str = r"
CREATE FUNCTION gate(number integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(number); RETURN true; END $$;
CREATE FUNCTION gated(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(4712); RETURN i; END $$;
CREATE TABLE t0 (id integer PRIMARY KEY, v text);
CREATE TABLE t1 (id integer PRIMARY KEY, v text);
CREATE TABLE t2 (id integer PRIMARY KEY, v text);
CREATE TABLE t3 (id integer PRIMARY KEY, v text);
CREATE TABLE spare (id integer, v text);
CREATE TABLE bulk (id integer, v text);
CREATE TABLE toasted (id integer, body text);
ALTER TABLE toasted ALTER body SET STORAGE EXTERNAL;
CREATE TABLE checked (id integer CHECK (public.gate(4711)));
CREATE INDEX checked_gated ON checked (public.gated(id));
CREATE VIEW v AS SELECT id FROM t0;
";

/// Rows of each table on one segment.
pub const ROWS: [(&str, u64); 8] = [
    ("t0", 100),
    ("t1", 100),
    ("t2", 100),
    ("t3", 100),
    ("spare", 10),
    ("bulk", 8000),
    ("toasted", 30),
    ("checked", 20),
];

/// Everything that cells share.
pub struct Stage {
    pub hosts: Arc<Hosts>,
    pub cluster: Cluster,
    /// A good set of [`SOURCE`].
    pub key: String,
    /// Rows of each segment, in the order of [`ROWS`]. A real Greenplum places them by itself.
    pub counts: Vec<Vec<u64>>,
    gate: PathBuf,
    limits: Vec<(&'static str, u64)>,
}

/// What keeps a run where it is.
pub struct Hold {
    sessions: Vec<Session>,
    stopped: Vec<u32>,
    gate: Option<PathBuf>,
}

/// `$GPHOME` of a real Greenplum 6 or 7 to run on, instead of PostgreSQL in its shape.
pub fn gphome() -> Option<PathBuf> {
    std::env::var_os("GPDUMP_TEST_GPHOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from)
}

fn rows_on(segment: &Instance) -> Vec<u64> {
    let counts = ROWS.map(|(table, _)| format!("(SELECT count(*) FROM public.{table})"));
    let rows = segment.sql(SOURCE, &format!("SELECT {}", counts.join(", ")));
    let number = |text: &Option<String>| text.as_deref().unwrap_or_default().parse().expect("a count");
    rows[0].iter().map(number).collect()
}

impl Stage {
    /// The programs are given these limits: option and seconds.
    pub fn start(limits: Vec<(&'static str, u64)>) -> Stage {
        let hosts = Arc::new(Hosts::start(4));
        // What a server has said is committed has to survive its death.
        let settings = vec![
            ("max_connections", "30"),
            ("max_locks_per_transaction", "32"),
            ("synchronous_commit", "on"),
        ];
        let cluster = match gphome() {
            Some(home) => Cluster::greenplum(&home, &hosts, 2, &settings),
            None => Cluster::start(ClusterSpec {
                settings,
                ..ClusterSpec::on_hosts(&hosts, 2)
            }),
        };
        let gate = hosts.top().join("gate");
        let mut stage = Stage {
            hosts,
            cluster,
            key: String::new(),
            counts: Vec::new(),
            gate,
            limits,
        };
        stage.write_pg_dump();
        stage.load();
        stage.counts = stage.cluster.segments().iter().map(rows_on).collect();
        fs::create_dir_all(stage.log_directory()).unwrap();
        let end = stage.dump_program().run().expect_status(0);
        stage.key = end.timestamp_key();
        stage
    }

    pub fn load(&self) {
        self.cluster.sql("postgres", &format!("CREATE DATABASE {SOURCE}"));
        self.cluster.sql(SOURCE, SCHEMA);
        for (content, segment) in self.cluster.segments().iter().enumerate() {
            let first = content * 100_000;
            let mut sql = String::new();
            for (table, rows) in ROWS {
                let last = first as u64 + rows - 1;
                let values = match table {
                    "checked" => "i".to_owned(),
                    // Text that compression cannot make small: a full disk has to be met. Greenplum's blocks are four times as
                    // large, and so are the values that it keeps outside of them.
                    "toasted" => format!(
                        "i, (SELECT string_agg(md5((i * 977 + k)::text), '') FROM generate_series(1, {}) k)",
                        if self.cluster.is_greenplum() { 1000 } else { 250 }
                    ),
                    _ => "i, md5(i::text)".to_owned(),
                };
                sql.push_str(&format!(
                    "INSERT INTO {table} SELECT {values} FROM generate_series({first}, {last}) i;"
                ));
            }
            match self.cluster.is_greenplum() {
                true => self.cluster.sql(SOURCE, &sql),
                false => segment.sql(SOURCE, &sql),
            };
        }
    }

    /// A `pg_dump` that waits as long as there is a gate: before it works, or when the gate has a text, after.
    fn write_pg_dump(&self) {
        let tool = self.cluster.tool("pg_dump");
        let real = PathBuf::from(tool.get_program());
        let gate = self.gate.display();
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ] || [ \"$1\" = --help ] || ! [ -e '{gate}' ]; then exec '{0}' \"$@\"; fi\n\
             text=\nif [ -s '{gate}' ]; then text='{gate}'.$$; '{0}' \"$@\" >\"$text\"; status=$?; fi\n\
             touch '{gate}.reached'; while [ -e '{gate}' ]; do sleep 0.05; done\n\
             [ -n \"$text\" ] || exec '{0}' \"$@\"\ncat \"$text\"; rm \"$text\"; exit $status\n",
            real.display()
        );
        let bin = self.hosts.top().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("pg_dump"), text).unwrap();
        fs::set_permissions(bin.join("pg_dump"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn program(&self, name: &str) -> Program {
        let env = self.cluster.env();
        let path = env
            .iter()
            .find(|(name, _)| *name == "PATH")
            .expect("it is set")
            .1
            .clone();
        let mut path_with_ours = self.hosts.top().join("bin").into_os_string();
        path_with_ours.push(":");
        path_with_ours.push(path);
        Program::new(name, &self.cluster)
            .args(["-a"])
            .args(
                self.limits
                    .iter()
                    .map(|(option, seconds)| format!("{option}={seconds}")),
            )
            .env("PATH", path_with_ours)
    }

    fn dump_program(&self) -> Program {
        // The cut has its own time; writers of the test must not make a cell long.
        self.program("gpcrondump").args(["-x", SOURCE, "--cut-timeout=3"])
    }

    fn restore_program(&self) -> Program {
        self.program("gpdbrestore")
            .args(["-t", self.key.as_str(), "--redirect", TARGET, "--noanalyze"])
    }

    /// The run that a phase belongs to.
    pub fn program_of(&self, phase: Phase) -> Program {
        match phase {
            _ if phase.is_dump() => self.dump_program(),
            Phase::RestoreExisting => self
                .restore_program()
                .args(ROWS.map(|(table, _)| format!("-Tpublic.{table}")))
                .args(["--truncate"]),
            _ => self.restore_program(),
        }
    }

    /// What a restore starts from: an empty database, or one with everything that the set has.
    pub fn make_ready(&self, phase: Phase) {
        if phase.is_dump() {
            return;
        }
        self.make_target();
        if phase == Phase::RestoreExisting {
            self.restore_program().run().expect_status(0);
        }
    }

    /// As after a failure: a restore into tables that were there finds what that has left of them.
    pub fn make_ready_again(&self, phase: Phase) {
        let sql = "SELECT 1 FROM pg_class WHERE relname = 'checked'";
        let is_there = || {
            let found = self.cluster.try_sql(TARGET, sql);
            found.is_ok_and(|rows| !rows.is_empty())
        };
        if phase != Phase::RestoreExisting || !is_there() {
            self.make_ready(phase);
        }
    }

    fn make_target(&self) {
        // Greenplum's processes on segments go when the master's has, which may wait for the network.
        let patience = Duration::from_secs(if self.cluster.is_greenplum() { 90 } else { 20 });
        within(patience, "nobody is in the target database", || {
            let drop = format!("DROP DATABASE IF EXISTS {TARGET}");
            self.cluster.try_sql("postgres", &drop).is_ok()
        });
        self.cluster.sql("postgres", &format!("CREATE DATABASE {TARGET}"));
    }

    pub fn log_directory(&self) -> PathBuf {
        self.cluster.home().join("gpAdminLogs")
    }

    /// Dump directory of a segment, for all dates.
    pub fn dumps_of(&self, content: usize) -> PathBuf {
        self.cluster.segment(content).data_dir.join("db_dumps")
    }

    fn holder(&self) -> &Instance {
        self.cluster.segment(HOLDING_SEGMENT)
    }

    /// Makes ready what will stop a run at the phase. To be called before the run. Rows are held on the bad host too: it
    /// must not be ready when the fault comes.
    pub fn hold(&self, phase: Phase) -> Hold {
        let (holder, bad) = (self.holder(), self.cluster.segment(BAD_SEGMENT));
        let locked = |instance: &Instance, database: &str, sql: &str| {
            let session = instance.session(database);
            session.sql(sql);
            session
        };
        let sessions = match phase {
            Phase::DumpStart | Phase::RestoreCheck => Vec::new(),
            Phase::DumpLocks => vec![locked(holder, SOURCE, "BEGIN; LOCK TABLE public.t0")],
            Phase::DumpData => {
                // COPY needs this index to read long values; the locks of a dump do not reach it.
                let hold = |instance: &Instance| {
                    let oid = instance.sql(SOURCE, "SELECT 'public.toasted'::regclass::oid")[0][0].clone();
                    let oid = oid.expect("the table has one");
                    locked(
                        instance,
                        SOURCE,
                        &format!("BEGIN; REINDEX INDEX pg_toast.pg_toast_{oid}_index"),
                    )
                };
                vec![hold(holder), hold(bad)]
            }
            Phase::DumpDdl | Phase::DumpFinish => {
                let _ = fs::remove_file(self.gate.with_extension("reached"));
                // On Greenplum 6 the rows wait for pg_dump's snapshot: it may work, and only its text is kept back.
                let how = match phase == Phase::DumpFinish && self.cluster.is_greenplum() {
                    true => "after",
                    false => "",
                };
                fs::write(&self.gate, how).unwrap();
                Vec::new()
            }
            Phase::RestoreDdl => {
                let session = self.cluster.session_behind(self.cluster.master(), TARGET);
                session.sql("BEGIN; LOCK TABLE pg_catalog.pg_type IN SHARE MODE");
                vec![session]
            }
            Phase::RestoreData | Phase::RestoreExisting => vec![
                locked(holder, TARGET, "SELECT pg_advisory_lock(4711)"),
                locked(bad, TARGET, "SELECT pg_advisory_lock(4711)"),
            ],
            Phase::RestorePostData => vec![locked(holder, TARGET, "SELECT pg_advisory_lock(4712)")],
        };
        let gate = matches!(phase, Phase::DumpDdl | Phase::DumpFinish).then(|| self.gate.clone());
        Hold {
            sessions,
            stopped: Vec::new(),
            gate,
        }
    }

    /// Waits until the run has come to the phase; false when it has ended before.
    pub fn wait_for(&self, phase: Phase, hold: &mut Hold, mut has_ended: impl FnMut() -> bool) -> bool {
        let waits = |instance: &Instance, database: &str| {
            let sql = "SELECT 1 FROM pg_locks WHERE NOT granted";
            self.cluster
                .try_sql_behind(instance, database, sql)
                .is_ok_and(|rows| !rows.is_empty())
        };
        let bad = self.cluster.segment(BAD_SEGMENT);
        let mut until = |what: &str, so: &mut dyn FnMut() -> bool| {
            let mut ended = false;
            within(Duration::from_secs(60), what, || {
                ended = has_ended();
                ended || so()
            });
            !ended
        };
        match phase {
            Phase::DumpStart | Phase::RestoreCheck => true,
            Phase::DumpLocks => until("the dump waits", &mut || waits(self.holder(), SOURCE)),
            Phase::DumpData => until("the dump waits", &mut || {
                waits(self.holder(), SOURCE) && waits(bad, SOURCE)
            }),
            Phase::RestoreDdl => until("the restore waits", &mut || waits(self.cluster.master(), TARGET)),
            Phase::RestoreData | Phase::RestoreExisting => until("the restore waits", &mut || {
                waits(self.holder(), TARGET) && waits(bad, TARGET)
            }),
            Phase::RestorePostData => until("the restore waits", &mut || waits(self.holder(), TARGET)),
            Phase::DumpDdl => {
                let reached = self.gate.with_extension("reached");
                until("pg_dump was started", &mut || reached.exists())
            }
            Phase::DumpFinish => {
                // All rows are copied, and only DDL is missing: now one worker is stopped, and the others go on to the end.
                let reached = self.gate.with_extension("reached");
                let idle = || {
                    // The dispatcher's sessions bear the same name, and do not copy.
                    let sql =
                        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'gpcrondump' AND query LIKE 'COPY %'";
                    let segments = self.cluster.segments();
                    (0..segments.len()).all(|content| self.files(content, "gz.partial") > 0)
                        && segments.iter().all(|segment| segment.sql("postgres", sql).is_empty())
                };
                if !until("all rows are copied", &mut || reached.exists() && idle()) {
                    return false;
                }
                // The last of them says so to the master a moment after its session has ended.
                std::thread::sleep(Duration::from_millis(300));
                let before = self.files(0, ".gz");
                hold.stopped = self.hosts.workers(HOLDING_HOST);
                hold.stopped.iter().for_each(|pid| signal(*pid, Signal::STOP));
                let _ = fs::remove_file(&self.gate);
                until("other hosts have given their files their names", &mut || {
                    self.files(0, ".gz") > before
                })
            }
        }
    }

    /// Files of a segment's dumps whose names end so.
    pub(super) fn files(&self, content: usize, end: &str) -> usize {
        let days = fs::read_dir(self.dumps_of(content)).into_iter().flatten().flatten();
        days.flat_map(|day| fs::read_dir(day.path()).into_iter().flatten().flatten())
            .filter(|file| file.file_name().to_string_lossy().ends_with(end))
            .count()
    }
}

impl Hold {
    /// Lets the run go on. Does not wait: the server that is asked may be the one that hangs.
    pub fn release(&mut self) {
        if let Some(gate) = self.gate.take() {
            let _ = fs::remove_file(gate);
        }
        for pid in self.stopped.drain(..) {
            signal(pid, Signal::CONT);
        }
        for session in self.sessions.drain(..) {
            std::thread::spawn(move || {
                let _ = session.try_sql("ROLLBACK; SELECT pg_advisory_unlock_all()");
            });
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
