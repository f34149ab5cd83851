//! The wire to the servers: sessions, catalog queries, locks, COPY. The only place that holds SQL.

pub mod catalog;
pub mod connect;
pub mod copy;
pub mod locks;
pub mod passfile;
