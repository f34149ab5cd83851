//! The files that the master's part of a dump consists of: written unfinished first, named together.

use crate::store::compress::{MEMBER_BYTES, gzip_member};
use crate::store::data_file::{Error, PartialFile};
use crate::store::files::Files;
use crate::store::member_ends::members;
use crate::store::pipe::GiveUp;
use crate::words::layout::{Compression, DumpFileKind, SetNames};
use crate::words::place::Place;

/// DDL before and after the data, and the statement that creates the database.
#[derive(Debug)]
pub struct MasterTexts {
    pub pre_data: Vec<u8>,
    pub post_data: Vec<u8>,
    pub cdatabase: Vec<u8>,
    /// What pg_dump said that it read, for the status file.
    pub steps: Vec<String>,
}

/// Complete, synced, not yet named.
#[derive(Debug)]
pub struct MasterFiles {
    files: Vec<PartialFile>,
}

impl MasterFiles {
    /// Writes all three; compresses DDL as the names say, `rsyncable` as the data files.
    pub fn write(
        to: &Files,
        directory: &Place,
        names: &SetNames,
        texts: &MasterTexts,
        rsyncable: bool,
        give_up: &GiveUp,
    ) -> Result<MasterFiles, Error> {
        let ddl = |text: &[u8]| match names.compression {
            Compression::Gzip if rsyncable => members(text).into_iter().flat_map(gzip_member).collect(),
            Compression::Gzip => text.chunks(MEMBER_BYTES).flat_map(gzip_member).collect(),
            Compression::None => text.to_vec(),
        };
        // Readers take the main file as the sign that all three are there: it is named last.
        let files = [
            (DumpFileKind::Cdatabase, texts.cdatabase.clone()),
            (DumpFileKind::PostData, ddl(&texts.post_data)),
            (DumpFileKind::Dump, ddl(&texts.pre_data)),
        ];
        let written: Result<Vec<PartialFile>, Error> = files
            .into_iter()
            .map(|(kind, bytes)| PartialFile::write(to, &directory.join(names.of_master(kind)), &bytes, give_up))
            .collect();
        Ok(MasterFiles { files: written? })
    }

    /// Gives the files their names and makes that durable.
    pub fn publish(mut self, directory: &Place) -> Result<Vec<crate::words::job::FileStamp>, Error> {
        for file in &mut self.files {
            file.publish()?;
        }
        crate::store::data_file::sync_directory(directory)?;
        Ok(self.files.iter().map(|file| file.stamp.clone()).collect())
    }
}
