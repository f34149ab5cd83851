//! Decisions, pure: what will be dumped, restored, deleted, and why.

pub mod restore;
