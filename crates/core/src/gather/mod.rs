//! Reads everything that a plan needs.

pub mod cluster;
pub mod dump_set;
