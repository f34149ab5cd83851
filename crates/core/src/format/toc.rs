//! toc (being built).
