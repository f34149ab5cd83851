//! Which tables a dump is to have: names as people type them, against the relations that there are.
//!
//! Names are real ones, `schema.table`, without SQL's quotes; letter case and blanks count, and wildcards are letters like
//! any other. A name that is written as SQL has it (`"Odd Schema"."t"`) is understood too. A name that matches nothing
//! is an error for what is to be dumped and a warning for what is to be left out (`gpcrondump.md` 2.8). No filter ever
//! turns into a dump of everything.

mod lookup;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::words::ids::Oid;
use crate::words::names::{QualifiedName, unquote_ident};
use crate::words::refusal::Refusal;
use crate::words::relation::{NamedRelation, RelationKind};

use lookup::{Found, Lookup};

/// What was asked to be dumped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableFilter {
    #[default]
    Everything,
    /// `-t`, `--table-file`
    IncludeTables(NameList),
    /// `-T`, `--exclude-table-file`
    ExcludeTables(NameList),
    /// `-s`, `--schema-file`
    IncludeSchemas(NameList),
    /// `-S`, `--exclude-schema-file`
    ExcludeSchemas(NameList),
}

/// Names as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameList {
    /// Each once.
    pub names: Vec<String>,
    /// The file they stood in.
    pub file: Option<PathBuf>,
}

impl NameList {
    /// Names that were given one by one.
    pub fn typed<'a>(names: impl IntoIterator<Item = &'a str>) -> NameList {
        NameList {
            names: each_once(names),
            file: None,
        }
    }

    /// Names of a list file, one a line. Lines may end as on Windows; blank lines are passed over.
    pub fn of_file(text: &str, file: PathBuf) -> NameList {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        NameList {
            names: each_once(lines.filter(|line| !line.trim().is_empty())),
            file: Some(file),
        }
    }

    /// Where the names come from, for messages.
    fn place(&self, option: &str) -> String {
        match &self.file {
            Some(file) => format!("file \"{}\"", file.display()),
            None => format!("option {option}"),
        }
    }
}

fn each_once<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut known = HashSet::new();
    let names = names.into_iter().filter(|name| known.insert(*name));
    names.map(str::to_owned).collect()
}

/// Why a table is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// As the list has it.
    Named(String),
    /// A part of this table, which is in.
    PartitionOf(Oid),
    InSchema,
    /// Nothing excludes it.
    NotExcluded,
}

/// What the definitions of a dump are to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Tables(Vec<Oid>),
    Schemas(Vec<String>),
    AllButTables(Vec<Oid>),
    AllButSchemas(Vec<String>),
}

/// A filter made into tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub scope: Scope,
    /// Tables that are dumped with their rows, as far as they have any; `None`: all.
    pub tables: Option<BTreeMap<Oid, Why>>,
    /// What the `_table` file says, by name.
    pub listed: Vec<QualifiedName>,
    /// What the `_schema` file says.
    pub schemas: Option<Vec<String>>,
    /// Names that were passed over, a line each.
    pub warnings: Vec<String>,
}

impl Selection {
    pub fn everything() -> Selection {
        Selection {
            scope: Scope::Everything,
            tables: None,
            listed: Vec::new(),
            schemas: None,
            warnings: Vec::new(),
        }
    }

    /// Whether the rows of this table are dumped.
    pub fn has(&self, table: Oid) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.contains_key(&table))
    }
}

/// Makes tables of a filter. `relations` are those of the user, `schemas` those that are not the server's own.
pub fn select(
    filter: &TableFilter,
    database: &str,
    relations: &[NamedRelation],
    schemas: &[String],
) -> Result<Selection, Refusal> {
    let tree = Tree::new(relations);
    match filter {
        TableFilter::Everything => Ok(Selection::everything()),
        TableFilter::IncludeTables(list) => include_tables(list, database, &tree),
        TableFilter::ExcludeTables(list) => exclude_tables(list, database, &tree),
        TableFilter::IncludeSchemas(list) => include_schemas(list, database, &tree, schemas),
        TableFilter::ExcludeSchemas(list) => exclude_schemas(list, database, &tree, schemas),
    }
}

/// Tables and the partitions below them.
struct Tree<'a> {
    relations: &'a [NamedRelation],
    children: HashMap<Oid, Vec<Oid>>,
}

impl<'a> Tree<'a> {
    fn new(relations: &'a [NamedRelation]) -> Self {
        let mut children: HashMap<Oid, Vec<Oid>> = HashMap::new();
        for relation in relations {
            if let Some(parent) = relation.parent {
                children.entry(parent).or_default().push(relation.oid);
            }
        }
        Tree { relations, children }
    }

    fn tables(&self) -> impl Iterator<Item = &'a NamedRelation> {
        self.relations
            .iter()
            .filter(|relation| relation.kind == RelationKind::Table)
    }

    fn is_leaf(&self, table: Oid) -> bool {
        !self.children.contains_key(&table)
    }

    /// Adds all partitions below the tables that are in.
    fn add_partitions(&self, chosen: &mut BTreeMap<Oid, Why>) {
        let mut open: Vec<Oid> = chosen.keys().copied().collect();
        while let Some(table) = open.pop() {
            for &child in self.children.get(&table).into_iter().flatten() {
                if let std::collections::btree_map::Entry::Vacant(place) = chosen.entry(child) {
                    place.insert(Why::PartitionOf(table));
                    open.push(child);
                }
            }
        }
    }

    /// The names of the tables that are in, in order; without levels between root and leaf that nobody named.
    fn listed(&self, chosen: &BTreeMap<Oid, Why>) -> Vec<QualifiedName> {
        let is_listed = |table: &&NamedRelation| match chosen.get(&table.oid) {
            None => false,
            Some(Why::PartitionOf(_)) => self.is_leaf(table.oid),
            Some(_) => true,
        };
        let mut names: Vec<QualifiedName> = self
            .tables()
            .filter(is_listed)
            .map(|table| table.name.clone())
            .collect();
        names.sort();
        names
    }

    fn all_but(&self, excluded: &BTreeMap<Oid, Why>) -> BTreeMap<Oid, Why> {
        self.tables()
            .filter(|table| !excluded.contains_key(&table.oid))
            .map(|table| (table.oid, Why::NotExcluded))
            .collect()
    }
}

fn include_tables(list: &NameList, database: &str, tree: &Tree) -> Result<Selection, Refusal> {
    // The original passed over them too: somebody's list was made while temporary tables were there.
    let names: Vec<&String> = list.names.iter().filter(|name| !name.starts_with("pg_temp_")).collect();
    if names.is_empty() {
        return Err(empty(list, "-t", "a table to dump"));
    }
    let lookup = Lookup::new(tree.relations);
    let mut chosen = BTreeMap::new();
    let mut unknown: Vec<(&str, Found)> = Vec::new();
    for name in names {
        match lookup.find(name) {
            Found::Table(oid) => {
                chosen.entry(oid).or_insert_with(|| Why::Named(name.clone()));
            }
            other => unknown.push((name, other)),
        }
    }
    if let Some((name, found)) = unknown.first() {
        let refusal = match found {
            Found::NoSchema => Refusal::known(format!("No schema name supplied for table {name}")),
            _ => Refusal::known(format!("Table {name} does not exist in {database} database")),
        };
        let others: Vec<&str> = unknown[1..].iter().map(|(name, _)| *name).collect();
        return Err(refusal.with_hint(lookup.advice(name, found, &others)));
    }
    let named: Vec<Oid> = chosen.keys().copied().collect();
    tree.add_partitions(&mut chosen);
    Ok(Selection {
        scope: Scope::Tables(named),
        listed: tree.listed(&chosen),
        tables: Some(chosen),
        schemas: None,
        warnings: Vec::new(),
    })
}

fn exclude_tables(list: &NameList, database: &str, tree: &Tree) -> Result<Selection, Refusal> {
    if list.names.is_empty() {
        return Err(empty(list, "-T", "a table to leave out"));
    }
    let lookup = Lookup::new(tree.relations);
    let mut excluded = BTreeMap::new();
    let mut warnings = Vec::new();
    for name in &list.names {
        match lookup.find(name) {
            Found::Table(oid) => {
                excluded.entry(oid).or_insert_with(|| Why::Named(name.clone()));
            }
            Found::NoSchema => {
                return Err(
                    Refusal::known(format!("No schema name supplied for exclude table {name}"))
                        .with_hint(lookup.advice(name, &Found::NoSchema, &[])),
                );
            }
            found @ Found::Ambiguous(..) => {
                return Err(Refusal::known(format!("Exclude table {name} is more than one table"))
                    .with_hint(lookup.advice(name, &found, &[])));
            }
            Found::OtherKind(_) | Found::Nothing => warnings.push(format!(
                "Exclude table {name} does not exist in {database} database, ignoring"
            )),
        }
    }
    if excluded.is_empty() {
        warnings.push("All exclude table names have been removed due to issues, see log file".to_owned());
    }
    let named: Vec<Oid> = excluded.keys().copied().collect();
    tree.add_partitions(&mut excluded);
    let chosen = tree.all_but(&excluded);
    Ok(Selection {
        scope: Scope::AllButTables(named),
        listed: tree.listed(&chosen),
        tables: Some(chosen),
        schemas: None,
        warnings,
    })
}

fn include_schemas(list: &NameList, database: &str, tree: &Tree, schemas: &[String]) -> Result<Selection, Refusal> {
    if list.names.is_empty() {
        return Err(empty(list, "-s", "a schema to dump"));
    }
    let known: HashSet<&str> = schemas.iter().map(String::as_str).collect();
    let mut wanted: Vec<String> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for typed in &list.names {
        let Some(schema) = find_schema(&known, typed) else {
            return Err(
                Refusal::known(format!("Schema {typed} does not exist in database {database}."))
                    .with_hint(lookup::schema_advice(schemas, typed)),
            );
        };
        if seen.insert(schema.clone()) {
            wanted.push(schema);
        }
    }
    let mut chosen: BTreeMap<Oid, Why> = tree
        .tables()
        .filter(|table| seen.contains(&table.name.schema))
        .map(|table| (table.oid, Why::InSchema))
        .collect();
    // A partition that was moved to another schema is still a part of its table.
    tree.add_partitions(&mut chosen);
    Ok(Selection {
        scope: Scope::Schemas(wanted.clone()),
        listed: tree.listed(&chosen),
        tables: Some(chosen),
        schemas: Some(wanted),
        warnings: Vec::new(),
    })
}

fn exclude_schemas(list: &NameList, database: &str, tree: &Tree, schemas: &[String]) -> Result<Selection, Refusal> {
    if list.names.is_empty() {
        return Err(empty(list, "-S", "a schema to leave out"));
    }
    let known: HashSet<&str> = schemas.iter().map(String::as_str).collect();
    let mut out: HashSet<String> = HashSet::new();
    let mut warnings = Vec::new();
    for typed in &list.names {
        match find_schema(&known, typed) {
            Some(schema) => {
                out.insert(schema);
            }
            None => warnings.push(format!(
                "Exclude schema {typed} does not exist in {database} database, ignoring"
            )),
        }
    }
    let mut rest: Vec<String> = schemas
        .iter()
        .filter(|schema| !out.contains(*schema))
        .cloned()
        .collect();
    rest.sort();
    if rest.is_empty() {
        let places = list.place("-S");
        return Err(
            Refusal::known(format!("Every schema of database {database} is excluded by {places}"))
                .with_hint("nothing would be left to dump: leave at least one schema out of the list"),
        );
    }
    let mut excluded: BTreeMap<Oid, Why> = tree
        .tables()
        .filter(|table| out.contains(&table.name.schema))
        .map(|table| (table.oid, Why::InSchema))
        .collect();
    tree.add_partitions(&mut excluded);
    let chosen = tree.all_but(&excluded);
    let mut out: Vec<String> = out.into_iter().collect();
    out.sort();
    Ok(Selection {
        scope: Scope::AllButSchemas(out),
        listed: tree.listed(&chosen),
        tables: Some(chosen),
        schemas: Some(rest),
        warnings,
    })
}

/// The schema that is meant: as typed, as SQL has it, without blanks at its ends.
fn find_schema(known: &HashSet<&str>, typed: &str) -> Option<String> {
    let is_known = |name: &String| known.contains(name.as_str());
    let trimmed = typed.trim();
    [
        Some(typed.to_owned()),
        unquote_ident(typed),
        Some(trimmed.to_owned()),
        unquote_ident(trimmed),
    ]
    .into_iter()
    .flatten()
    .find(is_known)
}

fn empty(list: &NameList, option: &str, what: &str) -> Refusal {
    Refusal::known(format!("There is no name of {what} in {}", list.place(option)))
        .with_hint("a list without names does not mean the whole database: leave the option out to dump all of it")
}

#[cfg(test)]
mod tests;
