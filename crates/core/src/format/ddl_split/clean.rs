//! The drops that `pg_dump --clean` prints in front of everything: all of them go to the head of pre-data.
//!
//! Those of indexes, keys and triggers too, although these are made in post-data: a table that a foreign key of another
//! needs can only be dropped when that key is gone.

use crate::format::sql_script::tokens::{Name, Tokens, unquote};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::Setting;
use crate::words::definitions::{DefinitionFilter, ObjectClass};

use super::writer::Writer;

/// Writes the drops; in a filtered dump only those of objects that the dump makes again.
pub(super) fn write(script: &Script, keep: Option<&DefinitionFilter>, writer: &mut Writer) {
    let Some(drops) = &script.toc().drops else {
        return;
    };
    let Some(filter) = keep else {
        writer.push(drops.span.of(script.text()));
        writer.remember_head();
        return;
    };
    // Names are printed with their schema, but for the types of arguments.
    let mut path = None;
    for item in script.items().skip(drops.pieces.start).take(drops.pieces.len()) {
        let Item::Statement { text, span, .. } = item else {
            continue;
        };
        if text.starts_with(b"SET search_path") {
            path = Some(span.of(script.text()));
        }
        if is_kept(text, filter) {
            if let Some(path) = path {
                writer.ensure(Setting::SearchPath, path);
            }
            writer.push(span.of(script.text()));
            writer.push(b"\n");
        }
    }
    writer.push(b"\n");
}

/// In doubt it is not: what stays is told by an error when it is made again, what is dropped is gone.
fn is_kept(statement: &[u8], filter: &DefinitionFilter) -> bool {
    target(statement).is_some_and(|(class, schema, name)| match class {
        ObjectClass::Relation => filter.keeps(class, &schema, &name),
        ObjectClass::Schema => may_go(filter, &name) && filter.keeps(class, "", &name),
        ObjectClass::Routine => may_go(filter, &schema) && all_overloads_are_kept(filter, &schema, &name),
        _ => may_go(filter, &schema) && filter.keeps(class, &schema, &name),
    })
}

/// Whether all of the schema is in the dump, or all but some tables. Beside chosen tables, types and functions serve others.
fn may_go(filter: &DefinitionFilter, schema: &str) -> bool {
    filter.others || filter.whole_schemas.contains(schema)
}

fn all_overloads_are_kept(filter: &DefinitionFilter, schema: &str, name: &str) -> bool {
    let is_one = |other: &str| other.split('(').next() == Some(name);
    let mut others = filter
        .objects
        .iter()
        .filter(|(object, _)| object.class == ObjectClass::Routine && object.schema == schema && is_one(&object.name));
    others.all(|(_, kept)| *kept)
}

/// What goes, or what it hangs on. `None` for what lies in no schema and is no schema.
fn target(statement: &[u8]) -> Option<(ObjectClass, String, String)> {
    let mut tokens = Tokens::of(statement);
    let class = if tokens.eat("alter") {
        tokens.eat("foreign");
        if tokens.eat("domain") {
            ObjectClass::Type
        } else {
            tokens.eat("table").then_some(())?;
            ObjectClass::Relation
        }
    } else {
        tokens.eat("drop").then_some(())?;
        tokens.eat("external");
        tokens.eat("foreign");
        tokens.eat("materialized");
        let word = tokens.next()?;
        let kinds = [
            (&["table", "view", "sequence", "index"][..], ObjectClass::Relation),
            (&["type", "domain"], ObjectClass::Type),
            (&["function", "procedure", "aggregate"], ObjectClass::Routine),
            (&["schema"], ObjectClass::Schema),
            (&["conversion"], ObjectClass::Conversion),
            (&["collation"], ObjectClass::Collation),
            (&["statistics"], ObjectClass::Statistics),
        ];
        if ["trigger", "rule", "policy"].iter().any(|kind| word.is(kind)) {
            tokens.skip_past("on").then_some(())?;
            ObjectClass::Relation
        } else {
            let kind = kinds.iter().find(|(words, _)| words.iter().any(|kind| word.is(kind)));
            kind?.1
        }
    };
    if tokens.clone().eat_all(&["if", "exists"]) {
        tokens.eat_all(&["if", "exists"]);
    }
    tokens.eat("only");
    let Name { schema, name } = tokens.name()?;
    let real = |name: &[u8]| String::from_utf8_lossy(&unquote(name)).into_owned();
    match (class, schema) {
        (ObjectClass::Schema, _) => Some((class, String::new(), real(name))),
        (_, schema) => Some((class, real(schema?), real(name))),
    }
}
