//! Where dump files live: on disks of hosts or in a bucket, written so that a file with its final name is whole.

pub mod bucket;
pub mod compress;
pub mod data_file;
pub mod files;
pub mod heap_pages;
pub mod journal;
pub mod member_ends;
pub mod pipe;
