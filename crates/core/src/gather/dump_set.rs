//! dump_set (being built).
