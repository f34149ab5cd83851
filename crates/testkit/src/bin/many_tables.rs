//! How long a dump of very many tables takes to decide: 50,000 tables of which a list names 25,000 (issue 3), and
//! 100,000 append-optimized partitions of which 10 changed (issue 5).
//!
//! The servers are real, a master and one segment, with the testkit's catalog of append-optimized tables; the tables are
//! all but empty. `scripts/bench-many-tables.sh` builds and runs it. Says when each line of the program came, what the
//! program itself used (its workers and pg_dump are other processes), and ends with status 1 when a limit is passed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs, thread};

use gpdump_testkit::{Cluster, ClusterSpec, Program};

const DATABASE: &str = "many";
/// What a list of half of 50,000 tables may cost.
const LIST_LIMITS: Limits = Limits {
    planning_seconds: 10.0,
    own_cpu_seconds: 10.0,
    memory_mib: 300,
};
/// What an increment with 100,000 leaves may cost: of our own, ten seconds. Servers read a relation of counters for each leaf.
const LEAF_LIMITS: Limits = Limits {
    planning_seconds: 20.0,
    own_cpu_seconds: 10.0,
    memory_mib: 500,
};
/// Tables made in one transaction.
const AT_ONCE: usize = 2000;
/// Partitions of one parent.
const LEAVES: usize = 500;

fn number(name: &str, usual: usize) -> usize {
    env::var(name).ok().map_or(usual, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

struct Limits {
    /// From the start until rows are copied, without waiting for locks; most of it is the servers' time.
    planning_seconds: f64,
    own_cpu_seconds: f64,
    memory_mib: u64,
}

fn main() -> ExitCode {
    let tables = number("MANY_TABLES", 50_000);
    let leaves = number("MANY_LEAVES", 100_000);
    let locks: &'static str = Box::leak((tables.max(leaves * 2) / 30 + 64).to_string().into_boxed_str());
    let cluster = Cluster::start(ClusterSpec {
        settings: vec![("max_locks_per_transaction", locks), ("autovacuum", "off")],
        ..ClusterSpec::segments(1)
    });
    let mut well = true;
    if tables > 0 {
        well &= list_of_half(&cluster, tables);
    }
    if leaves > 0 {
        well &= increment(&cluster, leaves);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A dump with a list of every second table, partitions among them.
fn list_of_half(cluster: &Cluster, tables: usize) -> bool {
    create_database(cluster);
    let started = Instant::now();
    let plain = tables / 2;
    make(cluster, plain, |n| {
        format!("CREATE TABLE plain_{n} (id int, name text)")
    });
    let parents = tables - plain;
    make_partitions(cluster, "p", parents, "");
    println!("{tables} tables made in {:.0} s", started.elapsed().as_secs_f64());
    let mut list = String::new();
    for n in (0..plain).step_by(2) {
        list += &format!("public.plain_{n}\n");
    }
    for n in (0..parents).step_by(2) {
        list += &format!("public.p{}_{}\n", n / LEAVES, n % LEAVES);
    }
    let file = cluster.home().join("list");
    fs::write(&file, list).expect("the list can be written");
    let dump = dump(cluster, &["--table-file", file.to_str().expect("made of ASCII")]);
    dump.say(&format!("{tables} tables, a list of {}", tables / 2));
    cluster.sql("postgres", &format!("DROP DATABASE {DATABASE}"));
    dump.is_within(&LIST_LIMITS)
}

/// A full dump, ten changes, an increment.
fn increment(cluster: &Cluster, leaves: usize) -> bool {
    create_database(cluster);
    let started = Instant::now();
    make_partitions(cluster, "p", leaves, "USING ao_row");
    cluster.sql(DATABASE, COUNTERS);
    cluster.sql(DATABASE, OPERATIONS);
    println!(
        "{leaves} append-optimized partitions made in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    let full = dump(cluster, &[]);
    full.say("full dump");
    for n in 0..10 {
        let leaf = n * leaves / 10;
        let (parent, leaf) = (leaf / LEAVES, leaf % LEAVES);
        let change = format!(
            "INSERT INTO p{parent}_{leaf} VALUES ({leaf}, 'new');
             DO $$ BEGIN EXECUTE format('INSERT INTO pg_aoseg.pg_aoseg_%s VALUES (1, 1)', 'p{parent}_{leaf}'::regclass::oid);
             END $$"
        );
        cluster.segment_sql(0, DATABASE, &change);
    }
    let increment = dump(cluster, &["--incremental"]);
    increment.say(&format!("increment, 10 of {leaves} changed"));
    let started = Instant::now();
    let mut ddl = cluster.tool("pg_dump");
    ddl.args(["--schema-only", "--file=/dev/null", DATABASE]);
    let went = ddl.status().expect("pg_dump can be run");
    println!(
        "pg_dump --schema-only of the same, alone: {:.1} s{}",
        started.elapsed().as_secs_f64(),
        if went.success() { "" } else { ", and it failed" }
    );
    let copied = increment
        .lines
        .iter()
        .any(|(_, line)| line.contains("the rows of 10 tables are copied"));
    if !copied {
        println!("the increment did not copy the 10 tables that changed");
        for (_, line) in &increment.lines {
            println!("{line}");
        }
    }
    copied && full.end && increment.is_within(&LEAF_LIMITS)
}

fn create_database(cluster: &Cluster) {
    cluster.sql("postgres", &format!("CREATE DATABASE {DATABASE}"));
    // The catalog's own trigger looks through all tables after each statement.
    cluster.sql(DATABASE, "ALTER EVENT TRIGGER testkit_after_ddl DISABLE");
}

/// What the trigger would have made for each table, on each server.
const COUNTERS: &str = "DO $$ DECLARE leaf oid; made int := 0; BEGIN
  FOR leaf IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relam IN (7024, 7025) LOOP
    EXECUTE format('CREATE TABLE pg_aoseg.pg_aoseg_%s (segno int, modcount bigint) USING heap', leaf);
    made := made + 1;
    IF made % 2000 = 0 THEN COMMIT; END IF;
  END LOOP;
END $$";

const OPERATIONS: &str = "INSERT INTO pg_catalog.pg_stat_last_operation
  SELECT 'pg_catalog.pg_class'::regclass, oid, 'CREATE', 10, session_user, 'TABLE', clock_timestamp()
  FROM pg_class WHERE relkind = 'r' AND relam IN (7024, 7025)";

/// On the master, and by it on the segments.
fn make(cluster: &Cluster, count: usize, statement: impl Fn(usize) -> String) {
    for first in (0..count).step_by(AT_ONCE) {
        let statements: Vec<String> = (first..(first + AT_ONCE).min(count)).map(&statement).collect();
        cluster.sql(DATABASE, &format!("BEGIN; {}; COMMIT", statements.join("; ")));
    }
}

fn make_partitions(cluster: &Cluster, name: &str, leaves: usize, storage: &str) {
    let parents = leaves.div_ceil(LEAVES);
    make(cluster, parents, |n| {
        format!("CREATE TABLE {name}{n} (id int, name text) PARTITION BY LIST (id)")
    });
    make(cluster, leaves, |n| {
        let (parent, leaf) = (n / LEAVES, n % LEAVES);
        format!("CREATE TABLE {name}{parent}_{leaf} PARTITION OF {name}{parent} FOR VALUES IN ({leaf}) {storage}")
    });
}

/// What a run said and used.
struct Dump {
    /// Seconds from the start, and what was said then.
    lines: Vec<(f64, String)>,
    end: bool,
    seconds: f64,
    cpu: f64,
    memory_mib: u64,
}

fn dump(cluster: &Cluster, options: &[&str]) -> Dump {
    let started = Instant::now();
    let mut child = Program::new("gpcrondump", cluster)
        .args(["-a", "-x", DATABASE, "-b", "-H", "-v"])
        .args(options)
        .spawn();
    let output = child.stdout.take().expect("its output is ours");
    let errors = child.stderr.take().expect("its errors are ours");
    let reader = thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines
            .map(|line| (started.elapsed().as_secs_f64(), line))
            .collect::<Vec<_>>()
    });
    let errors = thread::spawn(move || BufReader::new(errors).lines().map_while(Result::ok).collect::<Vec<_>>());
    let own = PathBuf::from(format!("/proc/{}", child.id()));
    let (mut cpu, mut memory_kib) = (0.0_f64, 0_u64);
    let end = loop {
        if let Ok(stat) = fs::read_to_string(own.join("stat")) {
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
            cpu = cpu.max((ticks(11) + ticks(12)) / 100.0);
        }
        if let Ok(status) = fs::read_to_string(own.join("status")) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            memory_kib = memory_kib.max(kib.unwrap_or(0));
        }
        if let Ok(Some(end)) = child.try_wait() {
            break end;
        }
        thread::sleep(std::time::Duration::from_millis(20));
    };
    let seconds = started.elapsed().as_secs_f64();
    let lines = reader.join().expect("the reader only reads");
    for line in errors.join().expect("the reader only reads") {
        println!("{line}");
    }
    if !end.success() {
        println!("{end}");
        for (_, line) in &lines[lines.len().saturating_sub(20)..] {
            println!("{line}");
        }
    }
    Dump {
        lines,
        end: end.success(),
        seconds,
        cpu,
        memory_mib: memory_kib / 1024,
    }
}

impl Dump {
    /// When a line with these words came.
    fn at(&self, words: &str) -> f64 {
        let line = self.lines.iter().find(|(_, line)| line.contains(words));
        line.map_or(f64::NAN, |(seconds, _)| *seconds)
    }

    /// Seconds until the rows are copied, without those in which servers take locks: those of the dump, and for a moment
    /// those of the cut.
    fn planning(&self) -> f64 {
        let locks = self.at("locked on the segments") - self.at("tables are chosen");
        self.at("tables are copied") - locks - self.cut_milliseconds() / 1000.0
    }

    /// Of `one cut: true, attempts: 1, waited: 2 ms, held: 50 ms` both times.
    fn cut_milliseconds(&self) -> f64 {
        let line = self.lines.iter().find(|(_, line)| line.contains("one cut: true"));
        let words = line.map_or("", |(_, line)| line).split([' ', ',']);
        words.filter_map(|word| word.parse::<f64>().ok()).skip(1).sum()
    }

    fn say(&self, what: &str) {
        println!(
            "{what}: {:.1} s; chosen after {:.1} s, locked on the master after {:.1} s, on the segments after {:.1} s, \
             one cut after {:.1} s (its locks {:.1} s), copying after {:.1} s: planning without locks {:.1} s; the program itself {:.1} s of \
             CPU and {} MiB",
            self.seconds,
            self.at("tables are chosen"),
            self.at("locked on the master"),
            self.at("locked on the segments"),
            self.at("one cut: true"),
            self.cut_milliseconds() / 1000.0,
            self.at("tables are copied"),
            self.planning(),
            self.cpu,
            self.memory_mib,
        );
    }

    fn is_within(&self, limits: &Limits) -> bool {
        let within = self.planning() <= limits.planning_seconds
            && self.cpu <= limits.own_cpu_seconds
            && self.memory_mib <= limits.memory_mib;
        if !within {
            println!(
                "over a limit: {} s of planning, {} s of CPU, {} MiB",
                limits.planning_seconds, limits.own_cpu_seconds, limits.memory_mib
            );
        }
        self.end && within
    }
}
