//! The list of tables that did not come, or not whole, for a second try with `--table-file`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::scene::Scene;
use super::selection::Selection;
use crate::exec::restore_fleet::LoadOutcome;
use crate::store::files::Files;
use crate::words::layout::DumpFileKind;
use crate::words::names::QualifiedName;
use crate::worker::host_ops;

/// Writes it and says where it is. `defined`: tables, as the database calls them, of which a definition was refused.
pub(super) fn tell(
    scene: &Scene<'_>,
    selection: Option<&Selection>,
    defined: BTreeSet<QualifiedName>,
    load: &LoadOutcome,
    directory: &Path,
) {
    let path = directory.join(scene.set.names.of_set(DumpFileKind::FailedTables));
    // That of an earlier run says nothing of this one.
    let _ = std::fs::remove_file(&path);
    let in_set: HashMap<QualifiedName, QualifiedName> = selection.map(Selection::names_in_set).unwrap_or_default();
    let mut tables: BTreeSet<QualifiedName> = load.troubled.clone();
    tables.extend(
        defined
            .into_iter()
            .map(|table| in_set.get(&table).cloned().unwrap_or(table)),
    );
    if tables.is_empty() {
        return;
    }
    let text: String = tables.iter().map(|table| format!("{table}\n")).collect();
    match host_ops::write_file(&Files::default(), &path.as_path().into(), &text) {
        Ok(()) => tracing::warn!(
            "{} tables are not whole: {} names them, and --table-file with it tries them again",
            tables.len(),
            path.display()
        ),
        Err(error) => tracing::warn!("could not write {}: {error}", path.display()),
    }
}
