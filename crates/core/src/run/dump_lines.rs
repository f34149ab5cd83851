//! The lines of a dump that people read and scripts grep. Pure; the texts are the original's (`gpcrondump.md` 2.5, 2.10).

use crate::format::report::BackupType;
use crate::plan::dump_request::{DiskCheck, DumpRequest};
use crate::plan::filter::{NameList, TableFilter};
use crate::words::ids::TimestampKey;
use crate::words::layout::Compression;
use crate::words::place::Place;

/// 51 hyphens.
pub const DASH: &str = "---------------------------------------------------";

/// What is shown before the question whether to go on.
///
/// `filtered_by` is the full dump whose list of tables an increment keeps to.
pub fn dump_parameters(
    request: &DumpRequest,
    database: &str,
    port: u16,
    master_data_dir: &str,
    filtered_by: Option<TimestampKey>,
) -> Vec<String> {
    let mut lines = vec![
        DASH.to_owned(),
        "Master Greenplum Instance dump parameters".to_owned(),
        DASH.to_owned(),
    ];
    lines.extend(match request.backup_type {
        BackupType::Full => dump_type(&request.filter),
        BackupType::Incremental => vec![format!("{:<37}= Incremental", "Dump type")],
    });
    if let Some(full) = filtered_by {
        let prefix = request.prefix.as_str();
        lines.extend([
            "Filtering tables using:".to_owned(),
            format!("\t {:<30}= {}", "Prefix", prefix.strip_suffix('_').unwrap_or(prefix)),
            format!("\t {:<30}= {full}", "Full dump timestamp"),
            DASH.to_owned(),
        ]);
    }
    let mut line = |label: &str, value: &str| lines.push(format!("{label:<37}= {value}"));
    line("Database to be dumped", database);
    if let TableFilter::IncludeSchemas(list) | TableFilter::ExcludeSchemas(list) = &request.filter {
        let label = match request.filter {
            TableFilter::IncludeSchemas(_) => "Schema to be dumped",
            _ => "Schema not to be dumped",
        };
        match &list.file {
            None => line(label, &list.names.join(", ")),
            Some(file) => line("Schema file name", &file.display().to_string()),
        }
    }
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

/// What kind of dump it is; with its tables where they were typed.
fn dump_type(filter: &TableFilter) -> Vec<String> {
    let line = |label: &str, value: &str| format!("{label:<37}= {value}");
    let (kind, list, title, width): (_, &NameList, _, usize) = match filter {
        TableFilter::Everything => return vec![line("Dump type", "Full database")],
        TableFilter::IncludeSchemas(_) => return vec![line("Dump type", "Single database, specific schema")],
        TableFilter::ExcludeSchemas(_) => return vec![line("Dump type", "Single database, exclude schema")],
        TableFilter::IncludeTables(list) => ("Single database, specific table", list, "Table inclusion list ", 39),
        TableFilter::ExcludeTables(list) => ("Single database, exclude table", list, "Table exclusion list ", 41),
    };
    let mut lines = vec![line("Dump type", kind), DASH.to_owned()];
    match &list.file {
        Some(file) => lines.push(line("Table file name", &file.display().to_string())),
        None => {
            lines.extend([title.to_owned(), DASH.to_owned()]);
            lines.extend(
                list.names
                    .iter()
                    .map(|name| format!("{:<width$}= {name}", "Table name")),
            );
        }
    }
    lines.push(DASH.to_owned());
    lines
}

/// The report at the end of a dump that is complete. `deleted` is what `-c` removed, as a list of Python.
pub fn status_report(
    request: &DumpRequest,
    database: &str,
    key: TimestampKey,
    (start_time, end_time): (&str, &str),
    deleted: &str,
) -> Vec<String> {
    let mut lines = vec!["Dump status report".to_owned(), DASH.to_owned()];
    let mut line = |label: &str, value: &str| lines.push(format!("{label:<41}= {value}"));
    line("Target database", database);
    line("Dump subdirectory", &key.date_dir());
    line(
        "Dump type",
        match request.backup_type {
            BackupType::Full => "Full database",
            BackupType::Incremental => "Incremental",
        },
    );
    line("Clear old dump directories", on_off(request.chores.cleanup.is_some()));
    if request.chores.cleanup.is_some() {
        line("Backup set deleted", deleted);
    }
    line("Dump start time", start_time);
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineArguments {
    options: Vec<String>,
    database: String,
    /// Those that the original put behind the name of the database: its lists, ...
    lists: Vec<String>,
    /// ... what was typed for the engine, ...
    pass_through: Vec<String>,
    /// ... and what makes an increment of it.
    increment: Vec<String>,
}

/// The original's lists were temporary files of these names and six random letters; ours are never written. What was
/// chosen is in the set's own files `_table` and `_schema`.
fn filter_argument(filter: &TableFilter) -> Option<&'static str> {
    match filter {
        TableFilter::Everything => None,
        TableFilter::IncludeTables(_) => Some("--table-file=include_dump_tables_file"),
        TableFilter::ExcludeTables(_) => Some("--exclude-table-file=exclude_dump_tables_file"),
        TableFilter::IncludeSchemas(_) | TableFilter::ExcludeSchemas(_) => Some("--schema-file=schema_list"),
    }
}

pub fn engine_arguments(
    request: &DumpRequest,
    database: &str,
    port: u16,
    user: &str,
    directory: &Place,
    key: TimestampKey,
) -> EngineArguments {
    let dump_dir = match &request.backup_root {
        Some(_) => directory.display().to_string(),
        None => format!("db_dumps/{}", key.date_dir()),
    };
    let mut options = vec![
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
    if request.style.clean_by_letter {
        options.push("-c".to_owned());
    }
    if request.compression == Compression::Gzip {
        options.push("--gp-c".to_owned());
    }
    if let Some(encoding) = &request.style.encoding {
        options.push(format!("--encoding={encoding}"));
    }
    if !request.prefix.is_empty() {
        options.push(format!("--prefix={}", request.prefix));
    }
    options.push("--no-expand-children".to_owned());
    EngineArguments {
        options,
        database: database.to_owned(),
        lists: filter_argument(&request.filter)
            .map(str::to_owned)
            .into_iter()
            .collect(),
        pass_through: request.style.pass_through.clone(),
        increment: Vec::new(),
    }
}

/// What `--list-filter-tables` shows; `None`: there is no filter.
pub fn filter_lines(request: &DumpRequest, database: &str, filter: Option<&[String]>) -> Vec<String> {
    let mut lines = vec![DASH.to_owned()];
    match filter {
        Some(tables) => {
            lines.push(format!("Filtering {database} for the following tables:"));
            lines.extend(tables.iter().cloned());
        }
        None => {
            let prefix = request.prefix.as_str();
            let prefix = prefix.strip_suffix('_').unwrap_or(prefix);
            lines.push(format!(
                "No filter file found for database {database} and prefix {prefix}."
            ));
            lines.push(format!("All tables in {database} will be included in the dump."));
        }
    }
    lines
}

impl EngineArguments {
    /// Those of an increment; `filter` is the file of a chain of chosen tables.
    pub fn incremental(mut self, filter: Option<&Place>) -> Self {
        self.lists = vec!["--table-file=dirty_backup_list".to_owned()];
        self.increment = vec!["--incremental".to_owned()];
        self.increment
            .extend(filter.map(|file| format!("--incremental-filter={}", file.display())));
        self
    }

    pub fn words(&self) -> impl Iterator<Item = &str> {
        let options = self.options.iter().map(String::as_str);
        options.chain([self.database.as_str()]).chain(self.behind_database())
    }

    fn behind_database(&self) -> impl Iterator<Item = &str> {
        let words = self.lists.iter().chain(&self.pass_through).chain(&self.increment);
        words.map(String::as_str)
    }

    /// What the original's engine would have handed on to its part on each segment, for the report: short where there is a
    /// short form. `None` where nothing was.
    pub fn handed_on(&self) -> Option<String> {
        let options = self.options.iter().map(String::as_str).filter_map(|word| {
            let valued = |name: &str, short: &str| Some(format!("{short} {}", word.strip_prefix(name)?));
            (word == "-c")
                .then(|| word.to_owned())
                .or_else(|| valued("--encoding=", "-E"))
                .or_else(|| valued("--prefix=", "--prefix"))
        });
        let behind = self.behind_database().map(|word| match word {
            "--clean" => "-c".to_owned(),
            "--no-owner" => "-O".to_owned(),
            "--no-privileges" => "-x".to_owned(),
            "--oids" => "-o".to_owned(),
            // The original forgot these two on the way.
            "--inserts" => "-d".to_owned(),
            "--column-inserts" => "-D".to_owned(),
            // The original looked for its lists in /tmp on every host.
            list if list.starts_with("--incremental-filter=") => list.replacen('=', " ", 1),
            list => list.replacen('=', " /tmp/", 1),
        });
        let words: Vec<String> = options.chain(behind).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// One line; the database in double quotes, as the original put it before the shell.
    pub fn command_line(&self) -> String {
        let mut quoted = String::new();
        for c in self.database.chars() {
            if matches!(c, '\\' | '`' | '$' | '!' | '"') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        let mut line = format!("gp_dump {} \"{quoted}\"", self.options.join(" "));
        for word in self.behind_database() {
            line.push(' ');
            line.push_str(word);
        }
        line
    }
}

#[cfg(test)]
mod tests;
