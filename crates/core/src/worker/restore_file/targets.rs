//! The servers that a data file is loaded into: its segment, and the master.

use std::sync::PoisonError;

use super::Shared;
use crate::db::connect::{ConnectSpec, local_hosts};
use crate::db::copy::RowEncoding;
use crate::db::{Session, error_and_hint, error_chain};
use crate::words::names::QualifiedName;
use crate::words::place::Place;
use crate::worker::restore_segment::LoadTarget;

#[derive(Clone, Copy)]
pub(super) enum Side {
    Segment,
    Master,
}

pub(super) struct OpenTarget {
    pub(super) session: Session,
    /// The encoding that the session was made ready for, and how.
    pub(super) rows: Option<(String, RowEncoding)>,
}

/// Sessions are opened when they are wanted.
pub(super) struct Targets<'a> {
    shared: &'a Shared,
    /// Where the segment of the file is, if rows may go straight into it.
    of_segment: Option<LoadTarget>,
    segment: Option<OpenTarget>,
    master: Option<OpenTarget>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(shared: &'a Shared, of_segment: Option<LoadTarget>) -> Self {
        Targets {
            shared,
            of_segment,
            segment: None,
            master: None,
        }
    }

    pub(super) fn has_segment(&self) -> bool {
        self.of_segment.is_some()
    }

    /// The session on this side, which `table` is being loaded over.
    pub(super) fn get(&self, side: Side, table: &QualifiedName) -> Result<&OpenTarget, String> {
        let open = match side {
            Side::Segment => self.segment.as_ref(),
            Side::Master => self.master.as_ref(),
        };
        open.ok_or_else(|| format!("no session for table {table}"))
    }

    /// The session on this side, opened when there is none; `doing` is what it is opened for, told when that fails.
    pub(super) async fn open(&mut self, side: Side, doing: &str) -> Result<&mut OpenTarget, String> {
        let (slot, target) = match side {
            Side::Segment => (&mut self.segment, self.of_segment.as_ref()),
            Side::Master => (&mut self.master, Some(&self.shared.start.master)),
        };
        if slot.is_none() {
            let target = target.ok_or("no segment is known for this file")?;
            let session = open_session(self.shared, target).await;
            let session = session.map_err(|error| format!("{doing}: {error}"))?;
            self.shared
                .cancels
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(session.canceller());
            *slot = Some(OpenTarget { session, rows: None });
        }
        slot.as_mut().ok_or_else(|| "the session was just opened".to_owned())
    }

    /// After each COPY that failed: the driver sends one Sync with the statement and one behind the rows, and a server
    /// that gives up before it has read the first answers both, so that all later answers would be out of step.
    pub(super) async fn close(&mut self, side: Side) {
        let open = match side {
            Side::Segment => self.segment.take(),
            Side::Master => self.master.take(),
        };
        if let Some(open) = open {
            open.session.close().await;
        }
    }

    /// What is said when a connection breaks while a table is loaded.
    pub(super) fn broken(&self, side: Side, table: &QualifiedName, file: &Place) -> String {
        let session = self.get(side, table).ok().map(|open| &open.session);
        let whom = session.map_or("the server", Session::whom);
        let why = match session.and_then(Session::last_error_told) {
            Some(error) => format!("its last word was: {error}"),
            None => "the server's log tells why".to_owned(),
        };
        format!(
            "the connection to {whom} broke while loading table {table} from \"{}\"; {why}",
            file.display()
        )
    }
}

async fn open_session(shared: &Shared, target: &LoadTarget) -> Result<Session, String> {
    let instance = &target.instance;
    let hosts = if target.local {
        local_hosts(&instance.data_dir, &instance.address.0, instance.port)
    } else {
        vec![instance.address.0.clone()]
    };
    let dialect = &shared.start.dialect;
    let spec = ConnectSpec {
        hosts,
        port: instance.port,
        database: shared.start.login.database.clone(),
        login: shared.login.clone(),
        utility_setting: dialect.utility_setting.clone().filter(|_| target.utility),
        application_name: "gpdbrestore".to_owned(),
        whom: instance.to_string(),
        beneath: None,
    };
    let session = Session::open(&spec).await.map_err(|error| error_and_hint(&error))?;
    for setting in dialect.dump_session_settings() {
        session
            .run(&setting, "preparing the session")
            .await
            .map_err(|error| error_chain(&error))?;
    }
    Ok(session)
}
