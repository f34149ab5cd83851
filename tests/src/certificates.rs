//! Certificates for servers of the tests.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs `openssl` in a directory.
#[track_caller]
pub fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("openssl is installed with the server");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Into the directory: `ca`, an authority; `server`, whom it knows by these names (`DNS:...,IP:...`); `stranger`, an
/// authority that knows nobody. Each as `.crt` and `.key`.
pub fn make(dir: &Path, names: &str) {
    for name in ["ca", "stranger"] {
        openssl(
            dir,
            &format!("req -x509 -newkey ed25519 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} -days 2"),
        );
    }
    sign(dir, "server", "server", &format!("subjectAltName={names}"));
}

/// A certificate and a key of this name, signed by the authority, with one extension.
pub fn sign(dir: &Path, name: &str, subject: &str, extension: &str) {
    fs::write(dir.join(format!("{name}.ext")), format!("{extension}\n")).unwrap();
    openssl(
        dir,
        &format!("req -new -newkey ed25519 -nodes -keyout {name}.key -out {name}.csr -subj /CN={subject}"),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 2 -extfile {name}.ext"
        ),
    );
}
