//! Which tables of a set are asked for: the names of `-T`, `--table-file` and `-S` against what the set has.
//!
//! The texts of refusals are the originals' (`gpdbrestore.md` 3.1).

use std::collections::BTreeSet;

use super::inventory::Inventory;
use crate::plan::filter::NameList;
use crate::words::names::{QualifiedName, unquote_ident};
use crate::words::refusal::Refusal;

/// Names in one piece of advice.
const SHOWN: usize = 5;

/// What is asked for, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The tables of `-T` in the order given, without those of `schemas`; places in the inventory.
    pub named: Vec<usize>,
    /// Those of `-S`.
    pub schemas: BTreeSet<String>,
    /// All tables that are asked for, partitions too.
    pub tables: BTreeSet<usize>,
}

impl Choice {
    /// Tables whose rows are restored.
    pub fn with_rows<'a>(&'a self, inventory: &'a Inventory) -> impl Iterator<Item = &'a QualifiedName> + 'a {
        let tables = self.tables.iter().filter(|at| inventory.has_rows(**at));
        tables.map(|at| &inventory.tables[*at].name)
    }

    /// Tables that are no part of another one that is asked for: what is emptied and analyzed as a whole.
    pub fn heads<'a>(&'a self, inventory: &'a Inventory) -> impl Iterator<Item = &'a QualifiedName> + 'a {
        let is_head = |at: &&usize| {
            let table = &inventory.tables[**at];
            !table.external && table.parent.is_none_or(|parent| !self.tables.contains(&parent))
        };
        self.tables.iter().filter(is_head).map(|at| &inventory.tables[*at].name)
    }
}

/// Looks every name up.
pub fn choose(tables: &NameList, schemas: &NameList, inventory: &Inventory) -> Result<Choice, Refusal> {
    let mut choice = Choice::default();
    let mut unknown_schemas = Vec::new();
    for typed in &schemas.names {
        match find_schema(typed, inventory) {
            Some(schema) => {
                choice.schemas.insert(schema);
            }
            None => unknown_schemas.push(typed.as_str()),
        }
    }
    if !unknown_schemas.is_empty() {
        return Err(
            Refusal::failed(format!("Schemas {} not found in backup", python_list(&unknown_schemas))).with_hint(
                format!(
                    "nothing was changed; the set has {}",
                    shown(inventory.schemas.iter().map(String::as_str))
                ),
            ),
        );
    }
    let mut unknown: Vec<&str> = Vec::new();
    for typed in &tables.names {
        match find_table(typed, inventory)? {
            Some(at) => {
                let in_schema = choice.schemas.contains(&inventory.tables[at].name.schema);
                if !in_schema && !choice.named.contains(&at) {
                    choice.named.push(at);
                }
            }
            None => unknown.push(typed),
        }
    }
    if !unknown.is_empty() {
        if inventory.tables.is_empty() {
            return Err(Refusal::failed("No dumped tables to restore."));
        }
        let text = format!("Tables {} not found in backup", python_list(&unknown));
        return Err(Refusal::failed(text).with_hint(advice(unknown[0], inventory)));
    }
    choice.tables.extend(&choice.named);
    let in_schema = |at: &usize| choice.schemas.contains(&inventory.tables[*at].name.schema);
    let of_schemas: Vec<usize> = (0..inventory.tables.len()).filter(in_schema).collect();
    choice.tables.extend(of_schemas);
    // Partitions stand behind their tables, but for those of the declarative kind: until nothing is added.
    loop {
        let before = choice.tables.len();
        for (at, table) in inventory.tables.iter().enumerate() {
            if table.parent.is_some_and(|parent| choice.tables.contains(&parent)) {
                choice.tables.insert(at);
            }
        }
        if choice.tables.len() == before {
            return Ok(choice);
        }
    }
}

/// As typed, as SQL has it, without blanks at its ends.
fn find_table(typed: &str, inventory: &Inventory) -> Result<Option<usize>, Refusal> {
    let trimmed = typed.trim();
    for text in [typed, trimmed] {
        let found: BTreeSet<usize> = dots(text).filter_map(|name| inventory.find(&name)).collect();
        if found.len() > 1 {
            let names: Vec<String> = found.iter().map(|at| inventory.tables[*at].name.sql()).collect();
            return Err(
                Refusal::failed(format!("Table {text} is more than one table of the backup"))
                    .with_hint(format!("this may be {}: write it in that way", names.join(" or "))),
            );
        }
        let quoted = || QualifiedName::parse_quoted(text).and_then(|name| inventory.find(&name));
        if let Some(at) = found.into_iter().next().or_else(quoted) {
            return Ok(Some(at));
        }
    }
    if !trimmed.contains('.') {
        return Err(Refusal::failed(format!(
            "No schema name supplied for {typed}, removing from list of tables to restore"
        ))
        .with_hint(advice(typed, inventory)));
    }
    Ok(None)
}

/// Every way to read a text as schema and table.
fn dots(text: &str) -> impl Iterator<Item = QualifiedName> + '_ {
    text.match_indices('.')
        .map(|(at, _)| QualifiedName::new(&text[..at], &text[at + 1..]))
}

fn find_schema(typed: &str, inventory: &Inventory) -> Option<String> {
    let trimmed = typed.trim();
    let ways = [Some(typed.to_owned()), unquote_ident(trimmed), Some(trimmed.to_owned())];
    ways.into_iter().flatten().find(|name| inventory.schemas.contains(name))
}

/// `['s.a', 's.b']`, as the original's language prints a list.
fn python_list(names: &[&str]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| {
            let name = name.replace('\\', "\\\\");
            match (name.contains('\''), name.contains('"')) {
                (true, false) => format!("\"{name}\""),
                _ => format!("'{}'", name.replace('\'', "\\'")),
            }
        })
        .collect();
    format!("[{}]", quoted.join(", "))
}

fn advice(typed: &str, inventory: &Inventory) -> String {
    if let Some(kind) = dots(typed).find_map(|name| inventory.other_kind(&name)) {
        return format!(
            "nothing was changed; {typed} is {}: only tables are restored by name, and what else a schema has is restored \
             with -S",
            kind.words()
        );
    }
    let plain = |text: &str| text.replace('"', "").trim().to_lowercase();
    let wanted = plain(typed);
    let bare = wanted.rsplit('.').next().unwrap_or_default();
    let all = || inventory.tables.iter().map(|table| &table.name);
    let mut near: Vec<String> = all()
        .filter(|name| plain(&name.to_string()) == wanted)
        .map(ToString::to_string)
        .collect();
    if near.is_empty() {
        near = all()
            .filter(|name| plain(&name.name) == bare)
            .map(ToString::to_string)
            .collect();
    }
    if near.is_empty() {
        "nothing was changed; -L lists the tables of the set; names are those that the server had, as schema.table, without \
         quotes and in their upper and lower case"
            .to_owned()
    } else {
        format!(
            "nothing was changed; did you mean {}?",
            shown(near.iter().map(String::as_str))
        )
    }
}

fn shown<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("...");
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::sql_script::Script;

    fn inventory() -> Inventory {
        let mut text = String::new();
        for (schema, name, kind, body) in [
            ("public", "t", "TABLE", "CREATE TABLE t (a int)"),
            ("public", "a.b", "TABLE", "CREATE TABLE \"a.b\" (a int)"),
            ("public.a", "b", "TABLE", "CREATE TABLE b (a int)"),
            ("public", "v", "VIEW", "CREATE VIEW v AS SELECT 1"),
            (
                "sales",
                "o",
                "TABLE",
                "CREATE TABLE o (a int) PARTITION BY RANGE(a) (PARTITION x START (1) WITH (tablename='o_1_prt_x'), \
                 PARTITION y START (2) WITH (tablename='o_1_prt_y'))",
            ),
            ("sales", "e", "EXTERNAL TABLE", "CREATE EXTERNAL TABLE e (a int)"),
        ] {
            text.push_str(&format!(
                "--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: o\n--\n\n{body};\n\n"
            ));
        }
        Inventory::read(&Script::parse(text.as_bytes()).unwrap())
    }

    fn rows(tables: &[&str], schemas: &[&str]) -> Result<String, String> {
        let inventory = inventory();
        let list = |names: &[&str]| NameList::typed(names.iter().copied());
        let choice = choose(&list(tables), &list(schemas), &inventory).map_err(|refusal| refusal.text)?;
        let rows: Vec<String> = choice.with_rows(&inventory).map(ToString::to_string).collect();
        let heads: Vec<String> = choice.heads(&inventory).map(ToString::to_string).collect();
        Ok(format!("{} | {}", rows.join(" "), heads.join(" ")))
    }

    #[test]
    fn names_become_tables_and_their_partitions() {
        let found = |tables: &[&str], schemas: &[&str]| rows(tables, schemas).unwrap();
        assert_eq!(found(&["public.t"], &[]), "public.t | public.t");
        assert_eq!(found(&["sales.o"], &[]), "sales.o_1_prt_x sales.o_1_prt_y | sales.o");
        assert_eq!(found(&["sales.o_1_prt_y"], &[]), "sales.o_1_prt_y | sales.o_1_prt_y");
        assert_eq!(found(&["sales.e"], &[]), " | ");
        assert_eq!(found(&[], &["sales"]), "sales.o_1_prt_x sales.o_1_prt_y | sales.o");
        assert_eq!(
            found(&["public.t", "sales.o_1_prt_y", " public.t "], &["\"sales\""]),
            "public.t sales.o_1_prt_x sales.o_1_prt_y | public.t sales.o"
        );
        assert_eq!(found(&["public.\"a.b\""], &[]), "public.a.b | public.a.b");
    }

    #[test]
    fn names_that_are_not_there_are_refused_in_the_words_of_the_original() {
        for (tables, schemas, text) in [
            (&["public.v"][..], &[][..], "Tables ['public.v'] not found in backup"),
            (
                &["public.x", "s.it's", "public.t"],
                &[],
                "Tables ['public.x', \"s.it's\"] not found in backup",
            ),
            (
                &["t"],
                &[],
                "No schema name supplied for t, removing from list of tables to restore",
            ),
            (&[], &["nosuch"], "Schemas ['nosuch'] not found in backup"),
            (
                &["public.a.b"],
                &[],
                "Table public.a.b is more than one table of the backup",
            ),
        ] {
            assert_eq!(rows(tables, schemas).unwrap_err(), text);
        }
    }
    #[test]
    fn what_was_meant_is_said_also_where_the_schema_is_missing() {
        let hint = |typed: &str| {
            let refused = choose(&NameList::typed([typed]), &NameList::typed([]), &inventory()).unwrap_err();
            refused.hint.unwrap()
        };
        for typed in ["t", "T", "\"t\"", "sales.t", "Public.T"] {
            assert_eq!(hint(typed), "nothing was changed; did you mean public.t?", "{typed}");
        }
        assert!(hint("nosuch").contains("-L lists the tables of the set"));
    }
}
