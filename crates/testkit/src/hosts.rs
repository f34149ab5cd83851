//! Hosts without machines: network namespaces with their own addresses, an sshd in each, and a wire between them that can
//! be cut or made slow.
//!
//! The master's namespace has a bridge, `10.77.0.1` and `fd77::1`; host `sdw<n>` is `10.77.0.<10+n>` and `fd77::<10+n>`.
//! No packet leaves these namespaces, so the addresses may be the same in every test. Files are shared: what a host has
//! for itself is its network, its processes and the data directories of its servers.
//!
//! A shell that outlives the test process takes everything away again, however the test ended.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::postgres::run;
use crate::sshd::sshd_path;

/// What the master's host is called.
const HUB: &str = "m";

/// Ends everything that runs in the namespaces, takes them and the mounts away. Reads nothing: the end of its input is
/// the sign.
const KEEPER: &str = r#"
trap '' INT TERM HUP
top=$1; prefix=$2
cat >/dev/null
while read -r mounted; do umount -l "$mounted" 2>/dev/null; done <"$top/mounts"
for ns in $(ip netns list | cut -d' ' -f1 | grep "^$prefix"); do
  for pid in $(ip netns pids "$ns"); do kill -KILL "$pid" 2>/dev/null; done
  ip netns del "$ns"
done
rm -rf "$top"
"#;

/// What a login on a host comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Ordinary,
    /// It is let in, and nothing happens.
    Hangs,
    /// The program that was asked for says another version of itself.
    OtherVersion,
    /// The program is not there.
    NoProgram,
    /// The clock of the program is more than a year behind.
    WrongClock,
}

/// A set of hosts and their wires; all of it is gone when dropped.
#[derive(Debug)]
pub struct Hosts {
    keeper: Child,
    top: PathBuf,
    prefix: String,
    count: usize,
}

impl Hosts {
    /// Makes the master's namespace and `count` hosts, `sdw1` and on. Fails with a sentence where that is not allowed.
    pub fn start(count: usize) -> Hosts {
        static MADE: AtomicU32 = AtomicU32::new(0);
        assert!(
            rustix::process::geteuid().is_root(),
            "test hosts are network namespaces, and only root may make those: run the tests as root"
        );
        let prefix = format!("gpd{}-{}-", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let top = tempfile::Builder::new()
            .prefix("gpdump-hosts-")
            .tempdir()
            .unwrap()
            .keep();
        fs::set_permissions(&top, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(top.join("mounts"), "").unwrap();
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&top)
            .arg(&prefix)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let hosts = Hosts {
            keeper,
            top,
            prefix,
            count,
        };
        hosts.make_network();
        hosts.make_keys();
        for host in 1..=count {
            hosts.set_login(host, Login::Ordinary);
            hosts.start_sshd(host);
        }
        hosts
    }

    fn make_network(&self) {
        let hub = self.namespace_of_master();
        let mut script = format!(
            "set -e\nip netns add {hub}\nip -n {hub} link set lo up\nip -n {hub} link add br0 type bridge\n\
             ip -n {hub} addr add 10.77.0.1/24 dev br0\nip -n {hub} addr add fd77::1/64 dev br0 nodad\n\
             ip -n {hub} link set br0 address 02:00:00:00:00:01 up\n"
        );
        for host in 1..=self.count {
            let (ns, n) = (self.namespace(host), 10 + host);
            let (v4, v6) = (self.address(host), self.address_v6(host));
            // Neighbours are known for good: a host that is cut off shall answer nothing at all, not "no route".
            script.push_str(&format!(
                "ip netns add {ns}\nip -n {ns} link set lo up\n\
                 ip -n {hub} link add v{host} type veth peer name eth0 address 02:00:00:00:00:{n:02} netns {ns}\n\
                 ip -n {hub} link set v{host} master br0 up\n\
                 ip -n {ns} addr add {v4}/24 dev eth0\nip -n {ns} addr add {v6}/64 dev eth0 nodad\n\
                 ip -n {ns} link set eth0 up\n\
                 ip -n {hub} neigh replace {v4} lladdr 02:00:00:00:00:{n:02} dev br0 nud permanent\n\
                 ip -n {hub} neigh replace {v6} lladdr 02:00:00:00:00:{n:02} dev br0 nud permanent\n"
            ));
            self.add_neighbours(host, &mut script);
        }
        let end = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert!(
            end.status.success(),
            "test hosts need network namespaces, and they could not be made (Debian's package iproute2 has `ip`; in a \
             container it takes CAP_SYS_ADMIN and CAP_NET_ADMIN): {}",
            String::from_utf8_lossy(&end.stderr)
        );
    }

    fn add_neighbours(&self, host: usize, script: &mut String) {
        for address in ["10.77.0.1", "fd77::1"] {
            script.push_str(&format!(
                "ip -n {} neigh replace {address} lladdr 02:00:00:00:00:01 dev eth0 nud permanent\n",
                self.namespace(host)
            ));
        }
    }

    fn make_keys(&self) {
        for key in ["host_key", "user_key"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(self.top.join(key)));
        }
        fs::copy(self.top.join("user_key.pub"), self.top.join("authorized_keys")).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let dir = self.top.display();
        let mut config = String::new();
        for host in 1..=self.count {
            config.push_str(&format!(
                "Host {}\n  HostName {}\n",
                self.name(host),
                self.address(host)
            ));
        }
        config.push_str(&format!(
            "Host *\n  IdentityFile {dir}/user_key\n  IdentitiesOnly yes\n  UserKnownHostsFile {dir}/known_hosts\n  \
             StrictHostKeyChecking accept-new\n  BatchMode yes\n  LogLevel ERROR\n"
        ));
        fs::write(self.top.join("ssh_config"), config).unwrap();
        self.write_script("ssh", &format!("exec ssh -F '{dir}/ssh_config' \"$@\"\n"));
    }

    fn write_script(&self, name: &str, text: &str) {
        let path = self.top.join(name);
        // A new file each time: the old one may be running.
        let new = path.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// `sdw<n>`: known to the ssh of [`Hosts::ssh`] and to nobody else.
    pub fn name(&self, host: usize) -> String {
        format!("sdw{host}")
    }

    pub fn address(&self, host: usize) -> String {
        format!("10.77.0.{}", 10 + host)
    }

    pub fn address_v6(&self, host: usize) -> String {
        format!("fd77::{}", 10 + host)
    }

    pub fn namespace(&self, host: usize) -> String {
        format!("{}h{host}", self.prefix)
    }

    pub fn namespace_of_master(&self) -> String {
        format!("{}{HUB}", self.prefix)
    }

    /// A folder that goes with the hosts.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// A program to call instead of `ssh`.
    pub fn ssh(&self) -> PathBuf {
        self.top.join("ssh")
    }

    /// The words that start a program on the master's host.
    pub fn on_master(&self) -> Vec<String> {
        enter(&self.namespace_of_master())
    }

    /// The words that start a program on a host.
    pub fn on(&self, host: usize) -> Vec<String> {
        enter(&self.namespace(host))
    }

    /// A listening socket on the master's host.
    pub fn listen_on_master(&self, port: u16) -> std::io::Result<std::net::TcpListener> {
        let namespace = fs::File::open(format!("/run/netns/{}", self.namespace_of_master()))?;
        // A thread of its own: where it has gone it stays.
        let listening = std::thread::spawn(move || {
            use std::os::fd::AsFd;
            rustix::thread::move_into_link_name_space(
                namespace.as_fd(),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )?;
            std::net::TcpListener::bind(("::", port))
        });
        listening.join().expect("the thread does not panic")
    }

    /// From now on every packet to and from the host is lost.
    pub fn cut_off(&self, host: usize) {
        self.ip(&format!("-n {} link set v{host} down", self.namespace_of_master()));
    }

    pub fn reconnect(&self, host: usize) {
        self.ip(&format!("-n {} link set v{host} up", self.namespace_of_master()));
        let mut script = String::new();
        self.add_neighbours(host, &mut script);
        run(Command::new("/bin/sh").args(["-c", &script]));
    }

    /// Limits what the host can send and be sent.
    pub fn slow(&self, host: usize, kbit: u32) {
        for (namespace, device) in [
            (self.namespace_of_master(), format!("v{host}")),
            (self.namespace(host), "eth0".to_owned()),
        ] {
            run(Command::new("tc").args(["-n", &namespace]).args(
                format!("qdisc replace dev {device} root tbf rate {kbit}kbit burst 16kb latency 800ms").split(' '),
            ));
        }
    }

    pub fn full_speed(&self, host: usize) {
        for (namespace, device) in [
            (self.namespace_of_master(), format!("v{host}")),
            (self.namespace(host), "eth0".to_owned()),
        ] {
            let _ = Command::new("tc")
                .args(["-n", &namespace, "qdisc", "del", "dev", &device, "root"])
                .output();
        }
    }

    fn ip(&self, words: &str) {
        run(Command::new("ip").args(words.split(' ')));
    }

    /// All processes of a host.
    pub fn processes(&self, host: usize) -> Vec<u32> {
        pids_in(&self.namespace(host))
    }

    /// All processes of the master's host.
    pub fn processes_of_master(&self) -> Vec<u32> {
        pids_in(&self.namespace_of_master())
    }

    /// What a host does when it dies: everything on it ends at once.
    pub fn kill_all(&self, host: usize) {
        for pid in self.processes(host) {
            signal(pid, Signal::KILL);
        }
    }

    /// Workers of our programs on a host.
    pub fn workers(&self, host: usize) -> Vec<u32> {
        let is_worker = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| {
                let mut words = words.split(|byte| *byte == 0);
                let program = words.next().unwrap_or_default();
                (program.ends_with(b"gpcrondump") || program.ends_with(b"gpdbrestore"))
                    && words.any(|word| word == b"__worker")
            })
        };
        let mut found = self.processes(host);
        found.retain(is_worker);
        found
    }

    /// What every login from now on comes to.
    pub fn set_login(&self, host: usize, login: Login) {
        let text = match login {
            Login::Ordinary => "exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n".to_owned(),
            Login::Hangs => "exec cat >/dev/null\n".to_owned(),
            Login::OtherVersion => "/bin/sh -c \"$SSH_ORIGINAL_COMMAND\" | \
                 sed -u '1s/\"version\":\"[^\"]*\"/\"version\":\"0.0.1-other\"/'\n"
                .to_owned(),
            Login::NoProgram => {
                "exec /bin/sh -c \"$(printf '%s' \"$SSH_ORIGINAL_COMMAND\" | sed 's,/gp,/no-gp,g')\"\n".to_owned()
            }
            Login::WrongClock => format!(
                "LD_PRELOAD='{}' FAKETIME=-400d exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
                faketime().display()
            ),
        };
        self.write_script(&format!("login-{host}"), &text);
    }

    /// Takes logins again.
    pub fn start_sshd(&self, host: usize) {
        let dir = self.top.display();
        let config = self.top.join(format!("sshd_config-{host}"));
        // SHLVL: bash reads ~/.bashrc for a login by ssh only when it is no other shell's child. What stands there may take a lock
        // that a killed host never gives back.
        fs::write(
            &config,
            format!(
                "Port 22\nHostKey {dir}/host_key\nPidFile {dir}/sshd-{host}.pid\nAuthorizedKeysFile {dir}/authorized_keys\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin yes\nLogLevel ERROR\nUseDNS no\nSetEnv SHLVL=2\nForceCommand {dir}/login-{host}\n"
            ),
        )
        .unwrap();
        let words = self.on(host);
        let _ = fs::remove_file(self.sshd_pid_file(host));
        run(Command::new(&words[0])
            .args(&words[1..])
            .arg(sshd_path())
            .arg("-f")
            .arg(&config)
            .arg("-E")
            .arg(self.top.join(format!("sshd-{host}.log")))
            .stdin(Stdio::null()));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(self.sshd_pid_file(host)).is_ok_and(|pid| !pid.is_empty()) {
            assert!(
                Instant::now() < deadline,
                "the sshd of {} did not start",
                self.name(host)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn sshd_pid_file(&self, host: usize) -> PathBuf {
        self.top.join(format!("sshd-{host}.pid"))
    }

    /// Refuses logins; those who are in stay.
    pub fn stop_sshd(&self, host: usize) {
        if let Ok(pid) = fs::read_to_string(self.sshd_pid_file(host))
            && let Ok(pid) = pid.trim().parse()
        {
            signal(pid, Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while Path::new(&format!("/proc/{pid}")).exists() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Mounts a small file system over a directory.
    pub fn mount_small(&self, directory: &Path, kilobytes: u32) {
        self.note_mount(directory);
        run(Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={kilobytes}k,mode=0777"),
                "gpdump-test",
            ])
            .arg(directory));
    }

    /// Makes a directory read-only, for root too.
    pub fn mount_read_only(&self, directory: &Path) {
        self.note_mount(directory);
        run(Command::new("mount").arg("--bind").arg(directory).arg(directory));
        run(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(directory));
    }

    fn note_mount(&self, directory: &Path) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(self.top.join("mounts"))
            .unwrap();
        writeln!(file, "{}", directory.display()).unwrap();
    }

    pub fn unmount(&self, directory: &Path) {
        let _ = Command::new("umount").arg("-l").arg(directory).output();
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn enter(namespace: &str) -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net=/run/netns/{namespace}")]
}

fn pids_in(namespace: &str) -> Vec<u32> {
    let said = Command::new("ip").args(["netns", "pids", namespace]).output().unwrap();
    String::from_utf8_lossy(&said.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn faketime() -> PathBuf {
    let found = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists());
    found.expect("no libfaketime was found; install Debian's package libfaketime")
}
