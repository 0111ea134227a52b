//! A real Apache Kafka: one process that is broker and controller.
//!
//! The jars are those that `tests/kafka/fetch` puts into a directory; `WEIR_TEST_KAFKA` names it. Three listeners: one in
//! the clear for whoever comes, one with SASL (PLAIN, SCRAM-SHA-512, and OAUTHBEARER with unsigned tokens), one for TLS if
//! asked for.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::skip::skipped;

/// Variable that names the directory of the jars.
pub const JARS: &str = "WEIR_TEST_KAFKA";
/// The user that may log in.
pub const USER: &str = "weir";
/// His password.
pub const PASSWORD: &str = "open sesame";
/// How long a broker may take to answer: its first writes wait for a disk that others use too.
const START_WAIT: Duration = Duration::from_secs(600);
/// Pause between two questions.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Id of the one node's cluster.
const CLUSTER: &str = "dGVzdHMtb2Ytd2Vpci4uLg";
/// `ApiVersions`, version 0, correlation id 7, no client id: every broker answers it, whoever asks.
const ARE_YOU_THERE: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
/// Settings of the virtual machine: small, and quick to start. `tests/kafka/fetch` makes its archive of classes with the same.
const JAVA: &[&str] = &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];

/// The jars; without them says that the test is skipped.
pub fn jars(test: &str) -> Option<PathBuf> {
    let jars = std::env::var_os(JARS).map(PathBuf::from).filter(|dir| dir.is_dir());
    if jars.is_none() {
        skipped(test, &format!("{JARS} names no directory with Kafka's jars: tests/kafka/fetch DIR makes one"));
    }
    jars
}

/// How the broker differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Users may only do what [`Broker::allow`] gives them; who comes in the clear may do everything.
    pub acls: bool,
    /// Directory with `broker.pem` (key and certificates): there is a TLS listener.
    pub tls: Option<PathBuf>,
    /// Further lines of the properties.
    pub more: Vec<String>,
}

/// A broker; ends when dropped.
#[derive(Debug)]
pub struct Broker {
    jars: PathBuf,
    dir: tempfile::TempDir,
    ports: [u16; 4],
    child: Option<Child>,
}

/// Ports that nobody has at the moment.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}

impl Broker {
    /// Starts a broker on empty data and waits until it answers.
    pub fn start(jars: &Path, options: &Options) -> Broker {
        let mut broker = Broker::prepare(jars, options);
        broker.restart();
        broker
    }

    /// Everything but the start: its addresses are known, and nobody answers there.
    pub fn prepare(jars: &Path, options: &Options) -> Broker {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let broker = Broker { jars: jars.to_path_buf(), dir, ports: free_ports(), child: None };
        fs::write(broker.path("kraft.properties"), broker.properties(options)).expect("properties");
        fs::write(broker.path("log4j2.properties"), LOG).expect("settings of the log");
        let scram = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        let properties = broker.path("kraft.properties");
        let format = broker
            .java("kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER, "--add-scram", &scram, "-c"])
            .arg(properties)
            .output()
            .expect("java runs");
        assert!(format.status.success(), "{format:?}");
        broker
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn java(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        let archive = self.jars.join("kafka.jsa");
        if archive.exists() {
            java.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        java.args(JAVA).arg(format!("-Dlog4j2.configurationFile={}", self.path("log4j2.properties").display()));
        java.arg("-cp").arg(self.jars.join("*")).arg(class).stdin(Stdio::null());
        java
    }

    fn properties(&self, options: &Options) -> String {
        let [plain, sasl, tls, controller] = self.ports;
        let with_tls = |text: String| if options.tls.is_some() { text } else { String::new() };
        let module = "org.apache.kafka.common.security";
        let mut lines = vec![
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "inter.broker.listener.name=PLAIN".to_owned(),
            format!(
                "listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}{}",
                with_tls(format!(",TLS://127.0.0.1:{tls}"))
            ),
            format!(
                "listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT{}",
                with_tls(",TLS:SSL".to_owned())
            ),
            format!("log.dirs={}", self.path("data").display()),
            "auto.create.topics.enable=false".to_owned(),
            "num.partitions=3".to_owned(),
            "default.replication.factor=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
            format!(
                "listener.name.sasl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
                 user_{USER}=\"{PASSWORD}\";"
            ),
            format!("listener.name.sasl.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;"),
            format!(
                "listener.name.sasl.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";"
            ),
        ];
        // The inner topics of one node: one replica, one partition.
        for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            lines.push(format!("{topic}.replication.factor=1"));
            lines.push(format!("{topic}.num.partitions=1"));
            lines.push(format!("{topic}.min.isr=1"));
        }
        if options.acls {
            lines.push("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned());
            lines.push("super.users=User:ANONYMOUS".to_owned());
        }
        if let Some(dir) = &options.tls {
            lines.push("listener.name.tls.ssl.keystore.type=PEM".to_owned());
            lines.push(format!("listener.name.tls.ssl.keystore.location={}", dir.join("broker.pem").display()));
        }
        lines.extend(options.more.iter().cloned());
        lines.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").expect("memory");
            text
        })
    }

    /// Address of the listener in the clear.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Address of the listener with SASL.
    pub fn sasl_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[1])
    }

    /// Address of the listener with TLS.
    pub fn tls_address(&self) -> String {
        format!("localhost:{}", self.ports[2])
    }

    /// Starts it, for the first time or on the data that it left, and waits until it answers.
    pub fn restart(&mut self) {
        self.restart_soon();
        self.wait_until_it_answers();
    }

    /// Starts it; it answers some time later.
    pub fn restart_soon(&mut self) {
        assert!(self.child.is_none(), "the broker runs");
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let properties = self.path("kraft.properties");
        let child = self
            .java("kafka.Kafka")
            .arg(properties)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("java runs");
        self.child = Some(child);
    }

    /// Waits until it answers.
    pub fn wait_until_it_answers(&mut self) {
        let started = Instant::now();
        while !self.answers() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none() && started.elapsed() < START_WAIT, "no broker: {ended:?}\n{}", self.log());
            std::thread::sleep(ASK_EVERY);
        }
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.ports[0]))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(&ARE_YOU_THERE)?;
            stream.read_exact(&mut [0; 8])
        };
        ask().is_ok()
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the broker runs"))
    }

    /// SIGKILL; its data stays.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    /// SIGSTOP: connections stay open and nobody answers.
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("SIGSTOP");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).expect("SIGCONT");
    }

    /// Gives the user rights by the words of kafka-acls, such as `--operation Write --topic weir.file`.
    pub fn allow(&self, what: &[&str]) {
        self.acls(&["--add", "--allow-principal", &format!("User:{USER}")], what);
    }

    /// Takes them away.
    pub fn disallow(&self, what: &[&str]) {
        self.acls(&["--remove", "--force", "--allow-principal", &format!("User:{USER}")], what);
    }

    fn acls(&self, how: &[&str], what: &[&str]) {
        let mut java = self.java("org.apache.kafka.tools.AclCommand");
        java.args(["--bootstrap-server", &self.address()]).args(how).args(what);
        let done = java.output().expect("java runs");
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Also ends one that is stopped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Warnings, to standard output.
const LOG: &str = "\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c: %m%n
";
