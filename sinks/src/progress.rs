//! How far a sink's data goes, as it is stored beside the data or in the spool.

use serde::{Deserialize, Serialize};

use crate::lane::account::Losses;
use crate::lane::account::{Account, Frontier};
use crate::{Identity, Position};

/// Numbers of events and times are below, so that sums of two of them cannot wrap.
const VALUE_MAX: i64 = 1 << 62;

/// Where a lane goes on after a restart. Sinks store it as it is; only lanes look inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Names the log that the numbers of cuts belong to.
    pub log_id: String,
    /// Column `host` of the stream.
    pub host: String,
    /// Column `boot_id` of the stream.
    pub boot_id: String,
    /// Column `epoch` of the stream.
    pub epoch: i64,
    /// Number of the first cut that is not in the data.
    pub next_cut: u64,
    /// Where every CPU stands before that cut.
    pub positions: Vec<Position>,
    /// Number of the lane's own next row (`cpu` -2).
    pub own_seq: i64,
    /// The stream has ended: its end rows are in the data.
    #[serde(default)]
    pub ended: bool,
    /// Wall clock minus CLOCK_BOOTTIME there, ns.
    clock_offset_ns: i64,
    /// Kernel time of the last row, ns.
    ktime_ns: i64,
    /// Period of stream time in which the lane wrote its last rows.
    told_period: Option<i64>,
    /// Numbers left out that no row of the lane tells yet.
    withheld: Account,
    /// Losses that no row of the lane tells yet.
    owed: Losses,
}

/// What a lane knows of its stream, apart from the numbers of cuts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stand {
    /// Behind the last cut; `None` before the first.
    pub frontier: Option<Frontier>,
    /// Number of the next row of the lane's own.
    pub own_seq: i64,
    /// Period of stream time in which the lane wrote its last rows.
    pub told_period: Option<i64>,
    /// Numbers not selected that no own row tells yet.
    pub withheld: Account,
    /// Losses that no own row tells yet.
    pub owed: Losses,
    /// The stream's end rows are written.
    pub ended: bool,
}

impl Progress {
    /// Of a sink that has nothing yet.
    pub fn begins(log_id: &str, next_cut: u64) -> Progress {
        Progress { log_id: log_id.to_owned(), next_cut, ..Progress::default() }
    }

    /// Whether its numbers can be such of a stream: a file can say anything.
    pub fn is_possible(&self) -> bool {
        let is_value = |value: i64| -VALUE_MAX < value && value < VALUE_MAX;
        let is_position = |p: &Position| (0..VALUE_MAX).contains(&p.next_seq) && is_value(p.ktime_ns);
        self.positions.iter().all(is_position)
            && (0..VALUE_MAX).contains(&self.own_seq)
            && is_value(self.clock_offset_ns)
            && is_value(self.ktime_ns)
    }

    pub(crate) fn of(log_id: &str, next_cut: u64, stand: &Stand) -> Progress {
        let Some(frontier) = &stand.frontier else {
            return Progress::begins(log_id, next_cut);
        };
        Progress {
            log_id: log_id.to_owned(),
            host: frontier.identity.host.to_string(),
            boot_id: frontier.identity.boot_id.to_string(),
            epoch: frontier.identity.epoch,
            next_cut,
            positions: frontier.positions().to_vec(),
            own_seq: stand.own_seq,
            ended: stand.ended,
            clock_offset_ns: frontier.clock_offset_ns,
            ktime_ns: frontier.ktime_ns,
            told_period: stand.told_period,
            withheld: stand.withheld.clone(),
            owed: stand.owed.clone(),
        }
    }

    pub(crate) fn stand(&self) -> Stand {
        let identity =
            Identity { host: self.host.as_str().into(), boot_id: self.boot_id.as_str().into(), epoch: self.epoch };
        let frontier = (!self.boot_id.is_empty())
            .then(|| Frontier::at(identity, self.clock_offset_ns, self.ktime_ns, self.positions.clone()));
        Stand {
            frontier,
            own_seq: self.own_seq,
            told_period: self.told_period,
            withheld: self.withheld.clone(),
            owed: self.owed.clone(),
            ended: self.ended,
        }
    }
}
