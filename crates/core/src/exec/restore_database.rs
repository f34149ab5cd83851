//! Drops and creates the database of a restore. Both end in a sentence when they cannot be done, before anything else is.

use std::time::Duration;

use tokio::time::Instant;

use crate::db::{Session, error_chain, target};
use crate::format::cdatabase::Cdatabase;
use crate::words::dialect::Dialect;
use crate::words::names::quote_ident;
use crate::words::refusal::Refusal;

/// How long others may take to leave the database. (The original tries 600 times.)
const LEAVE_LIMIT: Duration = Duration::from_secs(60);

/// Sessions that a message names.
const NAMED_SESSIONS: usize = 5;

/// Drops the database and waits for those who are in it to leave. The session must be in another database.
pub async fn drop_database(session: &Session, dialect: &Dialect, name: &str) -> Result<(), Refusal> {
    let sql = format!("DROP DATABASE IF EXISTS {}", quote_ident(name));
    let started = Instant::now();
    let mut told = false;
    loop {
        let error = match session.run(&sql, &format!("dropping database \"{name}\"")).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // 55006: others are in it.
        if error.code() != Some("55006") {
            return Err(Refusal::known(format!(
                "Failed to drop database {name}: {}",
                error_chain(&error)
            )));
        }
        let inside = target::read_sessions_of(session, dialect, name, NAMED_SESSIONS).await;
        let inside = inside.map(|lines| lines.join(", ")).unwrap_or_default();
        if started.elapsed() >= LEAVE_LIMIT {
            return Err(Refusal::known(format!(
                "Failed to drop database {name}: after {} seconds others are still connected to it: {inside}",
                LEAVE_LIMIT.as_secs()
            ))
            .with_hint("nothing was changed; end these sessions (pg_terminate_backend) and run the restore again"));
        }
        if !told {
            told = true;
            tracing::warn!(
                "Could not drop database {name} yet: others are connected to it: {inside}; waiting up to {} seconds",
                LEAVE_LIMIT.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Refuses before the old database is gone what would fail once it is.
pub async fn check_creatable(session: &Session, script: &Cdatabase) -> Result<(), Refusal> {
    let Some(owner) = script.statements.iter().find_map(|statement| owner_of(statement)) else {
        return Ok(());
    };
    match target::role_exists(session, &owner).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::known(format!(
            "database {} cannot be created: its owner, role \"{owner}\", does not exist here",
            script.name
        ))
        .with_hint("nothing was changed; create the role, or restore the global objects of the set first (-G)")),
        Err(error) => Err(Refusal::failed(error_chain(&error))),
    }
}

/// Runs the statements of a create-database script. That the database itself cannot be created is an error; the messages
/// of other statements that failed (rights, settings) are returned.
pub async fn create_database(
    session: &Session,
    dialect: &Dialect,
    name: &str,
    statements: &[String],
) -> Result<Vec<String>, Refusal> {
    let knows_locales = dialect.pg_version.0 >= 80400;
    let mut messages = Vec::new();
    for statement in statements {
        let without;
        let statement = match locale_start(statement) {
            Some(at) if !knows_locales => {
                without = statement[..at].to_owned();
                &without
            }
            _ => statement,
        };
        if !is_create(statement) {
            if let Err(error) = session.run(statement, "setting up the database").await {
                messages.push(error_chain(&error));
            }
            continue;
        }
        let doing = format!("creating database \"{name}\"");
        let Err(first) = session.run(statement, &doing).await else {
            continue;
        };
        match other_locale(statement).filter(|_| knows_locales) {
            // Encoding or locale do not fit this server: the rows fit any database of the encoding under locale C.
            Some(plain) if matches!(first.code(), Some("22023" | "42809" | "42704" | "42601")) => {
                session
                    .run(&plain, &doing)
                    .await
                    .map_err(|_| could_not_create(name, &first))?;
                tracing::warn!(
                    "Database {name} was created with locale C, because the one of the set cannot be had here: {}",
                    error_chain(&first)
                );
            }
            _ => return Err(could_not_create(name, &first)),
        }
    }
    Ok(messages)
}

fn could_not_create(name: &str, error: &crate::db::Error) -> Refusal {
    Refusal::known(format!("Failed to create database {name}: {}", error_chain(error)))
}

fn is_create(statement: &str) -> bool {
    statement
        .get(..15)
        .is_some_and(|head| head.eq_ignore_ascii_case("CREATE DATABASE"))
}

/// The name behind `OWNER = ` of a CREATE DATABASE.
fn owner_of(statement: &str) -> Option<String> {
    if !is_create(statement) {
        return None;
    }
    let (_, rest) = statement.rsplit_once(" OWNER = ")?;
    match rest.strip_prefix('"') {
        Some(rest) => {
            // Doubled quotes are one quote, and a single one ends the name.
            let mut owner = String::new();
            let mut chars = rest.chars();
            while let Some(c) = chars.next() {
                if c == '"' && chars.clone().next() != Some('"') {
                    return Some(owner);
                }
                if c == '"' {
                    chars.next();
                }
                owner.push(c);
            }
            None
        }
        None => rest
            .split_whitespace()
            .next()
            .map(|word| word.trim_end_matches(';').to_owned()),
    }
}

/// Where the locale options of a CREATE DATABASE begin; they are its last ones.
fn locale_start(statement: &str) -> Option<usize> {
    if !is_create(statement) {
        return None;
    }
    let owner = statement.find(" OWNER = ")?;
    let words = [
        " LC_COLLATE",
        " LC_CTYPE",
        " LOCALE",
        " ICU_LOCALE",
        " ICU_RULES",
        " COLLATION_VERSION",
        " BUILTIN_LOCALE",
    ];
    let found = words.iter().filter_map(|word| statement[owner..].find(word)).min()?;
    Some(owner + found)
}

/// The same statement under locale C, whatever it says of locales.
fn other_locale(statement: &str) -> Option<String> {
    is_create(statement).then(|| {
        let end = locale_start(statement).unwrap_or(statement.len());
        format!("{} LC_COLLATE = 'C' LC_CTYPE = 'C'", &statement[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_with_and_without_quotes() {
        let create = "CREATE DATABASE demo WITH TEMPLATE = template0 ENCODING = 'UTF8' OWNER = ";
        for (text, owner) in [
            ("gpadmin", "gpadmin"),
            ("\"App \"\"x\"\" Owner\" TABLESPACE = t", "App \"x\" Owner"),
            ("a TABLESPACE = t", "a"),
        ] {
            assert_eq!(owner_of(&format!("{create}{text}")).as_deref(), Some(owner), "{text}");
        }
        assert_eq!(owner_of("ALTER DATABASE x SET a TO ' OWNER = y'"), None);
    }

    #[test]
    fn a_locale_is_replaced_and_nothing_else() {
        assert_eq!(
            other_locale(
                "CREATE DATABASE d WITH TEMPLATE = template0 ENCODING = 'UTF8' OWNER = o LC_COLLATE = 'x' LC_CTYPE = 'y'"
            )
            .unwrap(),
            "CREATE DATABASE d WITH TEMPLATE = template0 ENCODING = 'UTF8' OWNER = o LC_COLLATE = 'C' LC_CTYPE = 'C'"
        );
    }
}
