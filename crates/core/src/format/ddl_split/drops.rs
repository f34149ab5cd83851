//! The drops at the head of post-data: a second run of the file finds what the first one made, and must not fail on it.
//!
//! ```text
//! DROP TRIGGER IF EXISTS tr1 ON s1.heap1;
//! ALTER TABLE IF EXISTS ONLY s1.child DROP CONSTRAINT IF EXISTS child_hid_fkey;          from 9.2 on
//! select pg_temp.drop_table_constraint_only_if_exists('s1', 'child', 'child_hid_fkey');  before
//! ```
//!
//! In reverse order, so that a foreign key goes before the key it needs. On a fresh database each of them does nothing.

use std::collections::{HashMap, HashSet};

use crate::format::sql_script::Script;
use crate::format::sql_script::tokens::{Name, Tokens};
use crate::format::sql_script::{Item, Span};
use crate::format::toc::{Entry, EntryKind, Setting};
use crate::words::dialect::PgVersion;

use super::place::is_view_rule;
use super::uses_search_path;
use super::writer::Writer;

/// Servers before 9.2 cannot say IF EXISTS of a table's constraint. The name is the original's, so that filters made for
/// its files know the line. Greenplum 5 refuses ONLY for a partitioned table, whether or not it has the constraint.
const HELPER: &[u8] = b"
create or replace function pg_temp.drop_table_constraint_only_if_exists(sch text, tbl text, constr text) returns void as $$
begin
    begin
        execute 'alter table only ' || sch || '.' || tbl || ' drop constraint ' || constr;
    exception
        when undefined_object or undefined_table then null;
        when others then
            execute 'alter table ' || sch || '.' || tbl || ' drop constraint ' || constr;
    end;
exception
    when undefined_object or undefined_table then null;
end
$$ language plpgsql;

";

pub(super) fn write(script: &Script, post_data: &[&Entry], pg_version: PgVersion, writer: &mut Writer) {
    let context = Context::new(script, post_data, pg_version);
    let drops: Vec<(&Entry, Vec<u8>)> = post_data
        .iter()
        .rev()
        .filter_map(|entry| context.drop_of(entry).map(|statement| (*entry, statement)))
        .collect();
    if drops
        .iter()
        .any(|(_, statement)| statement.starts_with(b"select pg_temp."))
    {
        writer.push(HELPER);
    }
    for (entry, statement) in &drops {
        if let Some(path) = entry
            .state
            .get(Setting::SearchPath)
            .filter(|_| uses_search_path(script))
        {
            writer.ensure(Setting::SearchPath, path.of(script.text()));
        }
        writer.push(statement);
        writer.push(b"\n");
    }
    if !drops.is_empty() {
        writer.push(b"\n");
    }
}

struct Context<'a> {
    script: &'a Script<'a>,
    guards_constraints: bool,
    /// Indexes that are part of a partitioned one: they go with it, and cannot go alone.
    attached: HashSet<(Vec<u8>, Vec<u8>)>,
    /// Views that pre-data makes without their text, by schema and name as printed.
    dummies: HashMap<(Vec<u8>, Vec<u8>), Vec<u8>>,
}

impl<'a> Context<'a> {
    fn new(script: &'a Script<'a>, post_data: &[&Entry], pg_version: PgVersion) -> Self {
        let mut context = Context {
            script,
            guards_constraints: pg_version.0 >= 90200,
            attached: HashSet::new(),
            dummies: HashMap::new(),
        };
        for entry in post_data.iter().filter(|entry| entry.kind == EntryKind::IndexAttach) {
            // ALTER INDEX s.parent ATTACH PARTITION s.child
            let mut tokens = context.definition(entry);
            if tokens.skip_past("partition")
                && let Some(child) = tokens.name()
            {
                let key = context.key(child, entry);
                context.attached.insert(key);
            }
        }
        // Looked for only where a view is completed in post-data, which is rare.
        if post_data.iter().any(|entry| is_view_rule(entry)) {
            context.dummies = context.dummy_views();
        }
        context
    }

    fn dummy_views(&self) -> HashMap<(Vec<u8>, Vec<u8>), Vec<u8>> {
        let views = self
            .script
            .entries()
            .iter()
            .filter(|entry| entry.kind == EntryKind::View);
        views
            .filter_map(|entry| {
                let statement = self.definition_text(entry);
                let mut tokens = Tokens::of(statement);
                let name = tokens.eat_all(&["create", "view"]).then(|| tokens.name()).flatten()?;
                let rest = statement.strip_prefix(b"CREATE VIEW ")?;
                let replace = [b"CREATE OR REPLACE VIEW ", rest, b";"].concat();
                Some((self.key(name, entry), replace))
            })
            .collect()
    }

    fn definition_text(&self, entry: &Entry) -> &'a [u8] {
        let pieces = entry.pieces.clone();
        let first = self.script.toc().pieces[pieces].first();
        match first.map(|piece| piece.item(self.script.text())) {
            Some(Item::Statement { text, .. }) => text,
            _ => b"",
        }
    }

    fn definition(&self, entry: &Entry) -> Tokens<'a> {
        Tokens::of(self.definition_text(entry))
    }

    /// The schema of an unqualified name: the first of the `search_path` it was printed under.
    fn schema_of(&self, name: Name<'a>, entry: &Entry) -> Option<&'a [u8]> {
        if name.schema.is_some() {
            return name.schema;
        }
        let path: Span = entry.state.get(Setting::SearchPath)?;
        let mut tokens = Tokens::of(path.of(self.script.text()));
        tokens.eat_all(&["set", "search_path"]).then_some(())?;
        tokens.next()?;
        tokens.name().map(|name| name.name)
    }

    fn key(&self, name: Name<'a>, entry: &Entry) -> (Vec<u8>, Vec<u8>) {
        let schema = self.schema_of(name, entry).unwrap_or_default();
        (schema.to_vec(), name.name.to_vec())
    }

    /// `schema.name`, as printed.
    fn full(&self, name: Name<'a>, entry: &Entry) -> Option<Vec<u8>> {
        Some([self.schema_of(name, entry)?, b".", name.name].concat())
    }

    fn drop_of(&self, entry: &Entry) -> Option<Vec<u8>> {
        match entry.kind {
            EntryKind::Trigger => self.on_table(entry, b"DROP TRIGGER IF EXISTS "),
            EntryKind::Rule if is_view_rule(entry) => self.empty_view(entry),
            EntryKind::Rule => self.rule(entry),
            EntryKind::Policy => self.on_table(entry, b"DROP POLICY IF EXISTS "),
            EntryKind::Index => self.index(entry),
            EntryKind::Constraint | EntryKind::FkConstraint | EntryKind::CheckConstraint => self.constraint(entry),
            EntryKind::Statistics => self.named(entry, &["statistics"], b"DROP STATISTICS IF EXISTS "),
            EntryKind::MaterializedView => {
                self.named(entry, &["materialized", "view"], b"DROP MATERIALIZED VIEW IF EXISTS ")
            }
            EntryKind::EventTrigger => self.global(entry, &["event", "trigger"], b"DROP EVENT TRIGGER IF EXISTS "),
            EntryKind::Publication => self.global(entry, &["publication"], b"DROP PUBLICATION IF EXISTS "),
            EntryKind::Function | EntryKind::Procedure => self.routine(entry),
            // Attachments go with their index, privileges are set anew, and dropping a subscription would reach out to
            // another server.
            _ => None,
        }
    }

    /// `CREATE [CONSTRAINT] TRIGGER n ... ON t`, `CREATE POLICY n ON t`.
    fn on_table(&self, entry: &Entry, drop: &[u8]) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        tokens.eat("create").then_some(())?;
        tokens.eat("constraint");
        (tokens.eat("trigger") || tokens.eat("policy")).then_some(())?;
        let name = tokens.name()?;
        tokens.skip_past("on").then_some(())?;
        let table = self.full(tokens.name()?, entry)?;
        Some([drop, name.name, b" ON ", &table, b";"].concat())
    }

    /// `CREATE RULE n AS ON INSERT TO t ...`
    fn rule(&self, entry: &Entry) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        tokens.eat_all(&["create", "rule"]).then_some(())?;
        let name = tokens.name()?;
        tokens.skip_past("to").then_some(())?;
        let table = self.full(tokens.name()?, entry)?;
        Some([b"DROP RULE IF EXISTS ", name.name, b" ON ", &table, b";"].concat())
    }

    /// A view that needs a primary key would keep that key from being dropped: make it again the empty one of pre-data.
    fn empty_view(&self, entry: &Entry) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        tokens.eat_all(&["create", "or", "replace", "view"]).then_some(())?;
        let key = self.key(tokens.name()?, entry);
        self.dummies.get(&key).cloned()
    }

    /// `CREATE [UNIQUE] INDEX n ON [ONLY] t ...`: the index is in the schema of the table.
    fn index(&self, entry: &Entry) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        tokens.eat("create").then_some(())?;
        tokens.eat("unique");
        tokens.eat("index").then_some(())?;
        let name = tokens.name()?.name;
        tokens.eat("on").then_some(())?;
        tokens.eat("only");
        let schema = self.schema_of(tokens.name()?, entry)?;
        if self.attached.contains(&(schema.to_vec(), name.to_vec())) {
            return None;
        }
        Some([b"DROP INDEX IF EXISTS ", schema, b".", name, b";"].concat())
    }

    /// `ALTER [FOREIGN] TABLE [ONLY] t ADD CONSTRAINT n ...`, `ALTER DOMAIN d ADD CONSTRAINT n ...`
    fn constraint(&self, entry: &Entry) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        tokens.eat("alter").then_some(())?;
        let domain = tokens.eat("domain");
        let foreign = tokens.eat("foreign");
        (domain || tokens.eat("table")).then_some(())?;
        let only = tokens.eat("only");
        let table = tokens.name()?;
        tokens.eat_all(&["add", "constraint"]).then_some(())?;
        let name = tokens.name()?.name;
        let schema = self.schema_of(table, entry)?;
        if self.attached.contains(&(schema.to_vec(), name.to_vec())) {
            return None;
        }
        let verb: &[u8] = match (domain, foreign) {
            (true, _) => b"ALTER DOMAIN ",
            (_, true) => b"ALTER FOREIGN TABLE IF EXISTS ",
            _ => b"ALTER TABLE IF EXISTS ",
        };
        if self.guards_constraints {
            let only: &[u8] = if only { b"ONLY " } else { b"" };
            let table = self.full(table, entry)?;
            return Some([verb, only, &table, b" DROP CONSTRAINT IF EXISTS ", name, b";"].concat());
        }
        let arguments = [schema, table.name, name].map(literal).join(&b", "[..]);
        Some(
            [
                b"select pg_temp.drop_table_constraint_only_if_exists(",
                &arguments[..],
                b");",
            ]
            .concat(),
        )
    }

    fn named(&self, entry: &Entry, kind: &[&str], drop: &[u8]) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        (tokens.eat("create") && tokens.eat_all(kind)).then_some(())?;
        let name = self.full(tokens.name()?, entry)?;
        Some([drop, &name, b";"].concat())
    }

    fn global(&self, entry: &Entry, kind: &[&str], drop: &[u8]) -> Option<Vec<u8>> {
        let mut tokens = self.definition(entry);
        (tokens.eat("create") && tokens.eat_all(kind)).then_some(())?;
        Some([drop, tokens.name()?.name, b";"].concat())
    }

    /// The signature is copied from `ALTER FUNCTION s.f(a integer) OWNER TO ...`; without that line there is no drop.
    fn routine(&self, entry: &Entry) -> Option<Vec<u8>> {
        let kind = entry.kind.as_str().as_bytes();
        self.script.items_of(entry).find_map(|item| {
            let Item::Statement { text, .. } = item else {
                return None;
            };
            let signature = text.strip_prefix(b"ALTER ")?.strip_prefix(kind)?.strip_prefix(b" ")?;
            let end = memchr::memmem::rfind(signature, b" OWNER TO ")?;
            Some([b"DROP ", kind, b" IF EXISTS ", &signature[..end], b";"].concat())
        })
    }
}

/// Names only, so that the text means the same whether or not a backslash escapes.
fn literal(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    if name.contains(&b'\\') {
        out.push(b'E');
    }
    out.push(b'\'');
    for &b in name {
        if b == b'\'' || b == b'\\' {
            out.push(b);
        }
        out.push(b);
    }
    out.push(b'\'');
    out
}
