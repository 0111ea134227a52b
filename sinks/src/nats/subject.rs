//! Subjects from templates.

use async_nats::Subject;

use crate::SinkError;

/// Words that stand for something in a template.
const NAMES: [&str; 3] = ["class", "host", "sink"];

/// A checked template such as `weir.{class}.{host}`.
#[derive(Debug, Clone)]
pub(super) struct Template {
    text: String,
}

/// What stands for the names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub class: &'a str,
    pub host: &'a str,
    pub sink: &'a str,
}

impl Template {
    /// # Errors
    /// [`SinkError::Fatal`] if it cannot give a subject that one can publish to.
    pub fn new(text: &str) -> Result<Template, SinkError> {
        let fatal = |what: String| Err(SinkError::Fatal(format!("the subject template \"{text}\" {what}")));
        let mut rest = text;
        while let Some((_, behind)) = rest.split_once('{') {
            let Some((name, behind)) = behind.split_once('}') else { return fatal("has { without }".into()) };
            if !NAMES.contains(&name) {
                return fatal(format!("names {{{name}}}: there are {{class}}, {{host}} and {{sink}}"));
            }
            rest = behind;
        }
        if text.contains(['*', '>']) || text.contains(char::is_whitespace) || text.split('.').any(str::is_empty) {
            return fatal("is not a subject to publish to: no wildcards, no spaces, no empty parts".into());
        }
        if text.starts_with(['$', '_']) {
            return fatal("starts with $ or _, which the server keeps for itself".into());
        }
        Ok(Template { text: text.to_owned() })
    }

    /// The subject.
    pub fn subject(&self, names: Names<'_>) -> Subject {
        let text = self.text.replace("{class}", &token(names.class));
        Subject::from(text.replace("{host}", &token(names.host)).replace("{sink}", &token(names.sink)))
    }

    /// A subject with wildcards that covers all subjects of this template: what a stream has to listen to.
    pub fn wildcard(&self) -> String {
        let whole = |part: &str| if part.contains('{') { "*".to_owned() } else { part.to_owned() };
        self.text.split('.').map(whole).collect::<Vec<String>>().join(".")
    }
}

/// A text as one part of a subject.
pub(super) fn token(text: &str) -> String {
    let keep = |c: char| match c {
        '.' | '*' | '>' => '_',
        c if c.is_whitespace() || c.is_control() => '_',
        c => c,
    };
    if text.is_empty() { "_".to_owned() } else { text.chars().map(keep).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(host: &'a str) -> Names<'a> {
        Names { class: "file", host, sink: "nats" }
    }

    #[test]
    fn the_names_stand_for_themselves_as_one_part_each() {
        let template = Template::new("weir.{class}.{host}").unwrap();
        assert_eq!(template.subject(names("node-1.example.org")).as_str(), "weir.file.node-1_example_org");
        assert_eq!(template.subject(names("a b>*\tc")).as_str(), "weir.file.a_b___c");
        assert_eq!(template.subject(names("")).as_str(), "weir.file._");
        assert!(template.subject(names("ein größerer.*")).is_valid());
        assert_eq!(template.wildcard(), "weir.*.*");
        assert_eq!(Template::new("x.{sink}-{class}").unwrap().wildcard(), "x.*");
    }

    #[test]
    fn a_template_without_a_subject_is_refused_with_what_is_wrong() {
        for (text, reason) in [
            ("weir.{klass}", "there are {class}"),
            ("weir.{class", "{ without }"),
            ("weir.>", "no wildcards"),
            ("weir..x", "no empty parts"),
            ("", "no empty parts"),
            ("we ir", "no spaces"),
            ("$JS.x", "keeps for itself"),
        ] {
            let error = Template::new(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
