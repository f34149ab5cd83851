//! Our process on the host of a segment: reads requests from stdin, does them, answers with events.

pub mod compress;
pub mod data_file;
pub mod dump_segment;
pub mod host_ops;
pub mod protocol;
pub mod restore_segment;
pub mod serve;
