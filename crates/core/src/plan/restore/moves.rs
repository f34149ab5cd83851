//! `--change-schema`: the definitions of tables for another schema than their own.
//!
//! Names are changed where they mean a relation that moves, quoted or not: `old.t`, `old.t.column`, `'old.seq'::regclass`.
//! Everything else that looks like the old name stays: other objects of that schema, texts, bodies, comments.

use std::collections::BTreeSet;

use crate::format::ddl_split::choose::{host_of, object_of};
use crate::format::ddl_split::excerpt::Rewrite;
use crate::format::sql_script::tokens::{Token, Tokens, unquote};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind, Setting};
use crate::words::definitions::ObjectClass;
use crate::words::names::{QualifiedName, quote_ident_if_needed, quote_literal};

use super::mentions::{mentions, token_literal};

/// Relations on their way to another schema.
#[allow(missing_debug_implementations)] // holds a closure
pub struct Move<'a> {
    pub script: &'a Script<'a>,
    pub moved: &'a BTreeSet<QualifiedName>,
    pub schema: &'a str,
    /// The schemas that the database has or is going to have: only those may be in a search path.
    pub is_there: &'a dyn Fn(&str) -> bool,
}

impl Rewrite for Move<'_> {
    fn entry(&self, entry: &Entry, body: &[u8]) -> Option<Vec<u8>> {
        if !self.moves(entry) {
            return None;
        }
        let mut spans = self.script.items_of(entry).map(|item| item.span());
        let first = spans.next()?;
        let text = self.script.text();
        let mut out = self.header(entry).into_bytes();
        // What is behind the last statement stays: blank lines.
        out.extend(self.rewritten(&text[first.start..entry.span.end]));
        debug_assert!(body.len() >= entry.span.end - first.start);
        Some(out)
    }

    fn setting(&self, entry: &Entry, setting: Setting, statement: &[u8]) -> Option<Vec<u8>> {
        if setting != Setting::SearchPath || !statement.starts_with(b"SET ") || !self.moves(entry) {
            return None;
        }
        // Behind the new schema the old one: types and functions stayed there.
        let mut path = quote_ident_if_needed(self.schema);
        if let Some(old) = entry.schema.as_deref().filter(|old| (self.is_there)(old)) {
            path.push_str(", ");
            path.push_str(&quote_ident_if_needed(old));
        }
        Some(format!("SET search_path = {path}, pg_catalog;").into_bytes())
    }
}

impl Move<'_> {
    fn is_moved(&self, schema: &str, name: &str) -> bool {
        self.moved.contains(&QualifiedName::new(schema, name))
    }

    /// Whether the entry is about something that moves.
    fn moves(&self, entry: &Entry) -> bool {
        let schema = entry.schema.as_deref().unwrap_or_default();
        if entry.kind == EntryKind::SequenceOwnedBy {
            return self.is_moved(schema, &entry.name);
        }
        if let Some(object) = object_of(entry) {
            return object.class == ObjectClass::Relation && self.is_moved(schema, &object.name);
        }
        if let Some(host) = host_of(self.script, entry) {
            return self.is_moved(&host.object.schema, &host.object.name);
        }
        // Comments and privileges name what they are about.
        mentions(self.script, entry)
            .iter()
            .any(|mention| self.is_moved(mention.schema.as_deref().unwrap_or_default(), &mention.name))
    }

    fn header(&self, entry: &Entry) -> String {
        let owner = entry.owner.as_deref().unwrap_or("-");
        let tablespace = entry.tablespace.as_ref().map(|name| format!("; Tablespace: {name}"));
        format!(
            "--\n-- Name: {}; Type: {}; Schema: {}; Owner: {owner}{}\n--\n\n",
            entry.name,
            entry.kind,
            self.schema.replace(['\n', '\r'], " "),
            tablespace.unwrap_or_default()
        )
    }

    fn rewritten(&self, text: &[u8]) -> Vec<u8> {
        let tokens: Vec<Token> = Tokens::of(text).collect();
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        for (at, token) in tokens.iter().enumerate() {
            let Some(new) = self.replacement(&tokens, at) else {
                continue;
            };
            out.extend_from_slice(&text[copied..token.span.start]);
            out.extend_from_slice(new.as_bytes());
            copied = token.span.end;
        }
        out.extend_from_slice(&text[copied..]);
        out
    }

    fn replacement(&self, tokens: &[Token], at: usize) -> Option<String> {
        let token = &tokens[at];
        let sign = |at: usize, sign: u8| tokens.get(at).is_some_and(|token| token.is_sign(sign));
        if token.is_name() {
            let begins_name = at == 0 || !tokens[at - 1].is_sign(b'.');
            let second = tokens.get(at + 2).filter(|second| second.is_name())?;
            let part = |token: &Token| String::from_utf8_lossy(&unquote(token.text)).into_owned();
            let moves = begins_name && sign(at + 1, b'.') && self.is_moved(&part(token), &part(second));
            return moves.then(|| quote_ident_if_needed(self.schema));
        }
        let (schema, name) = token_literal(token)?;
        let schema = schema.filter(|schema| self.is_moved(schema, &name))?;
        let is_regclass =
            sign(at + 1, b':') && sign(at + 2, b':') && tokens.get(at + 3).is_some_and(|word| word.is("regclass"));
        let of_sequence = at > 1
            && sign(at - 1, b'(')
            && ["setval", "nextval", "currval"]
                .iter()
                .any(|function| tokens[at - 2].is(function));
        debug_assert!(!schema.is_empty());
        (is_regclass || of_sequence).then(|| {
            let name = format!(
                "{}.{}",
                quote_ident_if_needed(self.schema),
                quote_ident_if_needed(&name)
            );
            quote_literal(&name).trim_start().to_owned()
        })
    }
}

/// Whether a script has only names that need no decoding, so that a name in UTF-8 can be put among them.
pub fn is_utf8(script: &Script) -> bool {
    let says = script.items().find_map(|item| match item {
        Item::Statement { text, .. } => {
            let text = std::str::from_utf8(text).ok()?;
            let value = text.strip_prefix("SET client_encoding = ")?;
            Some(matches!(value.trim_matches('\''), "UTF8" | "SQL_ASCII"))
        }
        _ => None,
    });
    says.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ddl_split::excerpt::excerpt;

    /// What a script of one entry becomes when `cat.t`, `cat.t_id_seq` and `cat.i` go to `New "x"`.
    fn moved(kind: &str, name: &str, path: bool, statement: &str) -> String {
        let path = if path {
            "SET search_path = cat, pg_catalog;\n\n"
        } else {
            ""
        };
        let text = format!("{path}--\n-- Name: {name}; Type: {kind}; Schema: cat; Owner: o\n--\n\n{statement}\n");
        let script = Script::parse(text.as_bytes()).unwrap();
        let names = ["t", "t_id_seq", "i"];
        let moved = names.iter().map(|name| QualifiedName::new("cat", *name)).collect();
        let mover = Move {
            script: &script,
            moved: &moved,
            schema: "New \"x\"",
            is_there: &|_| true,
        };
        let out = String::from_utf8(excerpt(&script, &[true], Some(&mover))).unwrap();
        let out = out.split_once("-- Name: ").unwrap();
        let path = out.0.lines().find(|line| line.starts_with("SET search_path"));
        let body = out.1.split_once("--\n\n").unwrap();
        assert_eq!(body.0.contains("Schema: New \"x\";"), mover.moves(&script.entries()[0]));
        let body = body.1.split_once("\n--\n-- Greenplum").unwrap().0.trim_end();
        format!("{}{body}", path.map(|path| format!("{path} ")).unwrap_or_default())
    }

    #[test]
    fn names_move_by_meaning_and_pg_catalog_is_not_a_schema_called_cat() {
        for (kind, name, path, statement, expected) in [
            (
                "TABLE",
                "t",
                true,
                "CREATE TABLE t (id pg_catalog.int4, m mood DEFAULT 'cat.t'::text);\n\n\nALTER TABLE cat.t OWNER TO cat;",
                "SET search_path = \"New \"\"x\"\"\", cat, pg_catalog; CREATE TABLE t (id pg_catalog.int4, m mood DEFAULT \
                 'cat.t'::text);\n\n\nALTER TABLE \"New \"\"x\"\"\".t OWNER TO cat;",
            ),
            (
                "DEFAULT",
                "t id",
                false,
                "ALTER TABLE ONLY cat.t ALTER COLUMN id SET DEFAULT nextval('cat.t_id_seq'::regclass);",
                "ALTER TABLE ONLY \"New \"\"x\"\"\".t ALTER COLUMN id SET DEFAULT nextval('\"New \"\"x\"\"\".t_id_seq'::regclass);",
            ),
            (
                "SEQUENCE SET",
                "t_id_seq",
                false,
                "SELECT pg_catalog.setval('cat.t_id_seq', 7, true);",
                "SELECT pg_catalog.setval('\"New \"\"x\"\"\".t_id_seq', 7, true);",
            ),
            (
                "SEQUENCE OWNED BY",
                "t_id_seq",
                false,
                "ALTER SEQUENCE cat.t_id_seq OWNED BY cat.t.id;",
                "ALTER SEQUENCE \"New \"\"x\"\"\".t_id_seq OWNED BY \"New \"\"x\"\"\".t.id;",
            ),
            (
                "COMMENT",
                "COLUMN t.id",
                false,
                "COMMENT ON COLUMN cat.t.id IS 'see cat.t';",
                "COMMENT ON COLUMN \"New \"\"x\"\"\".t.id IS 'see cat.t';",
            ),
            (
                "FK CONSTRAINT",
                "t t_fkey",
                false,
                "ALTER TABLE ONLY cat.t ADD CONSTRAINT t_fkey FOREIGN KEY (cat) REFERENCES cat.other(id);",
                "ALTER TABLE ONLY \"New \"\"x\"\"\".t ADD CONSTRAINT t_fkey FOREIGN KEY (cat) REFERENCES cat.other(id);",
            ),
            (
                "TRIGGER",
                "t tr",
                false,
                "CREATE TRIGGER tr BEFORE INSERT ON cat.t FOR EACH ROW EXECUTE FUNCTION cat.t_id_seq2();",
                "CREATE TRIGGER tr BEFORE INSERT ON \"New \"\"x\"\"\".t FOR EACH ROW EXECUTE FUNCTION cat.t_id_seq2();",
            ),
            (
                "FUNCTION",
                "f()",
                false,
                "CREATE FUNCTION cat.f() RETURNS int LANGUAGE sql AS $$ SELECT id FROM cat.t $$;",
                "CREATE FUNCTION cat.f() RETURNS int LANGUAGE sql AS $$ SELECT id FROM cat.t $$;",
            ),
            (
                "ACL",
                "TABLE t",
                true,
                "GRANT SELECT ON TABLE t TO cat;",
                "SET search_path = \"New \"\"x\"\"\", cat, pg_catalog; GRANT SELECT ON TABLE t TO cat;",
            ),
        ] {
            assert_eq!(moved(kind, name, path, statement), expected, "{kind}");
        }
    }
}
