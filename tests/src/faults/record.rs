//! Cells that have been run, a file each in a directory: a long run that was broken off goes on where it was, and several
//! processes share the work.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Cell, Phase, fault_named};

/// `GPDUMP_FAULTS_RECORD`, or no record.
#[derive(Debug)]
pub struct Record {
    directory: Option<PathBuf>,
}

impl Record {
    pub fn from_environment() -> Record {
        let directory = std::env::var_os("GPDUMP_FAULTS_RECORD").map(PathBuf::from);
        if let Some(directory) = &directory {
            fs::create_dir_all(directory).expect("the directory of the record can be made");
        }
        Record { directory }
    }

    fn path(&self, fault: &str, phase: Phase, end: &str) -> Option<PathBuf> {
        let name = format!("{}, {fault}.{end}", phase.name()).replace([' ', ':', ','], "-");
        Some(self.directory.as_ref()?.join(name))
    }

    /// What an earlier run has made of the cell.
    pub fn done(&self, fault: &'static str, phase: Phase) -> Option<Cell> {
        let text = fs::read_to_string(self.path(fault, phase, "json")?).ok()?;
        cell_of(&serde_json::from_str(&text).ok()?, fault, phase)
    }

    /// False when another process that lives is at it.
    pub fn claim(&self, fault: &str, phase: Phase) -> bool {
        let Some(path) = self.path(fault, phase, "running") else {
            return true;
        };
        let is_held = |path: &Path| {
            let pid = fs::read_to_string(path).unwrap_or_default();
            !pid.is_empty() && Path::new("/proc").join(pid.trim()).exists()
        };
        for _ in 0..2 {
            match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => return write!(file, "{}", std::process::id()).is_ok(),
                Err(_) if is_held(&path) => return false,
                Err(_) => drop(fs::remove_file(&path)),
            }
        }
        false
    }

    pub fn keep(&self, cell: &Cell) {
        let Some(path) = self.path(cell.fault, cell.phase, "json") else {
            return;
        };
        let value = json!({
            "status": cell.status, "seconds": cell.seconds, "named_leftovers": cell.named_leftovers,
            "wrong": cell.wrong, "message": cell.message,
        });
        fs::write(&path, format!("{value:#}\n")).expect("a cell can be recorded");
        let _ = fs::remove_file(path.with_extension("running"));
    }
}

fn cell_of(value: &Value, fault: &str, phase: Phase) -> Option<Cell> {
    let texts = |name: &str| -> Option<Vec<String>> {
        let list = value[name].as_array()?;
        Some(list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
    };
    Some(Cell {
        fault: fault_named(fault).name,
        phase,
        status: value["status"].as_i64().and_then(|status| i32::try_from(status).ok()),
        seconds: value["seconds"].as_f64()?,
        named_leftovers: texts("named_leftovers")?,
        wrong: texts("wrong")?,
        message: value["message"].as_str()?.to_owned(),
    })
}
