//! The lines of a restore that people and their scripts read, to the letter of the original (`gpdbrestore.md` 2.6-2.10).

use std::path::Path;

use crate::plan::restore::DumpSet;
use crate::plan::restore_request::RestoreRequest;
use crate::words::cluster::{Cluster, FaultTolerance};
use crate::words::layout::{Compression, DUMP_DIR, FileNaming};

const RULE: &str = "------------------------------------------";

/// The parameter table.
pub fn parameters(request: &RestoreRequest, set: &DumpSet, cluster: &Cluster) -> Vec<String> {
    let on = |yes: bool| if yes { "On" } else { "Off" };
    let mut lines = vec![
        RULE.to_owned(),
        "Greenplum database restore parameters".to_owned(),
        RULE.to_owned(),
        "Restore type               = Full Database".to_owned(),
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

/// What `--noanalyze` ends with.
pub const ANALYZE_BYPASSED: [&str; 3] = [
    "--------------------------------------------------------------------------------------------------",
    "Analyze bypassed on request; database performance may be adversely impacted until analyze is done.",
    "--------------------------------------------------------------------------------------------------",
];
