//! The entries of a dump file: what each defines, where it stands, and under which settings.
//!
//! ```text
//! SET search_path = s1, pg_catalog;                       settings of the next entry: state, kept until changed
//!
//! --
//! -- Name: t; Type: TABLE; Schema: s1; Owner: gpadmin; Tablespace:
//! --
//!
//! CREATE TABLE t ( a integer );
//!
//!
//! ALTER TABLE s1.t OWNER TO gpadmin;
//! ```
//!
//! Reads the plain text of pg_dump (8.3 to 18, Greenplum 4.3 to 7) and of gp_dump. The text is cut into statements first, so
//! that lines which only look like a header, in function bodies, comments or rows, are not taken for one.

mod dash;
mod header;
mod kind;

use std::ops::Range;

use super::sql_script::Item;
use super::sql_script::lexer::{Chunk, LexError, Lexer, Span};
use super::sql_script::tokens::Tokens;

pub use kind::EntryKind;

/// A setting that pg_dump changes between entries and expects to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    SessionAuthorization,
    SearchPath,
    DefaultTablespace,
    DefaultWithOids,
    DefaultTableAccessMethod,
}

impl Setting {
    /// In the order in which pg_dump prints them.
    pub const ALL: [Setting; 5] = [
        Setting::SessionAuthorization,
        Setting::SearchPath,
        Setting::DefaultTablespace,
        Setting::DefaultWithOids,
        Setting::DefaultTableAccessMethod,
    ];

    /// The setting that a statement changes.
    pub(crate) fn changed_by(statement: &[u8]) -> Option<Setting> {
        let mut tokens = Tokens::of(statement);
        if tokens.eat("set") {
            if tokens.eat_all(&["session", "authorization"]) {
                return Some(Setting::SessionAuthorization);
            }
            let mut tokens = Tokens::of(statement);
            let name = tokens.nth(1)?;
            return [
                ("search_path", Setting::SearchPath),
                ("default_tablespace", Setting::DefaultTablespace),
                ("default_with_oids", Setting::DefaultWithOids),
                ("default_table_access_method", Setting::DefaultTableAccessMethod),
            ]
            .into_iter()
            .find_map(|(word, setting)| name.is(word).then_some(setting));
        }
        let resets = tokens.eat_all(&["reset", "session", "authorization"]);
        if resets {
            return Some(Setting::SessionAuthorization);
        }
        let hides_schemas = statement.starts_with(b"SELECT pg_catalog.set_config('search_path'");
        hides_schemas.then_some(Setting::SearchPath)
    }
}

/// The statement that last changed each setting; `None` where nothing in the file did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionState {
    statements: [Option<Span>; 5],
}

impl SessionState {
    /// The statement with its semicolon.
    pub fn get(&self, setting: Setting) -> Option<Span> {
        self.statements[setting as usize]
    }

    fn set(&mut self, setting: Setting, statement: Span) {
        self.statements[setting as usize] = Some(statement);
    }
}

/// One entry. Names are the real ones, unquoted; bytes that are not UTF-8 appear as U+FFFD (the text has them right).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    pub name: String,
    pub schema: Option<String>,
    pub owner: Option<String>,
    /// Empty for the default one; `None` for kinds that have no tablespace.
    pub tablespace: Option<String>,
    /// `Data for Name`.
    pub is_data: bool,
    /// From the header comment to the settings of the next entry, blank lines included.
    pub span: Span,
    /// Where the settings that were printed for this entry begin; equals `span.start` where there are none.
    pub preamble_start: usize,
    /// Settings in force for this entry.
    pub state: SessionState,
    /// Settings in force behind it.
    pub state_after: SessionState,
    /// Its pieces in [`Toc::pieces`].
    pub pieces: Range<usize>,
}

/// A piece of the file as the lexer cut it, and the entry it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    chunk: Chunk,
    entry: Option<usize>,
}

impl Piece {
    pub(crate) fn item<'a>(&self, text: &'a [u8]) -> Item<'a> {
        let entry = self.entry;
        match self.chunk {
            Chunk::Statement { span, body } => Item::Statement {
                text: body.of(text),
                span,
                entry,
            },
            Chunk::Copy {
                span,
                body,
                data,
                rows,
                complete,
            } => Item::CopyBlock {
                statement: body.of(text),
                data: data.of(text),
                rows,
                complete,
                span,
                entry,
            },
            Chunk::Meta(span) | Chunk::Comment(span) => Item::MetaCommand {
                text: span.of(text),
                span,
                entry,
            },
        }
    }
}

/// The statements that drop everything the file is going to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drops {
    /// In [`Toc::pieces`].
    pub pieces: Range<usize>,
    /// From the first of them to the settings of the first entry.
    pub span: Span,
    /// Settings in force in front of them.
    pub state_before: SessionState,
}

/// All entries of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toc {
    pub entries: Vec<Entry>,
    /// Statements, COPY blocks and psql commands in order, those outside entries too.
    pub pieces: Vec<Piece>,
    /// From the first byte to the settings of the first entry.
    pub head: Option<Span>,
    /// Settings in force behind the head.
    pub head_state: SessionState,
    /// What `--clean` prints between the head and the first entry, with the settings of its own.
    pub drops: Option<Drops>,
    /// The title block `-- ... database dump`, with the newline of its last line.
    pub title: Option<Span>,
    /// The closing block `-- ... database dump complete`: without it the file is cut off.
    pub trailer: Option<Span>,
}

impl Toc {
    pub fn scan(text: &[u8]) -> Result<Toc, LexError> {
        let mut scan = Scan {
            text,
            toc: Toc::default(),
            state: SessionState::default(),
            run: Vec::new(),
            states: Vec::new(),
            open: None,
        };
        let mut lexer = Lexer::new(text);
        while let Some(chunk) = lexer.next_chunk()? {
            match chunk {
                Chunk::Comment(span) => scan.comment(span),
                other => scan.piece(other),
            }
        }
        scan.close_entry(text.len(), scan.toc.pieces.len());
        if scan.toc.head.is_none() {
            scan.toc.head = Some(Span::new(0, text.len()));
            scan.toc.head_state = scan.state;
        }
        Ok(scan.toc)
    }
}

struct OpenEntry {
    block_start: usize,
    line: Span,
    preamble_start: usize,
    first_piece: usize,
    state: SessionState,
}

struct Scan<'a> {
    text: &'a [u8],
    toc: Toc,
    state: SessionState,
    /// Comment lines that follow each other without anything between.
    run: Vec<Span>,
    /// For each piece: the setting it changed, and the state in front of it.
    states: Vec<(Option<Setting>, SessionState)>,
    open: Option<OpenEntry>,
}

impl Scan<'_> {
    fn piece(&mut self, chunk: Chunk) {
        self.run.clear();
        let before = self.state;
        let mut changed = None;
        if let Chunk::Statement { span, body } = chunk {
            changed = Setting::changed_by(body.of(self.text));
            if let Some(setting) = changed {
                self.state.set(setting, span);
            }
        }
        self.states.push((changed, before));
        self.toc.pieces.push(Piece { chunk, entry: None });
    }

    fn comment(&mut self, line: Span) {
        let at_line_start = line.start == 0 || self.text[line.start - 1] == b'\n';
        let follows = self.run.last().is_some_and(|last| last.end + 1 == line.start);
        if !at_line_start || !follows {
            self.run.clear();
        }
        if at_line_start {
            self.run.push(line);
        }
        let is_rule = |span: &Span| matches!(span.of(self.text), b"--" | b"--\r");
        let [first, inner @ .., last] = self.run.as_slice() else {
            return;
        };
        if inner.is_empty() || !is_rule(first) || !is_rule(last) {
            return;
        }
        let block = Span::new(first.start, (last.end + 1).min(self.text.len()));
        let header = inner
            .iter()
            .find(|line| header::looks_like_header(line.of(self.text)))
            .copied();
        let title = inner
            .iter()
            .any(|line| line.of(self.text).trim_ascii_end().ends_with(b" database dump"));
        let trailer = inner.iter().any(|line| {
            line.of(self.text)
                .trim_ascii_end()
                .ends_with(b" database dump complete")
        });
        self.run.clear();
        if let Some(line) = header.filter(|line| !header::readings(line.of(self.text)).is_empty()) {
            self.begin_entry(block.start, line);
        } else if trailer {
            self.close_entry(block.start, self.toc.pieces.len());
            self.toc.trailer = Some(block);
        } else if title && self.toc.title.is_none() && self.toc.pieces.is_empty() {
            self.toc.title = Some(block);
        }
    }

    fn begin_entry(&mut self, block_start: usize, line: Span) {
        // Settings right in front of the header are this entry's, not the last one's.
        let mut first_setting = self.toc.pieces.len();
        let floor = self.open.as_ref().map_or(0, |open| open.first_piece);
        while first_setting > floor && self.is_preamble(first_setting - 1) {
            first_setting -= 1;
        }
        let preamble_start = match self.toc.pieces.get(first_setting) {
            Some(piece) => piece.item(self.text).span().start,
            None => block_start,
        };
        self.close_entry(preamble_start, first_setting);
        if self.toc.head.is_none() {
            self.toc.head = Some(Span::new(0, preamble_start));
            self.toc.head_state = self.states.get(first_setting).map_or(self.state, |(_, before)| *before);
            self.find_drops(first_setting, preamble_start);
        }
        self.open = Some(OpenEntry {
            block_start,
            line,
            preamble_start,
            first_piece: self.toc.pieces.len(),
            state: self.state,
        });
    }

    /// `end` is the first piece behind the head, and `end_at` the place where it begins.
    fn find_drops(&mut self, end: usize, end_at: usize) {
        let text = self.text;
        let is_drop = |piece: &Piece| {
            matches!(piece.item(text), Item::Statement { text, .. }
                if text.starts_with(b"DROP ") || text.starts_with(b"ALTER "))
        };
        let Some(mut first) = self.toc.pieces[..end].iter().position(is_drop) else {
            return;
        };
        let sets = |piece: usize| !matches!(self.states[piece].0, None | Some(Setting::DefaultWithOids));
        while first > 0 && sets(first - 1) && self.is_preamble(first - 1) {
            first -= 1;
        }
        let start = self.toc.pieces[first].item(text).span().start;
        self.toc.drops = Some(Drops {
            pieces: first..end,
            span: Span::new(start, end_at),
            state_before: self.states[first].1,
        });
    }

    fn is_preamble(&self, piece: usize) -> bool {
        let starts = |word: &[u8]| {
            self.toc.pieces[piece]
                .item(self.text)
                .span()
                .of(self.text)
                .starts_with(word)
        };
        self.states[piece].0.is_some() && starts(b"SET ")
    }

    /// Ends the open entry in front of `end`; `last_piece` is the first piece that is not its own.
    fn close_entry(&mut self, end: usize, last_piece: usize) {
        let Some(open) = self.open.take() else {
            return;
        };
        let body = &self.text[open.line.end..end];
        let search_path = open
            .state
            .get(Setting::SearchPath)
            .map_or(&b""[..], |span| span.of(self.text));
        let Some(header) = header::choose(header::readings(open.line.of(self.text)), body, search_path) else {
            return;
        };
        let index = self.toc.entries.len();
        let pieces = open.first_piece..last_piece.max(open.first_piece);
        for piece in &mut self.toc.pieces[pieces.clone()] {
            piece.entry = Some(index);
        }
        let real = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let some = |name: &[u8]| (name != b"-" && !name.is_empty()).then(|| real(name));
        let in_dash = header.schema == b"-" && dash::is_schema(&header.kind, body, search_path);
        self.toc.entries.push(Entry {
            kind: header.kind,
            name: real(header.name),
            schema: some(header.schema).or_else(|| in_dash.then(|| "-".to_owned())),
            owner: some(header.owner),
            tablespace: header.tablespace.map(real),
            is_data: header.is_data,
            span: Span::new(open.block_start, end),
            preamble_start: open.preamble_start,
            state: open.state,
            state_after: self.states.get(pieces.end).map_or(self.state, |(_, before)| *before),
            pieces,
        });
    }
}

#[cfg(test)]
mod tests;
