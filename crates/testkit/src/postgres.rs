//! The machine's PostgreSQL: where its programs are, whom they run as, and a data directory to copy.
//!
//! initdb takes a second; a copy of its result takes a tenth. So the result is kept in the temporary directory under a
//! name that says everything it depends on.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The SQL that gives a server the catalog of a Greenplum instance.
const GREENPLUM_CATALOG: &str = include_str!("../../../tests/data/catalog/greenplum.sql");

/// What a prepared data directory shall look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Greenplum,
    Plain,
    /// Made by the programs of a Greenplum 6 or 7.
    Real,
}

/// The directory with `postgres` and `initdb`: `GPDUMP_PG_BINDIR`, else what pg_config says, else Debian's newest.
pub(crate) fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("GPDUMP_PG_BINDIR") {
        return dir.into();
    }
    let mut candidates = Vec::new();
    if let Ok(said) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()));
    }
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut dirs: Vec<PathBuf> = versions.flatten().map(|v| v.path().join("bin")).collect();
        dirs.sort_by_key(|d| std::cmp::Reverse(version_in(d)));
        candidates.extend(dirs);
    }
    candidates
        .into_iter()
        .find(|dir| dir.join("postgres").exists() && dir.join("initdb").exists())
        .expect("no PostgreSQL server was found; install Debian's package postgresql or set GPDUMP_PG_BINDIR")
}

fn version_in(bin_dir: &Path) -> u32 {
    let version = bin_dir.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    version.and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Name of the user who runs the tests; the servers' superuser has the same.
pub(crate) fn os_user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// The words before a server program's argv: PostgreSQL refuses to run as root.
pub(crate) fn become_server_user() -> Vec<String> {
    if rustix::process::geteuid().is_root() {
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            .map(str::to_owned)
            .to_vec()
    } else {
        Vec::new()
    }
}

/// A command that runs as the servers' user.
fn server_command(program: &Path) -> Command {
    let mut words = become_server_user();
    words.push(program.to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir("/");
    command
}

/// Gives a directory to the servers' user.
pub(crate) fn give_to_server_user(path: &Path) {
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").arg("postgres:").arg(path));
    }
}

/// Where data directories are made: `GPDUMP_TESTKIT_DIR`, else memory if there is plenty, else the temporary directory.
/// In memory a copy takes a tenth of a second, on a busy disk more than one.
pub(crate) fn base_dir() -> PathBuf {
    const PLENTY: u64 = 2 << 30;
    if let Some(dir) = std::env::var_os("GPDUMP_TESTKIT_DIR") {
        return dir.into();
    }
    let memory = Path::new("/dev/shm");
    match rustix::fs::statvfs(memory) {
        Ok(fs) if fs.f_bavail * fs.f_frsize > PLENTY => memory.to_path_buf(),
        _ => std::env::temp_dir(),
    }
}

/// The prepared data directory of this shape; made when it is not there.
pub(crate) fn prepared(shape: Shape) -> PathBuf {
    prepared_by(&bin_dir(), shape)
}

/// The same, made by these programs.
pub(crate) fn prepared_by(bin_dir: &Path, shape: Shape) -> PathBuf {
    let version = Command::new(bin_dir.join("postgres"))
        .arg("--version")
        .output()
        .unwrap()
        .stdout;
    let mut hasher = DefaultHasher::new();
    (shape, bin_dir, version, GREENPLUM_CATALOG, os_user()).hash(&mut hasher);
    let root = base_dir().join(format!("gpdump-testkit-{}", os_user()));
    fs::create_dir_all(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    let ready = root.join(format!("{shape:?}-{:016x}", hasher.finish()));

    // Several test processes may come here at the same moment.
    let lock = File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        let making = ready.with_extension("making");
        let _ = fs::remove_dir_all(&making);
        fs::create_dir(&making).unwrap();
        give_to_server_user(&making);
        make(bin_dir, &making.join("data"), shape);
        fs::rename(&making, &ready).unwrap();
    }
    ready.join("data")
}

fn make(bin_dir: &Path, data: &Path, shape: Shape) {
    let mut initdb = server_command(&bin_dir.join("initdb"));
    initdb
        .arg("-D")
        .arg(data)
        .args(["--locale=C.UTF-8", "--encoding=UTF8", "--auth=trust"])
        .args(["--username", &os_user()]);
    if shape == Shape::Real {
        // It tries what the machine can bear, and would write large numbers down.
        run(initdb.args(["--max_connections=60", "--shared_buffers=16MB"]));
        return;
    }
    // Small WAL segments: most of a fresh data directory is one empty segment of 16 MB.
    run(initdb.args(["--no-sync", "--no-instructions", "--wal-segsize=1"]));
    if shape == Shape::Greenplum {
        // Also template0: the create-database file of a dump set says TEMPLATE = template0.
        for database in ["template0", "template1", "postgres"] {
            single_user(bin_dir, data, database, GREENPLUM_CATALOG);
        }
    }
    if os_user() != "gpadmin" {
        single_user(bin_dir, data, "postgres", "CREATE ROLE gpadmin SUPERUSER LOGIN;\n\n");
    }
}

/// Runs SQL in a server that serves nobody else; it may write in pg_catalog and enter template0.
pub(crate) fn single_user(bin_dir: &Path, data: &Path, database: &str, sql: &str) {
    let mut server = server_command(&bin_dir.join("postgres"))
        .args(["--single", "-j", "-O", "-F", "-D"])
        .arg(data)
        // Any error ends the server, else it would go on with the next statement.
        .args(["-c", "exit_on_error=true", "-c", "log_checkpoints=off", database])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let end = server.wait_with_output().unwrap();
    assert!(
        end.status.success(),
        "the catalog of {database} could not be made: {}",
        String::from_utf8_lossy(&end.stderr)
    );
}

/// Runs a command of the set-up, which has to work.
pub(crate) fn run(command: &mut Command) {
    let end = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?} could not be started: {e}"));
    assert!(
        end.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&end.stdout),
        String::from_utf8_lossy(&end.stderr)
    );
}
