//! restore_segment (being built).
