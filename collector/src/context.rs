//! What is known of processes: who created them, their program, their command line.
//!
//! Records come in time order, so an exec is known before the first event of the new program. The table is bounded; a
//! process that is not in it (its fork and exec were lost) has null `exe` and `cmdline`.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::texts::{TextId, Texts};

/// Ended processes that stay known for events that come behind their exit (socket states).
pub const ENDED_MAX: usize = 4096;

/// One process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process {
    /// Key of the creator, 0 if unknown.
    pub parent_key: i64,
    /// Path of the executable.
    pub exe: TextId,
    /// Arguments of the last exec.
    pub cmdline: TextId,
    comm_bytes: [u8; 16],
    comm: TextId,
}

/// The table.
pub struct Processes {
    table: HashMap<i64, Process, FixedState>,
    /// The process that was looked up last: neighbours in time often share one.
    last: Option<(i64, Process)>,
    ended: VecDeque<i64>,
    processes_max: usize,
    refused: u64,
}

impl Processes {
    /// An empty table of at most `processes_max` processes.
    pub fn new(processes_max: usize) -> Processes {
        Processes { table: HashMap::default(), last: None, ended: VecDeque::new(), processes_max, refused: 0 }
    }

    /// A process and its thread's name, as the event has it.
    #[inline]
    pub fn look_up(&mut self, key: i64, comm: &[u8; 16], texts: &mut Texts) -> (Process, TextId) {
        match self.last {
            Some((last, process)) if last == key && process.comm_bytes == *comm => (process, process.comm),
            _ => self.look_up_new(key, comm, texts),
        }
    }

    fn look_up_new(&mut self, key: i64, comm: &[u8; 16], texts: &mut Texts) -> (Process, TextId) {
        let Some(process) = self.table.get_mut(&key) else {
            return (Process::default(), comm_text(comm, texts));
        };
        if process.comm_bytes != *comm || process.comm.is_none() {
            process.comm_bytes = *comm;
            process.comm = comm_text(comm, texts);
        }
        self.last = Some((key, *process));
        (*process, process.comm)
    }

    fn entry(&mut self, key: i64) -> Option<&mut Process> {
        self.last = None;
        if self.table.len() >= self.processes_max && !self.table.contains_key(&key) {
            self.refused += 1;
            return None;
        }
        Some(self.table.entry(key).or_default())
    }

    /// A program was started, or a process was found running.
    pub fn exec(&mut self, key: i64, parent_key: i64, exe: TextId, cmdline: TextId) {
        if let Some(process) = self.entry(key) {
            process.exe = exe;
            process.cmdline = cmdline;
            if process.parent_key == 0 {
                process.parent_key = parent_key;
            }
        }
    }

    /// A child was created: it runs its creator's program until it starts its own.
    pub fn fork(&mut self, parent_key: i64, child_key: i64) {
        let parent = self.table.get(&parent_key).copied().unwrap_or_default();
        if let Some(process) = self.entry(child_key) {
            *process = Process { parent_key, ..parent };
        }
    }

    /// A process ended. It stays known until many others have ended too.
    pub fn exit(&mut self, key: i64) {
        self.ended.push_back(key);
        if self.ended.len() > ENDED_MAX
            && let Some(gone) = self.ended.pop_front()
        {
            self.table.remove(&gone);
            self.last = None;
        }
    }

    /// Processes in the table.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Processes that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Every text that the table holds, to be renumbered.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut TextId> {
        self.last = None;
        self.table.values_mut().flat_map(|p| [&mut p.exe, &mut p.cmdline, &mut p.comm])
    }
}

fn comm_text(comm: &[u8; 16], texts: &mut Texts) -> TextId {
    let len = comm.iter().position(|b| *b == 0).unwrap_or(comm.len());
    texts.plain(&comm[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMM: [u8; 16] = *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn a_child_runs_its_creators_program_until_its_own_exec() {
        let (mut texts, mut processes) = (Texts::default(), Processes::new(10));
        let (sh, ls) = (texts.plain(b"/bin/sh"), texts.plain(b"/bin/ls"));
        processes.exec(1, 7, sh, sh);
        processes.fork(1, 2);
        assert_eq!(processes.look_up(2, &COMM, &mut texts).0.exe, sh);
        processes.exec(2, 99, ls, ls);
        let child = processes.look_up(2, &COMM, &mut texts).0;
        assert_eq!((child.exe, child.parent_key), (ls, 1), "the creator stays, whoever is the parent now");
    }

    #[test]
    fn an_ended_process_is_known_for_a_while_and_the_table_stays_bounded() {
        let (mut texts, mut processes) = (Texts::default(), Processes::new(2));
        let sh = texts.plain(b"sh");
        (0..3).for_each(|key| processes.exec(key, 0, sh, sh));
        assert_eq!((processes.len(), processes.refused()), (2, 1));
        processes.exit(0);
        assert_eq!(processes.look_up(0, &COMM, &mut texts).0.exe, sh);
    }
}
