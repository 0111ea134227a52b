//! The texts of processes from one generation of texts to the next, a few processes at a time, within a bound in bytes.
//!
//! Who is met meanwhile is carried over at once, so that no row has a text of the generation before. Every process may keep as
//! much as all have on average; who has more keeps it while there is room for such, and then loses its long texts. So nobody
//! makes others forgotten by long names of his own.

use super::{Process, Processes};
use crate::texts::{TextId, Texts};

/// A text of a process that may not keep all is long from this part of its share on.
const LONG_SHARE: usize = 8;

/// How far the texts were carried over.
pub(super) struct Renewal {
    /// Next process.
    at: usize,
    /// Bytes that each one may keep in any case.
    share: usize,
    /// Bytes that are left for those who have more.
    room: usize,
}

impl Process {
    fn texts(&self) -> [TextId; 10] {
        let [name, exe, cmdline, ancestors] = self.family;
        [self.exe, self.cmdline, self.cwd, self.tty, self.name, self.lineage, name, exe, cmdline, ancestors]
    }

    /// Texts that are forgotten and can be made again are made again when they are needed.
    fn set_texts(&mut self, texts: [TextId; 10]) {
        let [exe, cmdline, cwd, tty, name, lineage, family @ ..] = texts;
        if lineage.is_none() {
            self.lineage_of = 0;
        }
        if family.iter().any(|text| text.is_none()) {
            self.family_of = 0;
        }
        (self.exe, self.cmdline, self.cwd, self.tty) = (exe, cmdline, cwd, tty);
        (self.name, self.lineage, self.family) = (name, lineage, family);
    }
}

impl Processes {
    /// A generation of texts begins.
    pub fn begin_renewal(&mut self) {
        let kept = self.limits.kept_text_bytes();
        // Who loses texts keeps at most a quarter more than a share; so the three eighths that are left are all there is.
        self.renewal = Some(Renewal { at: 0, share: kept / 2 / self.places.len().max(1), room: kept / 8 * 3 });
    }

    /// Carries over the texts of the next `count` places, but of no more processes when `bytes_max` were copied. Returns
    /// whether all are there.
    pub fn go_on_renewing(&mut self, count: usize, bytes_max: usize, texts: &mut Texts) -> bool {
        let before = texts.bytes();
        for _ in 0..count {
            let Some(renewal) = &mut self.renewal else { return true };
            let at = renewal.at;
            renewal.at += 1;
            if at >= self.slots.len() {
                self.renewal = None;
                return true;
            }
            self.renew(at, texts);
            if texts.bytes() - before > bytes_max {
                return false;
            }
        }
        self.renewal.is_none()
    }

    /// Places that were carried over.
    pub fn renewed(&self) -> usize {
        self.renewal.as_ref().map_or(self.slots.len(), |renewal| renewal.at)
    }

    /// Places of the table.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// Carries over the texts of one process.
    #[inline]
    pub(super) fn renew(&mut self, at: usize, texts: &mut Texts) {
        if self.renewal.is_some() {
            self.carry_over(at, texts);
        }
    }

    #[inline(never)]
    fn carry_over(&mut self, at: usize, texts: &mut Texts) {
        let Some(renewal) = &mut self.renewal else { return };
        let mut own = self.slots[at].texts();
        if own.iter().all(|text| texts.is_current(*text)) {
            return;
        }
        let cost = own.iter().map(|text| texts.cost(*text)).sum::<usize>();
        let mut keeps_all = true;
        if cost > renewal.share {
            keeps_all = cost <= renewal.room;
            renewal.room -= if keeps_all { cost } else { 0 };
        }
        let long = renewal.share / LONG_SHARE;
        for text in &mut own {
            let is_kept = keeps_all || texts.cost(*text) <= long;
            *text = if is_kept { texts.renewed(*text) } else { TextId::NONE };
        }
        self.slots[at].set_texts(own);
        self.counts.shortened += u64::from(!keeps_all);
    }
}
