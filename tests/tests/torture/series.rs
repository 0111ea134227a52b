//! A series of lives on one spool, with its brokers, and the judgement at its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use weir_tests::brokers::{kafka, nats};

use crate::fate::{Fate, Harm, Torn};
use crate::support::delivery::{
    Markers, collector, config, consume, expect_all, expect_all_in_parquet, kafka_sink, nats_sink, wait_for_a_file,
    wait_for_start,
};
use crate::support::program::{Running, command, files, run, weir};
use crate::support::seed::Random;
use crate::support::tmpfs::Tmpfs;
use crate::support::verified::verify;

/// Files opened in the life of each, and again while nobody reads.
const MARKERS: u64 = 40;
/// Bytes of the small file system.
const DISK_BYTES: u64 = 8 << 20;
/// One series in so many has its spool there.
const DISK_ONE_IN: u64 = 3;
/// One series in so many asks its brokers how far they are, so that consumers get nothing twice.
const ONCE_ONE_IN: u64 = 2;
/// Longest garbage, bytes.
const GARBAGE_BYTES_MAX: u64 = 4_096;

/// How often what happened.
pub type Counts = BTreeMap<String, u64>;

/// How a broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Well,
    Frozen,
    Dead,
}

/// Everything that one series has.
pub struct Series {
    scratch: PathBuf,
    config: PathBuf,
    random: Random,
    markers: Markers,
    kafka: Option<(kafka::Broker, Is)>,
    nats: Option<(nats::Server, Is)>,
    disk: Option<Tmpfs>,
    /// Nothing may come twice.
    once: bool,
    running: Option<Running>,
    /// What is broken, and when it is mended.
    broken: Vec<(Instant, Harm)>,
    counts: Counts,
}

impl Series {
    /// Brokers and settings; `what` names the test where a broker is missing.
    pub fn new(what: &str, scratch: &Path, seed: u64) -> Series {
        let mut random = Random::of(seed);
        let kafka = kafka::jars(what).map(|jars| kafka::Broker::start(&jars, &kafka::Options::default()));
        let nats = nats::Server::start(what, "");
        let once = random.below(ONCE_ONE_IN) == 0;
        let (for_kafka, for_nats) = if once { ("transactions = true\n", "read_back = true\n") } else { ("", "") };
        let sinks = [
            kafka.as_ref().map(|broker| kafka_sink(broker, for_kafka)),
            nats.as_ref().map(|server| nats_sink(server, for_nats)),
        ];
        let config = config(scratch, &sinks.into_iter().flatten().collect::<String>());
        let spool = scratch.join("spool");
        fs::create_dir(&spool).expect("the spool's directory");
        let has_disk = random.below(DISK_ONE_IN) == 0;
        let disk = has_disk.then(|| Tmpfs::mount(&spool, DISK_BYTES, false).expect("a small file system"));
        Series {
            scratch: scratch.to_owned(),
            config,
            random,
            markers: Markers::new(scratch),
            kafka: kafka.map(|broker| (broker, Is::Well)),
            nats: nats.map(|server| (server, Is::Well)),
            disk,
            once,
            running: None,
            broken: vec![],
            counts: Counts::new(),
        }
    }

    /// How often what happened so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// All lives, then the judgement.
    pub fn run(&mut self, lives: u64) {
        for n in 0..lives {
            let fate = Fate::draw(&mut self.random);
            self.live(n == 0, &fate);
            assert!(n > 0 || verify(&self.at("spool")).code == 3, "the spool has an open end");
        }
        self.mend_all();
        self.markers.make(MARKERS);
        self.judge();
    }

    // --- lives ---

    fn live(&mut self, is_first: bool, fate: &Fate) {
        let mut running = collector(&self.config, &[]);
        if is_first {
            // Pins are complete behind the first file: a death before that begins a new epoch, rightly.
            wait_for_start(&mut running, &self.scratch);
            let parquet = self.at("parquet");
            wait_for_a_file(&mut running, &parquet, &self.markers);
        }
        self.running = Some(running);
        self.markers.make(MARKERS);
        let begun = Instant::now();
        let mut harms = fate.harms.iter().peekable();
        while begun.elapsed() < fate.life {
            if let Some((_, harm, lasts)) = harms.next_if(|(at, _, _)| begun.elapsed() >= *at) {
                self.harm(*harm, *lasts);
            }
            self.mend(Instant::now());
            let next_harm = harms.peek().map(|(at, _, _)| begun + *at);
            let next_mended = self.broken.iter().map(|(until, _)| *until).min();
            let next = next_harm.into_iter().chain(next_mended).fold(begun + fate.life, Instant::min);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        self.die();
        if let Some(torn) = fate.torn {
            self.tear(torn);
        }
        self.markers.make(MARKERS);
    }

    fn die(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let ended_itself = running.has_ended();
        running.signal(Signal::KILL);
        let ended = running.wait();
        self.keep_words(&ended.stderr);
        assert!(!ended_itself, "a collector ended by itself: {}\n{}", ended.status, ended.stderr);
        self.count("lives");
        let asleep = self.broken.iter().any(|(_, harm)| *harm == Harm::CollectorFrozen);
        self.broken.retain(|(_, harm)| *harm != Harm::CollectorFrozen);
        if asleep {
            self.count("collector killed in its sleep");
        }
    }

    /// For those who look into a series that failed.
    fn keep_words(&self, words: &str) {
        let log = File::options().create(true).append(true).open(self.at("collectors.log"));
        log.and_then(|mut log| writeln!(log, "--- a life\n{words}")).expect("a log of the collectors");
    }

    // --- harm ---

    fn harm(&mut self, harm: Harm, lasts: Duration) {
        if self.do_harm(harm) {
            self.count(harm.name());
            self.broken.push((Instant::now() + lasts, harm));
        }
    }

    /// False where that cannot be: the thing is not there, or is broken already.
    fn do_harm(&mut self, harm: Harm) -> bool {
        let filler = self.filler();
        match (harm, &mut self.kafka, &mut self.nats) {
            (Harm::KafkaKilled, Some((broker, is @ Is::Well)), _) => {
                broker.kill();
                *is = Is::Dead;
            }
            (Harm::KafkaFrozen, Some((broker, is @ Is::Well)), _) => {
                broker.pause();
                *is = Is::Frozen;
            }
            (Harm::NatsKilled, _, Some((server, is @ Is::Well))) => {
                server.kill();
                *is = Is::Dead;
            }
            (Harm::NatsFrozen, _, Some((server, is @ Is::Well))) => {
                server.signal(Signal::STOP);
                *is = Is::Frozen;
            }
            (Harm::CollectorFrozen, ..) => self.running.iter().for_each(|r| r.signal(Signal::STOP)),
            (Harm::DiskFull, ..) if self.disk.is_some() && !filler.exists() => fill(&filler),
            _ => return false,
        }
        true
    }

    fn filler(&self) -> PathBuf {
        self.at("spool/filler")
    }

    /// Mends what is due.
    fn mend(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.broken).into_iter().partition(|(until, _)| *until <= now);
        self.broken = later;
        let due: Vec<(Instant, Harm)> = due;
        due.into_iter().for_each(|(_, harm)| self.mend_one(harm));
    }

    fn mend_one(&mut self, harm: Harm) {
        match (harm, &mut self.kafka, &mut self.nats) {
            (Harm::KafkaKilled, Some((broker, is)), _) => {
                broker.restart_soon();
                *is = Is::Well;
            }
            (Harm::KafkaFrozen, Some((broker, is)), _) => {
                broker.go_on();
                *is = Is::Well;
            }
            (Harm::NatsKilled, _, Some((server, is))) => {
                server.run();
                *is = Is::Well;
            }
            (Harm::NatsFrozen, _, Some((server, is))) => {
                server.signal(Signal::CONT);
                *is = Is::Well;
            }
            (Harm::CollectorFrozen, ..) => self.running.iter().for_each(|r| r.signal(Signal::CONT)),
            (Harm::DiskFull, ..) => fs::remove_file(self.filler()).expect("room again"),
            _ => {}
        }
    }

    fn mend_all(&mut self) {
        std::mem::take(&mut self.broken).into_iter().for_each(|(_, harm)| self.mend_one(harm));
        self.kafka.iter_mut().for_each(|(broker, _)| broker.wait_until_it_answers());
    }

    /// Adds to the spool what was never acknowledged; a full disk takes nothing, or less.
    fn tear(&mut self, torn: Torn) {
        // A collector that died before it opened the spool left what was torn before: nothing is written behind that.
        let is_whole = run(weir(&["spool", "check"]).arg(self.at("spool"))).code() == Some(0);
        let Some(segment) = files(&self.at("spool"), ".weirlog").pop().filter(|_| is_whole) else { return };
        let bytes = fs::read(&segment).expect("the open segment");
        let (path, added) = match torn {
            Torn::Garbage => {
                let len = 1 + self.random.below(GARBAGE_BYTES_MAX);
                (segment, (0..len).map(|_| self.random.next() as u8).collect())
            }
            Torn::HalfFrame => {
                let Some(at) = bytes.windows(4).rposition(|word| word == b"FRAM") else { return };
                // Up to 7 bytes of padding end the frame.
                let len = 1 + self.random.below((bytes.len() - at - 8) as u64) as usize;
                (segment, bytes[at..at + len].to_vec())
            }
            Torn::HalfHeader => {
                let path = self.at("spool").join(format!("{:020}.weirlog", next_cut(&self.at("spool"))));
                (path, bytes[..self.random.below(64) as usize].to_vec())
            }
        };
        let file = File::options().create(true).append(true).open(path);
        if file.and_then(|mut file| file.write_all(&added)).is_ok() {
            self.count(torn.name());
        }
    }

    // --- judgement ---

    fn judge(&mut self) {
        let ended = collector(&self.config, &["--duration", "3s"]).wait();
        self.keep_words(&ended.stderr);
        let ended = ended.expect_code(0);
        assert!(ended.stderr.contains("every number is accounted for"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("wait in the spool"), "{}", ended.stderr);
        let parquet = expect_all_in_parquet(&self.at("parquet"), &self.markers);
        assert_eq!(parquet.runs().len(), 1, "one epoch from the first start to the stop");
        if let Some((broker, _)) = &self.kafka {
            let said = consume("kafka_consumer.py", &["--brokers", &broker.address()], &self.at("from-kafka"));
            self.judge_consumer("kafka", &said);
        }
        if let Some((server, _)) = &self.nats {
            let said = consume("nats_consumer.py", &["--server", &server.url()], &self.at("from-nats"));
            self.judge_consumer("nats", &said);
        }
        self.counts.insert("markers".into(), self.markers.made());
        self.counts.insert("series with a small disk".into(), self.disk.is_some().into());
        self.counts.insert("series with each row sent once".into(), self.once.into());
    }

    fn judge_consumer(&self, name: &str, said: &str) {
        expect_all(&self.at(&format!("from-{name}")), &self.markers, name);
        assert!(!self.once || said.contains(", 0 repeated rows"), "{name}: {said}");
    }

    /// Behind a failure: nothing stays attached, frozen or mounted, and the scratch directory has all there is to look at.
    pub fn give_up(mut self) {
        if let Some(running) = self.running.take() {
            running.signal(Signal::KILL);
            let ended = running.wait();
            self.keep_words(&ended.stderr);
        }
        let kept = self.at("spool-as-it-was");
        run(command("cp").arg("-a").arg(self.at("spool")).arg(kept));
        let brokers = [self.kafka.as_ref().map(|(b, _)| b.log()), self.nats.as_ref().map(|(s, _)| s.log())];
        fs::write(self.at("brokers.log"), brokers.into_iter().flatten().collect::<String>()).expect("a log");
        let _ = fs::remove_file(self.filler());
        detach(&self.scratch);
    }
}

/// Removes what a series has pinned.
pub fn detach(scratch: &Path) {
    run(weir(&["detach"]).arg("--config").arg(scratch.join("weir.toml")));
}

/// Number of the cut that the spool has next.
fn next_cut(spool: &Path) -> u64 {
    let info = run(weir(&["spool", "info", "--json"]).arg(spool)).expect_code(0);
    let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    info["next"].as_u64().expect("a number")
}

/// Takes all the room that is left, to the last byte.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file that fills the disk");
    for block in [4_096, 1] {
        while file.write_all(&vec![1; block]).is_ok() {}
    }
}
