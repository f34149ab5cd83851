//! gplog (being built).
