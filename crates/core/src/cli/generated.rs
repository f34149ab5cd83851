//! The files that are made from an option table and lie in the repository, for packagers and readers.
//!
//! Each program has a test that makes them anew and compares; `scripts/bless.sh` writes them.

use super::program::{Program, help_text};
use super::{completions, manual};

/// Path in the repository and text of each file.
pub fn files(program: &Program) -> Vec<(String, String)> {
    let name = program.name;
    vec![
        (format!("crates/{name}/tests/help.txt"), help_text(program)),
        (format!("docs/man/{name}.1"), manual::render(program)),
        (format!("completions/bash/{name}"), completions::bash(program)),
        (format!("completions/zsh/_{name}"), completions::zsh(program)),
        (format!("completions/fish/{name}.fish"), completions::fish(program)),
    ]
}
