//! Topics: what they are called, and whether they are there.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode as Code;
use weir_schema::{CLASSES, Class};

use super::link::Link;
use super::meaning::Trouble;
use super::options::KafkaOptions;
use super::reports::Reports;
use super::{admin, config};

/// Longest name that Kafka takes.
const NAME_BYTES_MAX: usize = 249;
/// How long one question about a topic may take.
const ASK_WAIT: Duration = Duration::from_secs(1);
/// How long a topic may take to come to be, once it is asked for: brokers create in the background.
const CREATE_WAIT: Duration = Duration::from_secs(5);
/// Pause between two looks for a topic that comes to be.
const LOOK_STEP: Duration = Duration::from_millis(20);
/// How long a topic may be missing before it is said to be: brokers may create topics at the first question.
const APPEAR_WAIT: Duration = Duration::from_millis(500);

/// The pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Class,
    Host,
}

impl Template {
    /// A text with `{class}` and `{host}` in it.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) =
                behind.split_once('}').ok_or_else(|| format!("topic {text}: a {{ has no }}; close it"))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match name {
                "class" => Part::Class,
                "host" => Part::Host,
                _ => {
                    return Err(format!(
                        "topic {text}: {{{name}}} is nothing that weir fills in; use {{class}} or {{host}}"
                    ));
                }
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Template(parts);
        let example = template.name("class", "host");
        if example != legal(&example) || rest.contains('}') {
            return Err(format!("topic {text}: only letters, digits, dot, _ and - can stand in a topic's name"));
        }
        Ok(template)
    }

    /// The topic of a class and a host.
    fn name(&self, class: &str, host: &str) -> String {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Class => name.push_str(class),
                Part::Host => name.push_str(&legal(host)),
            }
        }
        name.truncate(NAME_BYTES_MAX);
        name
    }
}

/// A text with `_` for all that Kafka does not take in a topic; never empty, never only dots.
fn legal(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = text.chars().map(keep).collect();
    if name.chars().all(|c| c == '.') { "_".to_owned() } else { name }
}

/// The topics of one sink.
pub(super) struct Topics {
    template: Template,
    /// By class: the host, and the topic.
    names: [(String, String); CLASSES.len()],
    /// Known to be there.
    known: HashSet<String>,
}

/// Why a topic cannot be written to.
#[derive(Debug)]
pub(super) enum Unready {
    /// Nobody answered.
    Unreachable(Trouble),
    /// The answer was no.
    Refused(String),
}

impl Topics {
    /// None is known so far.
    pub fn new(template: Template) -> Topics {
        Topics { template, names: Default::default(), known: HashSet::new() }
    }

    /// The topic for rows of a class and a host.
    pub fn name(&mut self, class: &Class, host: &str) -> &str {
        let (of, topic) = &mut self.names[class.id.index()];
        if topic.is_empty() || of != host {
            host.clone_into(of);
            *topic = self.template.name(class.name, host);
        }
        topic
    }

    /// The topics may have changed.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Whether someone who connects anew finds leaders for all partitions of a topic that is known to be there.
    pub fn are_led(&self, options: &KafkaOptions) -> bool {
        let Some(topic) = self.known.iter().next() else { return false };
        let Ok(link) = Link::open(&config::client(options), Reports::new(options)) else { return false };
        let Ok(metadata) = link.metadata(topic, ASK_WAIT) else { return false };
        let topic = metadata.topics().first().filter(|topic| topic.error().is_none());
        topic.is_some_and(|topic| topic.partitions().iter().all(|partition| partition.leader() >= 0))
    }

    /// Makes sure that the topic is there; creates it if that is allowed, with these settings on top.
    pub fn ensure(
        &mut self,
        topic: &str,
        settings: &[(&str, &str)],
        link: &Link,
        options: &KafkaOptions,
    ) -> Result<(), Unready> {
        if self.known.contains(topic) {
            return Ok(());
        }
        let deadline = Instant::now() + APPEAR_WAIT;
        while let Err(missing) = look(topic, link)? {
            if options.create_topics.is_some() {
                create(topic, settings, link, options)?;
                break;
            }
            if Instant::now() >= deadline {
                return Err(Unready::Refused(missing.sentence(&format!("could not write to topic {topic}"))));
            }
            link.wait(LOOK_STEP);
        }
        self.known.insert(topic.to_owned());
        Ok(())
    }
}

/// Whether the topic is there; the inner error says that it is not.
fn look(topic: &str, link: &Link) -> Result<Result<(), Trouble>, Unready> {
    let metadata = link.metadata(topic, ASK_WAIT).map_err(Unready::Unreachable)?;
    let error = metadata.topics().first().and_then(|t| t.error()).map(Code::from);
    match error {
        None | Some(Code::LeaderNotAvailable | Code::ReplicaNotAvailable) => Ok(Ok(())),
        Some(code @ (Code::UnknownTopicOrPartition | Code::UnknownTopic)) => Ok(Err(Trouble::of(code))),
        Some(code) => Err(Unready::Refused(Trouble::of(code).sentence(&format!("could not write to topic {topic}")))),
    }
}

fn create(topic: &str, settings: &[(&str, &str)], link: &Link, options: &KafkaOptions) -> Result<(), Unready> {
    let what = format!("could not create topic {topic}");
    let refused = |trouble: Trouble| Unready::Refused(trouble.sentence(&what));
    match ask_to_create(topic, settings, options).map_err(refused)? {
        None => tracing::info!(sink = options.name, topic, "created the topic"),
        Some(Code::TopicAlreadyExists) => {}
        Some(code) => return Err(refused(Trouble::of(code))),
    }
    let deadline = Instant::now() + CREATE_WAIT;
    while let Err(missing) = look(topic, link)? {
        if Instant::now() >= deadline {
            return Err(refused(missing));
        }
        link.wait(LOOK_STEP);
    }
    Ok(())
}

/// The broker's error, if any.
fn ask_to_create(topic: &str, settings: &[(&str, &str)], options: &KafkaOptions) -> Result<Option<Code>, Trouble> {
    let how = options.create_topics.unwrap_or_default();
    // -1: the broker's own default.
    let replication = TopicReplication::Fixed(how.replication.unwrap_or(-1));
    let mut new = NewTopic::new(topic, how.partitions.unwrap_or(-1), replication);
    let retention = how.retention.map(|retention| retention.as_millis().to_string());
    if let Some(retention) = &retention {
        new = new.set("retention.ms", retention);
    }
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let results = admin::ask(options, CREATE_WAIT, async |admin, limits| admin.create_topics([&new], limits).await)?;
    Ok(results.into_iter().find_map(Result::err).map(|(_, code)| code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_always_legal() {
        let name = |template: &str, host: &str| Template::parse(template).unwrap().name("file", host);
        assert_eq!(name("weir.{class}", "web-1"), "weir.file");
        assert_eq!(name("{host}.{class}.x", "web 1/ü"), "web_1__.file.x");
        assert_eq!(name("all", "web-1"), "all");
        assert_eq!(name("{host}", ".."), "_");
        assert_eq!(name("{host}.{class}", &"h".repeat(400)).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn a_template_that_can_never_be_right_is_refused() {
        for template in ["weir.{clas}", "weir.{class", "weir }", "weir file", "", "..", "wei\0r"] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
