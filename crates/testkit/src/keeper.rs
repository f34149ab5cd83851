//! The shell that owns the servers of one cluster, and ends them however the test process ends.
//!
//! It reads from a pipe which server to start. When the pipe closes - the cluster was dropped, or the kernel closed it
//! because the test process was killed - it stops its servers and removes their directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::postgres;

const SCRIPT: &str = r#"
trap '' INT TERM HUP
top=$1; shift
pids=
tab=$(printf '\t')
while IFS=$tab read -r data port sockets namespace; do
  ${namespace:+nsenter --net=/run/netns/$namespace} "$@" -D "$data" -p "$port" -k "$sockets" $(cat "$data.options" 2>/dev/null) >>"$data.log" 2>&1 &
  pids="$pids $!"
done
for pid in $pids; do kill -QUIT "$pid" 2>/dev/null; kill -CONT "$pid" 2>/dev/null; done
wait
[ -n "$GPDUMP_TESTKIT_KEEP" ] || rm -rf "$top"
"#;

#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    orders: Option<ChildStdin>,
    top: PathBuf,
}

impl Keeper {
    /// A keeper for a new directory, which is gone when the keeper is. `GPDUMP_TESTKIT_KEEP=1` leaves it for a look.
    pub(crate) fn new() -> Self {
        Keeper::of(&postgres::bin_dir())
    }

    /// The same for the servers of these programs.
    pub(crate) fn of(bin_dir: &Path) -> Self {
        let top = tempfile::Builder::new()
            .prefix("gpdump-")
            .tempdir_in(postgres::base_dir())
            .unwrap()
            .keep();
        let mut permissions = std::fs::metadata(&top).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&top, permissions).unwrap();
        postgres::give_to_server_user(&top);
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(&top)
            .args(postgres::become_server_user())
            .arg(bin_dir.join("postgres"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must not end the servers before the test has seen it.
            .process_group(0)
            .spawn()
            .unwrap();
        let orders = shell.stdin.take();
        Keeper { shell, orders, top }
    }

    /// The directory for everything of this cluster.
    pub(crate) fn top(&self) -> &Path {
        &self.top
    }

    /// Starts a server, in a network namespace when one is named; does not wait for it.
    pub(crate) fn start(&mut self, data_dir: &Path, port: u16, sockets: &Path, namespace: &str) {
        let orders = self
            .orders
            .as_mut()
            .expect("the pipe is open as long as the keeper lives");
        writeln!(
            orders,
            "{}\t{port}\t{}\t{namespace}",
            data_dir.display(),
            sockets.display()
        )
        .unwrap();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.shell.wait();
    }
}

/// Waits until a server takes connections; false when it ended instead.
pub(crate) fn wait_until_ready(data_dir: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    let log = data_dir.with_extension("log");
    while Instant::now() < deadline {
        if postmaster_line(data_dir, 7).is_some_and(|status| status.trim() == "ready") {
            return true;
        }
        if std::fs::read_to_string(&log).is_ok_and(|log| log.contains("FATAL:") && !log.contains("starting up")) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!(
        "the server in {} was not ready within 30 s: {}",
        data_dir.display(),
        std::fs::read_to_string(&log).unwrap_or_default()
    );
}

/// One line of `postmaster.pid`: 0 is the pid, 7 the status.
pub(crate) fn postmaster_line(data_dir: &Path, line: usize) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    text.lines().nth(line).map(str::to_owned)
}
