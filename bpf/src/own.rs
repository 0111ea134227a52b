//! The collector's own processes, which the programs leave out: known by what nobody else can have (own.h).

use std::io::Read;

use libbpf_rs::Iter;

use crate::Error;
use crate::load::Loaded;
use crate::skel::types::own_state;

/// The program that takes them in.
pub(crate) const PROGRAM: &str = "weir_own";
/// What the programs know of them.
pub(crate) const MAP: &str = ".data.own";

impl Loaded {
    /// Takes this process in, in place of whoever was there before. Its children join by themselves from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn know_own(&self) -> Result<(), Error> {
        // The collector before is gone, so no child of it can join meanwhile.
        // SAFETY: `.data.own` holds exactly one `struct own_state`, mapped writable for our lifetime.
        unsafe { self.own.pointer().cast::<own_state>().write_volatile(own_state::default()) };
        self.run_own()
    }

    /// Leaves a process out that works for the collector: one that is no child of it, or was forked before the programs
    /// came. It must not have ended, or not be waited for yet: else its pid could be another's. In a full table (15
    /// processes) it is recorded like any other.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn exclude_process(&self, pid: u32) -> Result<(), Error> {
        let own = self.own.pointer().cast::<own_state>();
        // SAFETY: `.data.own` holds exactly one `struct own_state`, mapped writable for our lifetime; programs other than
        // the one that runs below do not read this word.
        unsafe { (&raw mut (*own).asked).write_volatile(pid) };
        let result = self.run_own();
        // SAFETY: as above.
        unsafe { (&raw mut (*own).asked).write_volatile(0) };
        result
    }

    fn run_own(&self) -> Result<(), Error> {
        let Some(program) = self.program(PROGRAM) else { return Ok(()) };
        let link = program.attach().map_err(Error::libbpf("attach the iterator that finds the collector"))?;
        let mut iterator = Iter::new(&link).map_err(Error::libbpf("open the iterator that finds the collector"))?;
        let read = iterator.read_to_end(&mut vec![]);
        read.map(drop).map_err(Error::io("find the collector among the processes"))
    }
}
