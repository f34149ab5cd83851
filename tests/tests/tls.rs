//! Connections by the rules of libpq's `sslmode`, to a server that takes no clear text over TCP.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use gpdump_core::db::Session;
use gpdump_core::db::connect::{ConnectSpec, Login};
use gpdump_core::words::environment::{SslMode, TlsSettings};
use gpdump_testkit::{Cluster, Finished, Plain, Program};
use gpdump_tests::{DEMO, certificates};

struct Site {
    server: Cluster,
    certificates: PathBuf,
}

impl Site {
    fn start() -> Site {
        let server = Plain::start();
        let certificates = server.home().join("certificates");
        fs::create_dir(&certificates).unwrap();
        let user = server.sql("postgres", "SELECT current_user")[0][0].clone().unwrap();
        certificates::make(&certificates, "IP:127.0.0.1");
        certificates::sign(&certificates, "user", &user, "extendedKeyUsage=clientAuth");
        let site = Site { server, certificates };
        let into = site.server.master_data_dir();
        for name in ["server.crt", "server.key", "ca.crt"] {
            fs::copy(site.certificates.join(name), into.join(name)).unwrap();
            // Root's tests start servers as another user, and a key must be its owner's.
            let owner = fs::metadata(into).unwrap();
            chown(into.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        site.server.sql("postgres", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'");
        site.server.sql("postgres", "ALTER SYSTEM SET ssl = on");
        site.let_in("trust");
        site
    }

    fn let_in(&self, how: &str) {
        let rules = format!("local all all trust\nhostssl all all 127.0.0.0/8 {how}\n");
        fs::write(self.server.master_data_dir().join("pg_hba.conf"), rules).unwrap();
        self.server.sql("postgres", "SELECT pg_reload_conf()");
    }

    fn path(&self, name: &str) -> String {
        self.certificates.join(name).to_str().unwrap().to_owned()
    }

    fn ask(&self, host: &str, mode: &str, more: &[(&str, String)], database: &str) -> Finished {
        let mut program = Program::new("gpcrondump", &self.server)
            .args(["-a", "-x", database])
            .env("PGHOST", host)
            .env("PGSSLMODE", mode);
        for (name, value) in more {
            program = program.env(name, value.clone());
        }
        program.run()
    }

    /// A database that is not there: so far one comes only when the server lets one in.
    #[track_caller]
    fn lets_in(&self, host: &str, mode: &str, more: &[(&str, String)]) {
        let said = self.ask(host, mode, more, "nowhere").expect_status(2);
        assert!(
            said.stdout.contains("nowhere does not exist"),
            "{mode} {more:?}: {}",
            said.stdout
        );
    }

    #[track_caller]
    fn refused(&self, host: &str, mode: &str, more: &[(&str, String)], because: &str) {
        let said = self.ask(host, mode, more, "nowhere").expect_status(2);
        assert!(said.stdout.contains(because), "{mode} {more:?}: {}", said.stdout);
    }
}

#[test]
fn encryption_and_certificates_follow_the_modes_of_libpq() {
    let site = Site::start();
    let (address, name) = ("127.0.0.1", "localhost");
    let roots = |file: &str| ("PGSSLROOTCERT", site.path(file));

    site.refused(address, "disable", &[], "no pg_hba.conf entry");
    site.refused(address, "certainly", &[], "PGSSLMODE=\"certainly\" is not a mode");
    for mode in ["allow", "prefer", "require"] {
        site.lets_in(address, mode, &[]);
    }
    site.refused(address, "verify-ca", &[], "root.crt\" does not exist");
    site.lets_in(address, "verify-full", &[roots("ca.crt")]);
    site.lets_in(name, "verify-ca", &[roots("ca.crt")]);
    site.refused(name, "verify-full", &[roots("ca.crt")], "not valid for name");
    // A root certificate that is there is used, though only encryption is asked for.
    for mode in ["require", "verify-ca", "verify-full"] {
        site.refused(address, mode, &[roots("stranger.crt")], "UnknownIssuer");
    }

    site.let_in("cert");
    let certificate = ("PGSSLCERT", site.path("user.crt"));
    let key = ("PGSSLKEY", site.path("user.key"));
    site.refused(address, "require", &[], "certificate");
    site.lets_in(address, "require", &[certificate.clone(), key.clone()]);

    // The whole way, pg_dump's session included.
    site.server.load_warehouse(DEMO);
    let all = [roots("ca.crt"), certificate, key];
    site.ask(address, "verify-full", &all, DEMO).expect_status(0);
}

#[test]
fn a_statement_is_cancelled_over_tls_too() {
    let site = Site::start();
    let spec = ConnectSpec {
        hosts: vec!["127.0.0.1".to_owned()],
        port: site.server.master().port,
        database: "postgres".to_owned(),
        login: Login {
            user: site.server.sql("postgres", "SELECT current_user")[0][0]
                .clone()
                .unwrap(),
            tls: TlsSettings {
                mode: SslMode::Require,
                ..TlsSettings::default()
            },
            ..Login::default()
        },
        utility_setting: None,
        application_name: "gpdump_tests".to_owned(),
        whom: "the server".to_owned(),
        beneath: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let session = Session::open(&spec).await.unwrap();
        let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(session.one(encrypted, "asking").await.unwrap().as_deref(), Some("t"));
        assert_eq!(session.errors_told(), 0);
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            session.canceller().cancel().await;
        };
        let (ended, ()) = tokio::join!(session.run("SELECT pg_sleep(20)", "sleeping"), cancel);
        // query_canceled
        assert_eq!(ended.unwrap_err().code(), Some("57014"));
        assert_eq!(session.errors_told(), 1);
        assert!(session.is_open());
    });
}
