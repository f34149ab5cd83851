//! Partitions as Greenplum up to 6 writes them, as those of PostgreSQL.
//!
//! ```text
//! CREATE TABLE orders (...) DISTRIBUTED BY (id) PARTITION BY RANGE(odate)
//!   (PARTITION m1 START ('2021-01-01'::date) END ('2021-02-01'::date) WITH (tablename='orders_1_prt_m1', ...), ...);
//!
//! CREATE TABLE orders (...) PARTITION BY RANGE(odate);
//! CREATE TABLE orders_1_prt_m1 PARTITION OF orders FOR VALUES FROM ('2021-01-01'::date) TO ('2021-02-01'::date);
//! ```
//!
//! Names of partitions stay, for rows come under these names. Where bounds cannot be said (a list over two columns, a
//! range that ends with its last value in a type without a next value) partitions become tables that inherit from their
//! table and check what they may hold: every row has its place and is seen through the table.

mod bounds;
mod clause;

use super::rewrite::{Change, Known, Leaf};
use super::statement::{Edits, Statement, quoted};
use super::tables::{column_list, items};
use crate::words::names::QualifiedName;
use clause::{Bound, Clause, Level, Partition};

const NO_LISTS_OVER_COLUMNS: &str = "this server has no lists over several columns";

/// The partition clause of `CREATE TABLE`.
pub(super) fn declared_partitions(statement: &Statement<'_>, known: &mut Known) -> Change {
    let Some(table) = Table::of(statement) else {
        return Change::Keep;
    };
    let mut made = Made::default();
    match table.declare(&table.written, 0, &table.clause.partitions, &mut made) {
        Ok(()) => {
            // A table with partitions has no storage of its own.
            let without = without_options(&table.without_clause(statement), statement.standard_strings);
            let mut all = vec![[without, table.by(0)].concat()];
            all.extend(made.statements);
            known.partitioned.insert(table.name, made.partitions);
            Change::Becomes(all)
        }
        Err(reason) => table.inherited(statement, &reason, known),
    }
}

fn without_options(text: &[u8], standard_strings: bool) -> Vec<u8> {
    let statement = Statement::of(text, standard_strings);
    let mut edits = Edits::default();
    if let Some(with) = statement.find(0, &["with"])
        && let Some(close) = statement.closing(with + 1)
    {
        edits.cut(&statement, with, close);
    }
    edits.apply(text).unwrap_or_else(|| text.to_vec())
}

/// Greenplum 7 takes the clause as it is, but for lists over several columns, and for ends of ranges whose next value it
/// does not know: where it can be said it is, else the partitions become tables that inherit.
pub(super) fn partitions_of_greenplum7(statement: &Statement<'_>, known: &mut Known) -> Change {
    let Some(table) = Table::of(statement) else {
        // Its constraints are those of the whole table all the same.
        if statement.find(0, &["partition", "by"]).is_some()
            && let Some((name, _)) = statement.table()
        {
            known.partitioned.insert(statement.real(name), Vec::new());
        }
        return Change::Keep;
    };
    let mut edits = Edits::default();
    match table.say_bounds(0, &table.clause.partitions, &mut edits) {
        Ok(()) => {
            known.partitioned.insert(table.name, Vec::new());
            Change::to(edits.apply(statement.text))
        }
        Err(reason) => table.inherited(statement, &reason, known),
    }
}

/// `ALTER TABLE t SET SUBPARTITION TEMPLATE (...)`
pub(super) fn subpartition_templates(statement: &Statement<'_>, _: &mut Known) -> Change {
    match statement.find(2, &["set", "subpartition", "template"]) {
        Some(_) => Change::Goes,
        None => Change::Keep,
    }
}

/// The same, and exchanges, of a table whose partitions inherit from it: there is nothing that they could be said about.
pub(super) fn templates_of_inherited(statement: &Statement<'_>, known: &mut Known) -> Change {
    let inherited = |name| known.partitioned.get(&name).is_some_and(|leaves| !leaves.is_empty());
    match statement.table() {
        Some((name, _)) if inherited(statement.real(name)) => match subpartition_templates(statement, known) {
            Change::Keep => exchanges(statement, known),
            change => change,
        },
        _ => Change::Keep,
    }
}

/// `ALTER TABLE t EXCHANGE PARTITION p WITH TABLE x`, when it is not about an external table.
pub(super) fn exchanges(statement: &Statement<'_>, _: &mut Known) -> Change {
    match statement.find(2, &["exchange"]) {
        Some(_) => Change::Loses(
            Vec::new(),
            "this server does not exchange them; the table that was made for it stays".to_owned(),
        ),
        None => Change::Keep,
    }
}

/// `ALTER TABLE leaf SET SCHEMA s`: later statements about its table find it there.
pub(super) fn moved_partitions(statement: &Statement<'_>, known: &mut Known) -> Change {
    if let Some(at) = statement.find(2, &["set", "schema"])
        && let Some((name, _)) = statement.table()
        && let Some((schema, _)) = statement.name(at + 2)
    {
        let old = statement.real(name);
        for leaf in known.partitioned.values_mut().flatten().filter(|leaf| leaf.name == old) {
            leaf.sql = [schema.name, b".", name.name].concat();
        }
    }
    Change::Keep
}

/// `ALTER TABLE t OWNER TO r`: partitions are tables of their own now.
pub(super) fn owners(statement: &Statement<'_>, known: &mut Known) -> Change {
    let Some((name, end)) = statement.table() else {
        return Change::Keep;
    };
    let leaves = known
        .partitioned
        .get(&statement.real(name))
        .filter(|leaves| !leaves.is_empty());
    let Some(leaves) = leaves.filter(|_| statement.are(end, &["owner", "to"])) else {
        return Change::Keep;
    };
    let owner = statement.slice(end, statement.tokens.len() - 1);
    let mut all = vec![statement.text.to_vec()];
    for leaf in leaves {
        all.push([b"ALTER TABLE ", leaf.sql.as_slice(), b" ", owner].concat());
    }
    Change::Becomes(all)
}

/// `ALTER TABLE ONLY t ADD CONSTRAINT ...` of a table with partitions: alone it would have an index that is not used.
pub(super) fn whole_constraints(statement: &Statement<'_>, known: &mut Known) -> Change {
    let about = statement
        .table()
        .filter(|(name, _)| known.partitioned.contains_key(&statement.real(*name)));
    let mut edits = Edits::default();
    if let Some((_, end)) = about
        && statement.is(2, "only")
        && statement.are(end, &["add", "constraint"])
    {
        edits.cut(statement, 2, 2);
    }
    Change::to(edits.apply(statement.text))
}

/// Each column's real name and type.
fn column_types(statement: &Statement<'_>) -> Vec<(Vec<u8>, String)> {
    let Some((open, close)) = column_list(statement) else {
        return Vec::new();
    };
    items(statement, open, close)
        .into_iter()
        .filter_map(|(from, _)| {
            let name = statement.tokens[from].text;
            let real = crate::format::sql_script::tokens::unquote(name);
            Some((real, super::tables::type_of(statement, name)?))
        })
        .collect()
}

/// A table while its partitions are made.
struct Table<'a> {
    clause: Clause<'a>,
    /// The first token of the clause, which goes on to the end of the statement.
    clause_at: usize,
    name: QualifiedName,
    /// The name as it stands there, and the schema of it.
    written: Vec<u8>,
    schema: Option<&'a [u8]>,
    types: Vec<(Vec<u8>, String)>,
}

/// What is made of a clause.
#[derive(Default)]
struct Made {
    statements: Vec<Vec<u8>>,
    partitions: Vec<Leaf>,
}

impl<'a> Table<'a> {
    /// Nothing for other statements, and for partitions of the declarative kind.
    fn of(statement: &Statement<'a>) -> Option<Table<'a>> {
        let clause_at = statement.find(0, &["partition", "by"])?;
        let (name, _) = statement.table()?;
        Some(Table {
            clause: Clause::read(statement, clause_at)?,
            clause_at,
            written: statement.slice_of_name(&name),
            schema: name.schema,
            types: column_types(statement),
            name: statement.real(name),
        })
    }

    fn without_clause(&self, statement: &Statement<'_>) -> Vec<u8> {
        let mut edits = Edits::default();
        edits.cut(statement, self.clause_at, statement.tokens.len() - 1);
        edits.apply(statement.text).unwrap_or_default()
    }

    /// The table without its clause, and its partitions as tables that inherit from it.
    fn inherited(self, statement: &Statement<'_>, reason: &str, known: &mut Known) -> Change {
        let mut made = Made::default();
        self.inherit(&self.written, 0, &self.clause.partitions, &mut made);
        let mut all = vec![self.without_clause(statement)];
        all.extend(made.statements);
        known.partitioned.insert(self.name, made.partitions);
        Change::Loses(
            all,
            format!(
                "its partitions became tables that inherit from it, because {reason}; all rows are there, new ones must be \
                 put into the right table"
            ),
        )
    }

    /// ` PARTITION BY RANGE (d)`
    fn by(&self, level: usize) -> Vec<u8> {
        let Some(level) = self.clause.levels.get(level) else {
            return Vec::new();
        };
        let method: &[u8] = if level.is_list { b"LIST" } else { b"RANGE" };
        [b" PARTITION BY ", method, b" (", &level.columns.join(&b", "[..]), b")"].concat()
    }

    fn name_of(&self, partition: &Partition<'_>) -> Vec<u8> {
        match self.schema {
            Some(schema) => [schema, b".", &quoted(&partition.table)].concat(),
            None => quoted(&partition.table),
        }
    }

    fn leaf(&self, partition: &Partition<'_>) -> Leaf {
        Leaf {
            name: QualifiedName::new(&self.name.schema, String::from_utf8_lossy(&partition.table)),
            sql: self.name_of(partition),
        }
    }

    fn type_of(&self, level: &Level<'_>) -> &str {
        let real = level
            .columns
            .first()
            .map(|column| crate::format::sql_script::tokens::unquote(column));
        let found = self.types.iter().find(|(name, _)| Some(name) == real.as_ref());
        found.map_or("", |(_, name)| name)
    }

    fn declare(
        &self,
        parent: &[u8],
        depth: usize,
        partitions: &[Partition<'_>],
        made: &mut Made,
    ) -> Result<(), String> {
        let level = self.clause.levels.get(depth).ok_or("its levels do not agree")?;
        if level.is_list && level.columns.len() > 1 {
            return Err(NO_LISTS_OVER_COLUMNS.to_owned());
        }
        for partition in partitions {
            let name = self.name_of(partition);
            let values = match (partition.is_default, &partition.values) {
                (true, _) => b"DEFAULT".to_vec(),
                (false, Some(values)) => [b"FOR VALUES IN (", *values, b")"].concat(),
                (false, None) => {
                    let from = self.edge(level, partition.start.as_ref(), b"MINVALUE")?;
                    let to = self.edge(level, partition.end.as_ref(), b"MAXVALUE")?;
                    [b"FOR VALUES FROM (", from.as_slice(), b") TO (", &to, b")"].concat()
                }
            };
            let by = match partition.partitions.is_empty() {
                true => Vec::new(),
                false => self.by(depth + 1),
            };
            made.statements.push(
                [
                    b"CREATE TABLE ",
                    name.as_slice(),
                    b" PARTITION OF ",
                    parent,
                    b" ",
                    &values,
                    &by,
                ]
                .concat(),
            );
            made.partitions.push(self.leaf(partition));
            if !partition.partitions.is_empty() {
                self.declare(&name, depth + 1, &partition.partitions, made)?;
            }
        }
        Ok(())
    }

    /// What belongs to a range begins at the lower edge and ends before the upper one.
    fn edge(&self, level: &Level<'_>, bound: Option<&Bound<'_>>, open: &[u8]) -> Result<Vec<u8>, String> {
        let Some(bound) = bound else { return Ok(open.to_vec()) };
        if bound.is_edge {
            return Ok(bound.value.to_vec());
        }
        let name = self.type_of(level);
        bounds::next(bound.value, name).ok_or_else(|| {
            format!(
                "the value behind {} of type {name} cannot be said",
                String::from_utf8_lossy(bound.value)
            )
        })
    }

    /// Says the ends of ranges whose next value Greenplum 7 does not know.
    fn say_bounds(&self, depth: usize, partitions: &[Partition<'_>], edits: &mut Edits) -> Result<(), String> {
        let level = self.clause.levels.get(depth).ok_or("its levels do not agree")?;
        if level.is_list && level.columns.len() > 1 {
            return Err(NO_LISTS_OVER_COLUMNS.to_owned());
        }
        let is_known = bounds::has_next_in_greenplum7(self.type_of(level));
        for partition in partitions {
            let bounds = [&partition.start, &partition.end].into_iter().flatten();
            for bound in bounds.filter(|bound| !bound.is_edge && !is_known) {
                let edge = self.edge(level, Some(bound), b"")?;
                edits.replace(bound.span, [b"(", edge.as_slice(), b")"].concat());
            }
            if !partition.partitions.is_empty() {
                self.say_bounds(depth + 1, &partition.partitions, edits)?;
            }
        }
        Ok(())
    }

    fn inherit(&self, parent: &[u8], depth: usize, partitions: &[Partition<'_>], made: &mut Made) {
        let Some(level) = self.clause.levels.get(depth) else {
            return;
        };
        for partition in partitions {
            let name = self.name_of(partition);
            let check = bounds::check(level, partition);
            let check = check
                .map(|check| [b"CHECK (", check.as_slice(), b")"].concat())
                .unwrap_or_default();
            let options = match partition.options.as_slice() {
                [] => Vec::new(),
                options => [b" WITH (", options.join(&b", "[..]).as_slice(), b")"].concat(),
            };
            made.statements.push(
                [
                    b"CREATE TABLE ",
                    name.as_slice(),
                    b" (",
                    &check,
                    b") INHERITS (",
                    parent,
                    b")",
                    &options,
                ]
                .concat(),
            );
            made.partitions.push(self.leaf(partition));
            self.inherit(&name, depth + 1, &partition.partitions, made);
        }
    }
}

#[cfg(test)]
mod tests;
