//! A real ssh server on the loopback, with keys that live as long as the test.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres::run;

/// A running sshd for the user who runs the tests; it ends when dropped.
#[derive(Debug)]
pub struct Sshd {
    server: Child,
    dir: TempDir,
}

impl Sshd {
    /// Listens on this address; names that only ssh knows may follow, all of them lead to it.
    pub fn start(address: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("gpdump-ssh-").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for key in ["host_key", "user_key"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key)));
        }
        fs::copy(at("user_key.pub"), at("authorized_keys")).unwrap();
        if rustix::process::geteuid().is_root() {
            // Debian's sshd wants its empty directory, which a boot or the service would make.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let port = free_port(address);
        fs::write(at("sshd_config"), server_config(address, port, dir.path())).unwrap();
        fs::write(at("ssh_config"), client_config(port, dir.path())).unwrap();
        let wrapper = format!("#!/bin/sh\nexec ssh -F '{}' \"$@\"\n", at("ssh_config").display());
        fs::write(at("ssh"), wrapper).unwrap();
        fs::set_permissions(at("ssh"), fs::Permissions::from_mode(0o755)).unwrap();

        // The shell ends the server when its stdin closes, which also happens when the test is killed.
        let server = Command::new("/bin/sh")
            .args([
                "-c",
                r#"dir=$1; shift; "$@" & read -r _; kill $!; wait; rm -rf "$dir""#,
                "keeper",
            ])
            .arg(dir.path())
            .args([sshd_path(), "-D", "-f"])
            .arg(at("sshd_config"))
            .arg("-E")
            .arg(at("log"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((address, port)).is_err() {
            let log = fs::read_to_string(at("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "sshd does not listen on {address}:{port}: {log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Sshd { server, dir }
    }

    /// A program to call instead of `ssh`, that knows this server's port and keys.
    pub fn client(&self) -> PathBuf {
        self.dir.path().join("ssh")
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
    }
}

pub(crate) fn sshd_path() -> &'static str {
    // sshd starts itself anew for each session and so wants its absolute path.
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("no sshd was found; install Debian's package openssh-server")
}

fn free_port(address: &str) -> u16 {
    std::net::TcpListener::bind((address, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn server_config(address: &str, port: u16, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "ListenAddress {address}\nPort {port}\nHostKey {dir}/host_key\nPidFile {dir}/pid\n\
         AuthorizedKeysFile {dir}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\n"
    )
}

fn client_config(port: u16, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Host *\nPort {port}\nIdentityFile {dir}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {dir}/known_hosts\n\
         StrictHostKeyChecking accept-new\nBatchMode yes\nLogLevel ERROR\n"
    )
}
