//! COPY as byte streams, in the encoding of the database.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio_postgres::CopyInSink;

use super::{Error, Session};
use crate::words::job::{RowForm, TableJob};
use crate::words::names::quote_ident;

/// How a session gets statements in UTF-8 through while rows travel in the encoding of the database.
///
/// Our statements are UTF-8 always; rows must not be converted, or a dump would depend on conversion tables. A
/// statement is read by the server when it is prepared, so it is prepared under UTF-8 and executed under the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowEncoding {
    /// Rows are UTF-8 too, or the server never converts (SQL_ASCII, set once for the session).
    AsSession,
    /// Switch to this encoding between preparing and executing.
    Switch(String),
}

impl RowEncoding {
    /// Makes the session ready for rows in `encoding`, the server's name of the database's encoding.
    pub async fn prepare(session: &Session, encoding: &str) -> Result<RowEncoding, Error> {
        match encoding {
            "UTF8" => Ok(RowEncoding::AsSession),
            "SQL_ASCII" => {
                let asking = "asking for the encoding of the database";
                let server = session.one("SHOW server_encoding", asking).await?;
                if !matches!(server.as_deref(), Some("SQL_ASCII" | "UTF8")) {
                    // To such a session our statements would be bytes, and names in them not the database's.
                    return Ok(RowEncoding::Switch(encoding.to_owned()));
                }
                // Under UTF8 such a server would refuse to send bytes that are not UTF-8.
                session
                    .run("SET client_encoding TO 'SQL_ASCII'", "choosing the encoding")
                    .await?;
                Ok(RowEncoding::AsSession)
            }
            other => Ok(RowEncoding::Switch(other.to_owned())),
        }
    }
}

/// `COPY ... TO STDOUT` of one table: all its live columns by name.
pub fn copy_out_statement(table: &TableJob) -> String {
    let columns = column_list(&table.columns);
    match &table.condition {
        None => {
            let oids = match table.form {
                RowForm::CopyWithOids => " WITH OIDS",
                RowForm::Copy | RowForm::Inserts { .. } => "",
            };
            format!("COPY {}{columns} TO STDOUT{oids}", table.name.sql())
        }
        Some(condition) => {
            let list: Vec<String> = table.columns.iter().map(|c| quote_ident(c)).collect();
            format!(
                "COPY (SELECT {} FROM ONLY {} {condition}) TO STDOUT",
                list.join(", "),
                table.name.sql()
            )
        }
    }
}

/// `COPY ... FROM STDIN` of one table.
pub fn copy_in_statement(table: &crate::words::names::QualifiedName, columns: Option<&[String]>) -> String {
    format!(
        "COPY {}{} FROM STDIN",
        table.sql(),
        columns.map(column_list).unwrap_or_default()
    )
}

fn column_list(columns: &[String]) -> String {
    if columns.is_empty() {
        return String::new();
    }
    let list: Vec<String> = columns.iter().map(|c| quote_ident(c)).collect();
    format!(" ({})", list.join(", "))
}

/// Starts a COPY out; every item holds whole rows.
pub async fn copy_out(
    session: &Session,
    encoding: &RowEncoding,
    statement: &str,
    doing: &str,
) -> Result<impl Stream<Item = Result<Bytes, tokio_postgres::Error>> + use<>, Error> {
    let stream = match encoding {
        RowEncoding::AsSession => session.watch(doing, session.client().copy_out(statement)).await?,
        RowEncoding::Switch(name) => {
            let prepared = prepare_switched(session, name, statement, doing).await?;
            session.watch(doing, session.client().copy_out(&prepared)).await?
        }
    };
    Ok(stream.map_err(|e| session.error(e, doing))?.boxed())
}

/// Starts a COPY in.
pub async fn copy_in(
    session: &Session,
    encoding: &RowEncoding,
    statement: &str,
    doing: &str,
) -> Result<CopyInSink<Bytes>, Error> {
    let sink = match encoding {
        RowEncoding::AsSession => session.watch(doing, session.client().copy_in(statement)).await?,
        RowEncoding::Switch(name) => {
            let prepared = prepare_switched(session, name, statement, doing).await?;
            session.watch(doing, session.client().copy_in(&prepared)).await?
        }
    };
    sink.map_err(|e| session.error(e, doing))
}

async fn prepare_switched(
    session: &Session,
    encoding: &str,
    statement: &str,
    doing: &str,
) -> Result<tokio_postgres::Statement, Error> {
    session.run("SET client_encoding TO 'UTF8'", doing).await?;
    let prepared = session
        .watch(doing, session.client().prepare(statement))
        .await?
        .map_err(|e| session.error(e, doing))?;
    session
        .run(
            &format!("SET client_encoding TO '{}'", encoding.replace('\'', "''")),
            doing,
        )
        .await?;
    Ok(prepared)
}
