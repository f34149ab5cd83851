//! Heap tables of one segment: in what state they are, and which of them are as the dump before left them
//! (`docs/incremental-heap.md`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::heap_compare::candidates;
use super::protocol::HeapBefore;
use crate::db::heap_states::{HeapFile, read_heap_files, read_server_facts};
use crate::db::{Session, error_chain};
use crate::format::heap_state::{FORMAT, HeapServer, HeapStates, HeapTable, Lsn, parse};

use crate::store::data_file::hex;
use crate::store::files::Files;
use crate::store::heap_pages;
use crate::words::dialect::Dialect;
use crate::words::names::QualifiedName;
use crate::words::place::Place;

/// Reads the states, in the open transaction whose snapshot was taken at `lsn`. The transaction goes on whatever comes.
///
/// The checkpoint brings every change that the snapshot shows to the files; and the log up to `lsn` to the disk, so that
/// no crash can take back what was dumped.
pub(super) async fn read(
    session: &Session,
    dialect: &Dialect,
    data_dir: &Path,
    lsn: Lsn,
    wanted: &HashSet<QualifiedName>,
) -> Result<HeapStates, String> {
    let told = |error: crate::db::Error| error_chain(&error);
    session
        .run("SAVEPOINT heap_states", "setting a savepoint")
        .await
        .map_err(told)?;
    let asked = async {
        session.run("CHECKPOINT", "making a checkpoint").await?;
        let facts = read_server_facts(session, dialect, lsn).await?;
        Ok::<_, crate::db::Error>((facts, read_heap_files(session, dialect, wanted).await?))
    };
    let (facts, files) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let back = "ROLLBACK TO SAVEPOINT heap_states";
            session.run(back, "going back to a savepoint").await.map_err(told)?;
            return Err(error_chain(&error));
        }
    };
    let directory = data_dir.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let system = heap_pages::system_identifier(&directory)
            .map_err(|error| format!("could not read the control file in {}: {error}", directory.display()))?;
        if facts.system.is_some_and(|said| said != system) {
            return Err(format!("the server's files do not lie in {}", directory.display()));
        }
        Ok(HeapStates {
            server: HeapServer {
                format: FORMAT,
                system,
                timeline: facts.timeline,
                database: facts.database,
                lsn,
                page_bytes: facts.page_bytes,
            },
            tables: files
                .into_iter()
                .filter_map(|file| with_pages(file, &directory, facts.page_bytes))
                .collect(),
        })
    });
    joined(work.await)
}

/// A file that cannot be looked at proves nothing of its table.
fn with_pages(file: HeapFile, directory: &Path, page_bytes: u32) -> Option<HeapTable> {
    let pages = heap_pages::page_count(&directory.join(&file.file), page_bytes).ok()?;
    Some(HeapTable {
        table: file.table,
        oid: file.oid,
        file: file.file,
        pages,
        columns: file.columns,
    })
}

/// The tables whose rows are those of the set before.
pub(super) async fn unchanged(
    files: &Files,
    before: &HeapBefore,
    now: &HeapStates,
    data_dir: &Path,
) -> Result<Vec<QualifiedName>, String> {
    let (files, path, sha256) = (files.clone(), before.path.clone(), before.sha256.clone());
    let (now, directory) = (now.clone(), data_dir.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        let before = read_file(&files, &path, &sha256)?;
        let (lsn, tables) = candidates(&before, &now).map_err(|reason| reason.to_string())?;
        let same = |table: &&HeapTable| {
            let file: PathBuf = directory.join(&table.file);
            heap_pages::is_unchanged_since(&file, now.server.page_bytes, lsn).unwrap_or(false)
        };
        Ok(tables
            .into_iter()
            .filter(same)
            .map(|table| table.table.clone())
            .collect())
    });
    joined(work.await)
}

fn read_file(files: &Files, path: &Place, sha256: &str) -> Result<HeapStates, String> {
    let bytes = files
        .read(path)
        .map_err(|error| format!("could not read {}: {error}", path.display()))?;
    if hex(&Sha256::digest(&bytes)) != sha256 {
        return Err(format!("{} is not the file that the manifest names", path.display()));
    }
    let text = String::from_utf8_lossy(&bytes);
    parse(&text).map_err(|bad| format!("{}: {bad}", path.display()))
}

fn joined<T>(ended: Result<Result<T, String>, tokio::task::JoinError>) -> Result<T, String> {
    match ended {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
