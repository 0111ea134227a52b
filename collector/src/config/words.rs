//! Settings that are one word of a few.

use weir_sinks::kafka::{Acks, KafkaCompression};
use weir_sinks::nats::Storage;
use weir_sinks::{Compression, PayloadFormat, Policy};

use super::kinds::Named;

/// Declares a set of words.
macro_rules! words {
    ($(#[doc = $doc:literal] $name:ident { $(#[doc = $value_doc:literal] $value:ident = $word:literal),* $(,)? })*) => {
        $(
            #[doc = $doc]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $name { $(#[doc = $value_doc] $value),* }

            impl Named for $name {
                const WORDS: &'static [&'static str] = &[$($word),*];
                const VALUES: &'static [Self] = &[$(Self::$value),*];
            }
        )*
    };
}

words! {
    /// When the status line is shown.
    Status {
        /// On a terminal.
        Auto = "auto",
        /// In any case.
        Always = "always",
        /// Never.
        Never = "never",
    }
    /// How rows are printed.
    StdoutFormat {
        /// JSON lines.
        Json = "json",
        /// A table for people.
        Table = "table",
    }
    /// How Kafka's producer logs in.
    SaslMechanism {
        /// User and password as they are; only over TLS.
        Plain = "plain",
        /// SCRAM-SHA-256.
        ScramSha256 = "scram-sha-256",
        /// SCRAM-SHA-512.
        ScramSha512 = "scram-sha-512",
        /// Tokens of an OIDC server.
        OauthBearer = "oauthbearer",
    }
    /// Where a new sink begins in a spool.
    SinkStart {
        /// With what comes.
        Now = "now",
        /// With the oldest that is there.
        Oldest = "oldest",
    }
    /// What must be on disk.
    SpoolMode {
        /// Nothing.
        None = "none",
        /// Everything that has left the kernel.
        Crash = "crash",
    }
    /// What happens when the spool is full.
    SpoolFull {
        /// The reader waits.
        Block = "block",
        /// The oldest segment goes.
        DropOldest = "drop_oldest",
        /// Rows of lesser classes go first.
        DropByClass = "drop_by_class",
    }
    /// Tasks in containers.
    Containers {
        /// Recorded like others.
        Any = "any",
        /// Nothing else is recorded.
        Only = "only",
        /// Not recorded.
        None = "none",
    }
    /// Results of attempts.
    Results {
        /// All.
        Any = "any",
        /// Negative return values.
        Failed = "failed",
        /// The others.
        Succeeded = "succeeded",
    }
    /// Form of messages.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
    /// Severity of messages.
    LogLevel {
        /// Weir cannot do what it was told.
        Error = "error",
        /// Something is missing or lost.
        Warn = "warn",
        /// The course of a run.
        Info = "info",
        /// How things were decided.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// Gives the values of a sink's own type their words.
macro_rules! words_of {
    ($($type:ident { $($value:ident = $word:literal),* $(,)? })*) => {
        $(
            impl Named for $type {
                const WORDS: &'static [&'static str] = &[$($word),*];
                const VALUES: &'static [Self] = &[$($type::$value),*];
            }
        )*
    };
}

words_of! {
    Policy { Drop = "drop", Block = "block" }
    PayloadFormat { Json = "json", JsonLines = "json_lines", Arrow = "arrow" }
    Compression { None = "none", Lz4 = "lz4", Zstd = "zstd" }
    KafkaCompression {
        Auto = "auto", None = "none", Gzip = "gzip", Snappy = "snappy", Lz4 = "lz4", Zstd = "zstd",
    }
    Acks { All = "all", Leader = "leader", None = "none" }
    Storage { File = "file", Memory = "memory" }
}
