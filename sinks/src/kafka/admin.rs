//! Questions that only an administration client can ask: it is made for one question and goes with its answer.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};

use super::config;
use super::meaning::Trouble;
use super::options::{KafkaOptions, Sasl};
use super::reports::Reports;

/// How long the settings of topics may take to be told.
const SETTINGS_WAIT: Duration = Duration::from_secs(1);
/// Settings of a topic that bound what it takes at once: the compressed batch, and the file that it has to fit into.
const LIMITS: [&str; 2] = ["max.message.bytes", "segment.bytes"];

/// Asks, and waits for the answer as long as this, or a little longer.
pub(super) fn ask<T>(
    options: &KafkaOptions,
    wait: Duration,
    question: impl AsyncFnOnce(&AdminClient<Reports>, &AdminOptions) -> KafkaResult<T>,
) -> Result<T, Trouble> {
    let admin = AdminClient::from_config_and_context(&config::client(options), Reports::new(options))
        .map_err(|error| Trouble::from_error(&error))?;
    let limits = AdminOptions::new().request_timeout(Some(wait)).operation_timeout(Some(wait));
    let failed = |error: std::io::Error| Trouble { code: Code::Fail, text: error.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let answer = runtime.block_on(async {
        // The request has its own limit; this one holds even if its thread does not answer.
        tokio::time::timeout(wait * 2, question(&admin, &limits)).await
    });
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Trouble::from_error(&error)),
        Err(_) => Err(Trouble::of(Code::OperationTimedOut)),
    }
}

/// The largest batch that each of these topics takes, bytes; `None` where nobody says.
pub(super) fn batch_limits(options: &KafkaOptions, topics: &[&str]) -> Vec<Option<usize>> {
    let unknown = vec![None; topics.len()];
    if topics.is_empty() || matches!(options.sasl, Some(Sasl::TokenFile(_))) {
        // The library's administration client has nobody who hands it a token.
        return unknown;
    }
    let resources: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let answer =
        ask(options, SETTINGS_WAIT, async |admin, limits| admin.describe_configs(resources.iter(), limits).await);
    match answer {
        Ok(answers) if answers.len() == topics.len() => {
            answers.iter().map(|topic| topic.as_ref().ok().and_then(smallest_limit)).collect()
        }
        Ok(_) => unknown,
        Err(trouble) => {
            let sink = &options.name;
            tracing::debug!(sink, "the limits of topics are not known: {}", trouble.text);
            unknown
        }
    }
}

fn smallest_limit(topic: &rdkafka::admin::ConfigResource) -> Option<usize> {
    let value = |name| topic.get(name)?.value.as_ref()?.parse::<usize>().ok();
    LIMITS.into_iter().filter_map(value).min()
}
