//! Real brokers for tests: started here, on free ports and temporary data, and ended by their own process id.

pub mod hostile;
pub mod kafka;
pub mod nats;
