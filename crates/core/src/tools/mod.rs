//! The server's own programs: argument lists (pure) and running them.

pub mod pg_dump;
