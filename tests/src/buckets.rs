//! The programs with a bucket: what the tests of `--storage` share.

use gpdump_testkit::object_server::ObjectServer;
use gpdump_testkit::{Cluster, Finished, Program};

use crate::DEMO;

/// Small parts: the test database shall need several.
const PART_BYTES: &str = "2000";

/// A program that is told of the bucket.
pub fn program(name: &str, cluster: &Cluster, server: &ObjectServer, args: &[&str]) -> Program {
    let (url, endpoint) = (ObjectServer::url("cluster"), server.endpoint());
    let storage = ["--storage", &url, "--storage-endpoint", &endpoint].map(str::to_owned);
    let mut program = Program::new(name, cluster)
        .args(args.iter().map(|word| (*word).to_owned()).chain(storage))
        .env("GPDUMP_STORAGE_PART_BYTES", PART_BYTES);
    for (name, value) in ObjectServer::environment() {
        program = program.env(name, value);
    }
    program
}

/// Key of a dump that has to go well.
pub fn dump(cluster: &Cluster, server: &ObjectServer, more: &[&str]) -> String {
    let args: Vec<&str> = ["-a", "-x", DEMO].iter().chain(more).copied().collect();
    program("gpcrondump", cluster, server, &args)
        .run()
        .expect_status(0)
        .timestamp_key()
}

pub fn restore(cluster: &Cluster, server: &ObjectServer, key: &str, more: &[&str]) -> Finished {
    let args: Vec<&str> = ["-a", "-t", key].iter().chain(more).copied().collect();
    program("gpdbrestore", cluster, server, &args).run()
}

/// Keys of all objects.
pub fn names(server: &ObjectServer) -> Vec<String> {
    server.objects().into_iter().map(|(key, _)| key).collect()
}
