//! What the shell sees when a program ends (`docs/compat.md` has the table).

/// Exit status of both programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was asked for is done.
    Ok = 0,
    /// The main job is done; something beside it is not, and the log says what.
    Warnings = 1,
    /// Failed, or refused.
    Failed = 2,
    /// The operator answered no.
    Aborted = 4,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }
}
