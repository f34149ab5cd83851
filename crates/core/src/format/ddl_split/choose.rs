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
pub(crate) fn kept(script: &Script, filter: &DefinitionFilter) -> Vec<bool> {
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
            EntryKind::DefaultAcl => self.default_privileges(),
            EntryKind::Acl => self.privilege(),
            // A setting of the file, whatever is in it.
            EntryKind::AoStorageOptions => true,
            _ => match object_of(self.entry) {
                Some(object) if object.class == Class::Routine => self.routine(&object.name),
                Some(object) if object.class == Class::Relation => self.named(Class::Relation),
                Some(object) => self.filter.keeps(object.class, &object.schema, &object.name),
                None => self.filter.others,
            },
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

    fn on_table(&self) -> bool {
        if self.entry.kind == EntryKind::PublicationTable && !self.filter.others {
            return false;
        }
        let Some(host) = host_of(self.script, self.entry) else {
            return self.filter.others;
        };
        let (schema, table) = (&host.object.schema, &host.object.name);
        let is_in = self.filter.keeps(host.object.class, schema, table);
        match host.added_constraint {
            Some(name) if self.entry.kind == EntryKind::FkConstraint => {
                let key = format!("{table} {name}");
                let known = self.filter.known(ObjectClass::ForeignKey, schema, &key);
                is_in && known.unwrap_or(is_in)
            }
            _ => is_in,
        }
    }

    /// A name of the statement; without a schema it is the entry's.
    fn real(&self, name: Name) -> (String, String) {
        real(self.entry, name)
    }

    /// `COMMENT ON SCHEMA public` may stand without its object.
    fn comment(&self, last: bool) -> bool {
        match self.entry.name.strip_prefix("SCHEMA ") {
            Some(schema) if self.entry.schema.is_none() => {
                // Here pg_dump writes the name as SQL has it.
                let quoted = schema.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
                let real = quoted.map_or_else(|| schema.to_owned(), |name| name.replace("\"\"", "\""));
                self.filter.keeps(ObjectClass::Schema, "", &real)
            }
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

/// The object that an entry defines or says something of, by the name in its header.
pub(crate) fn object_of(entry: &Entry) -> Option<ObjectName> {
    use ObjectClass as Class;
    let (class, in_schema) = match &entry.kind {
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
        | EntryKind::RowSecurity => (Class::Relation, true),
        EntryKind::Type | EntryKind::Domain | EntryKind::ShellType | EntryKind::TypeStorageOptions => {
            (Class::Type, true)
        }
        EntryKind::Function | EntryKind::Procedure | EntryKind::Aggregate => (Class::Routine, true),
        EntryKind::Operator => (Class::Operator, true),
        EntryKind::OperatorClass => (Class::OperatorClass, true),
        EntryKind::OperatorFamily => (Class::OperatorFamily, true),
        EntryKind::Conversion => (Class::Conversion, true),
        EntryKind::Collation => (Class::Collation, true),
        EntryKind::TextSearchConfiguration => (Class::TextSearchConfiguration, true),
        EntryKind::TextSearchDictionary => (Class::TextSearchDictionary, true),
        EntryKind::TextSearchParser => (Class::TextSearchParser, true),
        EntryKind::TextSearchTemplate => (Class::TextSearchTemplate, true),
        EntryKind::Statistics => (Class::Statistics, true),
        EntryKind::Cast => (Class::Cast, false),
        EntryKind::Transform => (Class::Transform, false),
        EntryKind::ProceduralLanguage => (Class::Language, false),
        EntryKind::Extension => (Class::Extension, false),
        EntryKind::Schema => (Class::Schema, false),
        EntryKind::Server => (Class::Server, false),
        EntryKind::ForeignDataWrapper => (Class::ForeignDataWrapper, false),
        EntryKind::Protocol => (Class::Protocol, false),
        EntryKind::AccessMethod => (Class::AccessMethod, false),
        EntryKind::EventTrigger => (Class::EventTrigger, false),
        EntryKind::Publication => (Class::Publication, false),
        _ => return None,
    };
    let schema = match in_schema {
        true => entry.schema.clone().unwrap_or_default(),
        false => String::new(),
    };
    Some(ObjectName::new(class, schema, entry.name.clone()))
}

/// What an entry hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// A table, view or domain.
    pub object: ObjectName,
    /// `ADD CONSTRAINT` of it.
    pub added_constraint: Option<String>,
}

/// The object that a default, constraint, trigger, rule, policy or index is on:
/// `ALTER TABLE [ONLY] t ...`, `CREATE TRIGGER n ... ON t`, `CREATE POLICY n ON t`, `CREATE RULE n AS ON e TO t`,
/// `CREATE OR REPLACE VIEW v`, `ALTER PUBLICATION p ADD TABLE ONLY t`, `CREATE UNIQUE INDEX i ON t`.
pub(crate) fn host_of(script: &Script, entry: &Entry) -> Option<Host> {
    let Some(Item::Statement { text: statement, .. }) = script.items_of(entry).next() else {
        return None;
    };
    let mut tokens = Tokens::of(statement);
    let mut class = ObjectClass::Relation;
    let found = if tokens.eat("alter") {
        if tokens.eat("publication") {
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
        match entry.kind {
            EntryKind::Rule if tokens.eat_all(&["rule"]) => tokens.name().is_some() && tokens.skip_past("to"),
            EntryKind::Rule => tokens.skip_past("view"),
            EntryKind::Index => tokens.skip_past("index") && tokens.name().is_some() && tokens.eat("on"),
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
        return None;
    }
    tokens.eat("only");
    let (schema, table) = real(entry, tokens.name()?);
    let mut added_constraint = None;
    if tokens.eat_all(&["add", "constraint"]) {
        added_constraint = tokens.name().map(|name| text(&unquote(name.name)));
    }
    Some(Host {
        object: ObjectName::new(class, schema, table),
        added_constraint,
    })
}

/// A name of an entry's statement; without a schema it is the entry's.
pub(crate) fn real(entry: &Entry, name: Name) -> (String, String) {
    let schema = match name.schema {
        Some(schema) => text(&unquote(schema)),
        None => entry.schema.clone().unwrap_or_default(),
    };
    (schema, text(&unquote(name.name)))
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
