//! The small files of a set, and what is left of them when only a part is asked for.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::chain::Provided;
use super::selection::Selection;
use crate::db::Session;
use crate::db::target::{self, Truncation};
use crate::exec::restore_records::MasterOutcome;
use crate::format::cdatabase::Cdatabase;
use crate::format::sql_script::Script;
use crate::gather::dump_set;
use crate::plan::restore::DumpSet;
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::parts::{self};
use crate::plan::translate::not_restored::{self, NotRestored};
use crate::plan::translate::{Origin, Part, Target, Translator};
use crate::run::refusal_of;
use crate::store::data_file::hex;
use crate::store::files::Files;
use crate::words::dialect::Dialect;
use crate::words::layout::DumpFileKind;
use crate::words::place::Place;
use crate::words::present::Present;
use crate::words::refusal::Refusal;

/// What is done right before the definitions are run.
#[derive(Debug, Default)]
pub(super) struct FirstSteps {
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) schemas: Vec<String>,
    /// Schemas to make when the database lacks them: the set has objects in them and not themselves.
    pub(super) not_in_set: Vec<String>,
    pub(super) truncations: Vec<Truncation>,
}

/// The small files of the set, read before anything is changed.
pub(super) struct Definitions {
    pub(super) pre_data: Vec<u8>,
    pub(super) pre_data_path: Place,
    pub(super) post_data: Vec<u8>,
    pub(super) post_data_path: Place,
    /// Over both as they stand in the set.
    pub(super) sum: String,
    /// Read only when the database is to be made.
    pub(super) cdatabase: Option<Cdatabase>,
    /// What turned them into the words of the target.
    translator: Option<Translator>,
}

impl Definitions {
    /// Beside the async work: a named pipe may have to wait for its writer.
    pub(super) async fn read(files: &Files, set: &DumpSet, creates: bool) -> Result<Definitions, Refusal> {
        let (files, set) = (files.clone(), set.clone());
        match tokio::task::spawn_blocking(move || Definitions::read_now(&files, &set, creates)).await {
            Ok(read) => read,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn read_now(files: &Files, set: &DumpSet, creates: bool) -> Result<Definitions, Refusal> {
        for kind in [DumpFileKind::Dump, DumpFileKind::PostData] {
            dump_set::require(files, set, kind)?;
        }
        let cdatabase = if creates {
            Some(read_cdatabase(files, set)?)
        } else {
            None
        };
        dump_set::check_master_files(files, set)?;
        let pre_data = dump_set::read_ddl(files, set, DumpFileKind::Dump)?;
        let post_data = dump_set::read_ddl(files, set, DumpFileKind::PostData)?;
        let mut sum = Sha256::new();
        for text in [&pre_data, &post_data] {
            sum.update((text.len() as u64).to_le_bytes());
            sum.update(text);
        }
        Ok(Definitions {
            sum: hex(&sum.finalize()),
            pre_data,
            pre_data_path: dump_set::ddl_path(set, DumpFileKind::Dump),
            post_data,
            post_data_path: dump_set::ddl_path(set, DumpFileKind::PostData),
            cdatabase,
            translator: None,
        })
    }

    /// Puts them in the words of the server that they are run on.
    pub(super) async fn translate(
        &mut self,
        set: &DumpSet,
        session: &Session,
        dialect: &Dialect,
    ) -> Result<(), Refusal> {
        let has_quicklz = target::has_quicklz(session, dialect).await;
        let target = Target::of(dialect, has_quicklz.map_err(|error| refusal_of(&error))?);
        let mut translator = Translator::new(&Origin::of(set), target);
        for (part, text, path) in [
            (Part::PreData, &mut self.pre_data, &self.pre_data_path),
            (Part::PostData, &mut self.post_data, &self.post_data_path),
        ] {
            let script = parse_script(text, path)?;
            if let Some(translated) = translator.translate(&script, part) {
                *text = translated;
            }
        }
        for note in translator.notes() {
            match note.warns {
                true => tracing::warn!("{}", note.text),
                false => tracing::info!("{}", note.text),
            }
        }
        self.translator = Some(translator);
        Ok(())
    }

    /// What this server cannot have, a sentence each.
    pub(super) fn left_out(&self) -> Vec<String> {
        let translator = self.translator.iter();
        translator
            .flat_map(|translator| translator.left_out())
            .map(NotRestored::sentence)
            .collect()
    }

    /// Adds to the errors of a run what was not tried, and says where all that is missing can be read.
    pub(super) fn tell_missing(&self, master: &mut MasterOutcome, file: &Path) {
        let Some(translator) = &self.translator else { return };
        master
            .errors
            .extend(translator.left_out().iter().map(NotRestored::sentence));
        let failed = std::mem::take(&mut master.not_restored);
        let failed = not_restored::gathered(failed).into_iter().map(|mut item| {
            if let Some(original) = translator
                .original(&item.what)
                .filter(|whole| !whole.contains(&item.sql))
            {
                item.sql = original.to_owned();
            }
            let explained: BTreeSet<String> = item.why.iter().filter_map(|why| translator.explanation(why)).collect();
            for hint in explained {
                tracing::warn!("{}: {hint}", item.what);
                item.why.push(hint);
            }
            item
        });
        master.not_restored = translator.left_out().iter().cloned().chain(failed).collect();
        // That of an earlier run says nothing of this one.
        let _ = std::fs::remove_file(file);
        if !master.not_restored.is_empty() {
            tracing::warn!(
                "{} objects could not be made as the set defines them; {} names each and has its statements",
                master.not_restored.len(),
                file.display()
            );
        }
    }
}

impl Definitions {
    pub(super) fn inventory(&self) -> Result<Inventory, Refusal> {
        Ok(Inventory::read(&parse_script(&self.pre_data, &self.pre_data_path)?))
    }

    /// Leaves what is asked for.
    pub(super) fn cut(
        &mut self,
        selection: &Selection,
        present: &Present,
        provided: &Provided,
        database: &str,
        fresh: bool,
    ) -> Result<FirstSteps, Refusal> {
        let (truncations, warnings) = selection.truncations(present, provided, database)?;
        let cut = {
            let pre_data = parse_script(&self.pre_data, &self.pre_data_path)?;
            let post_data = parse_script(&self.post_data, &self.post_data_path)?;
            let files = parts::Files {
                pre_data: &pre_data,
                post_data: &post_data,
            };
            selection.cut(files, present, fresh)?
        };
        self.pre_data = cut.pre_data;
        self.post_data = cut.post_data;
        Ok(FirstSteps {
            notes: cut.notes,
            warnings,
            schemas: cut.schemas,
            truncations,
            ..FirstSteps::default()
        })
    }
}

fn read_cdatabase(files: &Files, set: &DumpSet) -> Result<Cdatabase, Refusal> {
    dump_set::require(files, set, DumpFileKind::Cdatabase)?;
    let text = dump_set::read_ddl(files, set, DumpFileKind::Cdatabase)?;
    let path = dump_set::ddl_path(set, DumpFileKind::Cdatabase);
    Cdatabase::parse(&String::from_utf8_lossy(&text))
        .map_err(|error| Refusal::failed(format!("{}: {error}", path.display())))
}

pub(super) fn parse_script<'a>(text: &'a [u8], path: &Place) -> Result<Script<'a>, Refusal> {
    let cut = "nothing was changed; the file was cut off, or its dump failed: restore another set";
    let script =
        Script::parse(text).map_err(|error| Refusal::failed(format!("{}: {error}", path.display())).with_hint(cut))?;
    if script.toc().trailer.is_none() {
        return Err(Refusal::failed(format!(
            "{} does not end with the line \"-- Greenplum Database database dump complete\"",
            path.display()
        ))
        .with_hint(cut));
    }
    Ok(script)
}
