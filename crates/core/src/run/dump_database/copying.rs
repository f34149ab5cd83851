//! The cut and what follows from it: rows, definitions, and rows that the segments write away.

use super::ddl::{self, NoDefinitions};
use super::give_way::{self, GiveWay};
use super::prepare::Directories;
use super::snapshot::{self, CutState};
use super::{DumpContext, Sessions, external};
use crate::db::catalog::DatabaseInfo;
use crate::db::error_chain;
use crate::exec::dump_fleet::DumpFleet;
use crate::exec::master_files::MasterTexts;
use crate::format::external_rows::ExternalRows;
use crate::plan::filter::Selection;
use crate::run::refusal_of;
use crate::tools::pg_dump::RunningPgDump;
use crate::words::layout::SetNames;
use crate::words::progress::Figures;
use crate::words::refusal::Refusal;

/// All of one cut. The segments' rows are in files that have no names yet.
pub(super) struct Copied {
    pub(super) cut: CutState,
    pub(super) texts: MasterTexts,
    /// With `--external`.
    pub(super) written: Option<ExternalRows>,
}

/// What is copied when, and what happens where a statement stands between our locks and pg_dump's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Rows and definitions at the same time; it is waited for.
    OneTry,
    /// The same; it is let through.
    Together,
    /// It is let through, and no row is copied in vain.
    DefinitionsFirst,
}

/// Takes the cut and copies it; once more where a statement of another session came between. `None` when a segment failed
/// on the way: the fleet knows which and why.
pub(super) async fn cut_and_copy(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    (names, directories): (&SetNames, &Directories),
    database: &DatabaseInfo,
    mut selection: Selection,
) -> Result<Option<Copied>, Refusal> {
    let mut give_way = GiveWay::default();
    loop {
        let taken = snapshot::take_cut(
            context,
            sessions,
            fleet,
            (names, directories),
            database,
            selection,
            &mut give_way,
        );
        let Some((cut, pg_dump)) = taken.await? else {
            return Ok(None);
        };
        // What segments have written away, or into pipes, cannot be taken back.
        let may_give_way = context.request.external.is_none() && fleet.can_begin_anew();
        let order = match (may_give_way, give_way.has_been()) {
            (false, _) => Order::OneTry,
            (true, false) => Order::Together,
            (true, true) => Order::DefinitionsFirst,
        };
        let copied = copy(context, sessions, fleet, database, &cut, pg_dump, order).await;
        let whom = match copied {
            Ok(Some((texts, written))) => return Ok(Some(Copied { cut, texts, written })),
            Ok(None) => return Ok(None),
            Err(NoDefinitions::Refused(refusal)) => return Err(refusal),
            Err(NoDefinitions::Between(whom)) => whom,
            // pg_dump locks all tables of the database, and we only those that were chosen: another may have gone.
            Err(NoDefinitions::NotLocked(error)) => {
                if !may_give_way || !give_way::are_gone(context, sessions, &cut.all_tables).await? {
                    return Err(refusal_of(&error));
                }
                vec![error_chain(&error)]
            }
        };
        give_way.to(&whom, context.request.limits.lock)?;
        selection = give_way::give_up_locks(context, sessions, fleet).await?;
        if !fleet.all_well() {
            return Ok(None);
        }
    }
}

/// Copies rows and makes definitions. `None` when a segment failed.
async fn copy(
    context: &DumpContext<'_>,
    sessions: &Sessions,
    fleet: &mut DumpFleet,
    database: &DatabaseInfo,
    cut: &CutState,
    pg_dump: RunningPgDump,
    order: Order,
) -> Result<Option<(MasterTexts, Option<ExternalRows>)>, NoDefinitions> {
    // DDL is read and split while the rows are copied.
    let may_give_way = order != Order::OneTry;
    let ddl = ddl::make_ddl(context, sessions, &cut.tables, pg_dump, database, may_give_way);
    tokio::pin!(ddl);
    let mut texts = None;
    if order == Order::DefinitionsFirst {
        match fleet.alongside(&mut ddl).await {
            Some(made) => texts = Some(made?),
            None => return Ok(None),
        }
    }
    context.board.begin(Figures {
        subject: format!("Dumping {}", context.database),
        segments: context.surroundings.cluster.primaries().len() as u64,
        tables: cut.dumped.len() as u64,
        bytes_total: Some(cut.dumped.iter().map(|relation| relation.estimated_bytes).sum()),
        ..Figures::default()
    });
    let mut written = None;
    {
        let copying = async {
            let copy = async {
                fleet.copy(context.board).await;
                if fleet.all_well() { Ok(()) } else { Err(()) }
            };
            let write = async {
                let tables = (&cut.tables.selection, &cut.external[..]);
                written = external::write(context, sessions, tables, &database.encoding).await;
                Ok(())
            };
            // What cannot become a set is not waited for.
            let _ = tokio::try_join!(copy, write);
        };
        tokio::pin!(copying);
        tokio::select! {
            // Without DDL there is no dump; the workers are stopped by the caller.
            made = &mut ddl, if texts.is_none() => {
                texts = Some(made?);
                copying.await;
            }
            () = &mut copying => {}
        }
    }
    context.board.end();
    if !fleet.all_well() {
        return Ok(None);
    }
    let texts = match texts {
        Some(texts) => texts,
        None => ddl.await?,
    };
    Ok(Some((texts, written)))
}
