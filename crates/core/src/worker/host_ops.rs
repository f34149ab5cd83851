//! host_ops (being built).
