//! Where the pipeline's cuts go: to the lanes, or through the log to them. Lanes come and go between two cuts.

use std::io;
use std::sync::Arc;

use crossbeam_channel::Sender;
use weir_sinks::{Cut, Lane, LaneOptions, LaneWatch, Position, Progress, Seat, Sent, Sink};

use crate::config::SinkStart;
use crate::spool::{Committer, Log, cursor};

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

/// Changes `lanes` of a log, or without one.
pub fn edit(lanes: &mut Vec<Lane>, log: Option<&Log>, at: Boundary, edit: Edit) -> io::Result<Edited> {
    let backlog = |sink: &str, start| log.map(|log| cursor::backlog(log, sink, start, at.next)).transpose();
    match edit {
        Edit::Add { options, sink, start, stands } => {
            let (lane, seat) = Lane::reserve(options, sink.name(), backlog(sink.name(), start)?, at.positions)?;
            seat.take(sink, stands.as_deref())?;
            let watch = lane.watch();
            lanes.push(lane);
            Ok(Edited::Added(watch))
        }
        Edit::Remove(name) => Ok(Edited::Removed(Box::new(lanes.remove(place(lanes, &name)?)))),
        Edit::Replace(name, options) => {
            let place = place(lanes, &name)?;
            let (lane, seat) = Lane::reserve(options, &name, backlog(&name, SinkStart::Now)?, at.positions)?;
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

/// The end of the pipeline.
pub enum Outlet {
    /// Straight to the lanes; what one has no room for goes to the log, if there is one.
    Lanes(Vec<Lane>, Option<Box<Log>>),
    /// To the log first, which feeds the lanes.
    Log(Committer),
}

impl Outlet {
    /// Hands over a cut.
    pub fn send(&mut self, cut: &Arc<Cut>) {
        match self {
            Outlet::Log(committer) => committer.send(Arc::clone(cut)),
            Outlet::Lanes(lanes, log) => {
                let late: Vec<usize> = (0..lanes.len()).filter(|at| lanes[*at].send(cut) == Sent::ToLog).collect();
                let Some(log) = log.as_mut().filter(|_| !late.is_empty()) else { return };
                let logged = log.append(cut).and_then(|_| log.publish(false));
                log.trim();
                for at in late {
                    match &logged {
                        Ok(()) => lanes[at].nudge(),
                        Err(error) => {
                            tracing::error!(
                                sink = lanes[at].watch().name(),
                                "rows are lost, the spool failed: {error}"
                            );
                            lanes[at].not_logged(cut);
                        }
                    }
                }
            }
        }
    }

    /// Changes the lanes behind everything that was sent.
    pub fn edit(&mut self, at: Boundary, change: Edit, answer: Answer) {
        match self {
            Outlet::Log(committer) => committer.edit(at, change, answer),
            Outlet::Lanes(lanes, log) => {
                // Who asked may have given up.
                let _ = answer.send(edit(lanes, log.as_deref(), at, change));
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
            Outlet::Lanes(lanes, _) => lanes,
            Outlet::Log(committer) => committer.finish(),
        }
    }
}
