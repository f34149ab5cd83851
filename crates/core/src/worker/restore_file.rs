//! One data file on its way into a server.

mod targets;
mod telling;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio::sync::mpsc;
use tokio_postgres::CopyInSink;

use self::targets::{Side, Targets};
use self::telling::{PROGRESS_EVERY, Telling};
use super::file_reader::{self, Chunk};
use super::protocol::{Event, LogLevel};
use super::restore_segment::{Cancels, RestoreFile, RestoreStart, TableTrouble};
use super::table_ranges::{self, TableRanges, Wanted};
use crate::db::connect::Login;
use crate::db::copy::{self, RowEncoding};
use crate::db::{error_and_hint, error_chain, segment_load};
use crate::format::segment_data::{self, BlockReader, CopyBlock, DataEvent};
use crate::store::files::Files;
use crate::words::job::{LoadRoute, TableTotals};
use crate::words::names::{QualifiedName, quote_ident};

/// Rows of a table without columns that one message brings.
const ROWS_PER_STATEMENT: usize = 1000;

/// What the files of one host share.
pub(super) struct Shared {
    /// `files`, `routes` and `choices` are empty: taken out.
    pub start: RestoreStart,
    pub routes: HashMap<QualifiedName, LoadRoute>,
    pub choices: Vec<HashSet<String>>,
    pub login: Login,
    pub events: mpsc::Sender<Event>,
    pub cancels: Cancels,
    pub files: Files,
    /// Threads that may unpack one file at the same time.
    pub decoders: usize,
}

/// What came out of a file.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FileTotals {
    pub tables: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// Loads one file to its end. An error means that the file cannot be used further, or its server; that one table was
/// refused is an event.
pub(super) async fn load(shared: &Shared, file: RestoreFile) -> Result<FileTotals, String> {
    let path = file.path.display().to_string();
    // A list that is to be held against the rows is held against all of them.
    let wanted = match file.list {
        None => shared.wanted(&file),
        Some(_) => None,
    };
    if matches!(&wanted, Some(Wanted::These(tables)) if tables.is_empty()) {
        return Ok(FileTotals::default());
    }
    let ranges = match &wanted {
        Some(wanted) => ranges_of(shared, &file, wanted).await,
        None => None,
    };
    let (ranges, counted) = match ranges {
        Some(TableRanges { ranges, totals }) => (Some(ranges), totals),
        None => (None, HashMap::new()),
    };
    let mut missing = match wanted {
        Some(Wanted::These(tables)) => Some(tables),
        Some(Wanted::Listed(_)) | None => None,
    };
    // Ranges are read to the end of the last: the sums come last.
    let is_sum_behind = ranges.is_some();
    let mut chunks = match ranges {
        Some(ranges) => file_reader::start_ranges(shared.files.clone(), file.path.clone(), file.compression, ranges),
        None => file_reader::start(
            shared.files.clone(),
            file.path.clone(),
            file.compression,
            file.sha256.is_some(),
            shared.decoders,
        ),
    }
    .map_err(|error| format!("could not start reading data file \"{path}\": {error}"))?;
    let expected_sha256 = file.sha256.clone();
    let mut loader = Loader {
        shared,
        targets: Targets::new(shared, file.segment.clone()),
        telling: Telling::new(shared.events.clone(), file.content),
        file,
        encoding: "UTF8".to_owned(),
        current: Current::Nothing,
        unlisted: None,
        given_up: None,
        totals: FileTotals::default(),
    };
    let mut reader = BlockReader::new();
    let about = |error: &dyn std::fmt::Display| format!("data file \"{path}\": {error}");
    let mut table = None;
    'file: loop {
        let end = match chunks.recv().await {
            Some(Ok(Chunk::Text(text))) => {
                loader.telling.read(text.len() as u64).await;
                reader.push(text);
                None
            }
            Some(Ok(end)) => {
                reader.close();
                Some(end)
            }
            Some(Err(error)) => return Err(format!("could not read data file \"{path}\": {error}")),
            None => return Err(about(&"its reader ended unexpectedly")),
        };
        while let Some(event) = reader.next_event().map_err(|e| about(&e))? {
            let ended = match &event {
                DataEvent::Begin(block) => {
                    table = Some(block.table.clone());
                    None
                }
                DataEvent::End(totals) => table.take().map(|table| (table, *totals)),
                _ => None,
            };
            if let Some((table, totals)) = &ended
                && counted.get(table).is_some_and(|counted| counted != totals)
            {
                return Err(about(&format!(
                    "its index counts other rows of table {table} than it has"
                )));
            }
            loader.take(event).await?;
            let given_up = loader.given_up.take();
            let over = given_up.as_ref().or(ended.as_ref().map(|(table, _)| table));
            if let (Some(missing), Some(table)) = (&mut missing, over) {
                missing.remove(table);
                // Nothing that is wanted can come any more.
                if missing.is_empty() && (given_up.is_some() || !is_sum_behind) {
                    break 'file;
                }
            }
        }
        match end {
            None | Some(Chunk::Text(_)) => {}
            Some(Chunk::EndOfRanges) => {
                reader.finish_part().map_err(|e| about(&e))?;
                break;
            }
            Some(Chunk::End { sha256 }) => {
                // First the content: "cut off" says more than "the sum is wrong".
                reader.finish().map_err(|e| about(&e))?;
                if let (Some(expected), Some(found)) = (expected_sha256, sha256)
                    && expected != found
                {
                    return Err(about(&format!(
                        "its SHA-256 is {found}, the manifest of the set says {expected}: it was changed after the dump"
                    )));
                }
                break;
            }
        }
    }
    loader.telling.all_loaded().await;
    loader.targets.close(Side::Segment).await;
    loader.targets.close(Side::Master).await;
    Ok(loader.totals)
}

impl Shared {
    /// The tables to be loaded when it is not all of them.
    fn wanted(&self, file: &RestoreFile) -> Option<Wanted> {
        let chosen = file.only.and_then(|choice| self.choices.get(choice));
        if self.start.default_route != LoadRoute::Skip {
            return chosen.cloned().map(Wanted::Listed);
        }
        let is_wanted = |table: &QualifiedName, route: LoadRoute| {
            let is_chosen = file.only.is_none() || chosen.is_some_and(|names| names.contains(&table.to_string()));
            route != LoadRoute::Skip && is_chosen
        };
        let wanted = self.routes.iter().filter(|(table, route)| is_wanted(table, **route));
        Some(Wanted::These(wanted.map(|(table, _)| table.clone()).collect()))
    }
}

/// Without an index, or with one that does not fit, the file is read from its beginning.
async fn ranges_of(shared: &Shared, file: &RestoreFile, wanted: &Wanted) -> Option<TableRanges> {
    let (path, index, sha256) = (file.path.clone(), file.index.clone(), file.sha256.clone());
    let (wanted, files) = (wanted.clone(), shared.files.clone());
    let found =
        tokio::task::spawn_blocking(move || table_ranges::find(&files, &path, &index, sha256.as_deref(), &wanted));
    let error = match found.await {
        Ok(Ok(ranges)) => return ranges,
        Ok(Err(error)) => error,
        Err(panic) => panic.to_string(),
    };
    let text = format!(
        "index \"{}\" cannot be used, so all of the data file is read: {error}",
        file.index.display()
    );
    let _ = shared
        .events
        .send(Event::Log {
            level: LogLevel::Warning,
            text,
        })
        .await;
    None
}

enum Current {
    Nothing,
    /// The head of a block was read and no row yet.
    Waiting(CopyBlock, Side),
    Loading {
        table: QualifiedName,
        sink: Pin<Box<CopyInSink<Bytes>>>,
        side: Side,
        /// Errors that the session had told when the COPY began.
        errors: u64,
    },
    /// A table without columns: no COPY brings its rows back.
    Columnless {
        table: QualifiedName,
        side: Side,
    },
    /// The rest of the block is passed over.
    Skipping,
}

struct Loader<'a> {
    shared: &'a Shared,
    file: RestoreFile,
    encoding: String,
    targets: Targets<'a>,
    telling: Telling,
    current: Current,
    /// The table whose block is passed over.
    unlisted: Option<QualifiedName>,
    /// The table whose rows are passed over since the server refused one, until it is asked for.
    given_up: Option<QualifiedName>,
    totals: FileTotals,
}

impl Loader<'_> {
    async fn take(&mut self, event: DataEvent) -> Result<(), String> {
        match event {
            DataEvent::Encoding(name) => self.encoding = name,
            DataEvent::Begin(block) => {
                self.unlisted = None;
                self.current = match self.side_of(&block.table) {
                    Some(side) => Current::Waiting(block, side),
                    None => {
                        self.unlisted = Some(block.table).filter(|_| self.file.list.is_some());
                        Current::Skipping
                    }
                };
            }
            DataEvent::Rows(rows) => return self.rows(rows).await,
            DataEvent::End(totals) => return self.end(totals).await,
            DataEvent::Statement { text, .. } => {
                let text: String = String::from_utf8_lossy(&text).chars().take(120).collect();
                return Err(format!(
                    "data file \"{}\" holds a statement that brings no rows (\"{text}\"), which this program does not run",
                    self.file.path.display()
                ));
            }
        }
        Ok(())
    }

    fn route_of(&self, table: &QualifiedName) -> LoadRoute {
        let routes = &self.shared.routes;
        routes.get(table).copied().unwrap_or(self.shared.start.default_route)
    }

    /// Whether this file is the one to take the rows of a table from.
    fn is_chosen(&self, table: &QualifiedName) -> bool {
        let choices = &self.shared.choices;
        let chosen = |at: usize| choices.get(at).is_some_and(|names| names.contains(&table.to_string()));
        self.file.only.is_none_or(chosen)
    }

    fn may_use_master(&self, table: &QualifiedName) -> bool {
        self.route_of(table) == LoadRoute::DirectOrMaster
    }

    /// Where the rows of a table go; `None` when not anywhere.
    fn side_of(&self, table: &QualifiedName) -> Option<Side> {
        if !self.is_chosen(table) {
            return None;
        }
        match self.route_of(table) {
            LoadRoute::Direct | LoadRoute::DirectOrMaster if self.targets.has_segment() => Some(Side::Segment),
            LoadRoute::Direct | LoadRoute::DirectOrMaster | LoadRoute::ThroughMaster => Some(Side::Master),
            LoadRoute::OnceThroughMaster => self.file.loads_copies.then_some(Side::Master),
            LoadRoute::Skip => None,
        }
    }

    async fn rows(&mut self, rows: Bytes) -> Result<(), String> {
        if let (Some(table), Some(list)) = (&self.unlisted, &self.file.list)
            && !self.is_chosen(table)
        {
            return Err(format!(
                "data file \"{}\" has rows of table {table}, and {list} does not name it: the list is damaged",
                self.file.path.display()
            ));
        }
        if let Current::Waiting(..) = self.current {
            let Current::Waiting(block, side) = std::mem::replace(&mut self.current, Current::Skipping) else {
                unreachable!("it was just looked at");
            };
            // Files name the columns wherever there are any; only a row without a value is an empty line.
            let is_columnless = match &block.columns {
                Some(columns) => columns.is_empty(),
                None => !block.with_oids && rows.iter().all(|b| *b == b'\n'),
            };
            match is_columnless {
                true => {
                    self.current = Current::Columnless {
                        table: block.table,
                        side,
                    }
                }
                false => self.begin(block, side).await?,
            }
        }
        if let Current::Columnless { table, side } = &self.current {
            let (table, side) = (table.clone(), *side);
            return self.columnless_rows(table, side, rows.len()).await;
        }
        if let Current::Loading {
            table,
            sink,
            side,
            errors,
        } = &mut self.current
        {
            let open = self.targets.get(*side, table)?;
            if open.session.errors_told() != *errors {
                return self.give_up_table().await;
            }
            let doing = format!("loading table {table} from \"{}\"", self.file.path.display());
            let sent = open.session.watch(&doing, sink.send(rows)).await;
            if sent.map_err(|error| error_and_hint(&error))?.is_err() {
                // The driver only says "closed" here; what the server said comes with the end of the COPY, if it lives.
                let (table, side) = (table.clone(), *side);
                return Err(self.broken(side, &table));
            }
        }
        Ok(())
    }

    fn copy_statement(&self, block: &CopyBlock) -> String {
        copy_statement(block, &self.target_table(&block.table))
    }

    /// Where the rows of a table go.
    fn target_table(&self, table: &QualifiedName) -> QualifiedName {
        match &self.shared.start.schema {
            Some(schema) => QualifiedName::new(schema, &table.name),
            None => table.clone(),
        }
    }

    async fn columnless_rows(&mut self, table: QualifiedName, side: Side, rows: usize) -> Result<(), String> {
        let doing = format!("loading table {table} from \"{}\"", self.file.path.display());
        let target = self.target_table(&table);
        let open = self.targets.open(side, &doing).await?;
        let mut left = rows;
        while left > 0 {
            let now = left.min(ROWS_PER_STATEMENT);
            left -= now;
            let sql = segment_data::insert_default_rows(&target, now);
            match open.session.run(&sql, &doing).await {
                Ok(()) => {}
                Err(error) if error.code().is_some() => {
                    self.current = Current::Skipping;
                    return self.refused(table, error_chain(&error)).await;
                }
                Err(error) => return Err(error_chain(&error)),
            }
        }
        Ok(())
    }

    /// Whether the rows of a table may and can go straight into the segment.
    async fn segment_takes(&mut self, block: &CopyBlock) -> Result<bool, String> {
        let doing = format!("trying to load table {}", block.table);
        let statement = self.copy_statement(block);
        let target = self.target_table(&block.table);
        let dialect = &self.shared.start.dialect;
        let open = self.targets.open(Side::Segment, &doing).await?;
        if matches!(open.rows, Some((_, RowEncoding::Switch(_)))) {
            // Whoever copies next sets it again.
            let back = open.session.run("SET client_encoding TO 'UTF8'", &doing).await;
            back.map_err(|error| error_chain(&error))?;
        }
        let columns = block.columns.as_deref();
        let load = segment_load::look(&open.session, dialect, &target, columns).await;
        let load = load.map_err(|error| error_chain(&error))?;
        if !load.needs_master_for.is_empty() {
            let why = load.needs_master_for.join(", ");
            let text = format!("table {target} is loaded through the master for its {why}");
            self.telling.debug(text).await;
            return Ok(false);
        }
        if !load.has_children {
            return Ok(true);
        }
        // Some servers say only behind the first rows that they take none: so this asks with none at all.
        let rows = open.rows.as_ref().map_or(&RowEncoding::AsSession, |(_, rows)| rows);
        let refused = match copy::copy_in(&open.session, rows, &statement, &doing).await {
            Ok(sink) => {
                let mut sink = Box::pin(sink);
                let finished = open.session.watch(&doing, sink.as_mut().finish()).await;
                let finished = finished.map_err(|error| error_and_hint(&error))?;
                finished.err().map(|error| open.session.error(error, &doing))
            }
            Err(error) => Some(error),
        };
        let Some(error) = refused else {
            return Ok(true);
        };
        self.targets.close(Side::Segment).await;
        // feature_not_supported; whatever else it is, the rows will meet it again.
        Ok(error.code() != Some("0A000"))
    }

    async fn begin(&mut self, block: CopyBlock, side: Side) -> Result<(), String> {
        let side = match side {
            Side::Segment if self.may_use_master(&block.table) && !self.segment_takes(&block).await? => Side::Master,
            side => side,
        };
        let doing = format!("loading table {} from \"{}\"", block.table, self.file.path.display());
        let encoding = self.encoding.clone();
        let with_oids_gone = block.with_oids && self.shared.start.dialect.pg_version.0 >= 120_000;
        let statement = self.copy_statement(&block);
        let open = self.targets.open(side, &doing).await?;
        if with_oids_gone {
            let message = format!("{doing}: its rows begin with object ids, which this server does not have");
            return self.refused(block.table, message).await;
        }
        if open.rows.as_ref().is_none_or(|(name, _)| *name != encoding) {
            match RowEncoding::prepare(&open.session, &encoding).await {
                Ok(rows) => open.rows = Some((encoding.clone(), rows)),
                Err(error) => return Err(format!("{doing}: {}", error_chain(&error))),
            }
        }
        let rows = open.rows.as_ref().map_or(&RowEncoding::AsSession, |(_, rows)| rows);
        match copy::copy_in(&open.session, rows, &statement, &doing).await {
            Ok(sink) => {
                self.current = Current::Loading {
                    table: block.table,
                    sink: Box::pin(sink),
                    side,
                    errors: open.session.errors_told(),
                };
                Ok(())
            }
            Err(error) if error.code().is_some() => {
                self.targets.close(side).await;
                self.refused(block.table, error_chain(&error)).await
            }
            Err(error) => Err(error_chain(&error)),
        }
    }

    async fn end(&mut self, totals: TableTotals) -> Result<(), String> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Waiting(block, _) => self.count(block.table, totals).await,
            Current::Columnless { table, .. } => self.count(table, totals).await,
            Current::Loading {
                table, mut sink, side, ..
            } => {
                let doing = format!("loading table {table} from \"{}\"", self.file.path.display());
                let open = self.targets.get(side, &table)?;
                let finished = {
                    let mut finishing = std::pin::pin!(open.session.watch(&doing, sink.as_mut().finish()));
                    match tokio::time::timeout(PROGRESS_EVERY, finishing.as_mut()).await {
                        Ok(finished) => finished,
                        Err(_) => {
                            // This may take long: what is in is told before it.
                            self.telling.all_loaded().await;
                            finishing.await
                        }
                    }
                };
                match finished.map_err(|error| error_and_hint(&error))? {
                    Ok(rows) if rows == totals.rows => self.count(table, totals).await,
                    Ok(rows) => {
                        let message = format!(
                            "loading table {table} from \"{}\": {} counted {rows} rows, the file has {}",
                            self.file.path.display(),
                            open.session.whom(),
                            totals.rows
                        );
                        self.telling.failed(table, TableTrouble::RowCount, message).await;
                        Ok(())
                    }
                    Err(error) => self.copy_failed(table, side, error, &doing).await,
                }
            }
            Current::Skipping | Current::Nothing => Ok(()),
        }
    }

    /// The server has refused a row, and throws away what comes behind it: it is passed over here.
    async fn give_up_table(&mut self) -> Result<(), String> {
        let Current::Loading {
            table, mut sink, side, ..
        } = std::mem::replace(&mut self.current, Current::Skipping)
        else {
            return Ok(());
        };
        let doing = format!("loading table {table} from \"{}\"", self.file.path.display());
        let open = self.targets.get(side, &table)?;
        let finished = open.session.watch(&doing, sink.as_mut().finish()).await;
        match finished.map_err(|error| error_and_hint(&error))? {
            Err(error) => {
                self.given_up = Some(table.clone());
                self.copy_failed(table, side, error, &doing).await
            }
            Ok(rows) => Err(format!(
                "{doing}: {} told an error ({}) and took {rows} rows all the same",
                open.session.whom(),
                open.session.last_error_told().unwrap_or_default(),
            )),
        }
    }

    async fn copy_failed(
        &mut self,
        table: QualifiedName,
        side: Side,
        error: tokio_postgres::Error,
        doing: &str,
    ) -> Result<(), String> {
        let open = self.targets.get(side, &table)?;
        // The driver lets go of the answer when the connection ends with it.
        if error.is_closed() {
            return Err(self.broken(side, &table));
        }
        let error = open.session.error(error, doing);
        // The server says "the rest of this session is over" with FATAL errors: the session closes.
        if error.code().is_none() || !open.session.is_open() {
            return Err(error_chain(&error));
        }
        self.targets.close(side).await;
        self.refused(table, error_chain(&error)).await
    }

    async fn count(&mut self, table: QualifiedName, totals: TableTotals) -> Result<(), String> {
        self.totals.tables += 1;
        self.totals.rows += totals.rows;
        self.totals.bytes += totals.bytes;
        self.telling.loaded(table, totals.rows).await;
        Ok(())
    }

    async fn refused(&mut self, table: QualifiedName, message: String) -> Result<(), String> {
        self.telling.failed(table, TableTrouble::Refused, message).await;
        Ok(())
    }

    fn broken(&self, side: Side, table: &QualifiedName) -> String {
        self.targets.broken(side, table, &self.file.path)
    }
}

/// Our own statement: the file's may rely on a search path, and its text is in the file's encoding.
fn copy_statement(block: &CopyBlock, table: &QualifiedName) -> String {
    if !block.with_oids {
        return copy::copy_in_statement(table, block.columns.as_deref());
    }
    // `copy_in_statement` cannot say it, and the old form is known to all servers that have object ids.
    let columns: Vec<String> = block.columns.iter().flatten().map(|c| quote_ident(c)).collect();
    let columns = if columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", columns.join(", "))
    };
    format!("COPY {}{columns} FROM STDIN WITH OIDS", table.sql())
}
