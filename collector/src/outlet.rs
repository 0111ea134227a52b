//! Where the pipeline's cuts go: to the lanes, or through the log to them.

use std::sync::Arc;

use weir_sinks::{Cut, Lane, LaneWatch, Sent};

use crate::spool::{Committer, Log};

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
