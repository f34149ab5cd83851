//! The lines of a restore that people and their scripts read, to the letter of the original (`gpdbrestore.md` 2.6-2.10).

use std::path::Path;

use crate::format::report::BackupType;
use crate::plan::restore::DumpSet;
use crate::plan::restore_request::{Extra, RestoreRequest, WhichSet};
use crate::words::cluster::{Cluster, FaultTolerance};
use crate::words::ids::TimestampKey;
use crate::words::layout::{Compression, DUMP_DIR, FileNaming};
use crate::words::place::Place;

const RULE: &str = "------------------------------------------";

/// The parameter table. `tables` are those of `-T`.
pub fn parameters(request: &RestoreRequest, set: &DumpSet, cluster: &Cluster, tables: &[String]) -> Vec<String> {
    let on = |yes: bool| if yes { "On" } else { "Off" };
    let kind = match (request.metadata_only, set.backup_type, tables.is_empty()) {
        (true, ..) => "Metadata-Only Restore",
        (_, BackupType::Incremental, false) => "Incremental Table Restore",
        (_, BackupType::Incremental, true) => "Incremental Restore",
        (_, BackupType::Full, false) => "Table Restore",
        (_, BackupType::Full, true) if !request.schemas.names.is_empty() => "Schema Restore",
        (_, BackupType::Full, true) => "Full Database",
    };
    let mut lines = vec![
        RULE.to_owned(),
        "Greenplum database restore parameters".to_owned(),
        RULE.to_owned(),
        format!("Restore type               = {kind}"),
    ];
    if tables.is_empty() {
        lines.push(format!("Database to be restored    = {}", set.database));
        lines.push(format!("Drop and re-create db      = {}", on(request.recreate)));
    } else {
        lines.push(format!("Database name              = {}", set.database));
        lines.extend([RULE.to_owned(), "Table restore list".to_owned(), RULE.to_owned()]);
        lines.extend(
            tables
                .iter()
                .map(|table| format!("Table                      = {table}")),
        );
    }
    let schemas = request.schemas.names.iter();
    lines.extend(schemas.map(|schema| format!("Schema                     = {schema}")));
    let method = |text: &str| format!("Restore method             = {text}");
    if tables.is_empty() {
        lines.push(method("Restore specific timestamp"));
        if let WhichSet::Latest(_) = request.which {
            lines.push(method("Search for latest"));
        }
    }
    lines.extend(
        request
            .redirect
            .as_ref()
            .map(|name| format!("Redirect Restore database  = {name}")),
    );
    if !tables.is_empty() {
        lines.push(method("Specific table restore"));
    } else if let WhichSet::Date(_) | WhichSet::Remote(_) = request.which {
        lines.push(method("Restore specific date"));
    }
    if let WhichSet::Remote(place) = &request.which {
        lines.push(method("Remote host"));
        lines.push(format!("Recovery hostname          = {}", place.host));
        lines.push(format!("Remote recovery path       = {}", place.directory.display()));
    }
    lines.extend(
        request
            .change_schema
            .as_ref()
            .map(|schema| format!("Restore to schema          = {schema}")),
    );
    if request.truncate {
        lines.push("Truncate tables first      = On".to_owned());
    }
    lines.extend([
        format!("Restore timestamp          = {}", set.names.key),
        format!(
            "Restore compressed dump    = {}",
            on(set.names.compression == Compression::Gzip)
        ),
        format!("Restore global objects     = {}", on(request.globals != Extra::No)),
        format!(
            "Array fault tolerance      = {}",
            match cluster.fault_tolerance() {
                FaultTolerance::Mirrors => "f",
                FaultTolerance::None => "n",
            }
        ),
        RULE.to_owned(),
    ]);
    lines
}

/// The runs of `gp_restore` that the original makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase<'a> {
    Single,
    /// Definitions before the data; of a full dump nothing else.
    Metadata {
        file: &'a Place,
        full: bool,
    },
    Data,
    PostData,
}

/// Where the engine of the original is told to work.
#[derive(Debug, Clone, Copy)]
pub struct EnginePlace<'a> {
    pub host: &'a str,
    pub port: u16,
    pub user: &'a str,
    pub database: &'a str,
    pub report_directory: Option<&'a Path>,
}

/// The arguments that the original gives to `gp_restore`. We start no such program; scripts look for the line.
pub fn engine_arguments(request: &RestoreRequest, set: &DumpSet, place: EnginePlace<'_>, phase: Phase<'_>) -> String {
    let EnginePlace { host, port, user, .. } = place;
    let date = format!("{DUMP_DIR}/{}", set.names.key.date_dir());
    let directory = match &request.backup_root {
        Some(root) => root.join(date).display().to_string(),
        None => date,
    };
    let mut text = format!(
        "-i -h {host} -p {port} -U {user} --gp-d={directory} --gp-i --gp-k={} --gp-l=p",
        set.names.key
    );
    if let Some(directory) = place.report_directory {
        let directory = directory.display();
        text.push_str(&format!(" --gp-r={directory} --status={directory}"));
    }
    if set.names.naming == FileNaming::Old {
        text.push_str(" --old-format ");
    }
    if !set.names.prefix.is_empty() {
        text.push_str(&format!(" --prefix={}", set.names.prefix));
    }
    // The originals name temporary files here.
    if !request.tables.names.is_empty() {
        text.push_str(" --gp-f=table_list");
    }
    if set.names.compression == Compression::Gzip {
        text.push_str(" --gp-c");
    }
    let mut name = String::new();
    for c in place.database.chars() {
        if matches!(c, '\\' | '`' | '$' | '!' | '"') {
            name.push('\\');
        }
        name.push(c);
    }
    text.push_str(&format!(" -d \"{name}\""));
    if request.change_schema.is_some() {
        text.push_str(" --change-schema-file=schema_file");
    }
    if !request.schemas.names.is_empty() {
        text.push_str(" --schema-level-file=schema_file");
    }
    match phase {
        Phase::Single => {}
        Phase::Metadata { file, full } => {
            text.push_str(&format!(" -s {}", file.display()));
            text.push_str(if full { " -P" } else { "" });
        }
        Phase::Data => text.push_str(" -a"),
        Phase::PostData => text.push_str(" -P"),
    }
    if !request.ao_stats && matches!(phase, Phase::Single | Phase::Data) {
        text.push_str(" --gp-nostats");
    }
    text
}

/// What `--list-backup` shows.
pub fn needed_sets(key: TimestampKey, needed: impl IntoIterator<Item = TimestampKey>) -> Vec<String> {
    let dash = "-".repeat(68);
    let mut lines = vec![
        dash.clone(),
        format!("List of backup timestamps required for the restore time stamp {key}"),
        dash.clone(),
    ];
    lines.extend(needed.into_iter().map(|key| format!("Backup Timestamp: {key}")));
    lines.push(dash);
    lines
}

/// What `--noanalyze` ends with.
pub const ANALYZE_BYPASSED: [&str; 3] = [
    "--------------------------------------------------------------------------------------------------",
    "Analyze bypassed on request; database performance may be adversely impacted until analyze is done.",
    "--------------------------------------------------------------------------------------------------",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::restore::test_sets::{cluster, original_set};

    fn request() -> RestoreRequest {
        RestoreRequest {
            recreate: true,
            redirect: Some("other".into()),
            confirm: false,
            ..RestoreRequest::plain(WhichSet::Key("20240102030405".parse().unwrap()), "/data/-1".into())
        }
    }

    #[test]
    fn the_parameter_table_is_the_originals() {
        let lines = parameters(&request(), &original_set(2, FileNaming::New), &cluster(2), &[]);
        let expected = "\
            ------------------------------------------\n\
            Greenplum database restore parameters\n\
            ------------------------------------------\n\
            Restore type               = Full Database\n\
            Database to be restored    = shop\n\
            Drop and re-create db      = On\n\
            Restore method             = Restore specific timestamp\n\
            Redirect Restore database  = other\n\
            Restore timestamp          = 20240102030405\n\
            Restore compressed dump    = On\n\
            Restore global objects     = Off\n\
            Array fault tolerance      = n\n\
            ------------------------------------------";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn the_line_of_the_engine_is_the_originals() {
        let line = |request: &RestoreRequest, naming, report: Option<&str>, database: &str| {
            let set = original_set(2, naming);
            let place = EnginePlace {
                host: "vm",
                port: 15432,
                user: "gpadmin",
                database,
                report_directory: report.map(Path::new),
            };
            engine_arguments(request, &set, place, Phase::Single)
        };
        let plain = request();
        let own_root = RestoreRequest {
            backup_root: Some("/b".into()),
            ao_stats: false,
            ..request()
        };
        let head = "-i -h vm -p 15432 -U gpadmin";
        assert_eq!(
            line(&plain, FileNaming::New, None, "demo"),
            format!("{head} --gp-d=db_dumps/20240102 --gp-i --gp-k=20240102030405 --gp-l=p --gp-c -d \"demo\"")
        );
        // Golden set 66: two blanks behind the option.
        assert_eq!(
            line(&plain, FileNaming::Old, None, "demo"),
            format!(
                "{head} --gp-d=db_dumps/20240102 --gp-i --gp-k=20240102030405 --gp-l=p --old-format  --gp-c -d \"demo\""
            )
        );
        assert_eq!(
            line(&own_root, FileNaming::New, Some("/r"), "a$\"b"),
            format!(
                "{head} --gp-d=/b/db_dumps/20240102 --gp-i --gp-k=20240102030405 --gp-l=p --gp-r=/r --status=/r --gp-c \
                 -d \"a\\$\\\"b\" --gp-nostats"
            )
        );
    }
}
