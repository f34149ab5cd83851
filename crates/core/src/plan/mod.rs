//! Decisions, pure: what will be dumped, restored, deleted, and why.

pub mod backup_files;
pub mod chores;
pub mod databases;
pub mod definitions;
pub mod disk_space;
pub mod dump_request;
pub mod external;
pub mod filter;
pub mod incremental;
pub mod mail;
pub mod restore;
pub mod restore_request;
pub mod retention;
pub mod set_list;
pub mod streams;
pub mod translate;
pub mod verify;
