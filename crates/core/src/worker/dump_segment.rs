//! dump_segment (being built).
