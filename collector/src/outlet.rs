//! Where the pipeline's cuts go: to the lanes, or through the log to them. Lanes come and go between two cuts.

use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;
use weir_sinks::{BacklogOptions, Cut, Lane, LaneOptions, LaneWatch, Position, Progress, Seat, Sent, Sink};

use crate::config::SinkStart;
use crate::spool::{Committer, Overflow};

/// A change of the lanes.
pub enum Edit {
    /// Another lane.
    Add {
        /// Its limits and classes.
        options: LaneOptions,
        /// Its sink.
        sink: Box<dyn Sink>,
        /// Where it begins in a log that does not know it.
        start: SinkStart,
        /// What a lane before left at the destination in this run.
        stands: Option<Box<Progress>>,
    },
    /// The lane of this sink goes.
    Remove(String),
    /// The lane of this sink goes, and another one keeps what comes from here on until its sink is there. Without a log of
    /// all cuts; with one nothing is lost between the two.
    Replace(String, LaneOptions),
}

/// What became of it.
pub enum Edited {
    /// The lane takes cuts.
    Added(LaneWatch),
    /// The lane gets nothing more, and is still to be stopped.
    Removed(Box<Lane>),
    /// The same, and the place of the next one.
    Replaced(Box<Lane>, Box<Seat>, LaneWatch),
}

/// Where the answer to an edit goes.
pub type Answer = Sender<io::Result<Edited>>;

/// Where a stream stands between two cuts.
pub struct Boundary {
    /// Number of the next cut.
    pub next: u64,
    /// Of every CPU.
    pub positions: Vec<Position>,
}

/// Changes `lanes`; `backlog` gives a sink's part of the log, if there is one. `positions` are where their stream stands.
pub fn edit(
    lanes: &mut Vec<Lane>,
    backlog: impl Fn(&str, SinkStart) -> io::Result<Option<BacklogOptions>>,
    positions: Vec<Position>,
    edit: Edit,
) -> io::Result<Edited> {
    match edit {
        Edit::Add { options, sink, start, stands } => {
            let (lane, seat) = Lane::reserve(options, sink.name(), backlog(sink.name(), start)?, positions)?;
            seat.take(sink, stands.as_deref())?;
            let watch = lane.watch();
            lanes.push(lane);
            Ok(Edited::Added(watch))
        }
        Edit::Remove(name) => Ok(Edited::Removed(Box::new(lanes.remove(place(lanes, &name)?)))),
        Edit::Replace(name, options) => {
            let place = place(lanes, &name)?;
            let (lane, seat) = Lane::reserve(options, &name, backlog(&name, SinkStart::Now)?, positions)?;
            let watch = lane.watch();
            let before = std::mem::replace(&mut lanes[place], lane);
            Ok(Edited::Replaced(Box::new(before), Box::new(seat), watch))
        }
    }
}

fn place(lanes: &[Lane], name: &str) -> io::Result<usize> {
    let at = lanes.iter().position(|lane| lane.watch().name() == name);
    at.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("sink {name} is not there")))
}

/// The end of the pipeline. Nothing here waits for a file: those are the spool's threads' alone.
pub enum Outlet {
    /// Straight to the lanes; what one has no room for goes to the log, if there is one.
    Lanes(Vec<Lane>, Option<Box<Overflow>>),
    /// To the log first, which feeds the lanes.
    Log(Committer),
}

impl Outlet {
    /// Whether it takes what another round may give it. Otherwise nothing more may be read: the rings hold it.
    pub fn has_room(&self) -> bool {
        match self {
            Outlet::Log(committer) => committer.has_room(),
            // A lane counts what it has no room for.
            Outlet::Lanes(..) => true,
        }
    }

    /// Hands over a cut.
    pub fn send(&mut self, cut: &Arc<Cut>) {
        match self {
            Outlet::Log(committer) => committer.send(Arc::clone(cut)),
            Outlet::Lanes(lanes, None) => {
                for lane in lanes {
                    lane.send(cut);
                }
            }
            Outlet::Lanes(lanes, Some(overflow)) => {
                overflow.settle(lanes);
                let late: Vec<usize> = (0..lanes.len()).filter(|at| lanes[*at].send(cut) == Sent::ToLog).collect();
                overflow.take(cut, lanes, &late);
            }
        }
    }

    /// Changes the lanes behind everything that was sent.
    pub fn edit(&mut self, at: Boundary, change: Edit, answer: Answer) {
        match self {
            Outlet::Log(committer) => committer.edit(at, change, answer),
            Outlet::Lanes(lanes, overflow) => {
                let backlog = |sink: &str, start| Ok(overflow.as_ref().map(|o| o.backlog(sink, start, at.next)));
                // Who asked may have given up.
                let _ = answer.send(edit(lanes, backlog, at.positions, change));
            }
        }
    }

    /// Nobody gets anything from here any more.
    pub fn is_idle(&self) -> bool {
        matches!(self, Outlet::Lanes(lanes, None) if lanes.is_empty())
    }

    /// For others to read the lanes' ledgers.
    pub fn watches(&self) -> Vec<LaneWatch> {
        match self {
            Outlet::Lanes(lanes, _) => lanes.iter().map(Lane::watch).collect(),
            Outlet::Log(committer) => committer.lanes().to_vec(),
        }
    }

    /// Commits what is there and gives the lanes back.
    pub fn finish(self) -> Vec<Lane> {
        match self {
            Outlet::Lanes(lanes, None) => lanes,
            Outlet::Lanes(mut lanes, Some(overflow)) => {
                overflow.finish(&mut lanes);
                lanes
            }
            Outlet::Log(committer) => committer.finish(),
        }
    }
}
