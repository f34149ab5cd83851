//! relations (being built).
