//! `-G`: roles and other global objects into a file of the set (`gpcrondump.md` 2.12).

use tracing::{error, info, warn};

use super::DumpContext;
use crate::db::{error_chain, rights};
use crate::run::set_record::SetRecord;
use crate::store::data_file::{PartialFile, sync_directory};
use crate::store::pipe::GiveUpOnDrop;
use crate::tools::pg_dump::find_program;
use crate::tools::pg_dumpall::PgDumpAll;
use crate::words::dialect::Product;
use crate::words::ids::ContentId;
use crate::words::job::FileStamp;
use crate::words::layout::DumpFileKind;
use crate::words::place::Place;

/// False when the file could not be made; the log says why.
pub(super) async fn dump_globals(context: &DumpContext<'_>, record: &mut SetRecord) -> bool {
    info!("Commencing pg_catalog dump");
    match write(context, record).await {
        Ok(()) => true,
        Err(reason) => {
            error!("The global objects could not be saved: {reason}");
            false
        }
    }
}

/// A role that only reads is kept from the passwords on every server; later ones write the rest without them.
async fn must_do_without_passwords(context: &DumpContext<'_>) -> Result<bool, crate::db::Error> {
    let around = context.surroundings;
    if !around.cluster.is_streams() || around.dialect.pg_version.0 < 100_000 {
        return Ok(false);
    }
    let session = context.address.open(&context.database).await?;
    let may = rights::may_read_passwords(&session).await;
    session.close().await;
    Ok(!may?)
}

async fn write(context: &DumpContext<'_>, record: &mut SetRecord) -> Result<(), String> {
    let environment = context.environment;
    let without_passwords = must_do_without_passwords(context).await;
    let without_passwords = without_passwords.map_err(|error| error_chain(&error))?;
    if without_passwords {
        warn!(
            "Roles are saved without their passwords, which role {} may not read",
            context.address.login.user
        );
    }
    let dump = PgDumpAll {
        program: find_program("pg_dumpall", environment.gphome.as_deref(), &environment.path)
            .map_err(|error| error_chain(&error))?,
        libraries: environment.gphome.as_ref().map(|home| home.join("lib")),
        host: context
            .address
            .hosts
            .first()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned()),
        port: context.address.port,
        user: context.address.login.user.clone(),
        without_passwords,
        greenplum_syntax: context.surroundings.dialect.product != Product::Postgres,
        application_name: format!("gpcrondump_globals_{}", environment.pid),
    };
    let sql = dump.invocation().run().await.map_err(|error| error_chain(&error))?;
    let path = record.directory.join(record.names.of_master(DumpFileKind::Global));
    // Passwords are in it: the file is made with mode 0600.
    let stamp = write_named(context, path, sql).await?;
    record.add(ContentId::MASTER, stamp);
    record.save(context.files).map_err(|error| error_chain(&error))
}

/// Writes a new file of the set, beside the async work: a reader of a named pipe may let us wait.
pub(super) async fn write_named(context: &DumpContext<'_>, path: Place, bytes: Vec<u8>) -> Result<FileStamp, String> {
    let files = context.files.clone();
    let guard = GiveUpOnDrop::default();
    let give_up = guard.0.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = PartialFile::write(&files, &path, &bytes, &give_up)?;
        file.publish()?;
        if let Some(directory) = path.parent() {
            sync_directory(&directory)?;
        }
        Ok::<_, crate::store::data_file::Error>(file.stamp.clone())
    });
    match writing.await {
        Ok(written) => written.map_err(|error| error_chain(&error)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
