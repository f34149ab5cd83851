//! The fault matrix (`docs/reliability.md`). A quick part of it always; `GPDUMP_FAULTS=all` for the whole, or a part of a
//! fault's or a phase's name (`GPDUMP_FAULTS="dump: locks"`). `GPDUMP_BLESS=1` writes the page; `GPDUMP_FAULTS_RECORD` names a directory in which
//! every cell that was run is kept and not run again, and which several processes may share. `GPDUMP_TEST_GPHOME` names a Greenplum 6 or 7:
//! then the servers are real ones of it, and the page has a table of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gpdump_testkit::repository;
use gpdump_tests::faults::{
    CONNECT, Cell, FAULTS, LOCK, PHASES, Phase, Record, SILENCE, Stage, check_page, fault_named, gphome, page_of,
    run_cell,
};

/// One of each kind of wait: what other tests do not have, and what has a bound of its own.
const QUICK: [(&str, Phase); 5] = [
    ("no program on a host", Phase::DumpStart),
    ("worker killed", Phase::RestoreData),
    ("host cut off", Phase::DumpLocks),
    ("host killed together with pg_dump", Phase::DumpDdl),
    ("another server becomes primary", Phase::DumpData),
];

fn wanted() -> Vec<(&'static str, Phase)> {
    let choice = std::env::var("GPDUMP_FAULTS").unwrap_or_default();
    if choice.is_empty() {
        return QUICK.to_vec();
    }
    let mut cells = Vec::new();
    for phase in PHASES {
        for fault in FAULTS.iter().filter(|fault| fault.comes_at(phase, gphome().is_some())) {
            let name = format!("{}, {}", phase.name(), fault.name);
            if choice == "all" || choice.split(';').any(|part| name.contains(part)) {
                cells.push((fault.name, phase));
            }
        }
    }
    cells
}

/// One cell. When the test itself breaks in it the cell is wrong, and the next gets a stage of its own.
fn cell_on(stage: &mut Option<Stage>, fault: &'static str, phase: Phase) -> Cell {
    let on = stage.take().unwrap_or_else(|| {
        Stage::start(vec![
            ("--connect-timeout", CONNECT),
            ("--silence-timeout", SILENCE),
            ("--lock-timeout", LOCK),
        ])
    });
    match catch_unwind(AssertUnwindSafe(|| run_cell(&on, fault_named(fault), phase))) {
        Ok(cell) => {
            *stage = Some(on);
            cell
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Cell {
                fault,
                phase,
                status: None,
                seconds: 0.0,
                named_leftovers: Vec::new(),
                wrong: vec![format!("the test broke: {text}")],
                message: String::new(),
            }
        }
    }
}

#[test]
fn every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind() {
    let record = Record::from_environment();
    let mut stage: Option<Stage> = None;
    let mut cells: Vec<Cell> = Vec::new();
    for (fault, phase) in wanted() {
        if let Some(cell) = record.done(fault, phase) {
            cells.push(cell);
            continue;
        }
        if !record.claim(fault, phase) {
            continue;
        }
        let cell = cell_on(&mut stage, fault, phase);
        eprintln!(
            "{}, {fault}: {:?}, {:.1} s, {:?}: {}",
            phase.name(),
            cell.status,
            cell.seconds,
            cell.named_leftovers,
            cell.message
        );
        for wrong in &cell.wrong {
            eprintln!("  WRONG: {wrong}");
        }
        record.keep(&cell);
        cells.push(cell);
    }
    let path = repository().join("docs/reliability.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    if std::env::var_os("GPDUMP_BLESS").is_some() {
        std::fs::write(&path, page_of(&page, &cells)).expect("the page can be written");
    } else {
        let problems = check_page(&page, &cells);
        assert!(problems.is_empty(), "{problems:#?}");
    }
    let wrong: Vec<&Cell> = cells.iter().filter(|cell| !cell.wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{} cells are wrong; they stand above", wrong.len());
}
