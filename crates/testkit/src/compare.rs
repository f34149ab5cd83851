//! The state of a database, to be compared before and after: each object, each row, each sequence.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::Cluster;
use crate::client::Session;

/// Rows of one table on one server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    pub count: u64,
    /// Sum over the rows of a piece of each row's MD5: no order, but doubles count twice.
    pub sum: String,
}

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Text of `pg_dump -s` by the comment that heads each object.
    objects: BTreeMap<String, String>,
    /// By table and content.
    rows: BTreeMap<(String, i32), Rows>,
    /// Last value and whether it was given out.
    sequences: BTreeMap<String, String>,
}

/// Our programs write here when they are done: no part of what they dumped.
const HISTORY: &str = "gpcrondump_history";

impl Snapshot {
    pub fn take(cluster: &Cluster, database: &str) -> Self {
        let mut rows = BTreeMap::new();
        let master = cluster.session(database);
        let tables = tables(&master);
        for holder in cluster.row_holders() {
            let session = holder.session(database);
            session.sql("SET extra_float_digits = 2; SET datestyle = ISO");
            for table in &tables {
                rows.insert((table.clone(), holder.content), rows_of(&session, table));
            }
        }
        Snapshot {
            objects: objects(cluster, database),
            rows,
            sequences: sequences(&master),
        }
    }

    /// Rows in all, for a look at whether there is anything to compare.
    pub fn row_count(&self) -> u64 {
        self.rows.values().map(|r| r.count).sum()
    }

    /// The same, wherever rows lie.
    pub fn gathered(&self) -> Self {
        let mut rows: BTreeMap<(String, i32), Rows> = BTreeMap::new();
        for ((table, _), part) in &self.rows {
            let all = rows.entry((table.clone(), 0)).or_default();
            all.count += part.count;
            all.sum = (number(&all.sum) + number(&part.sum)).to_string();
        }
        Snapshot { rows, ..self.clone() }
    }

    /// What differs, as text for a person; empty when nothing does.
    pub fn differences(&self, other: &Snapshot) -> String {
        let mut text = String::new();
        for (name, left, right) in pairs(&self.objects, &other.objects) {
            match (left, right) {
                (Some(_), None) => writeln!(text, "only before: {name}"),
                (None, Some(_)) => writeln!(text, "only after: {name}"),
                (Some(left), Some(right)) => writeln!(text, "differs: {name}\n{}", lines_that_differ(left, right)),
                (None, None) => Ok(()),
            }
            .expect("a String takes all");
        }
        for (name, left, right) in pairs(&self.rows, &other.rows) {
            let (table, content) = name;
            let shown = |rows: Option<&Rows>| {
                rows.map_or_else(|| "no table".into(), |r| format!("{} rows, sum {}", r.count, r.sum))
            };
            let _ = writeln!(
                text,
                "rows of {table}, content {content}: {} before, {} after",
                shown(left),
                shown(right)
            );
        }
        for (name, left, right) in pairs(&self.sequences, &other.sequences) {
            let _ = writeln!(text, "sequence {name}: {left:?} before, {right:?} after");
        }
        text
    }
}

/// Fails with all that differs.
#[track_caller]
pub fn assert_same(before: &Snapshot, after: &Snapshot) {
    let differences = before.differences(after);
    assert!(differences.is_empty(), "the database is not the same:\n{differences}");
}

fn pairs<'a, K: Ord, V: PartialEq>(
    left: &'a BTreeMap<K, V>,
    right: &'a BTreeMap<K, V>,
) -> Vec<(&'a K, Option<&'a V>, Option<&'a V>)> {
    let mut names: Vec<&K> = left.keys().chain(right.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| (name, left.get(name), right.get(name)))
        .filter(|(_, l, r)| l != r)
        .collect()
}

fn lines_that_differ(left: &str, right: &str) -> String {
    let only = |a: &str, b: &str, mark: &str| {
        let missing = a.lines().filter(|line| !b.lines().any(|other| other == *line));
        missing.map(|line| format!("  {mark} {line}\n")).collect::<String>()
    };
    let lines = only(left, right, "-") + &only(right, left, "+");
    if lines.is_empty() {
        format!("  the same lines in another order\n{left}\n  after:\n{right}")
    } else {
        lines
    }
}

fn number(text: &str) -> u128 {
    text.parse().unwrap_or(0)
}

/// `pg_dump -s` in UTF-8, cut at the comments `-- Name: x; Type: TABLE; Schema: public; Owner: o`.
fn objects(cluster: &Cluster, database: &str) -> BTreeMap<String, String> {
    let output = cluster
        .tool("pg_dump")
        .args(["-s", "--encoding=UTF8", database])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "pg_dump -s {database} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("the test databases are UTF8");
    let mut objects: BTreeMap<String, String> = BTreeMap::new();
    let mut name = "(head)".to_owned();
    let mut access_method = "";
    for line in text.lines() {
        if line.starts_with("-- Name: ") {
            line.clone_into(&mut name);
        } else if line.starts_with("SET default_table_access_method = ") {
            // Stands in front of the first of several tables, whichever that is.
            access_method = line;
        } else if line == ");" && name.contains("; Type: TABLE;") {
            let object = objects.entry(name.clone()).or_default();
            object.push_str(&format!("); {access_method}\n"));
        } else if !(line.is_empty() || line.starts_with("--") || line.starts_with("\\")) {
            let object = objects.entry(name.clone()).or_default();
            // Greenplum 5 prints one blank more or less here, as it happened to be told.
            match line.contains("WITH (tablename=") {
                true => object.push_str(&line.replace(" ,", ",")),
                false => object.push_str(line),
            }
            object.push('\n');
        }
    }
    objects.retain(|name, _| !name.contains(HISTORY));
    objects
}

/// Tables with rows of their own: no external ones; of partitioned ones the leaves too.
fn tables(master: &Session) -> Vec<String> {
    let stored = !master
        .sql("SELECT 1 FROM pg_attribute WHERE attrelid = 'pg_class'::regclass AND attname = 'relstorage'")
        .is_empty();
    let kinds = if stored {
        "relstorage IN ('h', 'a', 'c')"
    } else {
        "relkind IN ('r', 'm')"
    };
    names(
        master,
        &format!("relkind IN ('r', 'm') AND {kinds} AND relname <> '{HISTORY}'"),
    )
}

fn names(master: &Session, condition: &str) -> Vec<String> {
    let rows = master.sql(&format!(
        "SELECT quote_ident(nspname) || '.' || quote_ident(relname) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = relnamespace WHERE {condition} AND nspname NOT LIKE 'pg\\_%' \
             AND nspname NOT IN ('information_schema', 'gp_toolkit') ORDER BY 1"
    ));
    rows.into_iter().filter_map(|mut row| row.remove(0)).collect()
}

fn rows_of(holder: &Session, table: &str) -> Rows {
    // record_out is older than the cast of a row to text, which Greenplum 5 has not. 15 digits fit a bigint. The alias
    // must not be the name of a column.
    let rows = holder.try_sql(&format!(
        "SELECT count(*), \
         coalesce(sum(('x' || substr(md5(textin(record_out(\"the row\"))), 1, 15))::bit(60)::bigint::numeric), 0) \
         FROM ONLY {table} \"the row\""
    ));
    let rows = match rows {
        Err(error) if error.contains("has not been populated") => {
            return Rows {
                count: 0,
                sum: "never filled".into(),
            };
        }
        answer => answer.unwrap_or_else(|e| panic!("the rows of {table} could not be read: {e}")),
    };
    let text = |i: usize| rows[0][i].clone().expect("count and coalesce are not null");
    Rows {
        count: text(0).parse().expect("a count"),
        sum: text(1),
    }
}

fn sequences(master: &Session) -> BTreeMap<String, String> {
    let values = names(master, "relkind = 'S'").into_iter().map(|name| {
        let row = master.sql(&format!("SELECT last_value, is_called FROM {name}"));
        (name, format!("{:?}", row[0]))
    });
    values.collect()
}
