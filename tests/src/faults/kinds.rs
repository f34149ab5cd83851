//! The faults: how each is made, undone, and what a run that fails of it has to name.

use std::fs;
use std::io::Write;

use gpdump_testkit::client::Session;
use gpdump_testkit::{Cluster, Instance, Login};
use rustix::process::Signal;

use super::Phase;
use super::stage::{BAD_HOST, BAD_SEGMENT, SOURCE, Stage, TARGET};
use crate::signal;

/// One kind of fault.
pub struct Fault {
    pub name: &'static str,
    /// When it can come.
    pub when: When,
    /// Words that a run which fails must say, each group in one of its forms.
    pub names: &'static [&'static [&'static str]],
    /// A run that meets it may not end well.
    pub is_fatal_at: fn(Phase) -> bool,
    pub inject: fn(&mut Scene<'_>),
    pub heal: fn(&mut Scene<'_>),
}

/// When a fault can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the run, and at each of its phases.
    Always,
    /// Before the run only: later nobody would notice.
    First,
    /// To a run that is there: in the first phase, as soon as it has a worker on the bad host.
    Running,
    /// To a run that is there, and at these phases only: at others it is another fault, or none.
    At(&'static [Phase]),
}

impl Fault {
    /// Whether the matrix has a cell for it.
    pub fn comes_at(&self, phase: Phase, on_greenplum: bool) -> bool {
        // There no row is copied before pg_dump has the snapshot, and it is held before that.
        if on_greenplum && self.name == "host killed together with pg_dump" {
            return false;
        }
        match self.when {
            When::Always | When::Running => true,
            When::First => phase.is_first(),
            When::At(phases) => phases.contains(&phase),
        }
    }
}

/// What a fault can touch.
pub struct Scene<'a> {
    pub stage: &'a Stage,
    pub phase: Phase,
    /// The program, once it runs.
    pub pid: Option<u32>,
    /// Sessions that the fault needs to stay open.
    pub sessions: Vec<Session>,
    /// Statements that wait in sessions of their own.
    pub waiting: Vec<std::thread::JoinHandle<Result<(), String>>>,
    /// Nobody reads the output of the program from now on.
    pub close_output: bool,
}

impl Scene<'_> {
    fn cluster(&self) -> &Cluster {
        &self.stage.cluster
    }

    fn bad(&self) -> &Instance {
        self.stage.cluster.segment(BAD_SEGMENT)
    }

    fn database(&self) -> &'static str {
        if self.phase.is_dump() { SOURCE } else { TARGET }
    }

    /// Runs a statement through the master, in a thread: it may have to wait for the run under test.
    fn start(&mut self, sql: &str) {
        let session = match self.phase {
            // Before a restore the tables are not there.
            Phase::RestoreCheck => return,
            _ => self.cluster().session(self.database()),
        };
        let sql = sql.to_owned();
        let thread = std::thread::spawn(move || {
            // Outside of a transaction the emulated master would let go of its lock before the segments have taken theirs.
            ["BEGIN", &sql, "COMMIT"]
                .into_iter()
                .try_for_each(|part| session.try_sql(part).map(drop))
        });
        self.waiting.push(thread);
        std::thread::sleep(std::time::Duration::from_millis(150));
    }

    fn each_server(&self, sql: &str) {
        let servers = std::iter::once(self.cluster().master()).chain(self.cluster().segments());
        for server in servers {
            let _ = self.cluster().try_sql_behind(server, "postgres", sql);
        }
    }
}

const HOST: &[&str] = &["sdw2"];
const HOST_OR_PLACE: &[&str] = &["sdw2", "seg2/db_dumps"];
// What the dispatcher of the tests says of a segment comes from the master.
const SEGMENT: &[&str] = &["segment 2", "segment 3", "the master", "master (dbid 1,", "pg_dump"];
const MASTER: &[&str] = &["master", "pg_dump", "Master"];

fn always(_: Phase) -> bool {
    true
}

fn never(_: Phase) -> bool {
    false
}

fn nothing(_: &mut Scene<'_>) {}

pub static FAULTS: &[Fault] = &[
    Fault {
        name: "host cut off",
        when: When::Always,
        names: &[HOST],
        is_fatal_at: |phase| phase != Phase::RestorePostData,
        inject: |scene| scene.stage.hosts.cut_off(BAD_HOST),
        heal: |scene| scene.stage.hosts.reconnect(BAD_HOST),
    },
    Fault {
        name: "host killed",
        when: When::Always,
        names: &[HOST],
        is_fatal_at: always,
        inject: |scene| scene.stage.hosts.kill_all(BAD_HOST),
        heal: |scene| {
            scene.stage.hosts.start_sshd(BAD_HOST);
            for content in [BAD_SEGMENT, BAD_SEGMENT + 1] {
                let segment = scene.cluster().segment(content);
                scene.cluster().stop_server(segment);
                scene.cluster().start_server_again(segment);
            }
        },
    },
    Fault {
        // The master's own work fails first, and nothing of the dump waits for the host any more. Its worker hangs before it
        // dies, so that it cannot be the first.
        name: "host killed together with pg_dump",
        when: When::At(&[Phase::DumpDdl]),
        names: &[HOST, &["pg_dump"], &["files named *"]],
        is_fatal_at: always,
        inject: |scene| {
            // The cut is taken, and rows are copied.
            crate::within(
                std::time::Duration::from_secs(30),
                "files are written on the host",
                || scene.stage.files(BAD_SEGMENT, "gz.partial") > 0,
            );
            std::thread::sleep(std::time::Duration::from_millis(500));
            for pid in scene.stage.hosts.workers(BAD_HOST) {
                signal(pid, Signal::STOP);
            }
            for pid in scene.stage.hosts.processes_of_master() {
                let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                if words.contains("bin/pg_dump\0") {
                    signal(pid, Signal::KILL);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(700));
            scene.stage.hosts.kill_all(BAD_HOST);
        },
        heal: |scene| (fault_named("host killed").heal)(scene),
    },
    Fault {
        name: "ssh refuses",
        when: When::Always,
        names: &[HOST],
        is_fatal_at: Phase::is_first,
        inject: |scene| scene.stage.hosts.stop_sshd(BAD_HOST),
        heal: |scene| scene.stage.hosts.start_sshd(BAD_HOST),
    },
    Fault {
        name: "ssh hangs",
        when: When::Always,
        names: &[HOST],
        is_fatal_at: Phase::is_first,
        inject: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::Hangs),
        heal: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::Ordinary),
    },
    Fault {
        name: "slow link",
        when: When::Always,
        names: &[],
        is_fatal_at: never,
        inject: |scene| scene.stage.hosts.slow(BAD_HOST, 512),
        heal: |scene| scene.stage.hosts.full_speed(BAD_HOST),
    },
    Fault {
        name: "disk of a host full",
        when: When::Always,
        // The small file system lies over the directory: a restore misses its files there.
        names: &[
            HOST_OR_PLACE,
            &[
                "No space left",
                "insufficient disk space",
                "storage full",
                "No dump file",
                "No such file",
            ],
        ],
        is_fatal_at: |phase| matches!(phase, Phase::DumpStart | Phase::DumpLocks),
        inject: |scene| {
            let dumps = scene.stage.dumps_of(BAD_SEGMENT);
            // A restore reads what is there; only its status file has to be written.
            match scene.phase {
                Phase::DumpStart => scene.stage.hosts.mount_small(&dumps, 64),
                _ => fill(scene, BAD_SEGMENT),
            }
        },
        heal: |scene| {
            if scene.phase == Phase::DumpStart {
                scene.stage.hosts.unmount(&scene.stage.dumps_of(BAD_SEGMENT));
            } else {
                unfill(scene);
            }
        },
    },
    Fault {
        name: "read-only dump directory",
        when: When::Always,
        names: &[HOST, &["Read-only file system", "read-only"]],
        is_fatal_at: |phase| matches!(phase, Phase::DumpStart | Phase::DumpLocks),
        inject: |scene| scene.stage.hosts.mount_read_only(&scene.stage.dumps_of(BAD_SEGMENT)),
        heal: |scene| scene.stage.hosts.unmount(&scene.stage.dumps_of(BAD_SEGMENT)),
    },
    Fault {
        name: "wrong clock on a host",
        when: When::First,
        names: &[],
        is_fatal_at: never,
        inject: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::WrongClock),
        heal: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::Ordinary),
    },
    Fault {
        name: "another version on a host",
        when: When::First,
        names: &[HOST, &["version"]],
        is_fatal_at: always,
        inject: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::OtherVersion),
        heal: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::Ordinary),
    },
    Fault {
        name: "no program on a host",
        when: When::First,
        names: &[HOST, &["is not on host"]],
        is_fatal_at: always,
        inject: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::NoProgram),
        heal: |scene| scene.stage.hosts.set_login(BAD_HOST, Login::Ordinary),
    },
    Fault {
        name: "segment server stops",
        when: When::Always,
        names: &[SEGMENT],
        is_fatal_at: |phase| phase != Phase::DumpFinish && phase != Phase::DumpDdl,
        inject: |scene| scene.cluster().stop_server(scene.bad()),
        heal: |scene| {
            scene.cluster().stop_server(scene.bad());
            scene.cluster().start_server_again(scene.bad());
        },
    },
    Fault {
        name: "segment server hangs",
        when: When::Always,
        names: &[SEGMENT],
        is_fatal_at: |phase| phase != Phase::DumpFinish && phase != Phase::DumpDdl,
        inject: |scene| scene.cluster().signal_server(scene.bad(), Signal::STOP),
        heal: |scene| scene.cluster().signal_server(scene.bad(), Signal::CONT),
    },
    Fault {
        name: "master hangs",
        when: When::Always,
        names: &[MASTER],
        // At the end of a dump the master has no part any more but the row in the history: status 1.
        is_fatal_at: |phase| !matches!(phase, Phase::RestorePostData | Phase::DumpFinish),
        inject: |scene| scene.cluster().signal_server(scene.cluster().master(), Signal::STOP),
        heal: |scene| scene.cluster().signal_server(scene.cluster().master(), Signal::CONT),
    },
    Fault {
        name: "master restarts",
        when: When::Always,
        names: &[MASTER],
        is_fatal_at: |phase| !phase.is_first() && phase != Phase::DumpFinish,
        inject: |scene| {
            scene.cluster().stop_server(scene.cluster().master());
            scene.cluster().start_server_again(scene.cluster().master());
        },
        heal: nothing,
    },
    Fault {
        name: "no free connection on a segment",
        when: When::Always,
        names: &[
            SEGMENT,
            &["too many clients", "connection slots", "connection limit exceeded"],
        ],
        is_fatal_at: |phase| matches!(phase, Phase::DumpStart | Phase::RestoreCheck),
        inject: |scene| {
            for _ in 0..60 {
                let filled = scene
                    .cluster()
                    .try_sql_behind(scene.bad(), "postgres", "SELECT 1")
                    .is_err();
                if filled {
                    return;
                }
                let session = scene.bad().try_session("postgres");
                scene.sessions.extend(session.ok());
            }
            panic!("a server with 30 connections took 60");
        },
        heal: |scene| scene.sessions.clear(),
    },
    Fault {
        name: "no free lock on a segment",
        when: When::Always,
        names: &[SEGMENT, &["max_locks_per_transaction"]],
        // A restore tells each definition that a server refused; what a Greenplum refuses so is status 1.
        is_fatal_at: |phase| phase == Phase::DumpStart,
        inject: |scene| {
            let session = scene.bad().session("postgres");
            // Locks of a session survive the statement that was refused one too many.
            let refused = session.try_sql("SELECT pg_advisory_lock(i) FROM generate_series(1, 1000000) i");
            assert!(refused.is_err_and(|said| said.contains("out of shared memory")));
            scene.sessions.push(session);
        },
        heal: |scene| scene.sessions.clear(),
    },
    Fault {
        name: "table dropped",
        when: When::Always,
        names: &[&["spare"]],
        is_fatal_at: never,
        inject: |scene| scene.start("DROP TABLE public.spare"),
        heal: |scene| bring_back(scene),
    },
    Fault {
        name: "table altered",
        when: When::Always,
        names: &[&["spare"]],
        is_fatal_at: never,
        inject: |scene| scene.start("ALTER TABLE public.spare ADD COLUMN more integer"),
        heal: |scene| bring_back(scene),
    },
    Fault {
        name: "table locked exclusively",
        when: When::Always,
        names: &[&["public.t1", "pg_dump"]],
        is_fatal_at: |phase| phase == Phase::DumpStart,
        inject: |scene| {
            if scene.phase == Phase::RestoreCheck {
                return;
            }
            let session = scene.cluster().session(scene.database());
            session.sql("BEGIN");
            let other = session.clone();
            let thread = std::thread::spawn(move || other.try_sql("LOCK TABLE public.t1").map(drop));
            scene.waiting.push(thread);
            scene.sessions.push(session);
            std::thread::sleep(std::time::Duration::from_millis(150));
        },
        heal: |scene| {
            scene.sessions.clear();
            scene.each_server(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name = 'testkit' AND query LIKE 'LOCK TABLE public.t1%'",
            );
        },
    },
    Fault {
        name: "database made anew",
        when: When::At(&[
            Phase::DumpLocks,
            Phase::DumpDdl,
            Phase::DumpData,
            Phase::DumpFinish,
            Phase::RestoreDdl,
            Phase::RestoreData,
            Phase::RestorePostData,
            Phase::RestoreExisting,
        ]),
        names: &[],
        is_fatal_at: |phase| phase != Phase::DumpFinish,
        inject: make_anew,
        heal: |scene| {
            if scene.phase.is_dump() {
                make_anew(scene);
                scene.cluster().sql("postgres", &format!("DROP DATABASE {SOURCE}"));
                scene.stage.load();
            }
        },
    },
    Fault {
        name: "another server becomes primary",
        when: When::At(&[Phase::DumpLocks, Phase::DumpDdl, Phase::DumpData, Phase::DumpFinish]),
        names: &[&["The cluster changed during the dump"], SEGMENT, HOST],
        is_fatal_at: |phase| phase != Phase::DumpFinish,
        inject: |scene| change_dbid(scene, BAD_SEGMENT as i32 + 2, 77),
        heal: |scene| change_dbid(scene, 77, BAD_SEGMENT as i32 + 2),
    },
    Fault {
        name: "statements cancelled",
        when: When::Running,
        names: &[],
        is_fatal_at: never,
        inject: |scene| scene.each_server(&of_ours("pg_cancel_backend")),
        heal: nothing,
    },
    Fault {
        name: "sessions terminated",
        when: When::Running,
        names: &[],
        is_fatal_at: |phase| !phase.is_first() && phase != Phase::DumpFinish,
        inject: |scene| scene.each_server(&of_ours("pg_terminate_backend")),
        heal: nothing,
    },
    Fault {
        name: "worker killed",
        when: When::Running,
        names: &[HOST],
        is_fatal_at: |phase| !phase.is_first() && phase != Phase::RestorePostData,
        inject: |scene| {
            for pid in scene.stage.hosts.workers(BAD_HOST) {
                signal(pid, Signal::KILL);
            }
        },
        heal: nothing,
    },
    Fault {
        name: "program killed",
        when: When::Running,
        names: &[],
        is_fatal_at: always,
        inject: |scene| {
            if let Some(pid) = scene.pid {
                signal(pid, Signal::KILL);
            }
        },
        heal: nothing,
    },
    Fault {
        name: "program told to end (SIGTERM)",
        when: When::Running,
        names: &[&["interrupted"]],
        is_fatal_at: |phase| !phase.is_first(),
        inject: |scene| {
            if let Some(pid) = scene.pid {
                signal(pid, Signal::TERM);
            }
        },
        heal: nothing,
    },
    Fault {
        name: "reader of the output gone",
        when: When::Always,
        names: &[],
        is_fatal_at: never,
        inject: |scene| scene.close_output = true,
        heal: nothing,
    },
    Fault {
        name: "disk of the log full",
        when: When::Always,
        names: &[&["log"]],
        is_fatal_at: never,
        inject: |scene| {
            let logs = scene.stage.log_directory();
            scene.stage.hosts.mount_small(&logs, 64);
            fill_directory(&logs);
        },
        heal: |scene| scene.stage.hosts.unmount(&scene.stage.log_directory()),
    },
];

/// The fault of this name.
pub fn fault_named(name: &str) -> &'static Fault {
    FAULTS
        .iter()
        .find(|fault| fault.name == name)
        .unwrap_or_else(|| panic!("no fault is called {name:?}"))
}

/// Does something to every session of the programs on a server.
fn of_ours(function: &str) -> String {
    format!(
        "SELECT {function}(pid) FROM pg_stat_activity WHERE application_name LIKE 'gpcrondump%' \
         OR application_name LIKE 'gpdbrestore%'"
    )
}

/// Throws everybody out of the database, drops it and creates it, empty.
fn make_anew(scene: &mut Scene<'_>) {
    let database = scene.database();
    let throw_out = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    );
    crate::within(std::time::Duration::from_secs(30), "the database is made anew", || {
        scene.each_server(&throw_out);
        let drop = format!("DROP DATABASE IF EXISTS {database}");
        let create = format!("CREATE DATABASE {database}");
        scene.cluster().try_sql("postgres", &drop).is_ok() && scene.cluster().try_sql("postgres", &create).is_ok()
    });
}

/// What the catalog tells after a mirror has taken over: the rows of a segment are with another instance.
fn change_dbid(scene: &Scene<'_>, from: i32, to: i32) {
    let cluster = scene.cluster();
    let on_master = |sql: &str| {
        let done = cluster.try_sql_behind(cluster.master(), "postgres", sql);
        done.unwrap_or_else(|error| panic!("{sql}: {error}"))
    };
    if cluster.is_greenplum() {
        let update = format!("UPDATE gp_segment_configuration SET dbid = {to} WHERE dbid = {from}");
        on_master(&format!("SET allow_system_table_mods = true; {update}"));
        return;
    }
    let file = cluster.master_data_dir().join("postgresql.conf");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replace(&format!("\"dbid\":{from},"), &format!("\"dbid\":{to},"));
    assert_ne!(text, changed, "dbid {from} is not in {}", file.display());
    fs::write(&file, changed).unwrap();
    on_master("SELECT pg_reload_conf()");
    crate::within(std::time::Duration::from_secs(10), "the master shows it", || {
        let sql = format!("SELECT 1 FROM gp_segment_configuration WHERE dbid = {to}");
        !on_master(&sql).is_empty()
    });
}

/// Makes the file system of a segment's dumps full: a small one is laid over it when the run has not opened a file there
/// yet.
fn fill(scene: &Scene<'_>, content: usize) {
    let dumps = scene.stage.dumps_of(content);
    let before: Vec<_> = fs::read_dir(&dumps)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    scene.stage.hosts.mount_small(&dumps, 64);
    for day in before {
        if let Some(name) = day.file_name() {
            fs::create_dir_all(dumps.join(name)).unwrap();
        }
    }
    fill_directory(&dumps);
}

fn unfill(scene: &Scene<'_>) {
    scene.stage.hosts.unmount(&scene.stage.dumps_of(BAD_SEGMENT));
}

fn fill_directory(directory: &std::path::Path) {
    let mut file = fs::File::create(directory.join("filler")).unwrap();
    while file.write_all(&[b'x'; 1024]).is_ok() {}
}

/// Waits for the statements that waited, and makes the table as it was.
fn bring_back(scene: &mut Scene<'_>) {
    for thread in scene.waiting.drain(..) {
        let _ = thread.join();
    }
    if !scene.phase.is_dump() {
        return;
    }
    let cluster = scene.cluster();
    cluster.sql(
        SOURCE,
        "DROP TABLE IF EXISTS public.spare; CREATE TABLE public.spare (id integer, v text)",
    );
    for (content, segment) in cluster.segments().iter().enumerate() {
        let first = content * 100_000;
        segment.sql(
            SOURCE,
            &format!(
                "INSERT INTO spare SELECT i, md5(i::text) FROM generate_series({first}, {}) i",
                first + 9
            ),
        );
    }
}
