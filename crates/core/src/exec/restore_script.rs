//! Runs a DDL file of a set on the master, statement by statement, in one session.
//!
//! An error does not stop it: the statement's entry is named and the next one is run, as psql would. What psql would do
//! beyond SQL (`\connect`, `\!`) is never done.

mod is_there;

use std::collections::{BTreeMap, BTreeSet};

use crate::db::{Error, Session, error_chain};
use crate::format::ddl_split::choose::host_of;
use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, EntryKind, Setting};
use crate::plan::translate::not_restored::NotRestored;
use crate::plan::translate::relation_of;
use crate::words::names::{QualifiedName, quote_ident};
use crate::words::refusal::Refusal;

/// What a script is run for.
#[derive(Debug, Clone, Copy)]
pub struct ScriptContext<'a> {
    /// How messages call the file.
    pub file: &'a str,
    /// The database that the set was made of, and the one that it is restored into.
    pub set_database: &'a str,
    pub target_database: &'a str,
    /// What text is in where the file itself says SQL_ASCII: the originals' post-data file says so always.
    pub fallback_encoding: &'a str,
    /// The database was made in this run: what a file drops in front of its entries cannot be there.
    pub fresh: bool,
    /// Only a part of the set is restored: what the database has stays as it is.
    pub partial: bool,
    /// The set is one of chosen tables: what it makes for them, a database that has such tables has already.
    pub filtered_set: bool,
    /// The restore is gone on with: what is there was made by it, but for these relations and what is attached to them.
    pub goes_on: Option<&'a BTreeSet<QualifiedName>>,
    /// Nothing is run behind an error.
    pub stops: bool,
    pub batches: Batches,
}

/// Whether statements go to the server several at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// One by one: each may take long, and none should have to be done twice.
    No,
    /// Together in one transaction; when one fails, all of that batch are run again one by one. Saves a round trip, and
    /// on a cluster a commit on every segment, for each statement.
    Yes,
}

/// Most statements, and most bytes, of one batch.
const BATCH_STATEMENTS: usize = 100;
const BATCH_BYTES: usize = 256 << 10;

/// How it went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// One sentence for each statement that the server refused.
    pub errors: Vec<String>,
    /// Tables that were there already.
    pub existing_tables: BTreeSet<QualifiedName>,
    pub statements: u64,
    /// What the server refused to make.
    pub not_restored: Vec<NotRestored>,
    /// Tables that are not there, or not whole.
    pub failed_tables: BTreeSet<QualifiedName>,
}

impl ScriptOutcome {
    /// Takes in what came of another part.
    pub fn add(&mut self, part: ScriptOutcome) {
        self.errors.extend(part.errors);
        self.existing_tables.extend(part.existing_tables);
        self.statements += part.statements;
        self.not_restored.extend(part.not_restored);
        self.failed_tables.extend(part.failed_tables);
    }
}

/// The encoding that a script says that it is in.
pub fn encoding_of(script: &Script) -> Option<String> {
    script.items().find_map(|item| match item {
        Item::Statement { text, .. } => client_encoding(text),
        _ => None,
    })
}

/// Runs all of a script. Fails only when the session breaks.
pub async fn run_script(
    session: &Session,
    script: &Script<'_>,
    context: ScriptContext<'_>,
) -> Result<ScriptOutcome, Refusal> {
    let mut runner = Runner {
        session,
        script,
        context,
        encoding: "UTF8".to_owned(),
        pending: Vec::new(),
        passed_over: None,
        missing_entry: None,
        missing: BTreeMap::new(),
        outcome: ScriptOutcome::default(),
    };
    for (at, item) in script.items().enumerate() {
        if !(context.fresh && is_for_drops(script, at, &item)) {
            runner.item(item).await?;
        }
        if context.stops && !runner.outcome.errors.is_empty() {
            return Ok(runner.outcome);
        }
    }
    runner.flush().await?;
    Ok(runner.outcome)
}

/// Whether a piece is one of the drops in front of all entries, or a setting for them: a schema that is not there yet may
/// not be set. But what the first entry relies on stays, when that lies in a schema: then its schema is there.
fn is_for_drops(script: &Script, at: usize, item: &Item<'_>) -> bool {
    let drops = script.toc().drops.as_ref();
    if !drops.is_some_and(|drops| drops.pieces.contains(&at)) {
        return false;
    }
    let first = script.entries().first().filter(|entry| entry.schema.is_some());
    let relied_on = |entry: &Entry| {
        Setting::ALL
            .iter()
            .any(|one| entry.state.get(*one) == Some(item.span()))
    };
    !first.is_some_and(relied_on)
}

struct Runner<'a> {
    session: &'a Session,
    script: &'a Script<'a>,
    context: ScriptContext<'a>,
    encoding: String,
    pending: Vec<(String, Option<&'a Entry>)>,
    /// Header of the entry that was found to be there already.
    passed_over: Option<usize>,
    /// Header of the entry that could not be made last, and relations that could not be, each with its place in
    /// [`ScriptOutcome::not_restored`].
    missing_entry: Option<(usize, usize)>,
    missing: BTreeMap<QualifiedName, usize>,
    outcome: ScriptOutcome,
}

impl<'a> Runner<'a> {
    async fn item(&mut self, item: Item<'_>) -> Result<(), Refusal> {
        let entry = item.entry().and_then(|at| self.script.entries().get(at));
        match item {
            Item::Statement { text, .. } => self.statement(text, entry).await,
            Item::CopyBlock { rows: 0, .. } => Ok(()),
            Item::CopyBlock { rows, .. } => {
                // The master has no rows; a set that says otherwise was not written by any tool we know.
                let message = format!(
                    "{}: {rows} rows stand in the file of the master and were not loaded",
                    self.name_of(entry)
                );
                self.outcome.errors.push(message);
                Ok(())
            }
            Item::MetaCommand { text, .. } => {
                let text = String::from_utf8_lossy(text);
                let harmless = text.starts_with("\\restrict ") || text.starts_with("\\unrestrict ");
                if !harmless {
                    tracing::warn!(
                        "{}: the line \"{}\" is a command for psql and was passed over",
                        self.context.file,
                        text.trim_end()
                    );
                }
                Ok(())
            }
        }
    }

    async fn statement(&mut self, bytes: &[u8], entry: Option<&'a Entry>) -> Result<(), Refusal> {
        if let Some(encoding) = client_encoding(bytes) {
            // Our side of the session is UTF-8 always: only the text of the file is in that encoding.
            self.encoding = encoding;
            return Ok(());
        }
        let text = match self.decode(bytes).await {
            Ok(text) => text,
            Err(message) => {
                self.outcome.errors.push(format!("{}: {message}", self.name_of(entry)));
                return Ok(());
            }
        };
        let text = match self.for_target(&text) {
            Some(renamed) => renamed,
            None => text,
        };
        if entry.is_none() && is_drop(&text) && self.context.fresh {
            return Ok(());
        }
        if self.context.batches == Batches::No || ends_transaction(&text) {
            self.flush().await?;
            return self.run_one(&text, entry).await;
        }
        let bytes: usize = self.pending.iter().map(|(text, _)| text.len()).sum();
        if self.pending.len() >= BATCH_STATEMENTS || bytes + text.len() > BATCH_BYTES {
            self.flush().await?;
        }
        self.pending.push((text, entry));
        Ok(())
    }

    /// Runs what has been put together.
    async fn flush(&mut self) -> Result<(), Refusal> {
        let pending = std::mem::take(&mut self.pending);
        if pending.len() > 1 {
            // Several statements in one message are one transaction. A line end keeps a comment at the end of one from
            // swallowing the next.
            let texts: Vec<&str> = pending.iter().map(|(text, _)| text.as_str()).collect();
            match self.session.run(&texts.join("\n;\n"), "running statements").await {
                Ok(()) => {
                    self.outcome.statements += pending.len() as u64;
                    return Ok(());
                }
                Err(error) if error.code().is_none() || !self.session.is_open() => {
                    return Err(Refusal::failed(error_chain(&error)));
                }
                // All of them were undone; one by one, the one to blame is named and the others go in.
                Err(error) => tracing::debug!("{} statements are run again, one by one: {error}", pending.len()),
            }
        }
        for (text, entry) in &pending {
            self.run_one(text, *entry).await?;
            if self.context.stops && !self.outcome.errors.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn run_one(&mut self, text: &str, entry: Option<&Entry>) -> Result<(), Refusal> {
        let entry_at = entry.map(|entry| entry.span.start);
        if entry_at.is_some() && entry_at == self.passed_over {
            return Ok(());
        }
        self.outcome.statements += 1;
        let doing = format!("running {}", self.name_of(entry));
        let mut result = self.session.run(text, &doing).await;
        if entry.is_none()
            && is_drop(text)
            && let Err(error) = &result
            && error.code() == Some("42601")
        {
            // Before 9.0 a constraint cannot be dropped IF EXISTS.
            let plain = text.replacen(" DROP CONSTRAINT IF EXISTS ", " DROP CONSTRAINT ", 1);
            result = self.session.run(&plain, &doing).await;
        }
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.code().is_none() || !self.session.is_open() => {
                Err(Refusal::failed(error_chain(&error)))
            }
            Err(error) if is_there::says_nothing_new(self.session, text, error.code().unwrap_or_default()).await => {
                tracing::debug!("Passed over: {error}");
                Ok(())
            }
            Err(error) => {
                if self.context.filtered_set
                    && let Some(entry) = entry
                    && is_there::same(self.session, entry, text, error.code().unwrap_or_default()).await
                {
                    tracing::info!("{}: it exists and stays as it is", self.name_of(Some(entry)));
                    self.passed_over = Some(entry.span.start);
                    return Ok(());
                }
                match self.is_of_missing(text, entry, error.code().unwrap_or_default()) {
                    Some(at) => self.also_missing(at, text),
                    None => self.refused(text, entry, &error),
                }
                Ok(())
            }
        }
    }

    /// The place, among what could not be made, of that which a statement needs: then its failure says nothing new.
    fn is_of_missing(&self, text: &str, entry: Option<&Entry>, code: &str) -> Option<usize> {
        let entry = entry?;
        if let Some((span, at)) = self.missing_entry
            && span == entry.span.start
        {
            return Some(at);
        }
        // Names that are not there: table, function, object, column, schema.
        if !matches!(code, "42P01" | "42883" | "42704" | "42703" | "3F000") {
            return None;
        }
        let about = match host_of(self.script, entry) {
            Some(host) => Some(QualifiedName::new(host.object.schema, host.object.name)),
            None => relation_of(text, entry),
        };
        self.missing.get(&about?).copied()
    }

    fn also_missing(&mut self, at: usize, text: &str) {
        tracing::debug!("Passed over, because what it is about is not there: {text}");
        if let Some(item) = self.outcome.not_restored.get_mut(at) {
            item.sql.push_str(&format!("\n{text};"));
        }
    }

    /// Whether a refused statement says again what the same restore has said before it was broken off. What follows in the
    /// entry (owner, rights) may not have been said.
    fn was_made_before(&self, text: &str, entry: Option<&Entry>, code: &str) -> bool {
        let (Some(there), Some(entry)) = (self.context.goes_on, entry) else {
            return false;
        };
        let own = entry.schema.as_ref().map(|s| QualifiedName::new(s, &entry.name));
        let host = host_of(self.script, entry).map(|host| QualifiedName::new(host.object.schema, host.object.name));
        let was_there = own.into_iter().chain(host).any(|name| there.contains(&name));
        !was_there && says_again(text, code)
    }

    fn refused(&mut self, text: &str, entry: Option<&Entry>, error: &Error) {
        let code = error.code().unwrap_or_default();
        if self.was_made_before(text, entry, code) {
            tracing::debug!("Made before: {}", self.name_of(entry));
            return;
        }
        let message = match error {
            // Which server and which file is plain from where the line stands; the entry is not.
            Error::Statement { message, .. } => format!("{}: {message}", self.name_of(entry)),
            other => error_chain(other),
        };
        let may_be_there = |entry: &Entry| {
            self.context.partial
                || (entry.kind == EntryKind::Schema && entry.name != "public")
                || (self.context.filtered_set && is_for_others(&entry.kind))
        };
        let is_there = is_already_there(code) && entry.is_some_and(may_be_there);
        if is_there {
            self.passed_over = entry.map(|entry| entry.span.start);
        }
        match is_there || expected(text, entry, code) {
            true => tracing::debug!("Passed over: {message}"),
            false => {
                if code == "42P07"
                    && let Some(entry) = entry
                    && matches!(entry.kind, EntryKind::Table)
                    && let Some(schema) = &entry.schema
                {
                    self.outcome
                        .existing_tables
                        .insert(QualifiedName::new(schema, &entry.name));
                } else if let Some(entry) = entry {
                    let table = match (&entry.kind, &entry.schema) {
                        (EntryKind::Table, Some(schema)) => Some(QualifiedName::new(schema, &entry.name)),
                        _ => host_of(self.script, entry)
                            .map(|host| QualifiedName::new(host.object.schema, host.object.name)),
                    };
                    self.outcome.failed_tables.extend(table);
                }
                self.keep_for_later(text, entry, &message);
                self.outcome.errors.push(message);
            }
        }
    }

    fn keep_for_later(&mut self, text: &str, entry: Option<&Entry>, message: &str) {
        let what = self.name_of(entry);
        let why = message.strip_prefix(&format!("{what}: ")).unwrap_or(message);
        let path = entry.and_then(|entry| entry.state.get(Setting::SearchPath));
        self.outcome.not_restored.push(NotRestored {
            why: vec![why.to_owned()],
            search_path: path.map(|span| String::from_utf8_lossy(span.of(self.script.text())).into_owned()),
            sql: format!("{text};"),
            what,
        });
        let at = self.outcome.not_restored.len() - 1;
        let Some(entry) = entry.filter(|_| text.starts_with("CREATE ")) else {
            return;
        };
        self.missing_entry = Some((entry.span.start, at));
        if entry.kind.is_relation()
            && let Some(schema) = &entry.schema
        {
            self.missing.insert(QualifiedName::new(schema, &entry.name), at);
        }
    }

    fn name_of(&self, entry: Option<&Entry>) -> String {
        match entry {
            None => format!("statement outside of all entries of {}", self.context.file),
            Some(Entry {
                kind,
                name,
                schema: Some(schema),
                ..
            }) => format!("{kind} {schema}.{name}"),
            Some(Entry { kind, name, .. }) => format!("{kind} {name}"),
        }
    }

    /// `COMMENT ON DATABASE x` names the database that was dumped.
    fn for_target(&self, text: &str) -> Option<String> {
        let (set, target) = (self.context.set_database, self.context.target_database);
        let rest = text.strip_prefix("COMMENT ON DATABASE ")?;
        let rest = rest
            .strip_prefix(set)
            .or_else(|| rest.strip_prefix(&quote_ident(set)))?;
        (set != target && rest.starts_with(' ')).then(|| format!("COMMENT ON DATABASE {}{rest}", quote_ident(target)))
    }

    /// The text of a statement as UTF-8; where it is in an encoding that we do not read ourselves, the server converts.
    async fn decode(&self, bytes: &[u8]) -> Result<String, String> {
        let encoding = match self.encoding.to_ascii_uppercase().as_str() {
            "SQL_ASCII" => self.context.fallback_encoding.to_owned(),
            other => other.to_owned(),
        };
        let own = ["UTF8", "UTF-8", "UNICODE", "SQL_ASCII"].contains(&encoding.as_str());
        if (own || bytes.is_ascii())
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return Ok(text.to_owned());
        }
        if encoding == "LATIN1" {
            return Ok(bytes.iter().map(|byte| char::from(*byte)).collect());
        }
        if own {
            return Err(format!("its text is not valid in encoding {encoding} and was not run"));
        }
        let sql = format!(
            "SELECT pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), '{}')",
            crate::worker::hex(bytes),
            encoding.replace('\'', "")
        );
        match self.session.one(&sql, "converting a statement").await {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err("the server converted it to nothing".to_owned()),
            Err(error) => Err(format!(
                "it could not be converted and was not run: {}",
                error_chain(&error)
            )),
        }
    }
}

/// duplicate_table, duplicate_object, duplicate_function, duplicate_schema
fn is_already_there(code: &str) -> bool {
    matches!(code, "42P07" | "42710" | "42723" | "42P06")
}

/// The errors of a statement that was run already. Beside the usual ones: a second primary key, column, partition, large
/// object.
fn says_again(text: &str, code: &str) -> bool {
    match code {
        "42P16" => text.contains(" ADD CONSTRAINT ") && text.contains(" PRIMARY KEY"),
        "42701" => true,
        "42809" => text.contains(" ATTACH PARTITION "),
        "23505" => text.contains("lo_create("),
        other => is_already_there(other),
    }
}

/// What dumps of chosen tables hold because the tables need it, and not because anybody asked for it. Types are looked at
/// more closely: one of another kind, or a table of that name, is not what the tables need.
fn is_for_others(kind: &EntryKind) -> bool {
    use EntryKind as Kind;
    matches!(
        kind,
        Kind::AccessMethod
            | Kind::Aggregate
            | Kind::Cast
            | Kind::Collation
            | Kind::Conversion
            | Kind::Extension
            | Kind::ForeignDataWrapper
            | Kind::Function
            | Kind::Operator
            | Kind::OperatorClass
            | Kind::OperatorFamily
            | Kind::ProceduralLanguage
            | Kind::Procedure
            | Kind::Protocol
            | Kind::Server
            | Kind::ShellType
            | Kind::TextSearchConfiguration
            | Kind::TextSearchDictionary
            | Kind::TextSearchParser
            | Kind::TextSearchTemplate
            | Kind::Transform
    )
}

/// Errors that a sound set meets on a sound server.
fn expected(text: &str, entry: Option<&Entry>, code: &str) -> bool {
    let begins = |words: &str| {
        text.get(..words.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(words))
    };
    // A setting that another version has, unless it says something that this server cannot do.
    let means_something = ["SET SESSION AUTHORIZATION", "SET search_path", "SET default_tablespace"]
        .into_iter()
        .any(begins)
        || (begins("SET default_with_oids") && text.ends_with("true"));
    let foreign_setting = begins("SET ") && !means_something && matches!(code, "42704" | "22023" | "0A000" | "42601");
    // Every database of Greenplum 6 and later, and of PostgreSQL, is born with it.
    let language = entry.is_some_and(|e| e.kind == EntryKind::ProceduralLanguage) && code == "42710";
    // 4.3 writes them without IF EXISTS.
    let drop = entry.is_none() && is_drop(text) && matches!(code, "42704" | "42P01" | "42883" | "3F000");
    // The schema that every database is born with; its owner and grants are the set's all the same.
    let public = entry.is_some_and(|e| e.kind == EntryKind::Schema && e.name == "public") && code == "42P06";
    foreign_setting || language || public || drop
}

/// What stands in front of the entries of a file so that it can be run again.
fn is_drop(text: &str) -> bool {
    let begins = |words: &str| {
        text.get(..words.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(words))
    };
    begins("DROP ")
        || begins("SELECT pg_temp.drop_table_constraint_only_if_exists(")
        || (begins("ALTER TABLE ") && (text.contains(" DROP CONSTRAINT ") || text.ends_with(" DROP DEFAULT")))
}

/// Statements about transactions are no part of one: old sets wrap large objects in their own.
fn ends_transaction(text: &str) -> bool {
    ["BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION"]
        .into_iter()
        .any(|words| {
            text.get(..words.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(words))
        })
}

/// The value of a `SET client_encoding` statement.
fn client_encoding(statement: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(statement).ok()?;
    let rest = text.strip_prefix("SET client_encoding")?.trim_start();
    let value = rest.strip_prefix('=').or_else(|| rest.strip_prefix("TO "))?;
    Some(value.trim().trim_matches('\'').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_mean_nothing_may_fail() {
        assert!(expected("SET gp_default_storage_options = 'x'", None, "42704"));
        assert!(expected("SET default_with_oids = false", None, "42704"));
        assert!(!expected("SET default_with_oids = true", None, "22023"));
        assert!(!expected("SET default_tablespace = 'fast'", None, "22023"));
        assert!(!expected("CREATE TABLE t (a int)", None, "42P07"));
        assert!(expected("DROP INDEX s.i", None, "42704"));
    }

    #[test]
    fn a_search_path_among_the_drops_stays_when_the_first_entry_relies_on_it() {
        // As our own dump of a Greenplum 5 has it: the last drop and the first entry are of one schema.
        let text = "SET client_encoding = 'UTF8';\n\nSET search_path = s, pg_catalog;\n\nDROP INDEX IF EXISTS s.i;\nSET \
                    search_path = x, pg_catalog;\n\nDROP INDEX IF EXISTS x.b;\n\nSET default_tablespace = '';\n\n--\n-- Name: b; \
                    Type: INDEX; Schema: x; Owner: o; Tablespace: \n--\n\nCREATE INDEX b ON t USING bitmap (id);\n";
        let script = Script::parse(text.as_bytes()).unwrap();
        let run: Vec<&[u8]> = script
            .items()
            .enumerate()
            .filter(|(at, item)| !is_for_drops(&script, *at, item))
            .map(|(_, item)| item.span().of(script.text()))
            .collect();
        let run: Vec<&str> = run.into_iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!(
            run,
            [
                "SET client_encoding = 'UTF8';",
                "SET search_path = x, pg_catalog;",
                "SET default_tablespace = '';",
                "CREATE INDEX b ON t USING bitmap (id);"
            ]
        );
    }

    #[test]
    fn only_what_a_second_run_of_a_statement_meets_counts_as_made_before() {
        assert!(says_again("CREATE TABLE t ()", "42P07"));
        assert!(says_again(
            "ALTER TABLE ONLY t ADD CONSTRAINT p PRIMARY KEY (a)",
            "42P16"
        ));
        assert!(says_again("ALTER TABLE ONLY t ATTACH PARTITION u DEFAULT", "42809"));
        assert!(!says_again("ALTER TABLE t INHERIT u", "42809"));
        assert!(!says_again("CREATE UNIQUE INDEX i ON t (a)", "23505"));
        assert!(!says_again("CREATE TABLE t ()", "42601"));
    }

    #[test]
    fn the_encoding_of_a_script_is_read() {
        assert_eq!(
            client_encoding(b"SET client_encoding = 'LATIN1'").as_deref(),
            Some("LATIN1")
        );
        assert_eq!(client_encoding(b"SET client_min_messages = warning"), None);
    }
}
