//! The protocols between the probes and the reader as small concurrency models; those with threads are explored by loom.
//!
//! `order`: a record that becomes visible late is never stamped below the watermark that the reader has
//! emitted up to. `sleep`: a reader that goes to sleep beside an unread record is woken. `losses`: a loss
//! and its number stay together when an interrupt loses one too. Each model also runs with one step broken, at a
//! size where the whole protocol passes, and then the fault has to be found: no step can be left out.
//!
//! Modelled:
//! - One writer per ring, because probes run with interrupts off. An attempt that a full ring refuses
//!   takes a number inside the same section.
//! - Positions and busy bits with the orderings of `kernel/bpf/ringbuf.c` or weaker: release stores,
//!   acquire loads. Neither keeps a store before a later reading of the clock or the flag, so everything
//!   hangs on the full barriers, and these are explicit fences (the writer's is its atomic add).
//! - The clock as a counter that every reading advances by a relaxed read-modify-write, so that readings
//!   are ordered as in time and publish nothing by themselves. A relaxed load could return an old time
//!   for ever, which a clock cannot.
//!
//! Not modelled:
//! - Clocks that differ between CPUs and steps of the timekeeper (`clock_slack_ns` pays for them); two
//!   equal stamps. `lfence` or `isb` after the reader's clock: a counter in memory is never read early.
//! - Kernels without the irq functions, where records of one ring nest; several rings per CPU; CPUs that
//!   come and go; a restart of the reader; positions that wrap.
//! - How strong the fences of `order` have to be. Through a clock in memory release and acquire would do;
//!   on a machine a reading is a load, and only a full barrier keeps the position's store before a later
//!   load. `sleep` shows that: its flag is loaded, and release and acquire lose wake-ups.
//!
//! A pass holds for the named sizes and numbers of preemptions. loom feeds no load from a later store,
//! and keeps the last seven values of each atomic.

#[cfg(test)]
mod losses;
#[cfg(test)]
mod order;
#[cfg(test)]
mod sleep;

/// Explores the executions of `model`; `preemptions_max` bounds the switches away from a thread that
/// could go on (none: all of them).
#[cfg(test)]
fn explore(preemptions_max: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions_max;
    // The environment may shorten loom's runs, and a short run would look like a pass.
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.check(model);
}
