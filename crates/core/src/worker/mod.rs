//! Our process on the host of a segment: reads requests from stdin, does them, answers with events.

pub mod config_files;
pub mod dump_segment;
mod file_reader;
pub(crate) use file_reader::hex;
mod heap_compare;
mod heap_states;
pub mod host_ops;
pub mod host_tasks;
mod members;
pub mod protocol;
mod restore_file;
pub mod restore_segment;
pub mod serve;
mod table_ranges;
mod verify_file;
pub mod verify_segment;
