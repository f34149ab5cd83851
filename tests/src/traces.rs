//! Everything that runs print, write and leave on the servers, to be searched for what must not be there.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use gpdump_testkit::object_server::ObjectServer;
use gpdump_testkit::{Cluster, Finished};

/// What was found, with the place where.
#[derive(Debug, Default)]
pub struct Traces(Vec<(String, Vec<u8>)>);

impl Traces {
    /// What a program said.
    pub fn said(&mut self, end: &Finished) {
        self.0
            .push(("standard output".to_owned(), end.stdout.clone().into_bytes()));
        self.0
            .push(("standard error".to_owned(), end.stderr.clone().into_bytes()));
    }

    /// Sessions of all servers, the history in these databases, the servers' logs, and every file below the home and the
    /// dump directories.
    pub fn of(&mut self, cluster: &Cluster, databases: &[&str]) {
        for instance in std::iter::once(cluster.master()).chain(cluster.segments()) {
            let activity = "SELECT coalesce(query, ''), application_name FROM pg_stat_activity";
            self.rows("pg_stat_activity", &instance.sql("postgres", activity));
            self.files(&instance.data_dir.join("log"));
            self.files(&instance.data_dir.join("db_dumps"));
        }
        for database in databases {
            // One that no run could write a history into has none.
            if let Ok(rows) = cluster.try_sql(database, "SELECT h::text FROM public.gpcrondump_history h") {
                self.rows("gpcrondump_history", &rows);
            }
        }
        self.files(cluster.home());
    }

    /// All objects of a storage, with their names, and what it was asked.
    pub fn stored(&mut self, server: &ObjectServer) {
        for (name, bytes) in server.objects() {
            self.add(&format!("object {name}"), bytes.to_vec());
        }
        for line in server.take_log() {
            self.0.push(("a request's URL".to_owned(), line.line.into_bytes()));
        }
    }

    fn rows(&mut self, what: &str, rows: &impl std::fmt::Debug) {
        self.0.push((what.to_owned(), format!("{rows:?}").into_bytes()));
    }

    fn files(&mut self, directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.files(&path);
            } else if let Ok(bytes) = fs::read(&path) {
                self.add(&path.display().to_string(), bytes);
            }
        }
    }

    /// Also what is compressed in it.
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let mut text = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) && MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text).is_ok() {
            self.0.push((format!("{name}, decompressed"), text));
        }
        self.0.push((name.to_owned(), bytes));
    }

    /// Places whose bytes or name hold the text.
    pub fn with(&self, text: &str) -> Vec<&str> {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let found = self.0.iter().filter(|(name, bytes)| has(bytes) || name.contains(text));
        found.map(|(name, _)| name.as_str()).collect()
    }

    /// No place has any of them; a log of a program was looked at.
    #[track_caller]
    pub fn assert_without(&self, secrets: &[&str]) {
        assert!(
            self.0.iter().any(|(name, _)| name.contains("gpAdminLogs")),
            "no log was looked at"
        );
        for secret in secrets {
            assert_eq!(
                self.with(secret),
                [] as [&str; 0],
                "a secret of {} letters",
                secret.len()
            );
        }
    }
}
