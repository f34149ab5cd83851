//! copy_text (being built).
