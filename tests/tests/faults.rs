//! The fault matrix (`docs/reliability.md`). A quick part of it always; `GPDUMP_FAULTS=all` for the whole, or a part of a
//! fault's or a phase's name (`GPDUMP_FAULTS="dump: locks"`). `GPDUMP_BLESS=1` with the whole writes the page.

use gpdump_testkit::repository;
use gpdump_tests::faults::{
    CONNECT, Cell, FAULTS, LOCK, PHASES, Phase, SILENCE, Stage, When, check_page, fault_named, page_of, run_cell,
};

/// One of each kind of wait: what other tests do not have, and what has a bound of its own.
const QUICK: [(&str, Phase); 3] = [
    ("no program on a host", Phase::DumpStart),
    ("worker killed", Phase::RestoreData),
    ("host cut off", Phase::DumpLocks),
];

fn wanted() -> Vec<(&'static str, Phase)> {
    let choice = std::env::var("GPDUMP_FAULTS").unwrap_or_default();
    if choice.is_empty() {
        return QUICK.to_vec();
    }
    let mut cells = Vec::new();
    for phase in PHASES {
        for fault in FAULTS
            .iter()
            .filter(|fault| phase.is_first() || fault.when != When::First)
        {
            let name = format!("{}, {}", phase.name(), fault.name);
            if choice == "all" || choice.split(';').any(|part| name.contains(part)) {
                cells.push((fault.name, phase));
            }
        }
    }
    cells
}

#[test]
fn every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind() {
    let stage = Stage::start(vec![
        ("--connect-timeout", CONNECT),
        ("--silence-timeout", SILENCE),
        ("--lock-timeout", LOCK),
    ]);
    let mut cells: Vec<Cell> = Vec::new();
    for (fault, phase) in wanted() {
        let cell = run_cell(&stage, fault_named(fault), phase);
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
