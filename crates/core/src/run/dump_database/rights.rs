//! What the role may not read: refused before anything is written, or kept away from where the filter leaves it out.

use std::collections::HashSet;

use tracing::error;

use super::{DumpContext, Sessions};
use crate::db::rights::{Lack, Unreadable, UnreadableKind, read_unreadable};
use crate::db::{Error, Session};
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::tools::pg_dump;
use crate::words::dialect::Product;
use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::refusal::Refusal;

/// Relations that are named one by one; who has more lacks the rights on a schema, or on all of them.
const NAMED: usize = 1000;

/// Nothing where the cluster is dumped by its owner: what such a one may not read is told by the servers.
pub(super) async fn read(context: &DumpContext<'_>, session: &Session) -> Result<Vec<Unreadable>, Error> {
    match context.surroundings.cluster.is_streams() {
        true => read_unreadable(session, &context.surroundings.dialect).await,
        false => Ok(Vec::new()),
    }
}

/// A machine that is no host of the cluster may have another pg_dump than the server wants.
pub(super) async fn check_pg_dump(context: &DumpContext<'_>) -> Result<(), Refusal> {
    let around = context.surroundings;
    if !around.cluster.is_streams() || around.dialect.product == Product::Postgres {
        return Ok(());
    }
    let gphome = context.environment.gphome.as_deref();
    let program = pg_dump::find(gphome, &context.environment.path).map_err(|error| refusal_of(&error))?;
    let libraries = gphome.map(|home| home.join("lib"));
    let knows = pg_dump::knows_greenplum(&program, libraries.as_deref()).await;
    match knows.map_err(|error| refusal_of(&error))? {
        true => Ok(()),
        false => Err(Refusal::failed(format!(
            "{} is PostgreSQL's own and would leave out how the tables of this server are distributed",
            program.display()
        ))
        .with_hint("install the client tools of the server's version, and set GPHOME or put them first in PATH")),
    }
}

/// Names everything at once that is to be dumped and cannot be read, each with the statement that helps.
pub(super) fn check(context: &DumpContext<'_>, sessions: &Sessions, selection: &Selection) -> Result<(), Refusal> {
    let is_everything = selection.tables.is_none();
    let wanted = |found: &&Unreadable| match found.kind {
        // Which sequences the chosen tables need is known later; large objects belong to none.
        UnreadableKind::Sequence | UnreadableKind::LargeObject => is_everything,
        UnreadableKind::Table => selection.has(found.oid),
    };
    let missing: Vec<&Unreadable> = sessions.unreadable.iter().filter(wanted).collect();
    refuse(context, &missing)
}

/// The same for sequences, once it is known which of them are kept.
pub(super) fn check_sequences(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    is_kept: impl Fn(&QualifiedName) -> bool,
) -> Result<(), Refusal> {
    let missing: Vec<&Unreadable> = (sessions.unreadable.iter())
        .filter(|found| found.kind == UnreadableKind::Sequence && is_kept(&found.name))
        .collect();
    refuse(context, &missing)
}

/// With `--external` a table that cannot be read is left out and told of at the end: the others go on.
pub(super) fn may_read(context: &DumpContext<'_>, sessions: &Sessions, table: Oid) -> bool {
    context.request.external.is_none() || sessions.unreadable.iter().all(|found| found.oid != table)
}

fn refuse(context: &DumpContext<'_>, missing: &[&Unreadable]) -> Result<(), Refusal> {
    if missing.is_empty() || context.request.external.is_some() {
        return Ok(());
    }
    let role = &context.address.login.user;
    for found in missing.iter().take(NAMED) {
        let grants = found.grants(role);
        match found.lack {
            Lack::RowSecurity => error!(
                "Role {role} sees only some rows of {}, because of row security policies: {grants}",
                found.name
            ),
            _ => match found.kind {
                UnreadableKind::LargeObject => error!("Role {role} may not read large object {}: {grants}", found.oid),
                _ => error!("Role {role} may not read {}: {grants}", found.name),
            },
        }
    }
    if missing.len() > NAMED {
        error!("{} more cannot be read", missing.len() - NAMED);
    }
    Err(Refusal::known(format!(
        "{} tables, sequences and large objects of database {} cannot be read by role {role}",
        missing.len(),
        context.database
    ))
    .with_hint("nothing was written; let the owner run the statements above, or leave these tables out with -T or -S"))
}

/// What pg_dump must not touch, for it would fail: tables and sequences that are left out, as its patterns.
pub(super) fn left_out(sessions: &Sessions) -> Vec<String> {
    let kept_away = sessions
        .unreadable
        .iter()
        .filter(|found| found.lack != Lack::RowSecurity && found.kind != UnreadableKind::LargeObject);
    kept_away.map(|found| found.name.sql()).collect()
}

/// Sequences whose values cannot be asked for.
pub(super) fn unreadable_sequences(sessions: &Sessions) -> HashSet<QualifiedName> {
    let sequences = sessions
        .unreadable
        .iter()
        .filter(|found| found.kind == UnreadableKind::Sequence);
    sequences.map(|found| found.name.clone()).collect()
}
