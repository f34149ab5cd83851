//! The tables of contents: what a run does, in order.

pub mod dump;
pub mod restore;
