//! Whether there are brokers to measure with.

use std::path::PathBuf;

use weir_tests::brokers;

/// Why a figure is left out.
pub const MISSING: &str =
    "no broker here: `./x bench` fetches both; WEIR_TEST_KAFKA and WEIR_TEST_NATS_SERVER name them";

/// The jars of a Kafka broker.
pub fn kafka() -> Option<PathBuf> {
    brokers::kafka::jars("this figure")
}

/// A nats-server.
pub fn nats() -> Option<PathBuf> {
    brokers::nats::program("this figure")
}
