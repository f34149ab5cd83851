//! cut (being built).
