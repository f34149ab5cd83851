//! `public.gpcrondump_history`: one row per dump, in the dumped database (`gpcrondump.md` 2.10.1).

use crate::db::{Error, Session, catalog};
use crate::words::dialect::{Dialect, DistributionCatalog};
use crate::words::ids::TimestampKey;
use crate::words::names::quote_literal;
use crate::words::outcome::Severity;

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub key: TimestampKey,
    /// `HH:MM:SS`.
    pub start_time: String,
    pub end_time: String,
    /// The command line's words, joined by blanks.
    pub options: String,
    pub dump_exit_status: i16,
    pub severity: Severity,
}

/// Whether the table had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryTable {
    WasThere,
    Created,
}

/// Makes the table where it is missing.
pub async fn ensure_table(session: &Session, dialect: &Dialect) -> Result<HistoryTable, Error> {
    if catalog::table_exists(session, "public", "gpcrondump_history").await? {
        return Ok(HistoryTable::WasThere);
    }
    let distributed = match dialect.distribution {
        // A Greenplum-shaped catalog before real PostgreSQL servers does not make them parse the clause.
        _ if dialect.utility_setting.is_none() => "",
        DistributionCatalog::None => "",
        _ => " DISTRIBUTED BY (rec_date)",
    };
    let sql = format!(
        "CREATE TABLE public.gpcrondump_history (rec_date timestamp, start_time char(8), end_time char(8), \
         options text, dump_key varchar(20), dump_exit_status smallint, script_exit_status smallint, \
         exit_text varchar(10)){distributed}"
    );
    session.run(&sql, "creating public.gpcrondump_history").await?;
    Ok(HistoryTable::Created)
}

pub async fn insert(session: &Session, row: &HistoryRow) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO public.gpcrondump_history VALUES (now(), {}, {}, {}, {}, {}, {}, {})",
        quote_literal(&row.start_time),
        quote_literal(&row.end_time),
        quote_literal(&row.options),
        quote_literal(&row.key.to_string()),
        row.dump_exit_status,
        row.severity.number(),
        quote_literal(row.severity.text()),
    );
    session
        .run(&sql, "recording the dump in public.gpcrondump_history")
        .await
}
