//! The tables of a set, read from its definitions: what `-L` lists and what `-T` may name.
//!
//! Partitions of Greenplum have no entry of their own: they stand inside the statement that creates their table.
//!
//! ```text
//! CREATE TABLE orders (...) PARTITION BY RANGE(odate)
//!   (PARTITION m1 START (...) END (...) WITH (tablename='orders_1_prt_m1', appendonly=true)
//!      (SUBPARTITION y20 START (2020) WITH (tablename='orders_1_prt_m1_2_prt_y20')), ...);
//! ```

use std::collections::{BTreeSet, HashMap};

use crate::format::ddl_split::choose::real;
use crate::format::sql_script::tokens::{Token, TokenKind, Tokens};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind};
use crate::words::names::QualifiedName;
use crate::words::relation::RelationKind;

/// A table of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTable {
    pub name: QualifiedName,
    pub owner: String,
    /// The table that this one is a partition of, one level up; a place in [`Inventory::tables`].
    pub parent: Option<usize>,
    /// Its rows lie outside of the database.
    pub external: bool,
}

/// All tables of a set in the order of its definitions, partitions behind their table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub tables: Vec<SetTable>,
    pub schemas: BTreeSet<String>,
    /// Those that the set makes.
    made: BTreeSet<String>,
    by_name: HashMap<QualifiedName, usize>,
    others: HashMap<QualifiedName, RelationKind>,
    has_parts: Vec<bool>,
}

impl Inventory {
    pub fn read(pre_data: &Script) -> Inventory {
        let mut inventory = Inventory::default();
        for entry in pre_data.entries() {
            inventory.entry(pre_data, entry);
        }
        // Parents of the declarative kind are named by entries behind both tables, or in that of the partition.
        let may_attach = |entry: &&Entry| matches!(entry.kind, EntryKind::TableAttach | EntryKind::Table);
        for entry in pre_data.entries().iter().filter(may_attach) {
            inventory.attach(pre_data, entry);
        }
        inventory.has_parts = vec![false; inventory.tables.len()];
        for at in 0..inventory.tables.len() {
            if let Some(parent) = inventory.tables[at].parent {
                inventory.has_parts[parent] = true;
            }
        }
        inventory
    }

    pub fn find(&self, name: &QualifiedName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Something of that name that is no table.
    pub fn other_kind(&self, name: &QualifiedName) -> Option<RelationKind> {
        self.others.get(name).copied()
    }

    /// Whether the set can hold rows of this table: not those of its partitions.
    pub fn has_rows(&self, table: usize) -> bool {
        !self.tables[table].external && !self.has_parts[table]
    }

    /// The tables that the set can hold rows of, as lists have them.
    pub fn with_rows(&self) -> impl Iterator<Item = String> {
        let tables = self.tables.iter().enumerate();
        tables
            .filter(|(at, _)| self.has_rows(*at))
            .map(|(_, table)| table.name.to_string())
    }

    /// The table that stands above all levels of partitions.
    pub fn root(&self, table: usize) -> usize {
        let mut at = table;
        while let Some(parent) = self.tables[at].parent {
            at = parent;
        }
        at
    }

    fn entry(&mut self, script: &Script, entry: &Entry) {
        match (&entry.schema, &entry.kind) {
            (_, EntryKind::Schema) => {
                self.schemas.insert(entry.name.clone());
                self.made.insert(entry.name.clone());
            }
            (Some(schema), _) => {
                self.schemas.insert(schema.clone());
            }
            _ => {}
        }
        let Some(schema) = &entry.schema else { return };
        let name = QualifiedName::new(schema, &entry.name);
        let other = match entry.kind {
            EntryKind::Table | EntryKind::ExternalTable | EntryKind::ForeignTable => {
                let external = entry.kind != EntryKind::Table;
                return self.table(script, entry, name, external);
            }
            EntryKind::View => RelationKind::View,
            EntryKind::MaterializedView => RelationKind::MaterializedView,
            EntryKind::Sequence => RelationKind::Sequence,
            _ => return,
        };
        self.others.insert(name, other);
    }

    /// Schemas that its objects lie in and that it does not make: the original left their definitions out of a dump of
    /// some tables.
    pub fn schemas_not_made(&self) -> Vec<String> {
        let is_the_servers =
            |name: &str| name.starts_with("pg_") || ["information_schema", "gp_toolkit"].contains(&name);
        let lacking = self.schemas.difference(&self.made);
        lacking.filter(|name| !is_the_servers(name)).cloned().collect()
    }

    fn add(&mut self, table: SetTable) -> usize {
        let at = self.tables.len();
        self.by_name.insert(table.name.clone(), at);
        self.tables.push(table);
        at
    }

    fn table(&mut self, script: &Script, entry: &Entry, name: QualifiedName, external: bool) {
        if self.find(&name).is_some() {
            return;
        }
        let owner = entry.owner.clone().unwrap_or_default();
        let root = self.add(SetTable {
            name: name.clone(),
            owner: owner.clone(),
            parent: None,
            external,
        });
        let mut above: Vec<(usize, usize)> = Vec::new();
        for item in script.items_of(entry) {
            let Item::Statement { text, .. } = item else { continue };
            for (depth, partition) in partition_names(text) {
                while above.last().is_some_and(|(level, _)| *level >= depth) {
                    above.pop();
                }
                let partition = QualifiedName::new(&name.schema, partition);
                // A template repeats the name of the table itself.
                if self.find(&partition).is_some() {
                    continue;
                }
                let at = self.add(SetTable {
                    name: partition,
                    owner: owner.clone(),
                    parent: Some(above.last().map_or(root, |(_, at)| *at)),
                    external: false,
                });
                above.push((depth, at));
            }
            self.moved(entry, text);
        }
    }

    /// `ALTER TABLE s.leaf SET SCHEMA other`, as our own dumps have it for leaves of Greenplum 5.
    fn moved(&mut self, entry: &Entry, statement: &[u8]) {
        let mut tokens = Tokens::of(statement);
        if !tokens.eat_all(&["alter", "table"]) {
            return;
        }
        let Some(name) = tokens.name() else { return };
        if !tokens.eat_all(&["set", "schema"]) {
            return;
        }
        let Some(schema) = tokens.name() else { return };
        let (from, table) = real(entry, name);
        let (_, to) = real(entry, schema);
        let old = QualifiedName::new(from, table);
        if let Some(at) = self.by_name.remove(&old) {
            self.tables[at].name.schema = to;
            self.by_name.insert(self.tables[at].name.clone(), at);
        }
    }

    /// `ALTER TABLE ONLY s.orders ATTACH PARTITION s.orders_2020 FOR VALUES ...`
    fn attach(&mut self, script: &Script, entry: &Entry) {
        for item in script.items_of(entry) {
            let Item::Statement { text, .. } = item else { continue };
            let mut tokens = Tokens::of(text);
            if !tokens.eat_all(&["alter", "table"]) {
                continue;
            }
            tokens.eat("only");
            let Some(parent) = tokens.name() else { continue };
            if !tokens.eat_all(&["attach", "partition"]) {
                continue;
            }
            let Some(child) = tokens.name() else { continue };
            let place = |name| {
                let (schema, name) = real(entry, name);
                self.by_name.get(&QualifiedName::new(schema, name)).copied()
            };
            if let (Some(parent), Some(child)) = (place(parent), place(child)) {
                self.tables[child].parent = Some(parent);
            }
        }
    }
}

/// The names behind `WITH (tablename=`, each with the number of parentheses that it stands in.
fn partition_names(statement: &[u8]) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut depth = 0usize;
    let mut last: [Option<Token>; 3] = [None; 3];
    for token in Tokens::of(statement) {
        if token.is_sign(b'(') {
            depth += 1;
        } else if token.is_sign(b')') {
            depth = depth.saturating_sub(1);
        } else if token.kind == TokenKind::Text
            && let [Some(open), Some(word), Some(equals)] = last
            && (open.is_sign(b'(') || open.is_sign(b','))
            && word.is("tablename")
            && equals.is_sign(b'=')
        {
            names.push((depth, literal(token.text)));
        }
        last = [last[1], last[2], Some(token)];
    }
    names
}

/// The text in `'it''s'` or `E'a\\b'`.
pub(super) fn literal(quoted: &[u8]) -> String {
    let text = String::from_utf8_lossy(quoted);
    let (escapes, text) = match text.strip_prefix(['E', 'e']) {
        Some(rest) => (true, rest),
        None => (false, &*text),
    };
    let inner = text.strip_prefix('\'').unwrap_or(text);
    let inner = inner.strip_suffix('\'').unwrap_or(inner);
    let plain = inner.replace("''", "'");
    if escapes {
        plain.replace("\\'", "'").replace("\\\\", "\\")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(script: &str) -> Vec<String> {
        let script = Script::parse(script.as_bytes()).unwrap();
        let inventory = Inventory::read(&script);
        let tables = inventory.tables.iter();
        tables
            .enumerate()
            .map(|(at, table)| {
                let parent = table.parent.map(|p| inventory.tables[p].name.to_string());
                let rows = if inventory.has_rows(at) { "" } else { " no rows" };
                format!("{} in {}{rows}", table.name, parent.unwrap_or_default())
            })
            .collect()
    }

    #[test]
    fn partitions_of_greenplum_are_found_in_the_statement_of_their_table() {
        let script = "\
SET search_path = sales, pg_catalog;

--
-- Name: r; Type: TABLE; Schema: sales; Owner: o; Tablespace: 
--

CREATE TABLE r (id integer, note text DEFAULT ' WITH (tablename=''x'')') PARTITION BY LIST(r)
  SUBPARTITION BY RANGE(y)
  ( PARTITION eu VALUES('de') WITH (tablename='r_1_prt_eu', appendonly=false )
      ( SUBPARTITION y20 START (2020) WITH (tablename='r_1_prt_eu_2_prt_it''s', appendonly=false ),
        DEFAULT SUBPARTITION yo  WITH (appendonly=false, tablename='r_1_prt_eu_2_prt_yo')),
    DEFAULT PARTITION rest  WITH (tablename='r_1_prt_rest')
      ( SUBPARTITION y20 START (2020) WITH (tablename='r_1_prt_rest_2_prt_y20')));
 ALTER TABLE r
SET SUBPARTITION TEMPLATE ( SUBPARTITION y20 START (2020) WITH (tablename='r'));
";
        assert_eq!(
            names(script),
            [
                "sales.r in  no rows",
                "sales.r_1_prt_eu in sales.r no rows",
                "sales.r_1_prt_eu_2_prt_it's in sales.r_1_prt_eu",
                "sales.r_1_prt_eu_2_prt_yo in sales.r_1_prt_eu",
                "sales.r_1_prt_rest in sales.r no rows",
                "sales.r_1_prt_rest_2_prt_y20 in sales.r_1_prt_rest",
            ]
        );
    }

    #[test]
    fn schemas_that_a_set_needs_and_does_not_make_are_known() {
        let entry = |name: &str, kind: &str, schema: &str| {
            format!("--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: o\n--\n\nSELECT 1;\n\n")
        };
        let script = [
            entry("made", "SCHEMA", "-"),
            entry("f()", "FUNCTION", "made"),
            entry("v", "VIEW", "Odd Schema"),
            entry("plpgsql", "PROCEDURAL LANGUAGE", "-"),
            entry("g()", "FUNCTION", "pg_catalog"),
        ];
        let script = script.concat();
        let inventory = Inventory::read(&Script::parse(script.as_bytes()).unwrap());
        assert_eq!(inventory.schemas_not_made(), ["Odd Schema"]);
    }

    #[test]
    fn partitions_of_the_declarative_kind_are_attached() {
        let script = "\
--
-- Name: p; Type: TABLE; Schema: s; Owner: o
--

CREATE TABLE s.p (a integer) PARTITION BY RANGE (a);

--
-- Name: c; Type: TABLE; Schema: other; Owner: o
--

CREATE TABLE other.c (a integer);

--
-- Name: c; Type: TABLE ATTACH; Schema: other; Owner: o
--

ALTER TABLE ONLY s.p ATTACH PARTITION other.c FOR VALUES FROM (1) TO (2);
";
        assert_eq!(names(script), ["s.p in  no rows", "other.c in s.p"]);
        // As older ones have it.
        let header = "--\n-- Name: c; Type: TABLE ATTACH; Schema: other; Owner: o\n--\n\n";
        assert_eq!(
            names(&script.replace(header, "")),
            ["s.p in  no rows", "other.c in s.p"]
        );
    }
}
