//! The programs and their way into and out of the kernel; the only crate with unsafe code.
//!
//! * [`btf`]: what the running kernel offers.
//! * [`plan`]: which programs serve a selection of actions (pure).
//! * [`load`]: opens, configures, loads and attaches them.
//! * [`filter`]: what is recorded at all.
//! * [`own`]: the collector's own processes, which are left out.
//! * [`pin`]: keeps them when the collector is gone.
//! * [`ring`]: reads records in place, in the ring's own memory.
//! * [`shared`]: the counters and flags that the programs share with the collector.

pub mod btf;
pub mod error;
pub mod filter;
pub mod load;
pub mod own;
pub mod pin;
pub mod plan;
pub mod ring;
pub mod shared;
mod skel;

pub use error::Error;
pub use filter::{Filters, Lists};
pub use load::{ContainerHierarchy, Loaded, ProgramCounters, Settings, object_hash};
pub use pin::Pins;
pub use plan::{Plan, Selection};
