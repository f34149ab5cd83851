//! A finished set on record: what is added to it after the dump is added to its manifest.

use crate::format::manifest::Manifest;
use crate::store::data_file::{self, write_small_file};
use crate::store::files::Files;
use crate::words::ids::ContentId;
use crate::words::job::FileStamp;
use crate::words::layout::{DumpFileKind, SetNames};
use crate::words::place::Place;

/// A set whose manifest is on disk.
#[derive(Debug, Clone)]
pub(super) struct SetRecord {
    /// The master's.
    pub(super) directory: Place,
    pub(super) names: SetNames,
    pub(super) manifest: Manifest,
}

impl SetRecord {
    /// Notes a file; [`SetRecord::save`] makes it last.
    pub(super) fn add(&mut self, content: ContentId, stamp: FileStamp) {
        let instances = &mut self.manifest.instances;
        if let Some(instance) = instances.iter_mut().find(|instance| instance.content == content) {
            instance.files.retain(|file| file.name != stamp.name);
            instance.files.push(stamp);
        }
    }

    /// Writes the manifest, over the one that is there.
    pub(super) fn save(&self, files: &Files) -> Result<(), data_file::Error> {
        let path = self.directory.join(self.names.of_set(DumpFileKind::Manifest));
        write_small_file(files, &path, self.manifest.write().as_bytes()).map(|_| ())
    }
}
