//! `-R`: the set lies on a host that is no part of the cluster.
//!
//! All hosts here are one machine, and a set comes into the directory of the same name: so the ssh of these tests shows
//! host `archive` another directory than the one it is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gpdump_testkit::compare::{Snapshot, assert_same};
use gpdump_testkit::{Cluster, ClusterSpec, Finished, Program, Sshd};
use gpdump_tests::{DEMO, dump_files};

struct Scene {
    cluster: Cluster,
    sshd: Sshd,
    ssh: PathBuf,
    /// Where the set is asked for, and comes to.
    here: PathBuf,
    /// Where it really lies.
    archive: PathBuf,
    key: String,
}

impl Scene {
    fn start() -> Scene {
        let sshd = Sshd::start("127.0.0.2");
        let cluster = Cluster::start(ClusterSpec {
            segments: 2,
            hostnames: vec!["localhost".into(), "127.0.0.2".into()],
            ..ClusterSpec::segments(2)
        });
        cluster.sql("postgres", "CREATE DATABASE demo");
        cluster.sql(
            DEMO,
            "CREATE TABLE public.wide (a int PRIMARY KEY, t text); CREATE TABLE public.other (a int)",
        );
        for content in 0..2 {
            let rows =
                format!("INSERT INTO wide SELECT 2 * g + {content}, md5(g::text) FROM generate_series(1, 500) g");
            cluster.segment_sql(content, DEMO, &rows);
        }
        let here = cluster.home().join("it's here");
        let key = Program::new("gpcrondump", &cluster)
            .args(["-a", "-x", DEMO, "-G"])
            .env("GPDUMP_SSH", sshd.client())
            .run()
            .expect_status(0)
            .timestamp_key();
        let root = cluster.home().join("archive");
        let archive = root.join("db_dumps").join(&key[..8]);
        fs::create_dir_all(&archive).expect("the home is ours");
        for file in dump_files(&cluster) {
            fs::rename(&file, archive.join(file.file_name().expect("a file"))).expect("it is ours");
        }
        let ssh = cluster.home().join("ssh");
        let script = format!(
            "#!/bin/bash\nlast=\"${{!#}}\"; rest=(\"${{@:1:$#-1}}\")\nif [ \"${{rest[-1]}}\" = archive ]; then \
             rest[-1]=127.0.0.2; last=\"${{last//it*here/{}}}\"; fi\nexec '{}' \"${{rest[@]}}\" \"$last\"\n",
            "archive",
            sshd.client().display()
        );
        fs::write(&ssh, script).expect("the home is ours");
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Scene {
            cluster,
            sshd,
            ssh,
            here,
            archive,
            key,
        }
    }

    fn place(&self, host: &str, root: &Path) -> String {
        format!("{host}:{}/db_dumps/{}", root.display(), &self.key[..8])
    }

    fn run(&self, place: &str, more: &[&str]) -> Finished {
        Program::new("gpdbrestore", &self.cluster)
            .args(["-a", "-R", place])
            .args(more.iter().copied())
            .env("GPDUMP_SSH", &self.ssh)
            .run()
    }

    #[track_caller]
    fn refused(&self, place: &str, words: &str) {
        let end = self.run(place, &["-e"]).expect_status(2);
        assert!(end.stdout.contains(words), "{words:?} is not in\n{}", end.stdout);
    }
}

#[test]
fn a_set_comes_from_another_host_into_its_places_and_is_restored() {
    let scene = Scene::start();
    let before = Snapshot::take(&scene.cluster, DEMO);
    let place = scene.place("archive", &scene.here);
    scene.cluster.sql(DEMO, "DROP TABLE public.other; TRUNCATE public.wide");
    let spoiled = Snapshot::take(&scene.cluster, DEMO);

    scene.refused(&scene.place("nohost.invalid", &scene.here), "on host nohost.invalid");
    let nowhere = format!("archive:{}/db_dumps/20200101", scene.here.display());
    scene.refused(&nowhere, "Could not find path ");
    let end = scene.run(&place, &["-e", "--dry-run"]).expect_status(0);
    assert!(end.stdout.contains("would be copied to "), "{}", end.stdout);
    assert!(!scene.here.exists());

    // A file that is not what the manifest says, by its size or by what is in it, is not taken.
    let data = format!("gp_dump_1_3_{}.gz", scene.key);
    let (path, good) = (
        scene.archive.join(&data),
        fs::read(scene.archive.join(&data)).expect("a data file"),
    );
    fs::write(&path, &good[..good.len() - 1]).expect("ours");
    scene.refused(&place, "bytes, the manifest of the set says ");
    assert!(!scene.here.exists());
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&path, bad).expect("ours");
    scene.refused(&place, "it was changed after the dump");
    let here = scene.here.join("db_dumps").join(&scene.key[..8]);
    assert!(!here.join(&data).exists());
    fs::remove_file(&path).expect("ours");
    scene.refused(&place, "No dump file on archive in ");
    fs::write(&path, good).expect("ours");
    scene.refused(&format!("{place}x"), "does not name the directory of a dump set");
    assert_same(&spoiled, &Snapshot::take(&scene.cluster, DEMO));

    let end = scene.run(&place, &["-e", "-G"]).expect_status(0);
    for words in [
        "Restore method             = Remote host".to_owned(),
        "Recovery hostname          = archive".to_owned(),
        "-Commencing remote database dump file recovery process, please wait...".to_owned(),
        format!("-Commencing remote copy from archive to 127.0.0.2:{}", here.display()),
        "-Commencing restore of global objects".to_owned(),
    ] {
        assert!(end.stdout.contains(&words), "{words} is not in\n{}", end.stdout);
    }
    assert_eq!(end.stdout.matches("Greenplum database restore parameters").count(), 1);
    assert_same(&before.gathered(), &Snapshot::take(&scene.cluster, DEMO).gathered());
    assert!(scene.sshd.log().contains("Accepted publickey"));

    // What is here already is not copied again; another file of that name is not written over.
    let end = scene.run(&place, &["-T", "public.wide", "--truncate"]).expect_status(0);
    assert!(!end.stdout.contains("Commencing remote copy"), "{}", end.stdout);
    fs::write(here.join(&data), "mine").expect("ours");
    scene.refused(&place, "move the other file away");
    assert_eq!(fs::read(here.join(&data)).expect("still there"), b"mine");
    // A directory of this host needs no ssh.
    let own = format!(
        "{}/db_dumps/{}",
        scene.cluster.home().join("archive").display(),
        &scene.key[..8]
    );
    scene.run(&own, &["-e"]).expect_status(0);
    assert_same(&before.gathered(), &Snapshot::take(&scene.cluster, DEMO).gathered());
}
