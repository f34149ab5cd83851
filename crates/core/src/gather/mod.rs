//! Reads everything that a plan needs.

pub mod chain;
pub mod cluster;
pub mod date_directories;
pub mod dump_set;
pub mod set_list;
pub mod small_files;
pub mod which_set;
