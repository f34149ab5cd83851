//! `--dump-stats`: the planner's statistics into a file of the set (`gpcrondump.md` 4.5).

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info, warn};

use super::DumpContext;
use crate::db::{error_chain, statistics as catalog};
use crate::format::statistics::{StatisticsLayout, column_block, header, table_block};
use crate::plan::filter::TableFilter;
use crate::run::set_record::SetRecord;
use crate::words::ids::ContentId;
use crate::words::layout::DumpFileKind;
use crate::words::names::QualifiedName;

/// How many of the things that could not be saved are named.
const NAMED: usize = 20;

/// False when the file could not be made; the log says why.
pub(super) async fn dump_statistics(context: &DumpContext<'_>, record: &mut SetRecord) -> bool {
    info!("Commencing pg_statistic dump");
    match write(context, record).await {
        Ok(()) => true,
        Err(reason) => {
            error!("The statistics could not be saved: {reason}");
            false
        }
    }
}

async fn write(context: &DumpContext<'_>, record: &mut SetRecord) -> Result<(), String> {
    let text = make_text(context, record).await.map_err(|error| error_chain(&error))?;
    let path = record.directory.join(record.names.of_master(DumpFileKind::Statistics));
    let stamp = super::globals::write_named(context, path, text.into_bytes()).await?;
    record.add(ContentId::MASTER, stamp);
    record.save(context.files).map_err(|error| error_chain(&error))
}

async fn make_text(context: &DumpContext<'_>, record: &SetRecord) -> Result<String, crate::db::Error> {
    let dialect = &context.surroundings.dialect;
    let session = context.address.open(&context.database).await?;
    for setting in dialect.dump_session_settings() {
        session.run(&setting, "preparing the session").await?;
    }
    let tables = catalog::read_table_sizes(&session).await?;
    let chosen: Option<BTreeSet<&QualifiedName>> = match context.request.filter {
        TableFilter::Everything => None,
        _ => Some(record.manifest.tables.iter().map(|facts| &facts.table).collect()),
    };
    let is_chosen = |table: &QualifiedName| chosen.as_ref().is_none_or(|chosen| chosen.contains(table));
    let layout = StatisticsLayout::of(dialect.pg_version);
    let mut columns: BTreeMap<QualifiedName, String> = BTreeMap::new();
    let mut left_out = Vec::new();
    let read = catalog::read_column_statistics(&session, dialect, |row| {
        if !is_chosen(&row.table) {
            return;
        }
        match column_block(&row, layout) {
            Some((block, notes)) => {
                columns.entry(row.table).or_default().push_str(&block);
                left_out.extend(notes);
            }
            None => left_out.push(format!(
                "{}.{}: the server's row has another form",
                row.table, row.column
            )),
        }
    });
    read.await?;
    session.close().await;
    let mut text = header(dialect.pg_version);
    for table in tables.iter().filter(|table| is_chosen(&table.table)) {
        text.push_str(&table_block(table));
        text.push_str(columns.get(&table.table).map_or("", String::as_str));
    }
    if !left_out.is_empty() {
        warn!(
            "{} parts of the statistics cannot be written as SQL and are left out",
            left_out.len()
        );
        for note in left_out.iter().take(NAMED) {
            info!("Left out: {note}");
        }
    }
    Ok(text)
}
