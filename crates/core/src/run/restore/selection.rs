//! A restore of some tables or schemas: looked up in the set, held against the database, before anything is changed.

use std::collections::{BTreeSet, HashMap};

use super::chain::Provided;
use crate::db::target::Truncation;
use crate::format::ddl_split::excerpt::{Rewrite, excerpt};
use crate::format::sql_script::Script;
use crate::plan::restore::choice::{self, Choice};
use crate::plan::restore::inventory::Inventory;
use crate::plan::restore::moves::{Move, is_utf8};
use crate::plan::restore::parts::{Files, Into, choose_parts, owned_sequences};
use crate::plan::restore_request::RestoreRequest;
use crate::words::names::QualifiedName;
use crate::words::present::Present;
use crate::words::refusal::Refusal;
use crate::words::relation::TargetTable;

/// What is asked for, as the set has it.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) inventory: Inventory,
    pub(super) choice: Choice,
    /// `--change-schema`
    schema: Option<String>,
    truncates: bool,
}

/// The definitions to run, made of those of the set.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) pre_data: Vec<u8>,
    pub(super) post_data: Vec<u8>,
    /// Schemas to be made first.
    pub(super) schemas: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Selection {
    /// `None`: everything is asked for.
    pub(super) fn read(request: &RestoreRequest, pre_data: &Script) -> Result<Option<Selection>, Refusal> {
        if !request.selects() {
            return Ok(None);
        }
        let inventory = Inventory::read(pre_data);
        let choice = choice::choose(&request.tables, &request.schemas, &inventory)?;
        let selection = Selection {
            inventory,
            choice,
            schema: request.change_schema.clone(),
            truncates: request.truncate,
        };
        selection.check_twins()?;
        Ok(Some(selection))
    }

    /// Two tables cannot have one place.
    fn check_twins(&self) -> Result<(), Refusal> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let mut known: HashMap<&str, &QualifiedName> = HashMap::new();
        for &at in &self.choice.tables {
            let name = &self.inventory.tables[at].name;
            if let Some(other) = known.insert(&name.name, name) {
                return Err(Refusal::failed(format!(
                    "Tables {other} and {name} cannot both be restored to schema {schema}: they have one name"
                ))
                .with_hint("nothing was changed; restore one of them into another schema"));
            }
        }
        Ok(())
    }

    /// The tables as people named them.
    pub(super) fn named(&self) -> Vec<String> {
        let named = self.choice.named.iter();
        named.map(|at| self.inventory.tables[*at].name.to_string()).collect()
    }

    /// The name that a table of the set has here.
    pub(super) fn here(&self, name: &QualifiedName) -> QualifiedName {
        match &self.schema {
            Some(schema) => QualifiedName::new(schema, &name.name),
            None => name.clone(),
        }
    }

    pub(super) fn schema(&self) -> Option<String> {
        self.schema.clone()
    }

    /// Tables whose rows are wanted, as the set calls them.
    pub(super) fn rows(&self) -> impl Iterator<Item = &QualifiedName> {
        self.choice.with_rows(&self.inventory)
    }

    /// What is analyzed, as the database calls it.
    pub(super) fn heads(&self) -> Vec<QualifiedName> {
        self.choice.heads(&self.inventory).map(|name| self.here(name)).collect()
    }

    /// All that is asked for, as the database calls it.
    pub(super) fn all_here(&self) -> BTreeSet<QualifiedName> {
        let tables = self.choice.tables.iter();
        tables.map(|at| self.here(&self.inventory.tables[*at].name)).collect()
    }

    /// Sequences, as the database calls them, whose values matter.
    pub(super) fn sequences(&self, pre_data: &Script) -> Vec<QualifiedName> {
        let owned = owned_sequences(pre_data).into_iter();
        let chosen = |table: &QualifiedName| {
            let found = self.inventory.find(table);
            found.is_some_and(|at| self.choice.tables.contains(&at))
        };
        owned
            .filter(|(_, table)| chosen(table))
            .map(|(sequence, _)| self.here(&sequence))
            .collect()
    }

    /// The schema of `--change-schema` must be there, unless the database is made in this run.
    pub(super) fn check_schema(&self, present: &Present, fresh: bool, redirect: Option<&str>) -> Result<(), Refusal> {
        let Some(schema) = &self.schema else { return Ok(()) };
        if fresh || present.schemas.contains(schema) {
            return Ok(());
        }
        Err(Refusal::failed(match redirect {
            None => format!("Cannot restore tables to schema {schema}: schema does not exist"),
            Some(database) => {
                format!("Cannot restore tables to the database {database}: schema {schema} does not exist")
            }
        })
        .with_hint("nothing was changed; create the schema first"))
    }

    /// The definitions that are run.
    pub(super) fn cut(&self, files: Files<'_>, present: &Present, fresh: bool) -> Result<Cut, Refusal> {
        if let Some(schema) = self.schema.as_ref().filter(|schema| !schema.is_ascii())
            && !(is_utf8(files.pre_data) && is_utf8(files.post_data))
        {
            return Err(Refusal::failed(format!(
                "Cannot restore tables to schema {schema}: the definitions of the set are not in UTF8, and the name cannot be \
                 written among them"
            ))
            .with_hint("nothing was changed; restore into a schema with an ASCII name and rename it"));
        }
        let parts = choose_parts(
            files,
            &self.inventory,
            &self.choice,
            Into {
                present,
                schema: self.schema.as_deref(),
                truncates: self.truncates,
                fresh,
            },
        );
        let made = |script: &Script, kept: &[bool]| {
            let entries = script.entries().iter().zip(kept).filter(|(_, kept)| **kept);
            entries
                .filter_map(|(entry, _)| entry.schema.clone())
                .collect::<BTreeSet<_>>()
        };
        let made = [
            made(files.pre_data, &parts.pre_data),
            made(files.post_data, &parts.post_data),
        ];
        // Where a needed type or function stays in the old schema, that schema is made too.
        let is_there = |schema: &str| {
            schema == "public"
                || present.schemas.contains(schema)
                || parts.schemas.iter().any(|made| made == schema)
                || (self.schema.is_none() && made.iter().any(|made| made.contains(schema)))
        };
        let text = |script: &Script, kept: &[bool]| {
            let mover = self.schema.as_ref().map(|schema| Move {
                script,
                moved: &parts.moved,
                schema,
                is_there: &is_there,
            });
            excerpt(script, kept, mover.as_ref().map(|mover| mover as &dyn Rewrite))
        };
        Ok(Cut {
            pre_data: text(files.pre_data, &parts.pre_data),
            post_data: text(files.post_data, &parts.post_data),
            schemas: parts.schemas,
            notes: parts.notes,
        })
    }

    /// Tables, with all partitions that are asked for with them, for which no rows come, each with one of those.
    fn without_rows(&self, present: &Present, provided: &Provided) -> HashMap<usize, &QualifiedName> {
        let mut lacking = HashMap::new();
        for &at in &self.choice.tables {
            let name = &self.inventory.tables[at].name;
            // An external partition is not emptied, and its rows are in no set.
            let here = present.relations.get(&self.here(name));
            if !self.inventory.has_rows(at) || provided.may_have(name) || here.is_some_and(|here| here.external) {
                continue;
            }
            let mut above = Some(at);
            while let Some(one) = above.filter(|one| self.choice.tables.contains(one)) {
                lacking.entry(one).or_insert(name);
                above = self.inventory.tables[one].parent;
            }
        }
        lacking
    }

    /// What is emptied, and a warning for each table that cannot be. Refuses what the server would refuse.
    pub(super) fn truncations(
        &self,
        present: &Present,
        provided: &Provided,
        database: &str,
    ) -> Result<(Vec<Truncation>, Vec<String>), Refusal> {
        let (mut tables, mut warnings) = (Vec::new(), Vec::new());
        if !self.truncates {
            return Ok((tables, warnings));
        }
        let lacking = self.without_rows(present, provided);
        for &at in &self.choice.tables {
            let table = &self.inventory.tables[at];
            let is_part = table.parent.is_some_and(|parent| self.choice.tables.contains(&parent));
            let here = self.here(&table.name);
            let relation = present
                .relations
                .get(&here)
                .filter(|relation| relation.is_table && !relation.external);
            match relation {
                Some(relation) if !is_part => match lacking.get(&at) {
                    None => tables.push(Truncation {
                        table: here,
                        with_partitions: relation.partitioned,
                    }),
                    Some(lacking) if self.choice.named.contains(&at) => {
                        return Err(Refusal::failed(format!(
                            "Failure from truncating tables, {database}.{here} would stay empty: the set has no rows of {lacking}"
                        ))
                        .with_hint(
                            "nothing was changed; without --truncate its rows stay, and of a partitioned table the partitions \
                             that the set has rows of can be named one by one",
                        ));
                    }
                    Some(lacking) => warnings.push(format!(
                        "Skipping truncate of {database}.{here} because the set has no rows of {lacking}"
                    )),
                },
                // Emptied with its table.
                Some(_) => {}
                None if is_part => {}
                None => warnings.push(format!(
                    "Skipping truncate of {database}.{here} because the relation does not exist or is an external table."
                )),
            }
        }
        let emptied: BTreeSet<&QualifiedName> = tables.iter().map(|one| &one.table).collect();
        let all = self.all_here();
        let key = present
            .foreign_keys
            .iter()
            .find(|key| emptied.contains(&key.to) && !emptied.contains(&key.from) && !all.contains(&key.from));
        if let Some(key) = key {
            return Err(Refusal::failed(format!(
                "Failure from truncating tables, Could not truncate table {database}.{}: foreign key \"{}\" of table {} \
                 refers to it",
                key.to.sql(),
                key.name,
                key.from
            ))
            .with_hint(format!(
                "nothing was changed; restore both tables together (-T {} -T {}), or drop the foreign key first",
                key.to, key.from
            )));
        }
        Ok((tables, warnings))
    }

    /// The tables asked for, by the names that they have here.
    pub(super) fn names_in_set(&self) -> HashMap<QualifiedName, QualifiedName> {
        let names = self.choice.tables.iter().map(|at| &self.inventory.tables[*at].name);
        names.map(|name| (self.here(name), name.clone())).collect()
    }

    /// Tables of the database that the set has, under the names of the set.
    pub(super) fn as_in_set(&self, tables: Vec<TargetTable>) -> Vec<TargetTable> {
        let names: HashMap<QualifiedName, &QualifiedName> = self
            .choice
            .tables
            .iter()
            .map(|at| &self.inventory.tables[*at].name)
            .map(|name| (self.here(name), name))
            .collect();
        let renamed = tables.into_iter().filter_map(|table| {
            let name = (*names.get(&table.name)?).clone();
            let root = table
                .root
                .map(|root| names.get(&root).map_or(root, |name| (*name).clone()));
            Some(TargetTable { name, root, ..table })
        });
        renamed.collect()
    }

    /// Tables that were in the database before, under the names of the set.
    pub(super) fn existing(&self, present: &Present) -> BTreeSet<QualifiedName> {
        let names = self.choice.tables.iter().map(|at| &self.inventory.tables[*at].name);
        names
            .filter(|name| present.has_table(&self.here(name)))
            .cloned()
            .collect()
    }
}

/// What `-L` shows.
pub(super) fn list_of_tables(inventory: &Inventory, key: crate::words::ids::TimestampKey) -> Vec<String> {
    let dash = "-".repeat(68);
    let mut lines = vec![
        dash.clone(),
        format!("List of database tables for dump file with time stamp {key}"),
        dash.clone(),
    ];
    let tables = inventory.tables.iter();
    lines.extend(tables.map(|table| format!("Table {} Owner {}", table.name, table.owner)));
    lines.push(dash);
    lines
}
