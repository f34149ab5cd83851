//! `pg_dumpall -g`: roles, tablespaces, resource queues and groups, written by the server's own program.

use std::ffi::OsString;
use std::path::PathBuf;

use super::process::{Invocation, Output};

/// What to dump and how to reach it.
#[derive(Debug, Clone)]
pub struct PgDumpAll {
    pub program: PathBuf,
    /// Folder of its own libpq.
    pub libraries: Option<PathBuf>,
    /// Host name or socket directory.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// The role may not read passwords; the rest is written all the same (PostgreSQL 10 and later).
    pub without_passwords: bool,
    /// The server is a Greenplum that can say more than PostgreSQL's SQL.
    pub greenplum_syntax: bool,
    pub application_name: String,
}

/// Roles of a large system are a few megabytes.
const OUTPUT_LIMIT: usize = 1 << 30;

impl PgDumpAll {
    pub fn argv(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-g".into(), "-w".into()];
        words.extend(["-h".into(), OsString::from(&self.host)]);
        words.extend(["-p".into(), OsString::from(self.port.to_string())]);
        words.extend(["-U".into(), OsString::from(&self.user)]);
        if self.without_passwords {
            words.push("--no-role-passwords".into());
        }
        if self.greenplum_syntax {
            words.push("--gp-syntax".into());
        }
        words
    }

    /// The SQL, with the hashes of passwords in it: a secret.
    pub fn invocation(&self) -> Invocation {
        let mut invocation = Invocation::new(&self.program, self.argv());
        invocation.output = Output::Keep(OUTPUT_LIMIT);
        invocation
            .variables
            .push(("PGAPPNAME", (&self.application_name).into()));
        if let Some(libraries) = &self.libraries {
            invocation.variables.push(("LD_LIBRARY_PATH", libraries.into()));
        }
        invocation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greenplum_is_asked_for_its_own_syntax() {
        let mut dump = PgDumpAll {
            program: PathBuf::from("/x/pg_dumpall"),
            libraries: None,
            host: "/tmp".to_owned(),
            port: 5432,
            user: "gpadmin".to_owned(),
            without_passwords: false,
            greenplum_syntax: true,
            application_name: "a".to_owned(),
        };
        let words = ["-g", "-w", "-h", "/tmp", "-p", "5432", "-U", "gpadmin", "--gp-syntax"];
        assert_eq!(dump.argv(), words);
        dump.greenplum_syntax = false;
        assert_eq!(dump.argv(), words[..8]);
        dump.without_passwords = true;
        assert_eq!(dump.argv().last().unwrap(), "--no-role-passwords");
    }
}
