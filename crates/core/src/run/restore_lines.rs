//! The lines of a restore that people and their scripts read, to the letter of the original (`gpdbrestore.md` 2.6-2.10).

use std::path::Path;

use crate::format::report::BackupType;
use crate::plan::restore::DumpSet;
use crate::plan::restore_request::RestoreRequest;
use crate::words::cluster::{Cluster, FaultTolerance};
use crate::words::ids::TimestampKey;
use crate::words::layout::{Compression, DUMP_DIR, FileNaming};

const RULE: &str = "------------------------------------------";

/// The parameter table.
pub fn parameters(request: &RestoreRequest, set: &DumpSet, cluster: &Cluster) -> Vec<String> {
    let on = |yes: bool| if yes { "On" } else { "Off" };
    let mut lines = vec![
        RULE.to_owned(),
        "Greenplum database restore parameters".to_owned(),
        RULE.to_owned(),
        match set.backup_type {
            BackupType::Full => "Restore type               = Full Database".to_owned(),
            BackupType::Incremental => "Restore type               = Incremental Restore".to_owned(),
        },
        format!("Database to be restored    = {}", set.database),
        format!("Drop and re-create db      = {}", on(request.recreate)),
        "Restore method             = Restore specific timestamp".to_owned(),
    ];
    lines.extend(
        request
            .redirect
            .as_ref()
            .map(|name| format!("Redirect Restore database  = {name}")),
    );
    lines.extend([
        format!("Restore timestamp          = {}", set.names.key),
        format!(
            "Restore compressed dump    = {}",
            on(set.names.compression == Compression::Gzip)
        ),
        "Restore global objects     = Off".to_owned(),
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

/// The arguments that the original gives to `gp_restore`. We start no such program; scripts look for the line.
pub fn engine_arguments(
    request: &RestoreRequest,
    set: &DumpSet,
    host: &str,
    port: u16,
    user: &str,
    database: &str,
    report_directory: Option<&Path>,
) -> String {
    let date = format!("{DUMP_DIR}/{}", set.names.key.date_dir());
    let directory = match &request.backup_root {
        Some(root) => root.join(date).display().to_string(),
        None => date,
    };
    let mut text = format!(
        "-i -h {host} -p {port} -U {user} --gp-d={directory} --gp-i --gp-k={} --gp-l=p",
        set.names.key
    );
    if let Some(directory) = report_directory {
        let directory = directory.display();
        text.push_str(&format!(" --gp-r={directory} --status={directory}"));
    }
    if set.names.naming == FileNaming::Old {
        text.push_str(" --old-format ");
    }
    if !set.names.prefix.is_empty() {
        text.push_str(&format!(" --prefix={}", set.names.prefix));
    }
    if set.names.compression == Compression::Gzip {
        text.push_str(" --gp-c");
    }
    let mut name = String::new();
    for c in database.chars() {
        if matches!(c, '\\' | '`' | '$' | '!' | '"') {
            name.push('\\');
        }
        name.push(c);
    }
    text.push_str(&format!(" -d \"{name}\""));
    if !request.ao_stats {
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
    use crate::words::environment::Verbosity;
    use crate::words::ids::Prefix;

    fn request() -> RestoreRequest {
        RestoreRequest {
            key: "20240102030405".parse().unwrap(),
            master_data_dir: "/data/-1".into(),
            backup_root: None,
            prefix: Prefix::none(),
            recreate: true,
            redirect: Some("other".into()),
            list_backup: false,
            noplan: false,
            analyze: true,
            ao_stats: true,
            report_status_dir: None,
            confirm: false,
            parallel: 64,
            remote_bin: None,
            options_text: String::new(),
            verbosity: Verbosity::default(),
        }
    }

    #[test]
    fn the_parameter_table_is_the_originals() {
        let lines = parameters(&request(), &original_set(2, FileNaming::New), &cluster(2));
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
            engine_arguments(request, &set, "vm", 15432, "gpadmin", database, report.map(Path::new))
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
