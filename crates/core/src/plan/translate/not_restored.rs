//! The file of what a restore could not make: `gp_restore_<key>_not_restored.sql`.
//!
//! ```text
//! -- EXTERNAL TABLE public.clicks
//! -- PostgreSQL has no external tables; ...
//! SET search_path = public, pg_catalog;
//! CREATE EXTERNAL TABLE clicks (...);
//! ```

/// Something of the set that is not in the database, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRestored {
    /// `VIEW sales.totals`
    pub what: String,
    /// What the server said, or why it was not asked.
    pub why: Vec<String>,
    /// The setting that its statements were written under.
    pub search_path: Option<String>,
    /// As the set has it.
    pub sql: String,
}

impl NotRestored {
    /// One sentence for the log.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.what, self.why.first().map_or("", String::as_str))
    }
}

/// Puts things together that failed piece by piece.
pub fn gathered(items: impl IntoIterator<Item = NotRestored>) -> Vec<NotRestored> {
    let mut all: Vec<NotRestored> = Vec::new();
    for item in items {
        match all.iter_mut().find(|known| known.what == item.what) {
            Some(known) => {
                known.why.extend(item.why);
                if !known.sql.contains(&item.sql) {
                    known.sql.push('\n');
                    known.sql.push_str(&item.sql);
                }
            }
            None => all.push(item),
        }
    }
    all
}

/// The text of the file.
pub fn write(key: &str, database: &str, items: &[NotRestored]) -> String {
    let mut text = format!(
        "-- What the restore of set {key} into database {database} could not make, as the set defines it.\n\
         -- Make of each what this server understands, and run it; the rows of tables come with gpdbrestore -T.\n"
    );
    for item in items {
        text.push_str(&format!("\n-- {}\n", item.what.replace('\n', " ")));
        for line in item.why.iter().flat_map(|why| why.lines()) {
            text.push_str(&format!("-- {line}\n"));
        }
        if let Some(path) = &item.search_path {
            text.push_str(&format!("{path}\n"));
        }
        text.push_str(&format!("{}\n", item.sql.trim_end()));
    }
    text
}
