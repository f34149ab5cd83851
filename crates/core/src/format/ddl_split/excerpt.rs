//! A part of a dump file as a dump file: chosen entries under the settings they were dumped with.
//!
//! What stands outside of all entries is left out, drops above all: they are meant for the whole file.

use crate::format::sql_script::{Item, Script};
use crate::format::toc::{Entry, Setting};

use super::writer::Writer;

/// What becomes of the texts that go into an excerpt; `None`: they stay as they are.
pub(crate) trait Rewrite {
    /// Everything of an entry, header and blank lines included.
    fn entry(&self, entry: &Entry, body: &[u8]) -> Option<Vec<u8>>;
    /// A setting that an entry was dumped under.
    fn setting(&self, entry: &Entry, setting: Setting, statement: &[u8]) -> Option<Vec<u8>>;
}

/// The entries that `kept` says yes to; one answer for each entry of the script.
pub(crate) fn excerpt(script: &Script, kept: &[bool], rewrite: Option<&dyn Rewrite>) -> Vec<u8> {
    let mut writer = Writer::new(script, true);
    writer.settings_of_head(head_settings(script));
    for (entry, _) in script.entries().iter().zip(kept).filter(|(_, kept)| **kept) {
        writer.entry_rewritten(entry, rewrite);
    }
    writer.finish()
}

/// `SET client_encoding = ...` and its like, without those that change from entry to entry.
fn head_settings<'a>(script: &'a Script) -> impl Iterator<Item = &'a [u8]> {
    let text = script.text();
    let head = script.toc().head.map_or(0, |head| head.end);
    script
        .items()
        .take_while(move |item| item.span().start < head)
        .filter_map(move |item| match item {
            Item::Statement { span, text: body, .. } if body.starts_with(b"SET ") => {
                Setting::changed_by(body).is_none().then(|| span.of(text))
            }
            _ => None,
        })
}
