//! What `weir run` is told: defaults, then a TOML file, then `WEIR_*`, then flags, each layer over the one before.
//!
//! Every setting is one line of the table below; limits carry their unit in the name.

pub mod filter;
pub mod kinds;
mod layers;
mod lines;
mod nearest;
mod problem;
mod raw;
mod render;
mod select;
mod sinks;
mod table;
mod units;
mod validate;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use kinds::{Choice, Count, File, Hidden, Kind, List, Micros, Millis, Nanos, Optional, Size, Span, Switch, Text};
use table::settings;
use weir_sinks::kafka::{Acks, KafkaCompression};
use weir_sinks::nats::Storage;
use weir_sinks::{Compression, PayloadFormat, Policy, Secret};

pub use layers::{Effective, Origin, Sources};
pub(crate) use layers::{of_text, text_of};
pub use nearest::nearest;
pub use problem::{ConfigError, Problem};
pub use raw::Raw;
pub use render::{effective_json, effective_toml, markdown};
pub use select::Selection;
pub use sinks::{SinkConfig, SinkKind, SinkSettings};
pub use table::{Flag, Key};
pub use units::{format_size, parse_duration};
pub use words::{
    Containers, LogFormat, LogLevel, Results, SaslMechanism, SinkStart, SpoolFull, SpoolMode, Status, StdoutFormat,
};

/// Where Parquet files go when nothing else is said.
pub const DATA_DIR: &str = "weir-data";

/// Where dead letters go when nothing else is said.
const DEAD_LETTERS_DIR: &str = "weir-dead-letters";

/// Values that one list filter can hold; the kernel's tables of the filters have as many places.
pub const FILTER_VALUES_MAX: usize = weir_bpf::filter::LIST_MAX;

/// Smallest ring, bytes: 64 KiB holds a few large records.
pub const RING_BYTES_MIN: u64 = 64 << 10;

/// Bytes of a file of settings.
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Largest ring, bytes.
pub const RING_BYTES_MAX: u64 = 1 << 30;

settings! {
    "What is recorded" {
        /// Classes, or single actions as `class.action`. `default` stands for the classes that are on by themselves
        /// (all but `syscall`); actions that are only recorded on request, such as `network.sendto`, must be named.
        /// Class `loss` is always there.
        classes: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("class", "CLASS")];
        /// System calls by name, recorded in class `syscall`, which this adds to the classes; `all` for every one.
        /// Class `syscall` without names means `all`.
        syscalls: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("syscall", "NAME")];
        /// System calls that class `syscall` leaves out.
        except_syscalls: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-syscall", "NAME")];
        /// Measure how long system calls of class `syscall` take. Costs a second probe on each of them.
        durations: bool as Switch = false;
        /// Record the environment of every exec. It often holds secrets.
        env: bool as Switch = false;
        /// Bytes of arguments, and of environment, that an exec row keeps; a cut is marked in `args_truncated`.
        args_bytes_max: u64 as Size = 32 << 10;
        /// Column `host`. Not set: the machine's own node name, never a container's.
        host: Option<String> as Optional<Text> = None, &[Flag::Takes("host", "NAME")];
    }
    "The run" {
        /// Stop after this time. Not set: at a signal, or when the command ends.
        duration: Option<Duration> as Optional<Span> = None;
        /// Run the command as this user. Not set: the user who called sudo, else the caller.
        user: Option<String> as Optional<Text> = None, &[Flag::Takes("user", "NAME")];
        /// Keep everything that is recorded in this directory as a capture, which `weir replay` reads. Given as the only
        /// output, no Parquet is written.
        capture: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("capture", "DIR")];
        /// Serve `/metrics`, `/livez`, `/readyz` and `/status` by HTTP at this address and port, such as
        /// `127.0.0.1:9464`. Not set: nothing listens.
        listen: Option<String> as Optional<Text> = None, &[Flag::Takes("listen", "ADDRESS")];
        /// The control socket, which `weir status` and `weir reload` ask at: a name in the run directory (`/run/weir`;
        /// `$XDG_RUNTIME_DIR/weir` of a user), or a path. Not set: the process id.
        control: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("control", "NAME|PATH")];
        /// Keep a small process with root's rights for reloads: it reads the configuration again, and opens the files and makes
        /// the directories that only root can. Without it a reload that needs one is refused.
        reload: bool as Switch = true;
        /// How long all sinks together may take for their last rows at the stop.
        stop_wait: Duration as Span = Duration::from_secs(30);
        /// Write the final ledger to this file as JSON.
        report: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("report", "FILE")];
        /// The live status line on standard error; `auto` shows it on a terminal.
        status: Status as Choice = Status::Auto, &[Flag::Takes("status", "WHEN")];
    }
    "Rings and batches" {
        /// Bytes of each CPU's ring: a power of two, 64KiB to 1GiB.
        ring_bytes: u64 as Size = 8 << 20;
        /// Share of every ring that only process rows may use, in percent, so that a flood of other events never costs
        /// an exec.
        ring_lifecycle_percent: u64 as Count = 12;
        /// A batch is closed when its first row is this old.
        batch_age_ms: u64 as Millis = 25;
        /// A batch is closed at this many rows.
        batch_rows_max: usize as Count = 8192;
        /// A batch is closed at this many bytes.
        batch_bytes_max: u64 as Size = 8 << 20;
        /// How long the reader naps when the rings are empty, before it looks again.
        nap_us: u64 as Micros = 1000;
        /// Naps on empty rings before the reader sleeps until a record wakes it.
        naps_before_sleep: u32 as Count = 4;
        /// How far the clock of the probes and the reader's may differ for a moment.
        clock_slack_ns: u64 as Nanos = 2000;
        /// Processes that a followed or an excluded subtree can have at a time.
        followed_max: u32 as Count = 65_536;
        /// Cuts (all batches of one moment) that wait for a sink, before it loses rows.
        lane_cuts_max: usize as Count = 64;
        /// Bytes of batches that wait for a sink, before it loses rows.
        lane_bytes_max: u64 as Size = 32 << 20;
        /// Run each sink that talks to a broker in a process of its own, which can do nothing else: what the network sends can
        /// end that process, and nothing but that sink waits until there is another.
        sink_process: bool as Switch = true;
        /// Bytes of memory of such a process, beside the queue of its sink (twice `queue_bytes_max` of Kafka; for NATS twice
        /// `window_bytes_max` and 64MiB).
        sink_memory_max: u64 as Size = 256 << 20;
    }
    "Context" {
        /// Add to each row who did it: creators, users, containers. Without it rows have what the kernel's record has, and
        /// the program and arguments of their process.
        context: bool as Switch = true;
        /// Processes that are remembered, ended ones included; beyond it those that were not seen for long are forgotten.
        processes_max: usize as Count = 65_536;
        /// Bytes of everything that is remembered of processes and containers; beyond it those whose names, paths and arguments
        /// are longer than the average lose them.
        context_bytes_max: u64 as Size = 64 << 20;
        /// How long an ended process is remembered, for events that come late.
        process_grace: Duration as Span = Duration::from_secs(10);
        /// Names in column `ancestors`; 0 leaves it empty.
        ancestors_max: usize as Count = 16;
        /// Ask container runtimes for names. Without sockets of your own, at those that are at the usual places.
        container_names: bool as Switch = true;
        /// Sockets of Docker's interface (Docker, podman) to ask at.
        docker_sockets: Vec<PathBuf> as List<File> = Vec::new(), &[Flag::Takes("docker-socket", "SOCKET")];
        /// Sockets of the Container Runtime Interface (containerd, CRI-O) to ask at.
        cri_sockets: Vec<PathBuf> as List<File> = Vec::new(), &[Flag::Takes("cri-socket", "SOCKET")];
        /// Containers whose names are asked for per second, at most.
        container_lookups_per_second_max: u32 as Count = 20;
    }
    /// Which tasks and results are recorded; asked in the kernel, before anything is written.
    filter: Filter, "Filters" {
        /// Only these processes, by id, and their descendants.
        follow: Vec<u32> as List<Count> = Vec::new(), &[Flag::Takes("follow", "PID")];
        /// Not these processes, by id, nor their descendants.
        except_tree: Vec<u32> as List<Count> = Vec::new(), &[Flag::Takes("except-tree", "PID")];
        /// Only tasks of these users, by name or id.
        only_user: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-user", "USER")];
        /// Not tasks of these users.
        except_user: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-user", "USER")];
        /// Only tasks with these names (column `comm`, at most 15 bytes).
        only_comm: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-comm", "NAME")];
        /// Not tasks with these names.
        except_comm: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-comm", "NAME")];
        /// Only tasks inside these cgroups or below: a path under the cgroup v2 mount, or an id as in `cgroup_id`.
        only_cgroup: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-cgroup", "CGROUP")];
        /// Not tasks inside these cgroups or below.
        except_cgroup: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-cgroup", "CGROUP")];
        /// Of class `file`, only events with a path that is one of these or below it: `/etc` is the directory and all in it,
        /// and not `/etcetera`. Of two paths (rename, link) one is enough. Symbolic links
        /// in what is known as a text only (unlink, rename, attempts that fail) are not followed. What is outside of the
        /// process's mount namespace (`path_state` is `unreachable`) is below nothing.
        only_path: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-path", "PREFIX")];
        /// Not events of class `file` whose path is one of these or below it; of two paths both have to be.
        except_path: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-path", "PREFIX")];
        /// Tasks in containers: `any`, `only` them, or `none` of them.
        containers: Containers as Choice = Containers::Any, &[
            Flag::Means("containers", "only", "Only tasks inside containers"),
            Flag::Means("no-containers", "none", "No tasks inside containers"),
        ];
        /// Only these containers: by id, the first 12 characters of it or more, or name. Events that come before a name is
        /// known are kept.
        only_container: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("only-container", "CONTAINER")];
        /// Not these containers.
        except_container: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("except-container", "CONTAINER")];
        /// Results: `any`, only `failed` attempts, or only `succeeded` ones.
        results: Results as Choice = Results::Any, &[
            Flag::Means("failed", "failed", "Only attempts that failed"),
            Flag::Means("succeeded", "succeeded", "Only attempts that succeeded"),
        ];
        /// Record weir itself too.
        include_self: bool as Switch = false, &[
            Flag::Means("include-self", "true", "Record weir itself too"),
        ];
    }
    /// Rolling Parquet files.
    parquet: Parquet, "Parquet files" {
        /// Directory of the Parquet files. Not set, and no other output either: `weir-data` in the current directory.
        dir: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("parquet", "DIR")];
        /// A file is closed at this many rows.
        file_rows_max: u64 as Count = 16_000_000;
        /// A file is closed at this size.
        file_bytes_max: u64 as Size = 128 << 20;
        /// A file is closed at this age, and only then can be queried.
        file_age: Duration as Span = Duration::from_secs(300);
        /// Bytes of the whole directory; the oldest files go first. Not set: no limit.
        dir_bytes_max: Option<u64> as Optional<Size> = None;
        /// Files older than this are removed. Not set: never.
        dir_age_max: Option<Duration> as Optional<Span> = None;
        /// While the file system has less free space than this, the oldest files go; a start without any is refused. Not
        /// set: no file is ever removed for it.
        free_bytes_min: Option<u64> as Optional<Size> = None;
        /// Compression level of zstd, 1 (fast) to 22 (small).
        zstd_level: u32 as Count = 1;
    }
    /// Rows on standard output.
    stdout: Stdout, "Standard output" {
        /// Print rows as JSON lines, or as a table for people. Given as the only output, no Parquet is written.
        format: Option<StdoutFormat> as Optional<Choice> = None, &[Flag::Takes("stdout", "FORMAT")];
    }
    /// Messages to Kafka.
    kafka: Kafka, "Kafka" {
        /// Brokers to begin with, as HOST:PORT. Not set: no rows go to Kafka.
        brokers: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("kafka", "HOST:PORT")];
        /// Topic; `{class}` and `{host}` stand for those of the rows.
        topic: String as Text = "weir.{class}".into();
        /// Form of the messages: one event as JSON, many as JSON lines, or a batch as an Arrow IPC stream.
        format: PayloadFormat as Choice = PayloadFormat::Json;
        /// Compression inside the Arrow messages.
        arrow_compression: Compression as Choice = Compression::Lz4;
        /// Bytes of one message before compression. A single row that is larger goes alone; what the broker refuses goes to the
        /// dead letters.
        message_bytes_max: u64 as Size = 900_000;
        /// Lines of one message of JSON lines.
        lines_max: usize as Count = 1000;
        /// Compression by the producer; `auto` is `lz4`, and `none` for Arrow messages that are compressed inside.
        compression: KafkaCompression as Choice = KafkaCompression::Auto;
        /// Who must have a message before it is acknowledged: `all` replicas in sync, the partition's `leader`, or `none`.
        /// With less than `all`, messages can be lost and doubled.
        acks: Acks as Choice = Acks::All;
        /// How long the producer waits for more messages before it sends a batch.
        linger_ms: u64 as Millis = 20;
        /// Bytes of messages that wait in the producer.
        queue_bytes_max: u64 as Size = 64 << 20;
        /// Make topics that are not there.
        create_topics: bool as Switch = false;
        /// Partitions of a topic that weir makes. Not set: as the broker has it.
        topic_partitions: Option<u32> as Optional<Count> = None;
        /// Copies of each partition of a topic that weir makes. Not set: as the broker has it.
        topic_replication: Option<u32> as Optional<Count> = None;
        /// How long a topic that weir makes keeps messages. Not set: as the broker has it.
        topic_retention: Option<Duration> as Optional<Span> = None;
        /// Encrypt. On by itself when a certificate or an authority is given.
        tls: bool as Switch = false;
        /// Certificates of the authorities that are trusted, PEM. Not set: those of the system.
        tls_ca: Option<PathBuf> as Optional<File> = None;
        /// Certificate of this client, PEM.
        tls_cert: Option<PathBuf> as Optional<File> = None;
        /// Private key of this client, PEM.
        tls_key: Option<PathBuf> as Optional<File> = None;
        /// Password of the private key.
        tls_key_password: Option<Secret> as Optional<Hidden> = None;
        /// The same from a file.
        tls_key_password_file: Option<PathBuf> as Optional<File> = None;
        /// Check the broker's certificate and name.
        tls_verify: bool as Switch = true;
        /// How to log in. Not set: no login.
        sasl_mechanism: Option<SaslMechanism> as Optional<Choice> = None;
        /// User, for all mechanisms but `oauthbearer`.
        sasl_username: Option<String> as Optional<Text> = None;
        /// Password.
        sasl_password: Option<Secret> as Optional<Hidden> = None;
        /// The same from a file.
        sasl_password_file: Option<PathBuf> as Optional<File> = None;
        /// Where `oauthbearer` gets its tokens (OIDC, client credentials).
        oidc_token_url: Option<String> as Optional<Text> = None;
        /// Client id of `oauthbearer`.
        oidc_client_id: Option<String> as Optional<Text> = None;
        /// Client secret of `oauthbearer`.
        oidc_client_secret: Option<Secret> as Optional<Hidden> = None;
        /// The same from a file.
        oidc_client_secret_file: Option<PathBuf> as Optional<File> = None;
        /// Scope of `oauthbearer`.
        oidc_scope: Option<String> as Optional<Text> = None;
        /// Further claims of `oauthbearer`, as `name=value`.
        oidc_extensions: Vec<String> as List<Text> = Vec::new();
        /// File with a token that someone else renews, for `oauthbearer` without OIDC.
        sasl_token_file: Option<PathBuf> as Optional<File> = None;
        /// One transaction for every flush, with the progress inside: consumers that read committed messages get each row
        /// exactly once, also when weir is killed.
        transactions: bool as Switch = false;
        /// Name under which the broker knows this producer again. Not set: made of the host and the sink's name.
        transactional_id: Option<String> as Optional<Text> = None;
        /// Compacted topic of the progress, with transactions.
        progress_topic: String as Text = "weir.progress".into();
        /// From flush to flush.
        flush_period: Duration as Span = Duration::from_secs(1);
        /// How long one write waits for room in the producer before the lane is told to wait.
        write_wait: Duration as Span = Duration::from_millis(500);
        /// How long one flush waits for acknowledgements before the lane is told to wait.
        flush_wait: Duration as Span = Duration::from_secs(5);
        /// Settings of librdkafka that have no key here, as `name=value`. Secrets are refused in them.
        librdkafka: Vec<String> as List<Text> = Vec::new();
    }
    /// Messages to NATS.
    nats: Nats, "NATS" {
        /// Servers, as `nats://HOST:PORT`. Not set: no rows go to NATS.
        servers: Vec<String> as List<Text> = Vec::new(), &[Flag::Takes("nats", "URL")];
        /// Subject; `{class}` and `{host}` stand for those of the rows, `{sink}` for the sink's name; dots in them become `_`.
        subject: String as Text = "weir.{class}.{host}".into();
        /// Publish to JetStream, which acknowledges. Off: plain NATS, at most once.
        jetstream: bool as Switch = true;
        /// Stream that takes the subjects.
        stream: String as Text = "WEIR".into();
        /// Make the stream if it is not there.
        create_stream: bool as Switch = false;
        /// Where a stream that weir makes is kept.
        stream_storage: Storage as Choice = Storage::File;
        /// Copies of a stream that weir makes.
        stream_replicas: u32 as Count = 1;
        /// Bytes of a stream that weir makes; the oldest messages go first. Not set: no limit.
        stream_bytes_max: Option<u64> as Optional<Size> = None;
        /// How long a stream that weir makes keeps messages. Not set: for ever.
        stream_age_max: Option<Duration> as Optional<Span> = None;
        /// How long a stream that weir makes remembers the ids of messages, to drop those that come twice.
        duplicate_window: Duration as Span = Duration::from_secs(120);
        /// Form of the messages: one event as JSON, many as JSON lines, or a batch as an Arrow IPC stream.
        format: PayloadFormat as Choice = PayloadFormat::JsonLines;
        /// Compression inside the Arrow messages.
        arrow_compression: Compression as Choice = Compression::Lz4;
        /// Bytes of one message; never more than the server's `max_payload`. A single row that is larger goes alone, and what
        /// is larger than the server allows to the dead letters.
        message_bytes_max: u64 as Size = 1 << 20;
        /// Lines of one message of JSON lines.
        lines_max: usize as Count = 1000;
        /// Messages on their way without an acknowledgement.
        window_messages_max: usize as Count = 4096;
        /// Bytes on their way without an acknowledgement.
        window_bytes_max: u64 as Size = 16 << 20;
        /// Without an acknowledgement for so long, the connection is given up, and a new one sends again what is unknown.
        ack_wait: Duration as Span = Duration::from_secs(10);
        /// From flush to flush.
        flush_period: Duration as Span = Duration::from_secs(1);
        /// How long one write waits for room in the window before the lane is told to wait.
        write_wait: Duration as Span = Duration::from_secs(1);
        /// How long one flush waits for acknowledgements before the lane is told to wait.
        flush_wait: Duration as Span = Duration::from_secs(5);
        /// How long one server may take to answer a new connection.
        connect_wait: Duration as Span = Duration::from_secs(5);
        /// Prefix of the subjects that acknowledgements come by; the user must be allowed to subscribe to it.
        inbox: String as Text = "_INBOX".into();
        /// Keep the progress in the stream and read it back at the start, so that nothing is sent twice that the server
        /// cannot tell.
        read_back: bool as Switch = false;
        /// Subject of the progress, with `read_back`.
        progress_subject: String as Text = "weir.progress.{host}".into();
        /// Insist on encryption. On by itself when a certificate or an authority is given.
        tls: bool as Switch = false;
        /// Certificates of the authorities that are trusted, PEM. Not set: those of the system.
        tls_ca: Option<PathBuf> as Optional<File> = None;
        /// Certificate of this client, PEM.
        tls_cert: Option<PathBuf> as Optional<File> = None;
        /// Private key of this client, PEM.
        tls_key: Option<PathBuf> as Optional<File> = None;
        /// User.
        user: Option<String> as Optional<Text> = None;
        /// Password.
        password: Option<Secret> as Optional<Hidden> = None;
        /// The same from a file.
        password_file: Option<PathBuf> as Optional<File> = None;
        /// Token, instead of user and password.
        token: Option<Secret> as Optional<Hidden> = None;
        /// The same from a file.
        token_file: Option<PathBuf> as Optional<File> = None;
        /// Seed of an nkey, instead of user and password.
        nkey_seed: Option<Secret> as Optional<Hidden> = None;
        /// The same from a file.
        nkey_seed_file: Option<PathBuf> as Optional<File> = None;
        /// Credentials file (JWT and seed, as `nsc` writes it), instead of user and password.
        credentials_file: Option<PathBuf> as Optional<File> = None;
    }
    /// What a `[[sink]]` table says of a sink of any type, beside the keys of the section of its type.
    sink: SinkTable, "Sinks" {
        /// Name in messages, metrics and reports, and of the sink's place in the spool. Not set: the type, then `type-2` and
        /// so on.
        name: Option<String> as Optional<Text> = None;
        /// Classes that the sink gets. Not set: all that are recorded. Class `loss` is always there.
        classes: Vec<String> as List<Text> = Vec::new();
        /// What happens when the sink cannot keep up and has no spool: `drop` loses its own rows, counted; `block` makes
        /// all sinks wait for it, and in the end the kernel's rings.
        policy: Policy as Choice = Policy::Drop;
        /// Where a sink that a spool does not know yet begins: with what comes `now`, or with the `oldest` that is there.
        start: SinkStart as Choice = SinkStart::Now;
    }
    /// The log on disk that keeps what sinks have not taken yet.
    spool: Spool, "Spool" {
        /// Directory of the spool. Not set: none, and `weir-spool` in the current directory in mode `crash`.
        dir: Option<PathBuf> as Optional<File> = None, &[Flag::Takes("spool", "DIR")];
        /// What must be on disk: `none` (the spool is used only for a sink that lags), or `crash` (a record leaves the
        /// kernel's ring only once it is in the spool, so that a killed weir goes on where it stopped).
        mode: SpoolMode as Choice = SpoolMode::None, &[Flag::Takes("durability", "MODE")];
        /// Bytes of the whole spool.
        bytes_max: u64 as Size = 1 << 30;
        /// Bytes of one file of the spool.
        segment_bytes: u64 as Size = 64 << 20;
        /// From one write to the disk (fsync) to the next.
        commit_ms: u64 as Millis = 25;
        /// What happens when the spool is full: `block` until a sink has taken something, drop the oldest, or drop by class
        /// (reads of files before execs). What is dropped is counted.
        when_full: SpoolFull as Choice = SpoolFull::DropOldest;
    }
    /// What destinations refuse for ever.
    dead_letters: DeadLetters, "Dead letters" {
        /// Directory of the messages that a broker refuses for ever, each with its reason.
        dir: PathBuf as File = DEAD_LETTERS_DIR.into();
        /// Bytes of each sink's dead letters; what does not fit is only counted.
        bytes_max: u64 as Size = 256 << 20;
    }
    /// Messages of weir itself, on standard error.
    log: Log, "Messages" {
        /// Form of the messages.
        format: LogFormat as Choice = LogFormat::Text, &[Flag::Takes("log", "FORMAT")];
        /// Least severity of the messages.
        level: LogLevel as Choice = LogLevel::Info;
    }
}

impl Config {
    /// The key with this name.
    pub fn key(name: &str) -> Option<(usize, &'static Key)> {
        KEYS.iter().enumerate().find(|(_, key)| key.name == name)
    }

    /// Whether a sink takes standard output, which a command then cannot have.
    pub fn writes_to_stdout(&self) -> bool {
        self.sinks.iter().any(|sink| sink.kind() == SinkKind::Stdout)
    }

    /// What no layer said: the embedded default is Parquet under [`DATA_DIR`].
    fn complete(&mut self) {
        let is_set = |kind: &SinkKind| kind.destination().is_some_and(|(_, key)| (key.get)(self).is_some());
        if self.capture.is_none() && !SinkKind::ALL.iter().any(is_set) {
            self.parquet.dir = Some(PathBuf::from(DATA_DIR));
        }
    }
}

#[cfg(test)]
mod tests;
