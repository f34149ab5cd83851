//! Which entries a filtered dump keeps.
//!
//! An entry is about an object, or hangs on one: a trigger on its table, a comment on what stands in front of it, a privilege
//! on what it names. The object is looked up in the filter; how an entry names it differs from version to version, so names
//! are taken from the statement where the header is not sure.

use crate::format::sql_script::tokens::{Name, Tokens, unquote};
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind};
use crate::words::definitions::{DefinitionFilter, ObjectClass, ObjectName};
use crate::words::ids::Oid;

/// Greenplum 5 makes an external partition as a table of the partition's name with this behind it, and exchanges it.
const EXTERNAL_PARTITION: &[&str] = &["_external_partition__", "_ext_partition__"];

/// Greenplum 6 names it by object ids: `_external_partition_parrelid_<root>_relid_<partition>`.
fn external_partition(name: &str) -> Option<Oid> {
    let (_, partition) = name
        .strip_prefix("_external_partition_parrelid_")?
        .split_once("_relid_")?;
    partition.parse().ok().map(Oid)
}

/// For each entry, whether it is kept.
pub(super) fn kept(script: &Script, filter: &DefinitionFilter) -> Vec<bool> {
    let mut kept: Vec<bool> = Vec::with_capacity(script.entries().len());
    let mut last = filter.others;
    let is_routine = |name: &ObjectName| name.class == ObjectClass::Routine;
    let routines: Vec<(&ObjectName, bool)> = filter
        .objects
        .iter()
        .filter(|(name, _)| is_routine(name))
        .map(|(name, kept)| (name, *kept))
        .collect();
    for entry in script.entries() {
        let chooser = Chooser {
            script,
            filter,
            routines: &routines,
            entry,
        };
        let keep = match &entry.kind {
            EntryKind::Comment | EntryKind::SecurityLabel => chooser.comment(last),
            _ => chooser.entry(),
        };
        // What is said about a table or sequence by more than one entry is no object to comment on.
        if !matches!(
            entry.kind,
            EntryKind::Comment
                | EntryKind::SecurityLabel
                | EntryKind::Acl
                | EntryKind::SequenceOwnedBy
                | EntryKind::Default
                | EntryKind::TableAttach
                | EntryKind::RowSecurity
        ) {
            last = keep;
        }
        kept.push(keep);
    }
    kept
}

struct Chooser<'a> {
    script: &'a Script<'a>,
    filter: &'a DefinitionFilter,
    routines: &'a [(&'a ObjectName, bool)],
    entry: &'a Entry,
}

impl Chooser<'_> {
    fn entry(&self) -> bool {
        use ObjectClass as Class;
        match &self.entry.kind {
            EntryKind::Table
            | EntryKind::ExternalTable
            | EntryKind::ForeignTable
            | EntryKind::View
            | EntryKind::MaterializedView
            | EntryKind::Sequence
            | EntryKind::SequenceSet
            | EntryKind::TableAttach
            | EntryKind::Index
            | EntryKind::IndexAttach
            | EntryKind::RowSecurity => self.named(Class::Relation),
            EntryKind::SequenceOwnedBy => {
                let owner = self.filter.known(Class::SequenceOwner, self.schema(), &self.entry.name);
                owner.unwrap_or_else(|| self.named(Class::Relation))
            }
            EntryKind::Default
            | EntryKind::Constraint
            | EntryKind::CheckConstraint
            | EntryKind::FkConstraint
            | EntryKind::Trigger
            | EntryKind::Rule
            | EntryKind::Policy
            | EntryKind::PublicationTable => self.on_table(),
            EntryKind::Type | EntryKind::Domain | EntryKind::ShellType | EntryKind::TypeStorageOptions => {
                self.named(Class::Type)
            }
            EntryKind::Function | EntryKind::Procedure | EntryKind::Aggregate => self.routine(&self.entry.name),
            EntryKind::Operator => self.named(Class::Operator),
            EntryKind::OperatorClass => self.named(Class::OperatorClass),
            EntryKind::OperatorFamily => self.named(Class::OperatorFamily),
            EntryKind::Conversion => self.named(Class::Conversion),
            EntryKind::Collation => self.named(Class::Collation),
            EntryKind::TextSearchConfiguration => self.named(Class::TextSearchConfiguration),
            EntryKind::TextSearchDictionary => self.named(Class::TextSearchDictionary),
            EntryKind::TextSearchParser => self.named(Class::TextSearchParser),
            EntryKind::TextSearchTemplate => self.named(Class::TextSearchTemplate),
            EntryKind::Statistics => self.named(Class::Statistics),
            EntryKind::Cast => self.global(Class::Cast),
            EntryKind::Transform => self.global(Class::Transform),
            EntryKind::ProceduralLanguage => self.global(Class::Language),
            EntryKind::Extension => self.global(Class::Extension),
            EntryKind::Schema => self.global(Class::Schema),
            EntryKind::Server => self.global(Class::Server),
            EntryKind::ForeignDataWrapper => self.global(Class::ForeignDataWrapper),
            EntryKind::Protocol => self.global(Class::Protocol),
            EntryKind::AccessMethod => self.global(Class::AccessMethod),
            EntryKind::EventTrigger => self.global(Class::EventTrigger),
            EntryKind::Publication => self.global(Class::Publication),
            EntryKind::DefaultAcl => self.default_privileges(),
            EntryKind::Acl => self.privilege(),
            // A setting of the file, whatever is in it.
            EntryKind::AoStorageOptions => true,
            _ => self.filter.others,
        }
    }

    fn schema(&self) -> &str {
        self.entry.schema.as_deref().unwrap_or_default()
    }

    fn named(&self, class: ObjectClass) -> bool {
        let name = &self.entry.name;
        if let Some(partition) = EXTERNAL_PARTITION.iter().find_map(|suffix| name.strip_suffix(suffix))
            && class == ObjectClass::Relation
            && self.filter.known(class, self.schema(), name).is_none()
        {
            return self.filter.keeps(class, self.schema(), partition);
        }
        if let Some(kept) = external_partition(name).and_then(|oid| self.filter.partitions.get(&oid)) {
            return *kept;
        }
        self.filter.keeps(class, self.schema(), name)
    }

    fn global(&self, class: ObjectClass) -> bool {
        self.filter.keeps(class, "", &self.entry.name)
    }

    /// Arguments are printed with the schema of their type, or under a `search_path` without it.
    fn routine(&self, signature: &str) -> bool {
        let schema = self.schema();
        if let Some(known) = self.filter.known(ObjectClass::Routine, schema, signature) {
            return known;
        }
        let here = || self.routines.iter().filter(|(name, _)| name.schema == schema);
        if let Some((_, known)) = here().find(|(name, _)| without_schema(&name.name, schema) == *signature) {
            return *known;
        }
        // Not to be told apart: too many rather than too few.
        let mut overloads = here().filter(|(name, _)| {
            let bare = name.name.split('(').next().unwrap_or_default();
            signature.strip_prefix(bare).is_some_and(|rest| rest.starts_with('('))
        });
        match overloads.next() {
            None => self.filter.others,
            Some((_, first)) => *first || overloads.any(|(_, kept)| *kept),
        }
    }

    /// `ALTER TABLE [ONLY] t ...`, `CREATE TRIGGER n ... ON t`, `CREATE POLICY n ON t`, `CREATE RULE n AS ON e TO t`,
    /// `CREATE OR REPLACE VIEW v`, `ALTER PUBLICATION p ADD TABLE ONLY t`.
    fn on_table(&self) -> bool {
        let mut tokens = self.definition();
        let mut class = ObjectClass::Relation;
        let found = if tokens.eat("alter") {
            if tokens.eat("publication") {
                if !self.filter.others {
                    return false;
                }
                tokens.skip_past("table")
            } else {
                tokens.eat("foreign");
                if tokens.eat("domain") {
                    class = ObjectClass::Type;
                    true
                } else {
                    tokens.eat("table")
                }
            }
        } else if tokens.eat("create") {
            match self.entry.kind {
                EntryKind::Rule if tokens.eat_all(&["rule"]) => tokens.name().is_some() && tokens.skip_past("to"),
                EntryKind::Rule => tokens.skip_past("view"),
                _ => {
                    tokens.eat("constraint");
                    // The name comes first: it may be a keyword.
                    tokens.next().is_some() && tokens.name().is_some() && tokens.skip_past("on")
                }
            }
        } else {
            false
        };
        if !found {
            return self.filter.others;
        }
        tokens.eat("only");
        let Some(table) = tokens.name() else {
            return self.filter.others;
        };
        let (schema, table) = self.real(table);
        let is_in = self.filter.keeps(class, &schema, &table);
        if self.entry.kind == EntryKind::FkConstraint
            && tokens.eat_all(&["add", "constraint"])
            && let Some(name) = tokens.name()
        {
            let key = format!("{table} {}", text(&unquote(name.name)));
            return is_in
                && self
                    .filter
                    .known(ObjectClass::ForeignKey, &schema, &key)
                    .unwrap_or(is_in);
        }
        is_in
    }

    /// A name of the statement; without a schema it is the entry's.
    fn real(&self, name: Name) -> (String, String) {
        let schema = match name.schema {
            Some(schema) => text(&unquote(schema)),
            None => self.schema().to_owned(),
        };
        (schema, text(&unquote(name.name)))
    }

    /// `COMMENT ON SCHEMA public` may stand without its object.
    fn comment(&self, last: bool) -> bool {
        match self.entry.name.strip_prefix("SCHEMA ") {
            Some(schema) if self.entry.schema.is_none() => self.filter.keeps(ObjectClass::Schema, "", schema),
            _ => last,
        }
    }

    fn default_privileges(&self) -> bool {
        match &self.entry.schema {
            None => self.filter.others,
            Some(schema) if self.filter.others => self.filter.keeps(ObjectClass::Schema, "", schema),
            Some(schema) => self.filter.whole_schemas.contains(schema),
        }
    }

    /// `GRANT ... ON TABLE t TO ...`, `REVOKE ALL ON FUNCTION f(integer) FROM ...`
    fn privilege(&self) -> bool {
        use ObjectClass as Class;
        let mut tokens = self.definition();
        // Column names may be in parentheses; no privilege is called ON.
        if !tokens.skip_past("on") {
            return self.filter.others;
        }
        let class = if tokens.eat("function") || tokens.eat("procedure") || tokens.eat("aggregate") {
            let name = &self.entry.name;
            let kinds = ["FUNCTION ", "PROCEDURE ", "AGGREGATE "];
            let bare = kinds.iter().find_map(|kind| name.strip_prefix(kind));
            return self.routine(bare.unwrap_or(name));
        } else if tokens.eat("table") || tokens.eat("sequence") {
            Class::Relation
        } else if tokens.eat("type") || tokens.eat("domain") {
            Class::Type
        } else if tokens.eat("schema") {
            Class::Schema
        } else if tokens.eat("language") {
            Class::Language
        } else if tokens.eat("protocol") {
            Class::Protocol
        } else if tokens.eat("foreign") {
            if tokens.eat("server") {
                Class::Server
            } else {
                tokens.eat_all(&["data", "wrapper"]);
                Class::ForeignDataWrapper
            }
        } else {
            return self.filter.others;
        };
        let Some(name) = tokens.name() else {
            return self.filter.others;
        };
        let (schema, name) = self.real(name);
        match class {
            Class::Relation | Class::Type => self.filter.keeps(class, &schema, &name),
            _ => self.filter.keeps(class, "", &name),
        }
    }

    fn definition(&self) -> Tokens<'_> {
        match self.script.items_of(self.entry).next() {
            Some(Item::Statement { text, .. }) => Tokens::of(text),
            _ => Tokens::of(b""),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A signature whose types of the own schema are printed bare.
fn without_schema(signature: &str, schema: &str) -> String {
    let Some(open) = signature.find('(') else {
        return signature.to_owned();
    };
    let (name, arguments) = signature.split_at(open);
    let quoted = crate::words::names::quote_ident_if_needed(schema);
    format!("{name}{}", arguments.replace(&format!("{quoted}."), ""))
}

#[cfg(test)]
mod tests;
