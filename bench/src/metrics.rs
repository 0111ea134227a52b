//! The counts of a running weir, by its own `/metrics`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long weir may take until it reads records.
const READY_WAIT: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// One answer: samples by name and labels as they stand in the text.
pub struct Metrics {
    /// When it was asked for.
    pub at: Instant,
    samples: BTreeMap<String, f64>,
}

/// The body of an answer with status 200.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{path} of weir: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

impl Metrics {
    /// Asks now.
    pub fn read(address: &str) -> Result<Metrics> {
        let at = Instant::now();
        let text = get(address, "/metrics").with_context(|| format!("ask weir for its metrics at {address}"))?;
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Ok(Metrics { at, samples: text.lines().filter(|l| !l.starts_with('#')).filter_map(sample).collect() })
    }

    /// Asks as soon as records are read.
    pub fn when_ready(address: &str) -> Result<Metrics> {
        let end = Instant::now() + READY_WAIT;
        while let Err(error) = get(address, "/readyz") {
            if Instant::now() > end {
                return Err(error.context("weir did not become ready"));
            }
            std::thread::sleep(ASK_EVERY);
        }
        Metrics::read(address)
    }

    /// Sum of all samples of a metric that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let is_it = |series: &str| {
            let rest = series.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'));
            rest.is_some_and(|rest| wanted.iter().all(|label| rest.contains(label.as_str())))
        };
        self.samples.iter().filter(|(series, _)| is_it(series)).map(|(_, value)| value).sum()
    }
}
