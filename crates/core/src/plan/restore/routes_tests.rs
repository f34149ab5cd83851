use super::*;
use crate::format::manifest::TableFacts;
use crate::plan::restore::test_sets::{cluster, dialect, original_set, own_set};
use crate::words::dialect::Product;
use crate::words::job::TableTotals;
use crate::words::layout::FileNaming;

fn table(name: &str, distribution: Distribution, hash_family: HashFamily) -> TargetTable {
    TargetTable {
        name: QualifiedName::new("s", name),
        root: None,
        distribution,
        hash_family,
        key: KeyKind::Values,
        distributed_by: Vec::new(),
        segments: None,
        maybe_only_through_master: false,
    }
}

fn hashed(family: HashFamily) -> TargetTable {
    table("t", Distribution::Hashed, family)
}

fn facts(name: &str, distribution: Distribution) -> TableFacts {
    TableFacts {
        table: QualifiedName::new("s", name),
        totals: TableTotals::default(),
        distribution,
        legacy_hash: false,
        distributed_by: Vec::new(),
    }
}

/// The route of one table.
fn route(set: &DumpSet, segments: i32, version: u32, table: TargetTable, existing: &[&str]) -> LoadRoute {
    let existing = existing.iter().map(|name| QualifiedName::new("s", *name)).collect();
    let dialect = dialect(Product::Greenplum, version);
    let routes = plan_routes(
        set,
        &cluster(segments),
        &dialect,
        std::slice::from_ref(&table),
        "UTF8",
        &existing,
    );
    let found = routes.exceptions.iter().find(|(name, _)| *name == table.name);
    found.map_or(routes.default, |(_, route)| *route)
}

const GP5: u32 = 80323;
const GP6: u32 = 90426;
const GP7: u32 = 120012;

#[test]
fn a_set_of_greenplum_5_goes_into_segments_only_where_rows_hash_as_they_did() {
    let set = original_set(3, FileNaming::New);
    assert_eq!(route(&set, 3, GP5, hashed(HashFamily::Legacy), &[]), LoadRoute::Direct);
    assert_eq!(
        route(&set, 3, GP6, hashed(HashFamily::Jump), &[]),
        LoadRoute::ThroughMaster
    );
    assert_eq!(route(&set, 3, GP6, hashed(HashFamily::Legacy), &[]), LoadRoute::Direct);
    assert_eq!(
        route(&set, 4, GP5, hashed(HashFamily::Legacy), &[]),
        LoadRoute::ThroughMaster
    );
    let random = || table("t", Distribution::Random, HashFamily::None);
    assert_eq!(route(&set, 3, GP6, random(), &[]), LoadRoute::Direct);
    assert_eq!(route(&set, 2, GP6, random(), &[]), LoadRoute::ThroughMaster);
}

#[test]
fn a_table_that_was_there_is_loaded_directly_where_its_key_is_the_sets() {
    let key = |columns: &[&str]| columns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (a, b) = ("a integer pg_catalog.int4_ops", "b text pg_catalog.text_ops");
    let way = |source: &[&str], there: &[&str]| {
        let facts = TableFacts {
            distributed_by: key(source),
            ..facts("t", Distribution::Hashed)
        };
        let set = own_set(3, HashFamily::Jump, GP6, vec![facts]);
        let table = TargetTable {
            distributed_by: key(there),
            ..hashed(HashFamily::Jump)
        };
        route(&set, 3, GP6, table, &["t"])
    };
    assert_eq!(way(&[a, b], &[a, b]), LoadRoute::DirectOrMaster);
    assert_eq!(way(&[a, b], &[b, a]), LoadRoute::ThroughMaster);
    assert_eq!(way(&[a, b], &[a]), LoadRoute::ThroughMaster);
    assert_eq!(way(&[a], &["a bigint pg_catalog.int8_ops"]), LoadRoute::ThroughMaster);
    // Neither is known.
    assert_eq!(way(&[], &[]), LoadRoute::ThroughMaster);
}

#[test]
fn what_is_hashed_otherwise_in_another_database_goes_through_the_master() {
    let with_key = |key| TargetTable {
        key,
        ..hashed(HashFamily::Jump)
    };
    let mut set = own_set(3, HashFamily::Jump, GP6, Vec::new());
    let mut way = |encoding: Option<&str>, key| {
        set.encoding = encoding.map(str::to_owned);
        route(&set, 3, GP6, with_key(key), &[])
    };
    assert_eq!(way(Some("utf8"), KeyKind::Texts), LoadRoute::Direct);
    assert_eq!(way(Some("LATIN1"), KeyKind::Texts), LoadRoute::ThroughMaster);
    assert_eq!(way(None, KeyKind::Texts), LoadRoute::ThroughMaster);
    assert_eq!(way(Some("LATIN1"), KeyKind::Values), LoadRoute::Direct);
    assert_eq!(way(Some("UTF8"), KeyKind::ObjectIds), LoadRoute::ThroughMaster);
    // There is nowhere else to go, and a table that is not hashed has no key.
    let set = own_set(1, HashFamily::Jump, GP6, Vec::new());
    assert_eq!(
        route(&set, 1, GP6, with_key(KeyKind::ObjectIds), &[]),
        LoadRoute::Direct
    );
}

#[test]
fn a_hashed_table_that_was_there_before_may_be_distributed_otherwise() {
    let set = original_set(3, FileNaming::New);
    let leaf = TargetTable {
        root: Some(QualifiedName::new("s", "root")),
        ..hashed(HashFamily::Legacy)
    };
    assert_eq!(route(&set, 3, GP5, leaf.clone(), &[]), LoadRoute::Direct);
    assert_eq!(route(&set, 3, GP5, leaf, &["root"]), LoadRoute::ThroughMaster);
    assert_eq!(
        route(&set, 3, GP5, hashed(HashFamily::Legacy), &["t"]),
        LoadRoute::ThroughMaster
    );
    // One segment has all rows, whatever they are hashed by.
    let set = original_set(1, FileNaming::New);
    assert_eq!(
        route(&set, 1, GP5, hashed(HashFamily::Legacy), &["t"]),
        LoadRoute::DirectOrMaster
    );
}

#[test]
fn a_table_that_was_there_may_need_the_master_for_more_than_its_key() {
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Random)]);
    let random = table("t", Distribution::Random, HashFamily::None);
    assert_eq!(route(&set, 3, GP6, random, &["t"]), LoadRoute::DirectOrMaster);
    // One file for all, or each would be loaded through the master.
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Replicated)]);
    let replicated = table("t", Distribution::Replicated, HashFamily::None);
    assert_eq!(route(&set, 3, GP6, replicated, &["t"]), LoadRoute::OnceThroughMaster);
}

#[test]
fn hash_functions_of_another_version_are_not_trusted() {
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Hashed)]);
    assert_eq!(route(&set, 3, GP6, hashed(HashFamily::Jump), &[]), LoadRoute::Direct);
    assert_eq!(
        route(&set, 3, GP7, hashed(HashFamily::Jump), &[]),
        LoadRoute::ThroughMaster
    );
    assert_eq!(
        route(&set, 3, GP6, hashed(HashFamily::Legacy), &[]),
        LoadRoute::ThroughMaster
    );
}

#[test]
fn each_table_of_a_server_with_both_kinds_of_hash_goes_by_its_own() {
    let legacy = TableFacts {
        legacy_hash: true,
        ..facts("t", Distribution::Hashed)
    };
    let set = own_set(3, HashFamily::Jump, GP6, vec![legacy]);
    for version in [GP6, GP7] {
        assert_eq!(
            route(&set, 3, version, hashed(HashFamily::Legacy), &[]),
            LoadRoute::Direct
        );
        // Where the database said `gp_use_legacy_hashops` and the new one does not: the definitions do not tell.
        assert_eq!(
            route(&set, 3, version, hashed(HashFamily::Jump), &[]),
            LoadRoute::ThroughMaster
        );
    }
    assert_eq!(
        route(&set, 4, GP6, hashed(HashFamily::Legacy), &[]),
        LoadRoute::ThroughMaster
    );
}

#[test]
fn a_table_that_was_random_is_not_loaded_into_segments_of_a_hashed_one() {
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Random)]);
    assert_eq!(
        route(&set, 3, GP6, hashed(HashFamily::Jump), &[]),
        LoadRoute::ThroughMaster
    );
}

#[test]
fn copies_of_a_replicated_table_are_loaded_once_unless_each_has_its_segment() {
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Replicated)]);
    let replicated = || table("t", Distribution::Replicated, HashFamily::None);
    assert_eq!(route(&set, 3, GP6, replicated(), &[]), LoadRoute::Direct);
    assert_eq!(route(&set, 4, GP6, replicated(), &[]), LoadRoute::OnceThroughMaster);
    assert_eq!(
        route(&set, 3, GP6, hashed(HashFamily::Jump), &[]),
        LoadRoute::OnceThroughMaster
    );
    // Rows of an ordinary table belong on every segment of a replicated one: only the master can see to that.
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Random)]);
    assert_eq!(route(&set, 3, GP6, replicated(), &[]), LoadRoute::ThroughMaster);
}

#[test]
fn several_files_of_a_replicated_table_into_one_server_are_one_copy() {
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Replicated)]);
    let single = table("t", Distribution::Single, HashFamily::None);
    assert_eq!(
        route(&set, 1, 150_000, single.clone(), &[]),
        LoadRoute::OnceThroughMaster
    );
    let set = own_set(1, HashFamily::None, 150_000, vec![facts("t", Distribution::Single)]);
    assert_eq!(route(&set, 1, 150_000, single, &[]), LoadRoute::Direct);
}

#[test]
fn a_table_that_segments_may_refuse_or_that_some_do_not_have_can_go_through_the_master() {
    let set = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Hashed)]);
    let parent = TargetTable {
        maybe_only_through_master: true,
        ..hashed(HashFamily::Jump)
    };
    assert_eq!(route(&set, 3, GP6, parent.clone(), &[]), LoadRoute::DirectOrMaster);
    assert_eq!(route(&set, 2, GP6, parent.clone(), &[]), LoadRoute::ThroughMaster);
    // Each segment would send its copy to the master.
    let copies = own_set(3, HashFamily::Jump, GP6, vec![facts("t", Distribution::Replicated)]);
    let replicated = TargetTable {
        distribution: Distribution::Replicated,
        ..parent
    };
    assert_eq!(route(&copies, 3, GP6, replicated, &[]), LoadRoute::OnceThroughMaster);
    let partial = TargetTable {
        segments: Some(2),
        ..hashed(HashFamily::Jump)
    };
    assert_eq!(route(&set, 3, GP6, partial, &[]), LoadRoute::ThroughMaster);
}

#[test]
fn what_was_read_through_the_master_goes_back_through_it() {
    use crate::format::manifest::{StreamSnapshot, Streams};
    let tables = vec![facts("t", Distribution::Hashed), facts("r", Distribution::Replicated)];
    let mut set = own_set(3, HashFamily::Jump, GP6, tables);
    let replicated = || table("r", Distribution::Replicated, HashFamily::None);
    let random = || table("r", Distribution::Random, HashFamily::None);
    assert_eq!(route(&set, 3, GP6, hashed(HashFamily::Jump), &[]), LoadRoute::Direct);
    assert_eq!(route(&set, 3, GP6, replicated(), &[]), LoadRoute::Direct);
    set.manifest.as_mut().unwrap().streams = Some(Streams {
        address: "db:5432".into(),
        connections: 3,
        snapshot: StreamSnapshot::Exported,
    });
    for segments in [1, 3] {
        for table in [hashed(HashFamily::Jump), replicated(), random()] {
            assert_eq!(route(&set, segments, GP6, table, &[]), LoadRoute::ThroughMaster);
        }
    }
}

#[test]
fn through_the_master_alone_nothing_goes_into_segments_and_copies_go_once() {
    let tables = vec![facts("t", Distribution::Hashed), facts("r", Distribution::Replicated)];
    let set = own_set(3, HashFamily::Jump, GP6, tables);
    let targets = [
        hashed(HashFamily::Jump),
        table("r", Distribution::Replicated, HashFamily::None),
    ];
    let streams = Cluster::streams(cluster(3).master().clone(), 3);
    let dialect = dialect(Product::Greenplum, GP6);
    let routes = plan_routes(&set, &streams, &dialect, &targets, "UTF8", &BTreeSet::new());
    assert_eq!(routes.default, LoadRoute::ThroughMaster);
    let once = [(QualifiedName::new("s", "r"), LoadRoute::OnceThroughMaster)];
    assert_eq!(routes.exceptions, once);
}
