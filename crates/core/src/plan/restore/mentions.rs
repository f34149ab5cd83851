//! The names that a statement of a dump file mentions.
//!
//! Words of a statement are read, its meaning is not: a column that is called as a type is taken for the type. What comes
//! of it is that an object is created which is not needed, never that one is missing which the text names. Texts of
//! function bodies are not looked into.

use crate::format::sql_script::tokens::{Token, TokenKind, Tokens, unquote};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind, Setting};

use super::inventory::literal;

/// A name in a statement, its parts as the server holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// As written, or that of the search path.
    pub schema: Option<String>,
    pub name: String,
    pub qualified: bool,
    pub role: Role,
}

/// What the words around a name say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `f(`
    Call,
    /// `LANGUAGE l`
    Language,
    /// `INHERITS (t)`, `PARTITION OF t`, `ALTER TABLE ONLY t ATTACH`
    Parent,
    /// `'s.seq'::regclass`
    Literal,
    Other,
}

/// Every name of an entry.
pub(super) fn mentions(script: &Script, entry: &Entry) -> Vec<Mention> {
    let mut found = Vec::new();
    for item in script.items_of(entry) {
        if let Item::Statement { text, .. } = item {
            of_statement(script, entry, text, &mut found);
        }
    }
    found
}

fn of_statement(script: &Script, entry: &Entry, statement: &[u8], found: &mut Vec<Mention>) {
    let tokens: Vec<Token> = Tokens::of(statement).collect();
    let path = default_schema(script, entry);
    let mut context = Context::new(entry);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        context.step(token);
        if let Some((schema, name)) = token_literal(token) {
            let qualified = schema.is_some();
            found.push(Mention {
                schema: schema.or_else(|| path.clone()),
                name,
                qualified,
                role: match context.after_language(&tokens, at) {
                    true => Role::Language,
                    false => Role::Literal,
                },
            });
        }
        if !token.is_name() || context.is_column_name() {
            at += 1;
            continue;
        }
        let second = tokens
            .get(at + 1)
            .filter(|dot| dot.is_sign(b'.'))
            .and_then(|_| tokens.get(at + 2))
            .filter(|name| name.is_name());
        let (schema, name, width) = match second {
            Some(name) => (Some(real(token)), real(name), 3),
            None => (path.clone(), real(token), 1),
        };
        let role = if context.after_language(&tokens, at) {
            Role::Language
        } else if context.is_parent(&tokens, at, width) {
            Role::Parent
        } else if tokens.get(at + width).is_some_and(|next| next.is_sign(b'(')) {
            Role::Call
        } else {
            Role::Other
        };
        found.push(Mention {
            schema,
            name,
            qualified: width == 3,
            role,
        });
        at += width;
    }
}

fn real(token: &Token) -> String {
    String::from_utf8_lossy(&unquote(token.text)).into_owned()
}

/// A literal that is a name and nothing else.
pub(super) fn token_literal(token: &Token) -> Option<(Option<String>, String)> {
    if token.kind != TokenKind::Text || token.text.starts_with(b"$") {
        return None;
    }
    let text = literal(token.text);
    let mut inner = Tokens::of(text.as_bytes());
    let name = inner.name()?;
    let part = |part: &[u8]| String::from_utf8_lossy(&unquote(part)).into_owned();
    inner.next().is_none().then(|| (name.schema.map(part), part(name.name)))
}

/// Where names without a schema are looked for first; later dumps write every name with its schema.
pub(super) fn default_schema(script: &Script, entry: &Entry) -> Option<String> {
    let path = entry.state.get(Setting::SearchPath);
    let hides = path.is_some_and(|span| span.of(script.text()).starts_with(b"SELECT"));
    entry.schema.clone().filter(|_| !hides)
}

/// Where in a statement we are.
struct Context {
    is_table: bool,
    is_attach: bool,
    depth: usize,
    /// The token in front opened or went on with a list of columns.
    begins_column: bool,
    column_next: bool,
    inherits: bool,
}

impl Context {
    fn new(entry: &Entry) -> Context {
        Context {
            is_table: matches!(
                entry.kind,
                EntryKind::Table | EntryKind::ExternalTable | EntryKind::ForeignTable
            ),
            is_attach: entry.kind == EntryKind::TableAttach,
            depth: 0,
            begins_column: false,
            column_next: false,
            inherits: false,
        }
    }

    fn step(&mut self, token: &Token) {
        self.begins_column = self.column_next;
        self.column_next = false;
        if token.is_sign(b'(') {
            self.depth += 1;
            self.column_next = self.depth == 1;
        } else if token.is_sign(b')') {
            self.depth = self.depth.saturating_sub(1);
            self.inherits &= self.depth > 0;
        } else if token.is_sign(b',') {
            self.column_next = self.depth == 1;
        } else if token.is("inherits") && self.depth == 0 {
            self.inherits = true;
        }
    }

    fn is_column_name(&self) -> bool {
        self.is_table && self.begins_column && !self.inherits
    }

    fn after_language(&self, tokens: &[Token], at: usize) -> bool {
        at > 0 && tokens[at - 1].is("language")
    }

    fn is_parent(&self, tokens: &[Token], at: usize, width: usize) -> bool {
        let inherited = self.is_table && self.inherits && self.depth == 1;
        let part_of = at > 1 && tokens[at - 1].is("of") && tokens[at - 2].is("partition");
        let attached_to = self.is_attach && tokens.get(at + width).is_some_and(|next| next.is("attach"));
        inherited || part_of || attached_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, statement: &str) -> String {
        let text = format!(
            "SET search_path = s, pg_catalog;\n\n--\n-- Name: x; Type: {kind}; Schema: s; Owner: o\n--\n\n{statement};\n"
        );
        let script = Script::parse(text.as_bytes()).unwrap();
        let found = mentions(&script, &script.entries()[0]);
        let shown = found.iter().filter(|m| m.role != Role::Other).map(|m| {
            let schema = m.schema.as_deref().unwrap_or_default();
            format!("{:?} {schema}.{}", m.role, m.name)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn roles_are_told_by_the_words_around_a_name() {
        assert_eq!(
            said(
                "DEFAULT",
                "ALTER TABLE ONLY t ALTER COLUMN i SET DEFAULT nextval('other.q'::regclass)"
            ),
            "Call s.nextval, Literal other.q"
        );
        assert_eq!(
            said(
                "TABLE",
                "CREATE TABLE c (mood integer, CONSTRAINT k CHECK (other.f(mood) > 0)) INHERITS (p, o.\"P 2\")"
            ),
            "Call s.c, Call s.check, Call other.f, Call s.inherits, Parent s.p, Parent o.P 2"
        );
        assert_eq!(
            said("TABLE ATTACH", "ALTER TABLE ONLY a.p ATTACH PARTITION a.c DEFAULT"),
            "Parent a.p"
        );
        assert_eq!(
            said(
                "FUNCTION",
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ a.b(c) $$"
            ),
            "Call s.f, Language s.plpgsql"
        );
        assert_eq!(
            said("FUNCTION", "CREATE FUNCTION f() RETURNS int AS 'x y' LANGUAGE 'C'"),
            "Call s.f, Language s.c"
        );
    }

    #[test]
    fn columns_that_are_called_as_a_type_are_none() {
        let text = "--\n-- Name: t; Type: TABLE; Schema: s; Owner: o\n--\n\nCREATE TABLE t (mood s.mood, b t2[]);\n";
        let script = Script::parse(text.as_bytes()).unwrap();
        let names: Vec<String> = mentions(&script, &script.entries()[0])
            .into_iter()
            .map(|m| format!("{}.{}", m.schema.unwrap_or_default(), m.name))
            .collect();
        assert_eq!(names, ["s.create", "s.table", "s.t", "s.mood", "s.t2"]);
    }
}
