use super::*;
use crate::plan::restore::test_sets::{cluster, host_of, original_set};

fn all(search: &Search, name: &str) -> Vec<(String, String)> {
    let mut spots = Vec::new();
    for (host, directories) in search {
        for (directory, names) in directories {
            if names.contains(name) {
                spots.push((host.0.clone(), directory.display().to_string()));
            }
        }
    }
    spots
}

fn found(spots: &[(&str, &str, &str, u64)]) -> Found {
    let entry = |(host, directory, name, size): &(&str, &str, &str, u64)| {
        (
            (HostName((*host).into()), Place::from(*directory), (*name).to_owned()),
            Some(*size),
        )
    };
    spots.iter().map(entry).collect()
}

#[test]
fn the_own_directory_comes_first_and_any_dbid_of_the_content_will_do() {
    let (set, cluster) = (original_set(2, FileNaming::New), cluster(2));
    let files = found(&[
        ("mdw", "/data/-1/db_dumps/20240102", "gp_dump_0_12_20240102030405.gz", 1),
        ("sdw1", "/data/0/db_dumps/20240102", "gp_dump_0_2_20240102030405.gz", 1),
        ("sdw2", "/data/1/db_dumps/20240102", "gp_dump_1_13_20240102030405.gz", 1),
    ]);
    let files = choose(&set, &cluster, None, &[], &files).unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|f| (f.host.clone(), f.path.display().to_string()))
        .collect();
    assert_eq!(
        paths,
        [
            (
                host_of(0),
                "/data/0/db_dumps/20240102/gp_dump_0_2_20240102030405.gz".to_owned()
            ),
            (
                host_of(1),
                "/data/1/db_dumps/20240102/gp_dump_1_13_20240102030405.gz".to_owned()
            ),
        ]
    );
}

#[test]
fn an_old_name_is_looked_for_under_the_dbid_of_its_set_alone() {
    let (set, cluster) = (original_set(2, FileNaming::Old), cluster(2));
    let search = search(&set, &cluster, None, &[]);
    assert!(!all(&search, "gp_dump_0_13_20240102030405.gz").is_empty());
    // dbid 3 of this cluster is segment 1; in the set it is nobody.
    assert!(all(&search, "gp_dump_0_3_20240102030405.gz").is_empty());
}

#[test]
fn a_host_that_only_an_old_report_knows_is_never_asked() {
    let (set, cluster) = (original_set(2, FileNaming::New), cluster(2));
    let search = search(&set, &cluster, None, &[]);
    let hosts: Vec<_> = search.keys().map(|h| h.0.as_str()).collect();
    assert_eq!(hosts, ["mdw", "sdw1", "sdw2"]);
}

#[test]
fn a_foreign_set_is_found_in_the_directories_of_its_report_and_on_the_master() {
    let (set, cluster) = (original_set(4, FileNaming::New), cluster(2));
    let spots = all(&search(&set, &cluster, None, &[]), "gp_dump_3_15_20240102030405.gz");
    for spot in [
        ("sdw1", "/old/3/db_dumps/20240102"),
        ("sdw2", "/old/3/db_dumps/20240102"),
        ("mdw", "/old/3/db_dumps/20240102"),
        ("mdw", "/data/-1/db_dumps/20240102"),
    ] {
        assert!(
            spots.contains(&(spot.0.to_owned(), spot.1.to_owned())),
            "{spot:?} in {spots:?}"
        );
    }
    let spots = all(
        &search(&set, &cluster, Some(&Place::from("/backup")), &[]),
        "gp_dump_3_15_20240102030405.gz",
    );
    assert!(spots.contains(&("sdw2".to_owned(), "/backup/db_dumps/20240102".to_owned())));
    assert!(
        spots.iter().all(|(_, directory)| !directory.starts_with("/old")),
        "{spots:?}"
    );
}

#[test]
fn a_file_of_the_wrong_size_is_passed_over_and_named_when_there_is_no_other() {
    let (mut set, cluster) = (original_set(1, FileNaming::New), cluster(1));
    set.segments[0].size = Some(10);
    let name = "gp_dump_0_12_20240102030405.gz";
    let short = ("sdw1", "/data/0/db_dumps/20240102", name, 9);
    let good = ("mdw", "/data/-1/db_dumps/20240102", name, 10);
    let files = choose(&set, &cluster, None, &[], &found(&[short, good])).unwrap();
    assert_eq!(files[0].host.0, "mdw");
    let missing = choose(&set, &cluster, None, &[], &found(&[short])).unwrap_err();
    assert_eq!(missing[0].wrong_size, Some(WrongSize { found: 9, expected: 10 }));
    let missing = choose(&set, &cluster, None, &[], &Found::new()).unwrap_err();
    assert_eq!((missing[0].host.0.as_str(), missing[0].wrong_size), ("sdw1", None));
    assert_eq!(missing[0].directory, Place::from("/data/0/db_dumps/20240102"));
}
