//! Reads everything that a plan needs.

pub mod cluster;
pub mod date_directories;
pub mod dump_set;
