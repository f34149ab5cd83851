//! The lines of a dump that people read and scripts grep. Pure; the texts are the original's (`gpcrondump.md` 2.5, 2.10).

use crate::plan::dump_request::{DiskCheck, DumpRequest};
use crate::words::ids::TimestampKey;
use crate::words::layout::Compression;

/// 51 hyphens.
pub const DASH: &str = "---------------------------------------------------";

/// What is shown before the question whether to go on.
pub fn dump_parameters(request: &DumpRequest, database: &str, port: u16, master_data_dir: &str) -> Vec<String> {
    let mut lines = vec![
        DASH.to_owned(),
        "Master Greenplum Instance dump parameters".to_owned(),
        DASH.to_owned(),
    ];
    let mut line = |label: &str, value: &str| lines.push(format!("{label:<37}= {value}"));
    line("Dump type", "Full database");
    line("Database to be dumped", database);
    if let Some(root) = &request.backup_root {
        line("Dump directory", &root.display().to_string());
    }
    line("Master port", &port.to_string());
    line("Master data directory", master_data_dir);
    line(
        "Run post dump program",
        request.chores.script.as_deref().unwrap_or("Off"),
    );
    line("Rollback dumps", on_off(request.chores.rollback));
    line(
        "Dump file compression",
        on_off(request.compression == Compression::Gzip),
    );
    line("Clear old dump files", on_off(request.chores.cleanup.is_some()));
    line("Update history table", on_off(request.history));
    line("Secure config files", on_off(request.chores.config_files));
    line("Dump global objects", on_off(request.chores.globals));
    line("Vacuum mode type", request.chores.vacuum_mode());
    if let DiskCheck::KeepFree(percent) = request.disk_check {
        lines.push(format!("{:<37}> {percent}", "Ensuring remaining free disk"));
    }
    lines
}

/// The report at the end of a dump that is complete. `deleted` is what `-c` removed, as a list of Python.
pub fn status_report(
    request: &DumpRequest,
    database: &str,
    key: TimestampKey,
    end_time: &str,
    deleted: &str,
) -> Vec<String> {
    let mut lines = vec!["Dump status report".to_owned(), DASH.to_owned()];
    let mut line = |label: &str, value: &str| lines.push(format!("{label:<41}= {value}"));
    line("Target database", database);
    line("Dump subdirectory", &key.date_dir());
    line("Dump type", "Full database");
    line("Clear old dump directories", on_off(request.chores.cleanup.is_some()));
    if request.chores.cleanup.is_some() {
        line("Backup set deleted", deleted);
    }
    line("Dump start time", &key.time_of_day());
    line("Dump end time", end_time);
    line("Status", "COMPLETED");
    line("Dump key", &key.to_string());
    line(
        "Dump file compression",
        on_off(request.compression == Compression::Gzip),
    );
    line("Vacuum mode type", request.chores.vacuum_mode());
    lines
}

fn on_off(value: bool) -> &'static str {
    if value { "On" } else { "Off" }
}

/// The words that the original would have called its engine with; scripts look for `gp_dump` and its options here and
/// in the report.
pub fn engine_arguments(
    request: &DumpRequest,
    database: &str,
    port: u16,
    user: &str,
    directory: &std::path::Path,
    key: TimestampKey,
) -> Vec<String> {
    let dump_dir = match &request.backup_root {
        Some(_) => directory.display().to_string(),
        None => format!("db_dumps/{}", key.date_dir()),
    };
    let mut words = vec![
        "-p".to_owned(),
        port.to_string(),
        "-U".to_owned(),
        user.to_owned(),
        format!("--gp-d={dump_dir}"),
        format!("--gp-r={}", directory.display()),
        "--gp-s=p".to_owned(),
        format!("--gp-k={key}"),
        "--no-lock".to_owned(),
    ];
    if request.compression == Compression::Gzip {
        words.push("--gp-c".to_owned());
    }
    if !request.prefix.is_empty() {
        words.push(format!("--prefix={}", request.prefix));
    }
    words.push("--no-expand-children".to_owned());
    words.push(database.to_owned());
    words
}

/// The same as one line; the database in double quotes, as the original put it before the shell.
pub fn engine_command_line(arguments: &[String]) -> String {
    let (database, options) = arguments.split_last().expect("the database is always there");
    let mut quoted = String::new();
    for c in database.chars() {
        if matches!(c, '\\' | '`' | '$' | '!' | '"') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    format!("gp_dump {} \"{quoted}\"", options.join(" "))
}
