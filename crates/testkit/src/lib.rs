//! Real servers, real programs and faults for the tests.
//!
//! [`Cluster`] is one master and n segments, all of them real PostgreSQL servers, with a catalog shaped like
//! Greenplum's and a proxy before the master that sends statements on to the segments, as Greenplum's dispatcher does.
//! The same tests run on a real Greenplum: see [`Cluster::for_tests`].
//!
//! Nothing here uses the crates under test: a judge must not share the mistakes of the judged.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its surroundings has to fail, and at once"
)]

pub mod client;
mod cluster;
pub mod compare;
pub mod console;
mod greenplum;
mod hosts;
mod keeper;
pub mod object_server;
mod postgres;
mod programs;
mod proxy;
mod sshd;
mod tested;

pub use cluster::{Cluster, ClusterSpec, Instance, Plain};
pub use greenplum::release_of;
pub use hosts::{Hosts, Login};
pub use programs::{Finished, Program, bin, repository};
pub use sshd::Sshd;
pub use tested::assert_tested;
