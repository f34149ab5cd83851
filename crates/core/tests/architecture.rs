//! The layers of `docs/architecture.md`, held against the `use` lines and paths of the code.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file below a folder of `src`, or the one file of that name.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut waiting = vec![src.join(module)];
    let file = src.join(format!("{module}.rs"));
    if file.is_file() {
        waiting.push(file);
    }
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), code_of(&fs::read_to_string(&path).unwrap())));
        }
    }
    assert!(!found.is_empty(), "no sources for {module}");
    found
}

/// Without comments, and without the tests at the end of a file.
fn code_of(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        part.as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .ends_with("tests")
    })
}

/// Fails with every place in which a module uses what it must not.
fn assert_never(modules: &[&str], forbidden: &[&str]) {
    let mut places = Vec::new();
    for module in modules {
        for (path, code) in sources(module) {
            if is_test(&path) {
                continue;
            }
            for word in forbidden.iter().filter(|word| code.contains(**word)) {
                places.push(format!("{} uses {word}", path.display()));
            }
        }
    }
    assert!(places.is_empty(), "layers are broken:\n{}", places.join("\n"));
}

#[test]
fn words_formats_and_plans_know_no_effects() {
    let effects = [
        "tokio",
        "std::fs",
        "std::process",
        "std::env",
        "std::net",
        "tracing",
        "Local::now",
        "Utc::now",
        "SystemTime",
        "Instant",
        "println!",
        "eprintln!",
    ];
    assert_never(&["words", "format", "plan"], &effects);
}

#[test]
fn lower_layers_never_use_upper_ones() {
    assert_never(
        &["words"],
        &[
            "crate::format",
            "crate::plan",
            "crate::db",
            "crate::worker",
            "crate::run",
        ],
    );
    assert_never(
        &["format"],
        &["crate::plan", "crate::db", "crate::worker", "crate::exec", "crate::run"],
    );
    assert_never(
        &["plan"],
        &[
            "crate::db",
            "crate::worker",
            "crate::exec",
            "crate::gather",
            "crate::run",
        ],
    );
    assert_never(
        &["db"],
        &[
            "crate::plan",
            "crate::worker",
            "crate::exec",
            "crate::gather",
            "crate::run",
        ],
    );
    assert_never(
        &["worker"],
        &["crate::plan", "crate::gather", "crate::exec", "crate::run"],
    );
    assert_never(&["exec", "gather"], &["crate::run"]);
}

#[test]
fn only_the_command_line_layer_prints_reads_the_environment_or_exits() {
    let edge = [
        "println!",
        "eprintln!",
        "env::var",
        "std::process::exit",
        "process::abort",
    ];
    assert_never(
        &["db", "exec", "gather", "launch", "run", "store", "tools", "worker"],
        &edge,
    );
}

#[test]
fn only_the_wire_layer_holds_sql_for_the_catalog() {
    let modules = ["exec", "gather", "launch", "run", "store", "worker", "plan"];
    assert_never(&modules, &["FROM pg_catalog.", "FROM pg_class", "SELECT c.oid"]);
}
