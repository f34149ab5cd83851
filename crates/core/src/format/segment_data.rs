//! segment_data (being built).
