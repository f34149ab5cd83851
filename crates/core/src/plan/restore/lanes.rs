//! Which definitions behind the data may be made at the same time.
//!
//! Indexes and constraints of different tables do not touch each other; those of one table stay in their order. Foreign
//! keys come behind them, and of two that share a table one waits for the other. Everything else is made one by one, in
//! the order of the file, which is the order of its dependencies.

use std::collections::{BTreeMap, HashMap};

use super::parts::referred_table;
use crate::format::ddl_split::choose::host_of;
use crate::format::sql_script::Script;
use crate::format::toc::{Entry, EntryKind};
use crate::words::names::QualifiedName;

/// Entries, by their places in the script, that wait for all stages before theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    OneByOne(Vec<usize>),
    /// Each list in its order, the lists at the same time.
    AtOnce(Vec<Vec<usize>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OfOneTable,
    ForeignKey,
    Other,
}

/// Cuts a script into stages. `root_of` names the table that stands for a partition: what is made on it is made on all of
/// its partitions too.
pub fn plan_lanes(script: &Script, root_of: impl Fn(&QualifiedName) -> QualifiedName) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut run: Vec<(usize, Vec<QualifiedName>)> = Vec::new();
    let mut kind_of_run = Kind::Other;
    for (at, entry) in script.entries().iter().enumerate() {
        let (kind, tables) = match comments_on_the_last(entry, &run) {
            // What is said of an index goes with it.
            true => (
                kind_of_run,
                run.last().map(|(_, tables)| tables.clone()).unwrap_or_default(),
            ),
            false => look(script, entry, &root_of),
        };
        if kind != kind_of_run {
            close(&mut stages, kind_of_run, std::mem::take(&mut run));
            kind_of_run = kind;
        }
        run.push((at, tables));
    }
    close(&mut stages, kind_of_run, run);
    stages
}

fn comments_on_the_last(entry: &Entry, run: &[(usize, Vec<QualifiedName>)]) -> bool {
    let is_comment =
        entry.kind == EntryKind::Comment && (entry.name.starts_with("INDEX ") || entry.name.starts_with("CONSTRAINT "));
    is_comment && run.last().is_some_and(|(_, tables)| !tables.is_empty())
}

fn look(
    script: &Script,
    entry: &Entry,
    root_of: &impl Fn(&QualifiedName) -> QualifiedName,
) -> (Kind, Vec<QualifiedName>) {
    let kind = match entry.kind {
        EntryKind::Index | EntryKind::Constraint | EntryKind::CheckConstraint => Kind::OfOneTable,
        EntryKind::FkConstraint => Kind::ForeignKey,
        _ => return (Kind::Other, Vec::new()),
    };
    let Some(host) = host_of(script, entry) else {
        return (Kind::Other, Vec::new());
    };
    let mut tables = vec![root_of(&QualifiedName::new(host.object.schema, host.object.name))];
    if kind == Kind::ForeignKey {
        match referred_table(script, entry) {
            Some(table) => tables.push(root_of(&table)),
            None => return (Kind::Other, Vec::new()),
        }
    }
    (kind, tables)
}

fn close(stages: &mut Vec<Stage>, kind: Kind, run: Vec<(usize, Vec<QualifiedName>)>) {
    if run.is_empty() {
        return;
    }
    if kind == Kind::Other {
        stages.push(Stage::OneByOne(run.into_iter().map(|(at, _)| at).collect()));
        return;
    }
    // Tables that one entry names belong together.
    let mut groups = Groups::default();
    let of_entry: Vec<(usize, usize)> = run
        .iter()
        .map(|(at, tables)| {
            let mut group = groups.of(&tables[0]);
            for table in &tables[1..] {
                let other = groups.of(table);
                group = groups.join(group, other);
            }
            (*at, group)
        })
        .collect();
    let mut lanes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, group) in of_entry {
        lanes.entry(groups.head(group)).or_default().push(at);
    }
    let mut lanes: Vec<Vec<usize>> = lanes.into_values().collect();
    lanes.sort_by_key(|lane| lane[0]);
    stages.push(Stage::AtOnce(lanes));
}

#[derive(Default)]
struct Groups {
    by_table: HashMap<QualifiedName, usize>,
    parent: Vec<usize>,
}

impl Groups {
    fn of(&mut self, table: &QualifiedName) -> usize {
        if let Some(found) = self.by_table.get(table) {
            return *found;
        }
        let new = self.parent.len();
        self.parent.push(new);
        self.by_table.insert(table.clone(), new);
        new
    }

    fn head(&self, mut group: usize) -> usize {
        while self.parent[group] != group {
            group = self.parent[group];
        }
        group
    }

    fn join(&mut self, one: usize, other: usize) -> usize {
        let (one, other) = (self.head(one), self.head(other));
        let (low, high) = (one.min(other), one.max(other));
        self.parent[high] = low;
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: &str, sql: &str) -> String {
        format!("--\n-- Name: {name}; Type: {kind}; Schema: s; Owner: o\n--\n\n{sql};\n\n\n")
    }

    #[test]
    fn each_table_keeps_its_order_and_keys_come_behind() {
        let text = [
            entry(
                "a_pk",
                "CONSTRAINT",
                "ALTER TABLE ONLY s.a ADD CONSTRAINT a_pk PRIMARY KEY (i)",
            ),
            entry(
                "b_pk",
                "CONSTRAINT",
                "ALTER TABLE ONLY s.b ADD CONSTRAINT b_pk PRIMARY KEY (i)",
            ),
            entry("a_i", "INDEX", "CREATE UNIQUE INDEX a_i ON s.a USING btree (j)"),
            entry("INDEX a_i", "COMMENT", "COMMENT ON INDEX s.a_i IS 'x'"),
            entry("p_i", "INDEX", "CREATE INDEX p_i ON s.a_1_prt_1 USING btree (j)"),
            entry("r", "RULE", "CREATE RULE r AS ON INSERT TO s.a DO NOTHING"),
            entry(
                "t",
                "TRIGGER",
                "CREATE TRIGGER t BEFORE INSERT ON s.a FOR EACH ROW EXECUTE FUNCTION f()",
            ),
            entry(
                "k1",
                "FK CONSTRAINT",
                "ALTER TABLE ONLY s.a ADD CONSTRAINT k1 FOREIGN KEY (i) REFERENCES s.b(i)",
            ),
            entry(
                "k2",
                "FK CONSTRAINT",
                "ALTER TABLE ONLY s.c ADD CONSTRAINT k2 FOREIGN KEY (i) REFERENCES s.d(i)",
            ),
            entry(
                "k3",
                "FK CONSTRAINT",
                "ALTER TABLE ONLY s.e ADD CONSTRAINT k3 FOREIGN KEY (i) REFERENCES s.a(i)",
            ),
        ]
        .concat();
        let script = Script::parse(text.as_bytes()).unwrap();
        let root = |table: &QualifiedName| match table.name.split_once("_1_prt_") {
            Some((root, _)) => QualifiedName::new(&table.schema, root),
            None => table.clone(),
        };
        assert_eq!(
            plan_lanes(&script, root),
            [
                Stage::AtOnce(vec![vec![0, 2, 3, 4], vec![1]]),
                Stage::OneByOne(vec![5, 6]),
                Stage::AtOnce(vec![vec![7, 9], vec![8]]),
            ]
        );
    }
}
