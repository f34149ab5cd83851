//! connect (being built).
