//! Puts entries of a script into a new file, under the settings they were dumped with.

use crate::format::sql_script::Script;
use crate::format::toc::{Entry, SessionState, Setting};

use super::excerpt::Rewrite;
use super::is_psql_guard;

/// The original's words; its restore and ours look for them.
const TITLE: &[u8] = b"--\n-- Greenplum Database database dump\n--\n";
const TRAILER: &[u8] = b"--\n-- Greenplum Database database dump complete\n--\n\n";

pub(super) struct Writer<'a> {
    script: &'a Script<'a>,
    out: Vec<u8>,
    /// The statement that made each setting what it is at this point of the new file.
    in_force: [Option<Vec<u8>>; 5],
    /// Schemas may be left out, so one is only set for what lies in it: Greenplum 5 refuses a path to one that is not there.
    sparing: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(script: &'a Script<'a>, sparing: bool) -> Self {
        Writer {
            sparing,
            script,
            out: Vec::new(),
            in_force: Default::default(),
        }
    }

    /// Title, and the settings of the whole file as the server's pg_dump printed them.
    pub(super) fn head(&mut self) {
        self.out.extend_from_slice(TITLE);
        let toc = self.script.toc();
        let text = self.script.text();
        let end = toc.drops.as_ref().map(|drops| drops.span.start);
        let head = toc.head.map_or(&b""[..], |span| span.of(text));
        let head = &head[..end.unwrap_or(head.len()).min(head.len())];
        let start = toc.title.map_or(0, |title| title.end).min(head.len());
        let mut lines = head[start..].split_inclusive(|&b| b == b'\n').peekable();
        while let Some(line) = lines.next() {
            if is_psql_guard(line) || line.starts_with(b"-- Started on ") {
                // The blank line behind it goes too, so that the head looks as it does without them.
                lines.next_if(|next| next.trim_ascii().is_empty());
            } else {
                self.out.extend_from_slice(line);
            }
        }
        self.remember(toc.drops.as_ref().map_or(&toc.head_state, |drops| &drops.state_before));
    }

    /// Title, and these settings alone.
    pub(super) fn settings_of_head<'s>(&mut self, statements: impl Iterator<Item = &'s [u8]>) {
        self.out.extend_from_slice(TITLE);
        self.out.push(b'\n');
        for statement in statements {
            self.out.extend_from_slice(statement);
            self.out.push(b'\n');
        }
        self.out.push(b'\n');
    }

    /// Writes an entry and its settings in other words.
    pub(super) fn entry_rewritten(&mut self, entry: &Entry, rewrite: Option<&dyn Rewrite>) {
        let text = self.script.text();
        for setting in Setting::ALL {
            let Some(span) = entry.state.get(setting) else { continue };
            if setting == Setting::SearchPath && entry.schema.is_none() {
                continue;
            }
            let statement = span.of(text);
            let other = rewrite.and_then(|rewrite| rewrite.setting(entry, setting, statement));
            self.ensure(setting, other.as_deref().unwrap_or(statement));
        }
        let body = entry.span.of(text);
        let other = rewrite.and_then(|rewrite| rewrite.entry(entry, body));
        self.entry_text(other.as_deref().unwrap_or(body));
        self.remember_changes(&entry.state, &entry.state_after);
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        self.entry_with(entry, |_| None);
    }

    /// Writes an entry; `mend` may give another text for it.
    pub(super) fn entry_with(&mut self, entry: &Entry, mend: impl FnOnce(&[u8]) -> Option<Vec<u8>>) {
        let text = self.script.text();
        for setting in Setting::ALL {
            let Some(span) = entry.state.get(setting) else { continue };
            if self.sparing && setting == Setting::SearchPath && entry.schema.is_none() {
                continue;
            }
            let statement = span.of(text);
            let printed_here = span.start >= entry.preamble_start && span.start < entry.span.start;
            // A head that ends in one statement holds for all: it is not repeated.
            if printed_here || self.in_force[setting as usize].as_deref() != Some(statement) {
                self.setting(setting, statement);
            }
        }
        let body = entry.span.of(text);
        match mend(body) {
            Some(mended) => self.entry_text(&mended),
            None => self.entry_text(body),
        }
        self.remember_changes(&entry.state, &entry.state_after);
    }

    /// Without the object ids that a talkative pg_dump puts between the rule and the name: they differ from dump to
    /// dump, and nobody restores by them.
    fn entry_text(&mut self, text: &[u8]) {
        let mut rest = text;
        if let Some(inner) = text.strip_prefix(b"--\n") {
            self.out.extend_from_slice(b"--\n");
            rest = inner;
            while rest.starts_with(b"-- TOC entry ") || rest.starts_with(b"-- Dependencies: ") {
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                rest = &rest[end..];
            }
        }
        self.out.extend_from_slice(rest);
    }

    /// Text of our own.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// The whole head was written, its drops among it.
    pub(super) fn remember_head(&mut self) {
        let toc = self.script.toc();
        self.remember(&toc.head_state);
    }

    /// Prints a setting if it is not in force.
    pub(super) fn ensure(&mut self, setting: Setting, statement: &[u8]) {
        if self.in_force[setting as usize].as_deref() != Some(statement) {
            self.setting(setting, statement);
        }
    }

    /// For what the one who restores does, and not the owner of the entry in front.
    pub(super) fn as_ourselves(&mut self) {
        if self.in_force[Setting::SessionAuthorization as usize].is_some() {
            self.ensure(Setting::SessionAuthorization, b"SET SESSION AUTHORIZATION DEFAULT;");
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        // Large objects are put in behind all this.
        self.as_ourselves();
        self.out.extend_from_slice(TRAILER);
        self.out
    }

    fn setting(&mut self, setting: Setting, statement: &[u8]) {
        self.out.extend_from_slice(statement);
        self.out.extend_from_slice(b"\n\n");
        self.in_force[setting as usize] = Some(statement.to_vec());
    }

    fn remember(&mut self, state: &SessionState) {
        self.remember_changes(&SessionState::default(), state);
    }

    fn remember_changes(&mut self, before: &SessionState, after: &SessionState) {
        let text = self.script.text();
        for setting in Setting::ALL {
            if let Some(span) = after.get(setting)
                && before.get(setting) != Some(span)
            {
                let statement = span.of(text);
                let known = &mut self.in_force[setting as usize];
                if known.as_deref() != Some(statement) {
                    *known = Some(statement.to_vec());
                }
            }
        }
    }
}
