//! One cell: a run, held at a phase, hit, let go, and judged.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::kinds::{Fault, Scene, When};
use super::stage::{BAD_HOST, ROWS, SOURCE, Stage, TARGET};
use super::{BOUND, Phase, SILENCE};
use crate::{signal, within};

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    pub fault: &'static str,
    pub phase: Phase,
    /// `None`: a signal ended the program.
    pub status: Option<i32>,
    /// From the fault to the end.
    pub seconds: f64,
    /// What stayed behind and was named by the program.
    pub named_leftovers: Vec<String>,
    /// What is wrong with it; empty when it is as it has to be.
    pub wrong: Vec<String>,
    /// The first thing that the program said about it.
    pub message: String,
}

/// Runs one cell, and makes everything good again.
pub fn run_cell(stage: &Stage, fault: &'static Fault, phase: Phase) -> Cell {
    let mut wrong = Vec::new();
    stage.make_ready(phase);
    let mut hold = stage.hold(phase);
    let mut scene = Scene {
        stage,
        phase,
        pid: None,
        sessions: Vec::new(),
        waiting: Vec::new(),
        close_output: false,
    };
    let mut since = Instant::now();
    if phase.is_first() && fault.when != When::Running {
        (fault.inject)(&mut scene);
        since = Instant::now();
    }
    let mut child = stage.program_of(phase).spawn();
    scene.pid = Some(child.id());
    let output = Output::of(&mut child, scene.close_output);
    let reached = stage.wait_for(phase, &mut hold, || child.try_wait().is_ok_and(|end| end.is_some()));
    if !reached {
        wrong.push("it ended before the phase was reached".to_owned());
    }
    if phase.is_first() && fault.when == When::Running {
        within(Duration::from_secs(60), "the run has a worker", || {
            !stage.hosts.workers(BAD_HOST).is_empty() || child.try_wait().is_ok_and(|end| end.is_some())
        });
    }
    if !phase.is_first() || fault.when == When::Running {
        (fault.inject)(&mut scene);
        if scene.close_output {
            output.close();
        }
        since = Instant::now();
    }
    hold.release();
    let status = wait(&mut child, Duration::from_secs(BOUND + 30));
    let seconds = since.elapsed().as_secs_f64();
    if seconds > BOUND as f64 {
        wrong.push(format!("it took {seconds:.0} s"));
    }
    let said = output.text();
    (fault.heal)(&mut scene);
    drop(scene);
    let named_leftovers = look_for_leftovers(stage, &said, status.is_none(), &mut wrong);
    judge(stage, fault, phase, status, &said, &mut wrong);
    if let Err(problem) = next_run(stage, phase) {
        wrong.push(problem);
    }
    Cell {
        fault: fault.name,
        phase,
        status,
        seconds,
        named_leftovers,
        message: first_complaint(&said),
        wrong: match wrong.is_empty() {
            true => wrong,
            false => {
                let mut told = wrong;
                told.push(format!("it said:\n{said}"));
                told
            }
        },
    }
}

/// What a program writes, read as it comes.
struct Output {
    text: Arc<Mutex<String>>,
    is_closed: Arc<AtomicBool>,
}

impl Output {
    fn of(child: &mut Child, is_closed: bool) -> Output {
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("it is piped"));
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("it is piped"));
        let output = Output {
            text: Arc::default(),
            is_closed: Arc::new(AtomicBool::new(is_closed)),
        };
        for mut pipe in [stdout, stderr] {
            let (text, is_closed) = (Arc::clone(&output.text), Arc::clone(&output.is_closed));
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while !is_closed.load(Ordering::Relaxed) {
                    match pipe.read(&mut buffer) {
                        Ok(n @ 1..) => text.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n])),
                        _ => return,
                    }
                }
            });
        }
        output
    }

    /// The next write is the last that is read; those behind it meet a broken pipe.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    fn text(&self) -> String {
        // What was written last may not have been read yet.
        std::thread::sleep(Duration::from_millis(50));
        self.text.lock().unwrap().clone()
    }
}

/// `None`: a signal ended it.
fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(Some(end)) = child.try_wait() {
            return end.code();
        }
        if Instant::now() > deadline {
            signal(child.id(), Signal::KILL);
            return child.wait().ok().and_then(|end| end.code());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first line that is an error or a warning.
fn first_complaint(said: &str) -> String {
    let level = |line: &&str| {
        ["[CRITICAL]", "[ERROR]", "[WARNING]"]
            .iter()
            .any(|level| line.contains(level))
    };
    let is_usual = |line: &&str| line.contains("-o option not specified") || line.contains("mail_contacts");
    let line = said
        .lines()
        .find(|line| line.contains("[ERROR]") && !is_usual(line))
        .or_else(|| said.lines().find(|line| line.contains("[CRITICAL]")))
        .or_else(|| said.lines().find(|line| level(line) && !is_usual(line)));
    let line = line.unwrap_or_default();
    line.split_once("]:-").map_or(line, |(_, text)| text).to_owned()
}

/// Waits as long as a cut-off worker may need, and then complains of everything that is left. Files that the program
/// named are given back, and removed.
fn look_for_leftovers(stage: &Stage, said: &str, was_killed: bool, wrong: &mut Vec<String>) -> Vec<String> {
    // A process of Greenplum's master that waits for a segment on a host that was cut off ends when TCP has sent again what was
    // lost, which may be long after the host is back. Nothing of ours can end it.
    let servers = if stage.cluster.is_greenplum() { 60 } else { 0 };
    let deadline = Instant::now() + Duration::from_secs(SILENCE + 6 + servers);
    let (mut left, mut open);
    loop {
        (left, open) = (processes(stage), sessions(stage));
        if (left.is_empty() && open.is_empty()) || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut named = Vec::new();
    // A session on a segment goes with the one of the master that is named.
    match said.contains("on the master was told to end and has not") {
        true => named.extend(open),
        false => left.extend(open),
    }
    wrong.extend(left.into_iter().map(|what| format!("left behind: {what}")));
    for file in unfinished_files(stage) {
        let directory = file.parent().map(|d| d.display().to_string()).unwrap_or_default();
        // A program that was killed can say nothing; its next run does.
        if said.contains(&directory) || was_killed {
            named.push(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
        } else {
            wrong.push(format!("left behind: {}", file.display()));
        }
        let _ = fs::remove_file(file);
    }
    named
}

fn processes(stage: &Stage) -> Vec<String> {
    let mut found = Vec::new();
    for host in 1..=stage.hosts.count() {
        for pid in stage.hosts.workers(host) {
            found.push(format!("a worker on {} (pid {pid})", stage.hosts.name(host)));
        }
    }
    for pid in stage.hosts.processes_of_master() {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let program = words.split(|byte| *byte == 0).next().unwrap_or_default();
        let program = String::from_utf8_lossy(program).into_owned();
        if ["gpcrondump", "gpdbrestore", "pg_dump", "ssh"]
            .iter()
            .any(|name| program.ends_with(name))
        {
            found.push(format!("{program} on the master (pid {pid})"));
        }
    }
    found
}

fn sessions(stage: &Stage) -> Vec<String> {
    let cluster = &stage.cluster;
    let mut found = Vec::new();
    for server in std::iter::once(cluster.master()).chain(cluster.segments()) {
        let sql = "SELECT application_name || ', ' || coalesce(query, '') FROM pg_stat_activity \
             WHERE application_name LIKE 'gpcrondump%' OR application_name LIKE 'gpdbrestore%' \
             OR application_name = 'pg_dump'";
        match cluster.try_sql_behind(server, "postgres", sql) {
            Ok(rows) => found.extend(
                rows.iter()
                    .map(|row| format!("session on content {}: {row:?}", server.content)),
            ),
            Err(error) => found.push(format!("content {} cannot be asked: {error}", server.content)),
        }
    }
    found
}

fn dump_files(stage: &Stage) -> Vec<PathBuf> {
    crate::dump_files(&stage.cluster)
}

fn unfinished_files(stage: &Stage) -> Vec<PathBuf> {
    let mut files = dump_files(stage);
    files.retain(|file| {
        file.to_string_lossy()
            .ends_with(gpdump_core::words::layout::PARTIAL_SUFFIX)
    });
    files
}

fn judge(stage: &Stage, fault: &Fault, phase: Phase, status: Option<i32>, said: &str, wrong: &mut Vec<String>) {
    let is_kill = fault.name == "program killed";
    match status {
        Some(0 | 1) => {
            if (fault.is_fatal_at)(phase) {
                wrong.push(format!("status {status:?}, though it cannot have ended well"));
            }
            if phase.is_dump() {
                check_set(stage, said, wrong);
            } else {
                check_rows(stage, said, status == Some(1), wrong);
            }
        }
        Some(2) => {
            for group in fault.names {
                if !group.iter().any(|word| said.contains(word)) {
                    wrong.push(format!("no word of {group:?} was said"));
                }
            }
            if phase.is_dump()
                && let Some(key) = key_of(said)
                && dump_files(stage).iter().any(|file| is_manifest_of(file, &key))
            {
                wrong.push("it failed, and there is a manifest".to_owned());
            }
        }
        None if is_kill => {}
        other => wrong.push(format!("status {other:?}")),
    }
}

fn key_of(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("Timestamp key = ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

fn is_manifest_of(file: &Path, key: &str) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.contains("manifest") && name.contains(key)
}

/// The set that is said to be whole has a manifest, all files with their sizes, and all rows.
fn check_set(stage: &Stage, said: &str, wrong: &mut Vec<String>) {
    // When nobody read the output, the newest manifest is the one.
    let files = dump_files(stage);
    let manifests = files.iter().filter(|file| file.to_string_lossy().contains("manifest"));
    let manifest = match key_of(said) {
        Some(key) => manifests.filter(|file| is_manifest_of(file, &key)).max(),
        None => manifests.max(),
    };
    let Some(path) = manifest else {
        wrong.push("status 0 or 1 without a manifest".to_owned());
        return;
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let manifest = match gpdump_core::format::manifest::Manifest::parse(&text) {
        Ok(manifest) => manifest,
        Err(error) => {
            wrong.push(format!("the manifest cannot be read: {error}"));
            return;
        }
    };
    for instance in &manifest.instances {
        for stamp in &instance.files {
            let path = instance.directory.join(&stamp.name);
            let size = fs::metadata(path.local().expect("a path")).map(|meta| meta.len()).ok();
            if size != Some(stamp.size) {
                wrong.push(format!(
                    "{} has {size:?} bytes, the manifest says {}",
                    path.display(),
                    stamp.size
                ));
            }
        }
    }
    let segments = stage.cluster.segments().len() as u64;
    for (table, rows) in ROWS {
        let found = manifest.tables.iter().find(|facts| facts.table.name == table);
        let found = found.map(|facts| facts.totals.rows);
        // The test itself drops this one in some cells.
        if found != Some(rows * segments) && table != "spare" {
            wrong.push(format!("table {table}: {found:?} rows in the manifest"));
        }
    }
}

/// A restore that says it went well has brought all rows, and what comes after them. With status 1 (the server refused some
/// of it) what is missing has to be named.
fn check_rows(stage: &Stage, said: &str, may_lack: bool, wrong: &mut Vec<String>) {
    let is_told = |name: &str| {
        let named = format!("public.{name}");
        may_lack
            && said
                .lines()
                .any(|line| line.contains("[ERROR]") && line.contains(&named))
    };
    for (content, segment) in stage.cluster.segments().iter().enumerate() {
        for ((table, _), rows) in ROWS.into_iter().zip(&stage.counts[content]) {
            if table == "spare" || is_told(table) {
                continue;
            }
            let sql = format!("SELECT count(*) FROM public.{table}");
            let count = stage
                .cluster
                .try_sql_behind(segment, TARGET, &sql)
                .map(|rows| rows[0][0].clone().unwrap_or_default());
            if count.as_deref() != Ok(rows.to_string().as_str()) {
                wrong.push(format!("segment {content}, table {table}: {count:?} rows of {rows}"));
            }
        }
        let index = "SELECT 1 FROM pg_indexes WHERE indexname IN ('checked_gated', 't0_pkey')";
        let indexes = stage.cluster.try_sql_behind(segment, TARGET, index);
        if indexes.as_ref().map(Vec::len) != Ok(2) && !is_told("checked_gated") && !is_told("checked") {
            wrong.push(format!("segment {content} has not all indexes: {indexes:?}"));
        }
    }
}

/// The same again, without the fault.
fn next_run(stage: &Stage, phase: Phase) -> Result<(), String> {
    stage.make_ready_again(phase);
    let end = stage.program_of(phase).run();
    match end.status {
        Some(0) => Ok(()),
        other => Err(format!(
            "the next run on {SOURCE} ended with {other:?}:\n{}{}",
            end.stdout, end.stderr
        )),
    }
}
