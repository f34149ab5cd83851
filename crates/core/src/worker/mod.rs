//! Our process on the host of a segment: reads a job from stdin, does it, answers with events.

pub mod dump_segment;
pub mod host_ops;
pub mod protocol;
pub mod restore_segment;
pub mod serve;
