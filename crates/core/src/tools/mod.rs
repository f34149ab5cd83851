//! The server's own programs, and others: argument lists (pure) and running them.

pub mod pg_dump;
pub mod pg_dumpall;
pub mod process;
