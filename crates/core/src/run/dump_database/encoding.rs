//! The encoding that rows are written in: the database's, or what `-E` says.

use super::DumpContext;
use crate::db::Session;
use crate::db::catalog::DatabaseInfo;
use crate::run::refusal_of;
use crate::words::names::quote_literal;
use crate::words::refusal::Refusal;

/// The server's own name of the encoding. One that it does not know, or cannot convert to, is refused before anything is
/// copied.
pub(super) async fn of_rows(
    context: &DumpContext<'_>,
    session: &Session,
    database: &DatabaseInfo,
) -> Result<String, Refusal> {
    let Some(asked) = &context.request.style.encoding else {
        return Ok(database.encoding.clone());
    };
    let literal = quote_literal(asked);
    let sql = format!("SELECT pg_catalog.pg_encoding_to_char(pg_catalog.pg_char_to_encoding({literal}))");
    let known = session.one(&sql, "asking for an encoding");
    let known = known.await.map_err(|error| refusal_of(&error))?;
    let Some(name) = known.filter(|name| !name.is_empty()) else {
        return Err(Refusal::failed(format!(
            "The server knows no encoding \"{asked}\" (option -E)"
        )));
    };
    let tried = session
        .run(
            &format!("SET client_encoding TO {}", quote_literal(&name)),
            "trying the encoding of -E",
        )
        .await;
    session
        .run("SET client_encoding TO 'UTF8'", "returning to UTF-8")
        .await
        .map_err(|error| refusal_of(&error))?;
    match tried {
        Ok(()) => Ok(name),
        Err(error) => Err(refusal_of(&error).with_hint(format!(
            "the rows of database {} are in {}; without -E they are written as they are",
            database.name, database.encoding
        ))),
    }
}
