use super::*;
use crate::plan::filter::Why;
use crate::words::catalog_facts::{Dependency, ForeignKey};
use crate::words::names::QualifiedName;

const CLASS: Oid = Oid(1259);
const REWRITE: Oid = Oid(2618);
const CONSTRAINT: Oid = Oid(2606);
const TYPE: Oid = Oid(1247);
const PROC: Oid = Oid(1255);
const OPERATOR: Oid = Oid(2617);
const CAST: Oid = Oid(2605);

/// A small database: `(catalog, oid, class, schema, name)`.
fn facts() -> CatalogFacts {
    use ObjectClass as C;
    let id = |catalog, oid| ObjectId { catalog, oid: Oid(oid) };
    let objects = [
        (CLASS, 1, C::Relation, "web", "pages"),
        (CLASS, 2, C::Relation, "web", "pages_idx"),
        (CLASS, 3, C::Relation, "web", "child"),
        (CLASS, 4, C::Relation, "web", "v1"),
        (CLASS, 5, C::Relation, "lib", "v2"),
        (CLASS, 6, C::Relation, "web", "other"),
        (CLASS, 7, C::Relation, "web", "other_id_seq"),
        (CLASS, 8, C::Relation, "web", "shares"),
        (CLASS, 9, C::Relation, "web", "refers"),
        (CLASS, 10, C::Relation, "web", "part"),
        (CLASS, 11, C::Relation, "web", "part_1"),
        (CLASS, 12, C::Relation, "web", "part_2"),
        (TYPE, 1, C::Type, "lib", "color"),
        (TYPE, 2, C::Type, "web", "pages"),
        (PROC, 1, C::Routine, "lib", "fold(text)"),
        (PROC, 2, C::Routine, "lib", "takes(web.pages)"),
        (PROC, 3, C::Routine, "lib", "unused()"),
        (OPERATOR, 1, C::Operator, "lib", "==="),
        (OPERATOR, 2, C::Operator, "lib", "==="),
        (CAST, 1, C::Cast, "", "CAST (lib.color AS integer)"),
    ];
    // What needs what, and how.
    let dependencies = [
        ((CLASS, 1), (TYPE, 1), 'n'),
        ((TYPE, 2), (CLASS, 1), 'i'),
        ((CLASS, 2), (CLASS, 1), 'a'),
        ((CLASS, 2), (PROC, 1), 'n'),
        ((CLASS, 3), (CLASS, 1), 'n'),
        ((REWRITE, 1), (CLASS, 4), 'i'),
        ((REWRITE, 1), (CLASS, 1), 'n'),
        ((REWRITE, 2), (CLASS, 5), 'i'),
        ((REWRITE, 2), (CLASS, 4), 'n'),
        ((REWRITE, 2), (OPERATOR, 1), 'n'),
        ((CLASS, 7), (CLASS, 6), 'a'),
        ((CLASS, 8), (CLASS, 7), 'n'),
        ((CONSTRAINT, 1), (CLASS, 9), 'a'),
        ((CONSTRAINT, 1), (CLASS, 6), 'n'),
        ((CONSTRAINT, 2), (CLASS, 9), 'a'),
        ((CONSTRAINT, 2), (CLASS, 10), 'n'),
        ((PROC, 2), (TYPE, 2), 'n'),
        ((OPERATOR, 2), (TYPE, 1), 'n'),
        ((CAST, 1), (TYPE, 1), 'n'),
    ];
    let relation = |(oid, name, kind, parent): (u32, &str, RelationKind, Option<u32>)| NamedRelation {
        oid: Oid(oid),
        name: QualifiedName::new(if oid == 5 { "lib" } else { "web" }, name),
        kind,
        parent: parent.map(Oid),
    };
    CatalogFacts {
        catalogs: [(CLASS, "pg_class"), (TYPE, "pg_type"), (CONSTRAINT, "pg_constraint")]
            .map(|(oid, name)| (oid, name.to_owned()))
            .into(),
        objects: objects
            .map(|(catalog, oid, class, schema, name)| (id(catalog, oid), ObjectName::new(class, schema, name)))
            .to_vec(),
        dependencies: dependencies
            .map(|(object, on, kind)| Dependency {
                object: id(object.0, object.1),
                on: id(on.0, on.1),
                kind: kind as u8,
            })
            .to_vec(),
        foreign_keys: [(1, "to_other", 6), (2, "to_part", 10)]
            .map(|(constraint, name, references)| ForeignKey {
                constraint: Oid(constraint),
                name: name.to_owned(),
                table: Oid(9),
                references: Oid(references),
            })
            .to_vec(),
        relations: [
            (1, "pages", RelationKind::Table, None),
            (3, "child", RelationKind::Table, None),
            (4, "v1", RelationKind::View, None),
            (5, "v2", RelationKind::View, None),
            (6, "other", RelationKind::Table, None),
            (7, "other_id_seq", RelationKind::Sequence, None),
            (8, "shares", RelationKind::Table, None),
            (9, "refers", RelationKind::Table, None),
            (10, "part", RelationKind::Table, None),
            (11, "part_1", RelationKind::Table, Some(10)),
            (12, "part_2", RelationKind::Table, Some(10)),
        ]
        .map(relation)
        .to_vec(),
    }
}

fn selection(scope: Scope, tables: &[u32]) -> Selection {
    Selection {
        scope,
        tables: Some(tables.iter().map(|oid| (Oid(*oid), Why::NotExcluded)).collect()),
        ..Selection::everything()
    }
}

/// The names that are kept, and the notes.
fn chosen(scope: Scope, tables: &[u32]) -> (Vec<String>, Vec<String>) {
    let definitions = choose(&selection(scope, tables), &facts()).unwrap();
    let mut kept: Vec<String> = definitions
        .filter
        .objects
        .iter()
        .filter(|(_, kept)| **kept)
        .map(|(name, _)| format!("{:?} {}", name.class, name.name))
        .collect();
    kept.sort();
    (kept, definitions.notes)
}

fn only(tables: &[u32]) -> (Vec<String>, Vec<String>) {
    chosen(Scope::Tables(tables.iter().map(|oid| Oid(*oid)).collect()), tables)
}

const TABLES: [u32; 9] = [1, 3, 6, 8, 9, 10, 11, 12, 99];

fn all_but(tables: &[u32]) -> (Vec<String>, Vec<String>) {
    let rest: Vec<u32> = TABLES.into_iter().filter(|oid| !tables.contains(oid)).collect();
    chosen(Scope::AllButTables(tables.iter().map(|oid| Oid(*oid)).collect()), &rest)
}

#[test]
fn a_table_brings_its_parts_and_what_they_need_and_nothing_else() {
    let (kept, notes) = only(&[1]);
    assert_eq!(
        kept,
        [
            "Cast CAST (lib.color AS integer)",
            "Relation pages",
            "Relation pages_idx",
            "Routine fold(text)",
            "Schema lib",
            "Schema web",
            "Type color",
            "Type pages",
        ]
    );
    assert_eq!(notes, [] as [&str; 0]);
}

#[test]
fn a_child_brings_the_definition_of_its_parent() {
    let (kept, notes) = only(&[3]);
    assert!(kept.contains(&"Relation pages".to_owned()), "{kept:?}");
    assert_eq!(
        notes,
        ["Table web.pages is in this dump without its rows, because table web.child needs it"]
    );
}

#[test]
fn a_sequence_comes_without_the_table_that_owns_it_when_another_draws_from_it() {
    let (kept, notes) = only(&[8]);
    assert_eq!(kept, ["Relation other_id_seq", "Relation shares", "Schema web"]);
    assert_eq!(notes, [] as [&str; 0]);
    let (kept, _) = only(&[6]);
    assert_eq!(
        kept,
        [
            "Relation other",
            "Relation other_id_seq",
            "Schema web",
            "SequenceOwner other_id_seq"
        ]
    );
}

#[test]
fn a_partition_brings_its_whole_table() {
    let (kept, notes) = only(&[11]);
    assert_eq!(
        kept,
        ["Relation part", "Relation part_1", "Relation part_2", "Schema web"]
    );
    assert_eq!(
        notes,
        ["Table web.part is in this dump without its rows, because table web.part_1 needs it"]
    );
}

#[test]
fn a_foreign_key_is_in_when_the_table_it_refers_to_is_complete() {
    let keys = |tables: &[u32]| -> Vec<String> {
        let (kept, notes) = only(tables);
        assert_eq!(
            notes.iter().filter(|note| note.starts_with("Foreign key")).count(),
            2 - kept.iter().filter(|name| name.starts_with("ForeignKey")).count()
        );
        kept.into_iter().filter(|name| name.starts_with("ForeignKey")).collect()
    };
    assert_eq!(keys(&[9]), [] as [&str; 0]);
    assert_eq!(keys(&[9, 6]), ["ForeignKey refers to_other"]);
    assert_eq!(keys(&[9, 10, 11]), [] as [&str; 0]);
    assert_eq!(
        keys(&[6, 9, 10, 11, 12]),
        ["ForeignKey refers to_other", "ForeignKey refers to_part"]
    );
    assert_eq!(
        only(&[9]).1[0],
        "Foreign key to_other of table web.refers is left out: it refers to table web.other, whose rows are not all in \
         this dump"
    );
}

#[test]
fn a_schema_brings_all_it_holds_and_operators_of_one_name_stay_together() {
    let (kept, notes) = chosen(Scope::Schemas(vec!["lib".into()]), &[]);
    for name in [
        "Relation v2",
        "Relation v1",
        "Relation pages",
        "Routine unused()",
        "Operator ===",
    ] {
        assert!(kept.contains(&name.to_owned()), "{name} is missing in {kept:?}");
    }
    assert!(!kept.contains(&"Relation other".to_owned()));
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("Table web.pages is in this dump without its rows"),
        "{notes:?}"
    );
}

#[test]
fn what_hangs_on_an_excluded_table_goes_with_it() {
    // The child goes too, or it would hold its parent.
    let (kept, notes) = all_but(&[1, 3]);
    for gone in [
        "Relation pages",
        "Relation v1",
        "Relation v2",
        "Routine takes(web.pages)",
        "Type pages",
    ] {
        assert!(!kept.contains(&gone.to_owned()), "{gone} is in {kept:?}");
    }
    for stays in [
        "Type color",
        "Routine fold(text)",
        "Routine unused()",
        "Relation other",
        "Operator ===",
    ] {
        assert!(kept.contains(&stays.to_owned()), "{stays} is missing in {kept:?}");
    }
    assert_eq!(
        notes,
        [
            "Function lib.takes(web.pages) is left out, because it needs type web.pages",
            "View lib.v2 is left out, because it needs view web.v1",
            "View web.v1 is left out, because it needs table web.pages",
        ]
    );
}

#[test]
fn an_excluded_table_that_another_needs_stays_without_rows_and_with_all_that_hangs_on_it() {
    let (kept, notes) = all_but(&[1]);
    for stays in [
        "Relation pages",
        "Relation v1",
        "Relation v2",
        "Routine takes(web.pages)",
    ] {
        assert!(kept.contains(&stays.to_owned()), "{stays} is missing in {kept:?}");
    }
    assert_eq!(
        notes,
        ["Table web.pages is in this dump without its rows, because table web.child needs it"]
    );
}

#[test]
fn an_excluded_partition_leaves_its_table_whole() {
    let (kept, notes) = all_but(&[11]);
    assert!(kept.contains(&"Relation part_1".to_owned()), "{kept:?}");
    assert_eq!(
        notes,
        [
            "Foreign key to_part of table web.refers is left out: it refers to table web.part, whose rows are not all in \
          this dump"
        ]
    );
}

#[test]
fn nothing_is_cut_out_of_a_dump_of_everything() {
    assert_eq!(choose(&Selection::everything(), &facts()), None);
}
