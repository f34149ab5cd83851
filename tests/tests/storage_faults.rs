//! A fault at every request of a small dump into a bucket and of its restore (`docs/storage.md`). Some of them always;
//! `GPDUMP_STORAGE_FAULTS=all` for every request and every kind, or parts of names (`Dump&at request`). `GPDUMP_STORAGE_FAULTS_RECORD` names a file that keeps
//! each one that was tried, so that a run which was broken off goes on where it was.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::object_server::{Fault, FaultKind, Logged, ObjectServer};
use gpdump_testkit::{Cluster, Finished, Plain};
use gpdump_tests::DEMO;
use gpdump_tests::buckets::{dump, names, program, restore};

/// A hanging server is given up after the second of these, a broken one after the first.
const LIMITS: [&str; 4] = ["--connect-timeout", "2", "--silence-timeout", "3"];

/// No fault may hold a run for longer: a few silent requests one after the other, on a busy machine.
const LONGEST_SECONDS: f64 = 90.0;

/// What stays for good, beside the kinds that pass.
const LASTING: [FaultKind; 6] = [
    FaultKind::Denied,
    FaultKind::Reset,
    FaultKind::LostAnswer,
    FaultKind::InternalError,
    FaultKind::ShortBody,
    FaultKind::Hang,
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Run {
    Dump,
    Restore,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    run: Run,
    at: usize,
    kind: FaultKind,
    /// From there on, and not once.
    lasts: bool,
}

impl Cell {
    fn name(&self) -> String {
        let Cell { run, at, kind, lasts } = self;
        let when = if *lasts { "from request" } else { "at request" };
        format!("{run:?}, {kind:?} {when} {at}")
    }

    /// The line of the table that it is counted in.
    fn group(&self) -> (String, String) {
        let lasts = if self.lasts { "from there on" } else { "once" };
        (format!("{:?}", self.run), format!("{:?}, {lasts}", self.kind))
    }

    fn fault(&self) -> Fault {
        match self.lasts {
            true => Fault::from(self.at, self.kind),
            false => Fault::once(self.at, self.kind),
        }
    }
}

/// How it ended.
const IDENTICAL: &str = "status 0, identical";
const REFUSED: &str = "status 2, told, no set";
const REFUSED_RESTORE: &str = "status 2, told";
const WHOLE: &str = "status 2, told, the set is there and whole";
const NOTHING: &str = "the fault did not come";

/// How many requests a run makes.
#[derive(Debug, Clone, Copy)]
struct Requests {
    all: usize,
    /// The end of an upload in parts: the only ones whose answer may be good and hold an error.
    completions: usize,
}

impl Requests {
    /// Since the log was taken last.
    fn of(server: &ObjectServer) -> Requests {
        let log = server.take_log();
        let is_completion = |line: &&Logged| line.line.starts_with("POST") && line.line.contains("uploadId=");
        Requests {
            all: log.len(),
            completions: log.iter().filter(is_completion).count(),
        }
    }

    fn that_can(&self, kind: FaultKind) -> usize {
        match kind {
            FaultKind::ErrorInside => self.completions,
            _ => self.all,
        }
    }
}

/// A server, a database, and a good set of it.
struct Scene {
    cluster: Cluster,
    server: ObjectServer,
    before: Snapshot,
    key: String,
    set: Vec<(String, Arc<Vec<u8>>)>,
}

impl Scene {
    /// Also what a dump and a restore ask for.
    fn start() -> (Scene, [Requests; 2]) {
        let cluster = Plain::start();
        cluster.sql("postgres", &format!("CREATE DATABASE {DEMO}"));
        cluster.sql(
            DEMO,
            "CREATE TABLE t AS SELECT n, md5(n::text) AS t FROM generate_series(1, 400) n; CREATE INDEX ON t (n)",
        );
        let before = Snapshot::take(&cluster, DEMO);
        let server = ObjectServer::start();
        server.take_log();
        let key = dump(&cluster, &server, &["-H"]);
        let of_dump = Requests::of(&server);
        restore(&cluster, &server, &key, &["-e"]).expect_status(0);
        let of_restore = Requests::of(&server);
        let set = server.objects();
        let scene = Scene {
            cluster,
            server,
            before,
            key,
            set,
        };
        (scene, [of_dump, of_restore])
    }

    fn fill(&self, objects: &[(String, Arc<Vec<u8>>)]) {
        names(&self.server).iter().for_each(|name| self.server.set(name, None));
        for (name, bytes) in objects {
            self.server.set(name, Some(bytes.to_vec()));
        }
    }

    fn run(&self, cell: &Cell) -> String {
        let args: Vec<&str> = match cell.run {
            Run::Dump => vec!["-a", "-H", "-x", DEMO],
            Run::Restore => vec!["-a", "-e", "-t", &self.key],
        };
        let args: Vec<&str> = args.into_iter().chain(LIMITS).collect();
        self.fill(if cell.run == Run::Dump { &[] } else { &self.set });
        self.server.fail(&[cell.fault()]);
        let name = match cell.run {
            Run::Dump => "gpcrondump",
            Run::Restore => "gpdbrestore",
        };
        let began = Instant::now();
        let ended = program(name, &self.cluster, &self.server, &args).run();
        let seconds = began.elapsed().as_secs_f64();
        let has_struck = self.server.struck() > 0;
        self.server.fail(&[]);
        assert!(seconds < LONGEST_SECONDS, "it took {seconds} s");
        let outcome = match cell.run {
            Run::Dump => self.dumped(&ended),
            Run::Restore => self.restored(&ended),
        };
        match has_struck {
            true => {
                assert!(cell.lasts || outcome == IDENTICAL, "one fault was too many\n{ended:?}");
                outcome.to_owned()
            }
            false => {
                assert_eq!(outcome, IDENTICAL, "nothing went wrong, but {ended:?}");
                NOTHING.to_owned()
            }
        }
    }

    /// The set holds all of the database.
    fn assert_whole(&self, key: &str) {
        restore(&self.cluster, &self.server, key, &["--verify"]).expect_status(0);
        self.cluster.sql(DEMO, "DELETE FROM t");
        restore(&self.cluster, &self.server, key, &["-e"]).expect_status(0);
        assert_same(&self.before, &Snapshot::take(&self.cluster, DEMO));
    }

    fn dumped(&self, ended: &Finished) -> &'static str {
        let all = names(&self.server);
        let manifest = all.iter().find(|name| name.ends_with("_manifest.json"));
        match (ended.status, manifest) {
            (Some(0), _) => {
                self.assert_whole(&ended.timestamp_key());
                assert_eq!(self.server.open_uploads(), [] as [String; 0], "{ended:?}");
                IDENTICAL
            }
            (Some(2), None) => {
                assert_told(ended);
                REFUSED
            }
            // What was taken for an error had been done.
            (Some(2), Some(manifest)) => {
                assert_told(ended);
                let key = manifest.rsplit('/').next().and_then(|name| name.split('_').nth(2));
                self.assert_whole(key.expect("names of manifests have keys"));
                WHOLE
            }
            _ => panic!("{ended:?}"),
        }
    }

    fn restored(&self, ended: &Finished) -> &'static str {
        match ended.status {
            Some(0) => {
                assert_same(&self.before, &Snapshot::take(&self.cluster, DEMO));
                // The next one has something to do.
                self.cluster.sql(DEMO, "DELETE FROM t");
                IDENTICAL
            }
            Some(2) => {
                assert_told(ended);
                REFUSED_RESTORE
            }
            _ => panic!("{ended:?}"),
        }
    }
}

/// A sentence that says what could not be done.
#[track_caller]
fn assert_told(ended: &Finished) {
    let is_told = |line: &str| {
        (line.contains("[CRITICAL]") || line.contains("[ERROR]"))
            && ["could not", "Could not", "cannot be", "the storage says", "failed"]
                .iter()
                .any(|words| line.contains(words))
    };
    assert!(ended.stdout.lines().any(is_told), "no sentence: {ended:?}");
}

fn all_cells([of_dump, of_restore]: [Requests; 2]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (run, requests) in [(Run::Dump, of_dump), (Run::Restore, of_restore)] {
        for at in 1..=requests.all {
            let cell = |lasts: bool| move |kind| Cell { run, at, kind, lasts };
            let passing = FaultKind::PASSING
                .into_iter()
                .filter(|kind| at <= requests.that_can(*kind));
            cells.extend(passing.map(cell(false)));
            cells.extend(LASTING.into_iter().map(cell(true)));
        }
    }
    cells
}

/// Each kind in turn and a few places, and nothing that waits for silence.
fn some_cells([of_dump, of_restore]: [Requests; 2]) -> Vec<Cell> {
    let kinds = FaultKind::PASSING.len();
    let mut cells = all_cells([of_dump, of_restore]);
    cells.retain(|cell| {
        let (requests, every) = match cell.run {
            Run::Dump => (of_dump.all, 3),
            Run::Restore => (of_restore.all, 2),
        };
        if cell.lasts {
            let is_turn = (cell.at - 1) % (requests / 3) == 0;
            return is_turn && [FaultKind::Denied, FaultKind::Reset].contains(&cell.kind);
        }
        let kind = FaultKind::PASSING.iter().position(|kind| *kind == cell.kind);
        cell.kind != FaultKind::Hang && cell.at % every == 0 && Some(cell.at / every % kinds) == kind
    });
    cells
}

/// What was tried before, by name.
struct Record {
    path: Option<PathBuf>,
    known: BTreeMap<String, String>,
}

impl Record {
    fn from_environment() -> Record {
        let path = std::env::var_os("GPDUMP_STORAGE_FAULTS_RECORD").map(PathBuf::from);
        let text = path
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok())
            .unwrap_or_default();
        let known = text.lines().filter_map(|line| line.split_once('\t'));
        let known = known
            .map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
            .collect();
        Record { path, known }
    }

    fn keep(&self, name: &str, outcome: &str) {
        let Some(path) = &self.path else { return };
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{name}\t{outcome}").unwrap();
    }
}

#[test]
fn a_fault_at_any_request_ends_well_or_says_so_and_never_looks_whole() {
    let (scene, requests) = Scene::start();
    eprintln!("requests of a dump and of a restore: {requests:?}");
    let cells = match std::env::var("GPDUMP_STORAGE_FAULTS") {
        Ok(choice) => {
            let mut cells = all_cells(requests);
            cells.retain(|cell| choice == "all" || choice.split('&').all(|part| cell.name().contains(part)));
            cells
        }
        Err(_) => some_cells(requests),
    };
    let record = Record::from_environment();
    let mut wrong: Vec<String> = Vec::new();
    let mut counts: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
    for cell in &cells {
        let name = cell.name();
        let outcome = match record.known.get(&name) {
            Some(outcome) => outcome.clone(),
            None => {
                let outcome = catch_unwind(AssertUnwindSafe(|| scene.run(cell))).unwrap_or_else(|panic| {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                    format!("wrong: {}", text.replace('\n', "\\n"))
                });
                record.keep(&name, &outcome);
                outcome
            }
        };
        if outcome.starts_with("wrong: ") {
            wrong.push(format!("{name}: {}", outcome.replace("\\n", "\n")));
        }
        let kind = outcome.split(':').next().unwrap_or_default().to_owned();
        *counts.entry(cell.group()).or_default().entry(kind).or_default() += 1;
    }
    for ((run, kind), outcomes) in &counts {
        eprintln!("{run}, {kind}: {outcomes:?}");
    }
    let of = |wanted: &str| {
        counts
            .values()
            .filter_map(|outcomes| outcomes.get(wanted))
            .sum::<usize>()
    };
    eprintln!("{} cells, {} of them without the fault", cells.len(), of(NOTHING));
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n\n")
    );
}
