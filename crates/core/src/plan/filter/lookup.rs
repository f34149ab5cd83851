//! Finds the relation that a person means by a name.

use std::collections::HashMap;

use crate::words::ids::Oid;
use crate::words::names::QualifiedName;
use crate::words::relation::{NamedRelation, RelationKind};

/// Names shown in one piece of advice.
const SHOWN: usize = 5;

pub(super) enum Found {
    Table(Oid),
    /// Something of that name, but no table.
    OtherKind(RelationKind),
    /// Dots in names: the text can be read as several tables.
    Ambiguous(QualifiedName, QualifiedName),
    NoSchema,
    Nothing,
}

/// All relations by the text `schema.name`, and by the two names.
pub(super) struct Lookup<'a> {
    relations: &'a [NamedRelation],
    by_text: HashMap<String, usize>,
    /// The same text for another table.
    twins: HashMap<String, usize>,
    by_name: HashMap<&'a QualifiedName, usize>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(relations: &'a [NamedRelation]) -> Self {
        let mut lookup = Lookup {
            relations,
            by_text: HashMap::with_capacity(relations.len()),
            twins: HashMap::new(),
            by_name: HashMap::with_capacity(relations.len()),
        };
        for (at, relation) in relations.iter().enumerate() {
            let text = relation.name.to_string();
            match lookup.by_text.get(&text) {
                None => {
                    lookup.by_text.insert(text, at);
                }
                Some(_) => {
                    lookup.twins.insert(text, at);
                }
            }
            lookup.by_name.insert(&relation.name, at);
        }
        lookup
    }

    /// As typed first, then as SQL has it, then without blanks at its ends.
    pub(super) fn find(&self, typed: &str) -> Found {
        let trimmed = typed.trim();
        let found = self.exactly(typed).or_else(|| self.exactly(trimmed));
        found.unwrap_or(if trimmed.contains('.') {
            Found::Nothing
        } else {
            Found::NoSchema
        })
    }

    fn exactly(&self, text: &str) -> Option<Found> {
        let at = match self.by_text.get(text) {
            Some(&at) => {
                if let Some(&twin) = self.twins.get(text) {
                    let (one, other) = (&self.relations[at], &self.relations[twin]);
                    return Some(Found::Ambiguous(one.name.clone(), other.name.clone()));
                }
                at
            }
            None => *self.by_name.get(&QualifiedName::parse_quoted(text)?)?,
        };
        let relation = &self.relations[at];
        Some(match relation.kind {
            RelationKind::Table => Found::Table(relation.oid),
            other => Found::OtherKind(other),
        })
    }

    /// What may help somebody whose name was not found; `others` were not found either.
    pub(super) fn advice(&self, typed: &str, found: &Found, others: &[&str]) -> String {
        let mut advice = match found {
            Found::OtherKind(kind) => format!(
                "that is {}: only tables are dumped by name, and what else a schema has is dumped with -s",
                kind.words()
            ),
            Found::Ambiguous(one, other) => {
                format!("this may be {} or {}: write it in that way", one.sql(), other.sql())
            }
            _ => match self.near(typed.trim()) {
                near if near.is_empty() => {
                    "names are those that the server has, as schema.table, without quotes and in \
                     their upper and lower case; wildcards are not understood"
                        .to_owned()
                }
                near => format!("did you mean {}?", near.join(", ")),
            },
        };
        if !others.is_empty() {
            let mut shown: Vec<&str> = others.iter().copied().take(SHOWN).collect();
            if others.len() > SHOWN {
                shown.push("...");
            }
            advice.push_str(&format!(
                "; {} more of the names are unknown: {}",
                others.len(),
                shown.join(", ")
            ));
        }
        advice
    }

    /// Tables of the same name but for letter case and quotes, or in another schema.
    fn near(&self, typed: &str) -> Vec<String> {
        let plain = |text: &str| text.replace('"', "").to_lowercase();
        let wanted = plain(typed);
        let bare = wanted.rsplit('.').next().unwrap_or_default().to_owned();
        let tables = || self.relations.iter().filter(|r| r.kind == RelationKind::Table);
        let mut near: Vec<String> = tables()
            .filter(|table| plain(&table.name.to_string()) == wanted)
            .map(|table| table.name.to_string())
            .collect();
        if near.is_empty() {
            near = tables()
                .filter(|table| plain(&table.name.name) == bare)
                .map(|table| table.name.to_string())
                .collect();
        }
        near.sort();
        near.truncate(SHOWN);
        near
    }
}

pub(super) fn schema_advice(schemas: &[String], typed: &str) -> String {
    let plain = |text: &str| text.trim().replace('"', "").to_lowercase();
    let wanted = plain(typed);
    let near: Vec<&str> = schemas
        .iter()
        .map(String::as_str)
        .filter(|schema| plain(schema) == wanted)
        .collect();
    if near.is_empty() {
        "names are those that the server has, without quotes and in their upper and lower case; wildcards are not understood"
            .to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    }
}
