//! launch (being built).
