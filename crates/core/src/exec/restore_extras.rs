//! What a set has beside a database: roles and queues of the cluster, and what the planner knew of the tables.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::db::statistics::{StatisticsPlace, read_places};
use crate::db::{Error, Session, error_chain};
use crate::format::global_objects::{GlobalStatement, OnTarget, on_target};
use crate::format::statistics::StatisticsLayout;
use crate::format::statistics::read::{Stored, StoredBlock, header_of, size_sql};
use crate::words::dialect::Dialect;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

/// Runs the statements; a sentence for each that the server refused. What is there already is no error: the statement
/// behind it (`ALTER ROLE`) makes it what the set says.
pub async fn restore_globals(
    session: &Session,
    dialect: &Dialect,
    statements: &[GlobalStatement],
) -> Result<Vec<String>, Refusal> {
    // Statements that fail, and on some servers all of them, are written to the server's log, passwords and all.
    for setting in ["SET log_statement = 'none'", "SET log_min_error_statement = panic"] {
        if let Err(error) = session.run(setting, "keeping passwords out of the server's log").await {
            tracing::debug!("{}", error_chain(&error));
        }
    }
    let mut errors = Vec::new();
    for statement in statements {
        let statement = match on_target(statement, dialect) {
            OnTarget::Run(statement) => statement,
            OnTarget::LeaveOut(why) => {
                tracing::info!("Left out: {}: {why}", statement.about);
                continue;
            }
        };
        let Err(error) = session.run(&statement.text, "restoring global objects").await else {
            continue;
        };
        let message = match &error {
            Error::Statement { message, code, .. } => {
                // duplicate_object
                if code.as_deref() == Some("42710") {
                    tracing::info!("{}: it exists", statement.about);
                    continue;
                }
                message
            }
            _ => return Err(Refusal::failed(error_chain(&error))),
        };
        errors.push(format!("global object, {}: {message}", statement.about));
    }
    Ok(errors)
}

/// Which tables are meant, and where those of the set are now.
#[derive(Debug, Clone, Copy)]
pub struct StatisticsOf<'a> {
    /// Tables as the database calls them, with their names in the set; `None`: all, under their own names.
    pub tables: Option<&'a HashMap<QualifiedName, QualifiedName>>,
}

/// Puts the numbers into the catalog; a sentence for each that the server refused.
pub async fn restore_statistics(
    session: &Session,
    dialect: &Dialect,
    blocks: &[StoredBlock],
    of: StatisticsOf<'_>,
) -> Result<Vec<String>, Refusal> {
    let places = read_places(session, dialect)
        .await
        .map_err(|error| Refusal::failed(error_chain(&error)))?;
    let mut by_header: HashMap<String, &StatisticsPlace> = HashMap::new();
    for place in &places {
        let table = match of.tables {
            None => &place.table,
            Some(tables) => match tables.get(&place.table) {
                Some(in_set) => in_set,
                None => continue,
            },
        };
        by_header.insert(header_of(table, place.column.as_deref()), place);
    }
    // Only of these a missing table is worth a word.
    let wanted: Option<HashSet<String>> = of
        .tables
        .map(|tables| tables.values().map(|table| header_of(table, None)).collect());
    // A choice of words in Greenplum 4 and 5, a switch later; where the server does not let us, it does not need it.
    let setting = if dialect.pg_version.0 < 90000 { "'DML'" } else { "on" };
    let setting = format!("SET allow_system_table_mods = {setting}");
    if let Err(error) = session.run(&setting, "allowing statistics to be written").await {
        tracing::debug!("{}", error_chain(&error));
    }
    let layout = StatisticsLayout::of(dialect.pg_version);
    let mut errors = Vec::new();
    let mut missing = BTreeSet::new();
    for block in blocks {
        let Some(found) = by_header.get(&block.header) else {
            let of_table = block.header.split(", Attribute: ").next().unwrap_or_default();
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(of_table)) && !by_header.contains_key(of_table) {
                missing.insert(of_table.to_owned());
            }
            continue;
        };
        let sql = match &block.what {
            Stored::Size { pages, rows } => size_sql(found.place.relation, pages, rows),
            Stored::Column(column) => column.sql(found.place, layout),
            Stored::Unreadable(why) => {
                errors.push(format!("statistics of {}: {why}", block.header));
                continue;
            }
        };
        match session.run(&sql, "restoring statistics").await {
            Ok(()) => {}
            Err(Error::Statement { message, .. }) => errors.push(format!("statistics of {}: {message}", block.header)),
            Err(error) => return Err(Refusal::failed(error_chain(&error))),
        }
    }
    for header in missing {
        let name = header.trim_start_matches("Schema: ").replacen(", Table: ", ".", 1);
        tracing::warn!("Cannot restore statistics for table {name}: Table does not exist.  Skipping...");
    }
    Ok(errors)
}
