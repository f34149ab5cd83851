//! data_file (being built).
