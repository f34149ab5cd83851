//! `gpcrondump`: every database in turn, each as a set of its own.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::dump_database::{self, DumpContext};
use super::{dump_lines, interrupted, refusal_of};
use crate::db::catalog;
use crate::gather::cluster::{MasterAddress, Surroundings, launcher, master_address, read_surroundings};
use crate::plan::dump_request::DumpRequest;
use crate::words::environment::Environment;
use crate::words::exit::Exit;
use crate::words::ids::TimestampKey;
use crate::words::layout::{DUMP_DIR, DumpFileKind, DumpFileName};
use crate::words::refusal::Refusal;

/// Dumps all databases of the request. `now` gives the local time; `confirm` asks whether to go on, and is not called
/// when the request says that nobody is to be asked.
pub async fn run(
    environment: &Environment,
    request: &DumpRequest,
    now: fn() -> chrono::NaiveDateTime,
    confirm: impl AsyncFn() -> Result<bool, Refusal>,
    cancel: &CancellationToken,
) -> Result<Exit, Refusal> {
    let address = master_address(environment, Some(&request.master_data_dir), "gpcrondump")?;
    let gather = async {
        let surroundings = read_surroundings(&address, &environment.host_full)
            .await
            .map_err(|error| refusal_of(&error))?;
        check_databases(&address, &surroundings, &request.databases).await?;
        Ok(surroundings)
    };
    let surroundings = tokio::select! {
        surroundings = gather => surroundings?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    if request.databases.len() > 1 {
        info!("Configuring for multiple database dump");
    }
    let master_data_dir = &request.master_data_dir;
    let mut worst = Exit::Ok;
    for database in &request.databases {
        let key = request.key.unwrap_or_else(|| TimestampKey::of(now()));
        let root = request.backup_root.clone().unwrap_or_else(|| master_data_dir.clone());
        refuse_future_dump(&root, request, key)?;
        if request.confirm {
            let mdd = master_data_dir.display().to_string();
            for line in dump_lines::dump_parameters(request, database, address.port, &mdd) {
                info!("{line}");
            }
            if !confirm().await? {
                info!("User abort requested, Exiting...");
                return Ok(Exit::Aborted);
            }
        }
        let context = DumpContext {
            environment,
            request,
            address: &address,
            surroundings: &surroundings,
            launcher: launcher(environment, request.remote_bin.clone()),
            master_data_dir: master_data_dir.clone(),
            database: database.clone(),
            key,
            now,
        };
        worst = worst.max(dump_database::run(&context, cancel).await?);
    }
    Ok(worst)
}

/// All databases must be there before the first is dumped.
async fn check_databases(
    address: &MasterAddress,
    surroundings: &Surroundings,
    databases: &[String],
) -> Result<(), Refusal> {
    let session = address.open("template1").await.map_err(|error| refusal_of(&error))?;
    for database in databases {
        let found = catalog::read_database(&session, &surroundings.dialect, database).await;
        if found.map_err(|error| refusal_of(&error))?.is_none() {
            return Err(Refusal::known(format!("Database {database} does not exist.")));
        }
    }
    session.close().await;
    Ok(())
}

/// A newer set with the same prefix means that the clock was set back, or that the key is in use (`gpcrondump.md` 2.4).
fn refuse_future_dump(root: &PathBuf, request: &DumpRequest, key: TimestampKey) -> Result<(), Refusal> {
    let mut dates: Vec<PathBuf> = match std::fs::read_dir(root.join(DUMP_DIR)) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| is_date(path))
            .collect(),
        Err(_) => return Ok(()),
    };
    dates.sort_unstable_by(|a, b| b.cmp(a));
    for date in dates {
        let names = std::fs::read_dir(&date)
            .map_err(|error| Refusal::failed(format!("could not list directory \"{}\": {error}", date.display())))?;
        let newest = names
            .filter_map(Result::ok)
            .filter_map(|entry| DumpFileName::parse(entry.file_name().to_str()?, &request.prefix))
            .filter(|name| name.kind == DumpFileKind::Report)
            .map(|name| name.key)
            .max();
        if let Some(newest) = newest {
            return if newest >= key {
                Err(
                    Refusal::failed("There is a future dated backup on the system preventing new backups").with_hint(
                        format!("the set {newest} in \"{}\" is not older than {key}", date.display()),
                    ),
                )
            } else {
                Ok(())
            };
        }
    }
    Ok(())
}

fn is_date(path: &std::path::Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit()))
        && path.is_dir()
}
