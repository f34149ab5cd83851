//! Where dump files live: on local disks, written so that a file with its final name is whole.

pub mod compress;
pub mod data_file;
pub mod heap_pages;
pub mod member_ends;
pub mod pipe;
