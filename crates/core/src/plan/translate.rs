//! The definitions of a set in the words of a server that is newer than the one they come from, or a plain PostgreSQL.
//!
//! Goes over a file statement by statement, before anything is changed. A statement is tried against the rewrites of
//! [`list::REWRITES`] that are for this set and this server; what no rewrite knows stays as it is. What cannot be said
//! at all is left out and told of by name. Nothing is decoded: names and literals keep their bytes.

mod foreign;
pub mod list;
pub mod not_restored;
mod originals;
mod partitions;
mod rewrite;
mod routines;
mod statement;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use crate::format::sql_script::tokens::sets_standard_strings;
use crate::format::sql_script::{Item, Script, Span};
use crate::format::toc::{Entry, Setting};
use crate::words::names::QualifiedName;

use list::REWRITES;
use not_restored::NotRestored;
use rewrite::{Change, Known, Thing};
pub use rewrite::{Origin, Rewrite, Server, Target};
pub use statement::Part;
use statement::Statement;

/// Objects that a note names.
const NAMED_OBJECTS: usize = 5;

/// A sentence about objects that were changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub text: String,
    /// Somebody should look at it.
    pub warns: bool,
}

/// Translates the files of one set, one after the other, in their order.
#[derive(Debug)]
pub struct Translator {
    rewrites: Vec<&'static Rewrite>,
    by_originals: bool,
    known: Known,
    notes: BTreeMap<&'static str, BTreeSet<String>>,
    left_out: Vec<NotRestored>,
    /// Where in `left_out` the things stand that could not be made.
    things: BTreeMap<Thing, usize>,
    /// How the set defines what was changed.
    originals: BTreeMap<String, String>,
}

impl Translator {
    pub fn new(origin: &Origin, target: Target) -> Translator {
        let fits = |rewrite: &&Rewrite| rewrite.from.holds(origin) && rewrite.to.contains(&target.server);
        Translator {
            rewrites: REWRITES.iter().filter(fits).collect(),
            by_originals: origin.by_originals,
            known: Known {
                target,
                partitioned: BTreeMap::new(),
                array_aggregates: BTreeSet::new(),
                gone: BTreeSet::new(),
            },
            notes: BTreeMap::new(),
            left_out: Vec::new(),
            things: BTreeMap::new(),
            originals: BTreeMap::new(),
        }
    }

    /// The text of a script for the target; nothing when it stays as it is.
    pub fn translate(&mut self, script: &Script<'_>, part: Part) -> Option<Vec<u8>> {
        if self.rewrites.is_empty() {
            return None;
        }
        let text = script.text();
        let mut pass = Pass {
            translator: self,
            script,
            part,
            standard_strings: true,
            with_oids: false,
            ended: None,
        };
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        for item in script.items() {
            let Item::Statement {
                text: body,
                span,
                entry,
            } = item
            else {
                continue;
            };
            let Some(new) = pass.statement(body, entry) else {
                continue;
            };
            let body_end = span.start + body.len();
            out.extend_from_slice(&text[copied..span.start]);
            out.extend_from_slice(&new.join(&b";\n"[..]));
            copied = if new.is_empty() { span.end } else { body_end };
        }
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }

    /// What was changed, a sentence for each kind of change.
    pub fn notes(&self) -> Vec<Note> {
        let noted = REWRITES.iter().filter(|rewrite| !rewrite.note.is_empty());
        let noted = noted.filter_map(|rewrite| Some((rewrite, self.notes.get(rewrite.name)?)));
        let note = |(rewrite, objects): (&Rewrite, &BTreeSet<String>)| {
            let named: Vec<&str> = objects.iter().take(NAMED_OBJECTS).map(String::as_str).collect();
            let more = match objects.len().saturating_sub(NAMED_OBJECTS) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Note {
                warns: rewrite.warns,
                text: format!(
                    "Translated ({}): {}{more}: {}",
                    rewrite.name,
                    named.join(", "),
                    rewrite.note
                ),
            }
        };
        noted.map(note).collect()
    }

    /// What a server's words about a missing object mean for this set.
    pub fn explanation(&self, message: &str) -> Option<String> {
        self.by_originals.then(|| originals::missing_enum(message)).flatten()
    }

    /// What could not be said to the target.
    pub fn left_out(&self) -> &[NotRestored] {
        &self.left_out
    }

    /// How the set defines something that was changed, by [`name_of`].
    pub fn original(&self, name: &str) -> Option<&str> {
        self.originals.get(name).map(String::as_str)
    }
}

/// What a comment, a grant or a change of a table is about, when that is a relation.
pub fn relation_of(statement: &str, entry: &Entry) -> Option<QualifiedName> {
    let mut statement = Statement::of(statement.as_bytes(), true);
    statement.entry = Some(entry);
    match foreign::about(&statement)? {
        Thing::Relation(name) => Some(name),
        Thing::Protocol(_) => None,
    }
}

/// `TABLE sales.orders`, as messages call an entry.
pub fn name_of(entry: &Entry) -> String {
    match &entry.schema {
        Some(schema) => format!("{} {schema}.{}", entry.kind, entry.name),
        None => format!("{} {}", entry.kind, entry.name),
    }
}

/// One file on its way.
struct Pass<'t, 's> {
    translator: &'t mut Translator,
    script: &'s Script<'s>,
    part: Part,
    standard_strings: bool,
    with_oids: bool,
    /// The entry of which the rest is left out.
    ended: Option<usize>,
}

impl Pass<'_, '_> {
    /// What takes the place of a statement; nothing when it stays.
    fn statement(&mut self, body: &[u8], entry_at: Option<usize>) -> Option<Vec<Vec<u8>>> {
        if let Some(on) = sets_standard_strings(body) {
            self.standard_strings = on;
        }
        if body.starts_with(b"SET default_with_oids") {
            self.with_oids = body.ends_with(b"true");
        }
        if entry_at.is_some() && entry_at == self.ended {
            self.also_left_out(self.translator.left_out.len().checked_sub(1), body);
            return Some(Vec::new());
        }
        let entry = entry_at.and_then(|at| self.script.entries().get(at));
        let mut changed = false;
        let made = self.rewritten(body, entry, entry_at, 0, &mut changed);
        if changed && let Some(entry) = entry {
            let original = self.whole(entry);
            self.translator.originals.entry(name_of(entry)).or_insert(original);
        }
        changed.then_some(made)
    }

    fn rewritten(
        &mut self,
        body: &[u8],
        entry: Option<&Entry>,
        entry_at: Option<usize>,
        first: usize,
        changed: &mut bool,
    ) -> Vec<Vec<u8>> {
        let mut statement = Statement::of(body, self.standard_strings);
        statement.entry = entry;
        statement.part = self.part;
        statement.with_oids = self.with_oids;
        for at in first..self.translator.rewrites.len() {
            let rewrite = self.translator.rewrites[at];
            if !rewrite.on.is_empty() && !rewrite.on.contains(&statement.kind) {
                continue;
            }
            let before: Vec<Thing> = self.translator.known.gone.iter().cloned().collect();
            let change = (rewrite.apply)(&statement, &mut self.translator.known);
            if change == Change::Keep {
                continue;
            }
            let object = match entry {
                Some(entry) => match &entry.schema {
                    Some(schema) => format!("{schema}.{}", entry.name),
                    None => entry.name.clone(),
                },
                None => first_words(body),
            };
            if change != Change::Tell {
                *changed = true;
            }
            let made = match change {
                Change::Keep | Change::Tell => None,
                Change::Becomes(made) => Some(made),
                Change::Goes => Some(Vec::new()),
                Change::Loses(made, why) => {
                    self.leave_out(entry, body, why);
                    Some(made)
                }
                Change::Cannot(why) => {
                    self.leave_out(entry, body, why);
                    let at = self.translator.left_out.len() - 1;
                    for thing in self
                        .translator
                        .known
                        .gone
                        .iter()
                        .filter(|thing| !before.contains(thing))
                    {
                        self.translator.things.insert(thing.clone(), at);
                    }
                    self.ended = entry_at;
                    return Vec::new();
                }
                Change::Follows(thing) => {
                    self.also_left_out(self.translator.things.get(&thing).copied(), body);
                    return Vec::new();
                }
            };
            if !rewrite.note.is_empty() {
                self.translator.notes.entry(rewrite.name).or_default().insert(object);
            }
            if let Some(made) = made {
                let next = |text: Vec<u8>| self.rewritten(&text, entry, entry_at, at + 1, changed);
                return made.into_iter().flat_map(next).collect();
            }
        }
        vec![body.to_vec()]
    }

    fn leave_out(&mut self, entry: Option<&Entry>, body: &[u8], why: String) {
        let path = entry.and_then(|entry| entry.state.get(Setting::SearchPath));
        self.translator.left_out.push(NotRestored {
            what: entry.map_or_else(|| first_words(body), name_of),
            why: vec![why],
            search_path: path.map(|span| lossy(span.of(self.script.text()))),
            sql: format!("{};", lossy(body)),
        });
    }

    fn also_left_out(&mut self, at: Option<usize>, body: &[u8]) {
        if let Some(item) = at.and_then(|at| self.translator.left_out.get_mut(at)) {
            item.sql.push_str(&format!("\n{};", lossy(body)));
        }
    }

    /// All statements of an entry.
    fn whole(&self, entry: &Entry) -> String {
        let spans: Vec<Span> = self.script.items_of(entry).map(|item| item.span()).collect();
        match (spans.first(), spans.last()) {
            (Some(first), Some(last)) => lossy(Span::new(first.start, last.end).of(self.script.text())),
            _ => String::new(),
        }
    }
}

fn first_words(statement: &[u8]) -> String {
    let text = lossy(statement);
    let words: Vec<&str> = text.split_whitespace().take(4).collect();
    words.join(" ")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
