//! How much a dump of a large cluster costs its coordinator: 1,000 segments on 125 hosts, 100,000 tables.
//!
//! The master is a real server with that many tables and a catalog that names that many segments; the hosts are
//! processes that only speak (`fake_worker`). `scripts/bench-scale.sh` builds and runs it. Says what it measured, and
//! ends with status 1 when a limit of issue 6 is passed.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use gpdump_testkit::{Cluster, Program};

const MEMORY_LIMIT_MIB: u64 = 500;
const CPU_LIMIT_SECONDS: f64 = 60.0;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

fn main() -> ExitCode {
    let hosts = number("SCALE_HOSTS", 125);
    let each = number("SCALE_SEGMENTS_EACH", 8);
    let tables = number("SCALE_TABLES", 100_000);
    let cluster = Cluster::simulated(hosts, each, tables);
    let started = Instant::now();
    cluster.sql("postgres", "CREATE DATABASE scale");
    // The catalog's own trigger looks through all tables after each statement.
    cluster.sql("scale", "ALTER EVENT TRIGGER testkit_after_ddl DISABLE");
    // Pieces, so that no transaction holds a lock on each of them.
    let mut made = 0;
    while made < tables {
        let last = (made + 2000).min(tables);
        cluster.sql(
            "scale",
            &format!(
                "DO $$ BEGIN FOR n IN {made}..{} LOOP EXECUTE format('CREATE TABLE some_table_%s (id int, name text)', n); \
                 END LOOP; END $$",
                last - 1
            ),
        );
        made = last;
    }
    cluster.sql("scale", "ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute");
    println!("{tables} tables made in {:.0} s", started.elapsed().as_secs_f64());

    let mut worker: PathBuf = std::env::current_exe().expect("this program has a path");
    worker.set_file_name("fake_worker");
    let log = cluster.home().join("said");
    let started = Instant::now();
    let mut child = Program::new("gpcrondump", &cluster)
        .args(["-a", "-x", "scale", "-b", "-H", "-v"])
        .env("GPDUMP_SSH", worker)
        .stdout(fs::File::create(&log).expect("the file can be made"))
        .spawn();
    // Of the process itself: pg_dump and the workers are children, and have their own numbers.
    let (mut cpu, mut memory) = (0.0_f64, 0_u64);
    let end = loop {
        if let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", child.id())) {
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
            let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
            cpu = cpu.max((ticks(11) + ticks(12)) / 100.0);
        }
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            memory = memory.max(kib.unwrap_or(0));
        }
        if let Ok(Some(end)) = child.try_wait() {
            break end;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let seconds = started.elapsed().as_secs_f64();
    let said = fs::read_to_string(&log).unwrap_or_default();
    let lines = said.lines().count();
    println!(
        "{} segments on {hosts} hosts, {tables} tables: {end}, {seconds:.1} s; the program itself: {cpu:.1} s of CPU, {} MiB; \
         {lines} lines said, the longest has {} characters",
        hosts * each,
        memory / 1024,
        said.lines().map(str::len).max().unwrap_or(0)
    );
    if !end.success() {
        println!("{}", said.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
        return ExitCode::FAILURE;
    }
    if memory / 1024 > MEMORY_LIMIT_MIB || cpu > CPU_LIMIT_SECONDS {
        println!("over the limit of {MEMORY_LIMIT_MIB} MiB or {CPU_LIMIT_SECONDS} s of CPU");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
