//! Random schemas with nasty names and values, dumped and restored with random filters, held against a model of which
//! tables should be there with which rows.
//!
//! `GPDUMP_RANDOM_CASES` (3 when not said) and `GPDUMP_RANDOM_SEED` (of the first case; the others follow it) choose; a
//! failure names the seed of its case. With `GPDUMP_TEST_CLUSTER=env` they run on the Greenplum that the environment names.

use std::collections::{BTreeMap, BTreeSet};

use gpdump_core::words::names::{QualifiedName, quote_ident, quote_literal};
use gpdump_testkit::{Cluster, Program};

const SOURCE: &str = "gpdump random source";
const TARGET: &str = "gpdump random target";

/// splitmix64
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Some of them, at least one.
    fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        let mut chosen: Vec<T> = of.iter().filter(|_| self.below(2) == 0).cloned().collect();
        if chosen.is_empty() {
            chosen.push(self.pick(of).clone());
        }
        chosen
    }

    /// A name that no other has.
    fn name(&mut self, known: &mut BTreeSet<String>) -> String {
        const PIECES: [&str; 32] = [
            "a", "b", "t", "B", "Z", "0", "_", " ", "\"", "'", "\\", "$", "$$", "%", "%s", "ü", "日", "-", "--", ";",
            ",", "!", "#", "{", "\t", "/*", "*", "select", "\\.", "(", ".", ":",
        ];
        loop {
            let mut name = String::new();
            for _ in 0..=self.below(5) {
                let piece: &str = self.pick::<&str>(&PIECES);
                name.push_str(piece);
            }
            if known.insert(name.clone()) {
                return name;
            }
        }
    }

    /// A value as SQL has it.
    fn value(&mut self) -> String {
        const PIECES: [&str; 20] = [
            "a",
            "\t",
            "\n",
            "\r",
            "\\",
            "\\.",
            "\\N",
            "\n\\.\n",
            "'",
            "\"",
            ";",
            "--",
            "$$",
            "ü",
            "日本",
            "\u{1}",
            " ",
            "\u{b}",
            "NULL",
            "COPY t FROM stdin;\n",
        ];
        match self.below(8) {
            0 => "NULL".to_owned(),
            1 => "''".to_owned(),
            2 => quote_literal(&"long ".repeat(self.below(20_000))),
            _ => {
                let text: String = (0..=self.below(6)).map(|_| *self.pick::<&str>(&PIECES)).collect();
                quote_literal(&text)
            }
        }
    }
}

struct Case<'a> {
    cluster: &'a Cluster,
    dice: Dice,
    tables: Vec<QualifiedName>,
    schemas: Vec<String>,
    log: Vec<String>,
}

impl Case<'_> {
    /// Makes the database.
    fn make(&mut self) {
        for database in [SOURCE, TARGET] {
            let name = quote_ident(database);
            self.cluster.sql("postgres", &format!("DROP DATABASE IF EXISTS {name}"));
        }
        self.cluster
            .sql("postgres", &format!("CREATE DATABASE {}", quote_ident(SOURCE)));
        let mut known = BTreeSet::from(["public".to_owned()]);
        self.schemas = vec!["public".to_owned()];
        for _ in 0..=self.dice.below(2) {
            let schema = self.dice.name(&mut known);
            self.cluster
                .sql(SOURCE, &format!("CREATE SCHEMA {}", quote_ident(&schema)));
            self.schemas.push(schema);
        }
        // One text must mean one table.
        let mut texts = BTreeSet::new();
        let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for _ in 0..2 + self.dice.below(4) {
            let schema = self.dice.pick(&self.schemas).clone();
            let name = self.dice.name(known.entry(schema.clone()).or_default());
            let table = QualifiedName::new(schema, name);
            if texts.insert(table.to_string()) {
                self.make_table(&table);
                self.tables.push(table);
            }
        }
    }

    fn make_table(&mut self, table: &QualifiedName) {
        let mut names = BTreeSet::new();
        let columns: Vec<String> = (0..self.dice.below(4)).map(|_| self.dice.name(&mut names)).collect();
        let list: Vec<String> = columns.iter().map(|c| format!("{} text", quote_ident(c))).collect();
        let mut sql = format!("CREATE TABLE {} ({})", table.sql(), list.join(", "));
        if let Some(first) = columns.first().filter(|_| self.dice.below(3) == 0) {
            let index = quote_ident(&format!("i {}", self.tables.len()));
            sql.push_str(&format!(
                "; CREATE INDEX {index} ON {} (length({}))",
                table.sql(),
                quote_ident(first)
            ));
        }
        self.cluster.sql(SOURCE, &sql);
        // A real server says itself where a row belongs.
        let is_own = self.cluster.is_own();
        for content in 0..self.cluster.segments().len() {
            for _ in 0..self.dice.below(8) {
                let values: Vec<String> = columns.iter().map(|_| self.dice.value()).collect();
                let values = match values.is_empty() {
                    true => "DEFAULT VALUES".to_owned(),
                    false => format!("VALUES ({})", values.join(", ")),
                };
                let insert = format!("INSERT INTO {} {values}", table.sql());
                match is_own {
                    true => self.cluster.segment_sql(content, SOURCE, &insert),
                    false => self.cluster.sql(SOURCE, &insert),
                };
            }
        }
    }

    /// As a person would write it: the plain names where that can mean one thing, else quoted.
    fn typed(&mut self, table: &QualifiedName) -> String {
        let plain = !table.to_string().contains('"') && table.to_string().matches('.').count() == 1;
        match plain && self.dice.below(2) == 0 {
            true => table.to_string(),
            false => table.sql(),
        }
    }

    /// A filter with the options of dump (`-t -T -s -S`) or restore (`-T -S`), and the tables that it leaves.
    fn filter(&mut self, kinds: &[&'static str], tables: &[QualifiedName]) -> (Vec<String>, Vec<QualifiedName>) {
        let kind = *self.dice.pick(kinds);
        let schemas: Vec<String> = tables
            .iter()
            .map(|t| t.schema.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut options = Vec::new();
        let mut add = |option: &str, value: String| options.extend([option.to_owned(), value]);
        let left = match kind {
            "" => tables.to_vec(),
            "-s" | "restore -S" => {
                let chosen = self.dice.some(&schemas);
                let option = if kind == "-s" { "-s" } else { "-S" };
                chosen.iter().for_each(|schema| add(option, schema.clone()));
                tables.iter().filter(|t| chosen.contains(&t.schema)).cloned().collect()
            }
            "-S" => {
                let chosen = self.dice.some(&schemas);
                if chosen.len() == schemas.len() {
                    return (Vec::new(), tables.to_vec());
                }
                chosen.iter().for_each(|schema| add("-S", schema.clone()));
                tables.iter().filter(|t| !chosen.contains(&t.schema)).cloned().collect()
            }
            _ => {
                let chosen = self.dice.some(tables);
                let excludes = kind == "-T";
                if excludes && chosen.len() == tables.len() {
                    return (Vec::new(), tables.to_vec());
                }
                for table in &chosen {
                    let text = self.typed(table);
                    let option = if kind == "-t" { "-t" } else { "-T" };
                    add(option, text);
                }
                tables
                    .iter()
                    .filter(|t| chosen.contains(t) != excludes)
                    .cloned()
                    .collect()
            }
        };
        (options, left)
    }

    fn run(&mut self, program: &str, options: &[String]) -> String {
        self.log.push(format!("{program} {options:?}"));
        let end = Program::new(program, self.cluster).args(options.iter().cloned()).run();
        assert_eq!(end.status, Some(0), "{:#?}\n{}", self.log, end.stdout);
        match program {
            "gpcrondump" => end.timestamp_key(),
            _ => end.stdout,
        }
    }

    /// Rows and a sum of them, wherever they lie, of every table of a database.
    fn state(&self, database: &str) -> BTreeMap<String, (i64, i64)> {
        let list = "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' \
                    AND nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'gp_toolkit') \
                    AND relname <> 'gpcrondump_history'";
        let mut found = BTreeMap::new();
        for row in self.cluster.sql(database, list) {
            let table = QualifiedName::new(row[0].clone().unwrap(), row[1].clone().unwrap());
            let sql = format!(
                "SELECT count(*), coalesce(sum(hashtext(t::text)), 0) FROM {} t",
                table.sql()
            );
            let mut total = (0, 0);
            let answers: Vec<_> = match self.cluster.is_own() {
                true => self
                    .cluster
                    .row_holders()
                    .iter()
                    .map(|holder| holder.sql(database, &sql))
                    .collect(),
                false => vec![self.cluster.sql(database, &sql)],
            };
            for mut answer in answers {
                let row = answer.remove(0);
                let number = |at: usize| row[at].as_deref().unwrap().parse::<i64>().unwrap();
                total = (total.0 + number(0), total.1 + number(1));
            }
            found.insert(table.sql(), total);
        }
        found
    }
}

fn try_case(cluster: &Cluster, seed: u64) {
    let mut case = Case {
        cluster,
        dice: Dice(seed),
        tables: Vec::new(),
        schemas: Vec::new(),
        log: vec![format!("GPDUMP_RANDOM_SEED={seed}")],
    };
    case.make();
    let all = case.state(SOURCE);
    assert_eq!(all.len(), case.tables.len());
    let (options, dumped) = case.filter(&["", "-t", "-T", "-s", "-S"], &case.tables.clone());
    let mut dump: Vec<String> = ["-a", "-x", SOURCE].map(str::to_owned).to_vec();
    dump.extend(options);
    for option in ["-z", "--inserts", "--rsyncable"] {
        let fits = option != "--rsyncable" || !dump.contains(&"-z".to_owned());
        if case.dice.below(4) == 0 && fits {
            dump.push(option.to_owned());
        }
    }
    let key = case.run("gpcrondump", &dump);
    let (options, restored) = case.filter(&["", "restore -T", "restore -S"], &dumped);
    let mut restore: Vec<String> = ["-a", "-t", &key, "--redirect", TARGET].map(str::to_owned).to_vec();
    if case.dice.below(2) == 0 {
        restore.push("-e".to_owned());
    }
    restore.extend(options.iter().cloned());
    case.run("gpdbrestore", &restore);
    let expected: BTreeMap<String, (i64, i64)> = restored.iter().map(|t| (t.sql(), all[&t.sql()])).collect();
    assert_eq!(case.state(TARGET), expected, "{:#?}", case.log);
    let mut verify: Vec<String> = ["--verify", "-t", &key].map(str::to_owned).to_vec();
    verify.extend(options);
    case.run("gpdbrestore", &verify);
}

#[test]
fn what_a_model_says_comes_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let cases = number("GPDUMP_RANDOM_CASES").unwrap_or(3);
    // The same ones each time: a failure of CI is nobody's bad luck.
    let first = number("GPDUMP_RANDOM_SEED").unwrap_or(20_240_102);
    let cluster = Cluster::for_tests(2);
    for seed in first..first + cases {
        try_case(&cluster, seed);
    }
}
