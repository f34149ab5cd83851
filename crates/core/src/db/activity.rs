//! What sessions of ours a server has.

use super::holders::{Holders, on_one_line};
use super::{Error, Session};
use crate::words::dialect::Dialect;
use crate::words::names::quote_literal;

/// Tells sessions to end that these processes serve, or whose application name begins so, and gives them: `process 123 (query)`,
/// for messages. A process that waits for a lock does not notice by itself that its client is gone.
pub async fn end_processes(
    session: &Session,
    dialect: &Dialect,
    pids: &[i32],
    name_begins: Option<&str>,
) -> Result<Vec<String>, Error> {
    let columns = Holders::of(dialect);
    let (pid, query) = (columns.pid(), columns.query());
    // The number of a session that has ended may be a stranger's by now.
    let is_ours = "(a.application_name LIKE 'gpcrondump%' OR a.application_name LIKE 'gpdbrestore%')";
    let mut conditions = vec![format!("a.{pid} = ANY ({}) AND {is_ours}", array_of(pids))];
    conditions.extend(name_begins.map(|begin| {
        let length = begin.chars().count();
        format!(
            "pg_catalog.substr(a.application_name, 1, {length}) = {}",
            quote_literal(begin)
        )
    }));
    let sql = format!(
        "SELECT a.{pid}, pg_catalog.substr(a.{query}, 1, 80), pg_catalog.pg_terminate_backend(a.{pid}) FROM pg_catalog.pg_stat_activity a \
         WHERE a.{pid} <> pg_catalog.pg_backend_pid() AND ({}) ORDER BY 1",
        conditions.join(" OR ")
    );
    let rows = session.rows(&sql, "looking for sessions that are left").await?;
    let field = |text: Option<&Option<String>>| on_one_line(text.and_then(Option::as_deref).unwrap_or("?"));
    Ok(rows
        .iter()
        .map(|row| format!("process {} ({})", field(row.first()), field(row.get(1))))
        .collect())
}

fn array_of(pids: &[i32]) -> String {
    let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
    format!("'{{{}}}'::pg_catalog.int4[]", pids.join(","))
}
