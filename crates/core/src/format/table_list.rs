//! table_list (being built).
