//! A kept answer as JSON and back, for a store that outlives the process.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::Plan;
use super::echo::Echo;
use super::log::{End, Log};
use super::output::Shown;
use super::record::Record;
use super::tools::{Origin, Tools};
use crate::{Error, ErrorKind, FinishReason, Usage};

/// The version of this form. Other versions are not read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    format: u32,
    caller: Option<u64>,
    created_at: u64,
    completed_at: Option<u64>,
    background: bool,
    model: Cow<'a, str>,
    /// The fields that repeat the request.
    fields: Cow<'a, RawValue>,
    input: Cow<'a, RawValue>,
    plan: SavedPlan<'a>,
    log: Cow<'a, Log>,
    end: Option<SavedEnd>,
}

#[derive(Serialize, Deserialize)]
struct SavedPlan<'a> {
    model: Cow<'a, str>,
    summary: bool,
    encrypted: bool,
    reasoning: bool,
    web_search: bool,
    /// By the function that stands for it.
    tools: Vec<(Cow<'a, str>, Cow<'a, Origin>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedEnd {
    Finished {
        reason: FinishReason,
        prompt_tokens: u64,
        cached_tokens: u64,
        cache_write_tokens: u64,
        completion_tokens: u64,
        reasoning_tokens: u64,
    },
    Failed {
        code: Option<String>,
        message: String,
        param: Option<String>,
    },
    Cancelled,
}

/// The JSON of an answer as it is now.
pub(super) fn to_json(record: &Record) -> Result<Bytes, serde_json::Error> {
    let (echo, plan) = (&record.echo, &record.plan);
    let course = record.course();
    let tools = plan.tools.origins().map(|(function, origin)| (Cow::Borrowed(function), Cow::Borrowed(origin)));
    let saved = Saved {
        format: FORMAT,
        caller: record.caller,
        created_at: echo.created_at,
        completed_at: course.completed_at,
        background: echo.background,
        model: Cow::Borrowed(&echo.model),
        fields: Cow::Owned(echo.fields_as_object()?),
        input: Cow::Borrowed(serde_json::from_slice(record.own_input())?),
        plan: SavedPlan {
            model: Cow::Borrowed(&plan.model),
            summary: plan.shown.summary,
            encrypted: plan.shown.encrypted,
            reasoning: plan.reasoning,
            web_search: plan.web_search,
            tools: tools.collect(),
        },
        log: Cow::Borrowed(&course.log),
        end: course.end.as_ref().map(SavedEnd::of),
    };
    serde_json::to_vec(&saved).map(Bytes::from)
}

/// The answer of this id that the JSON holds.
pub(super) fn from_json(
    id: &str,
    json: &[u8],
    previous: Option<Arc<Record>>,
    until: Instant,
) -> Result<Record, serde_json::Error> {
    let Form { format } = serde_json::from_slice(json)?;
    if format != FORMAT {
        let message = format!("it has format {format}, and this version reads format {FORMAT}");
        return Err(serde::de::Error::custom(message));
    }
    let saved: Saved<'_> = serde_json::from_slice(json)?;
    let SavedPlan { model, summary, encrypted, reasoning, web_search, tools } = saved.plan;
    let plan = Plan {
        model: model.into_owned(),
        shown: Shown { summary, encrypted },
        reasoning,
        web_search,
        tools: Tools::from_origins(tools.into_iter().map(|(name, origin)| (name.into_owned(), origin.into_owned()))),
    };
    let echo = Echo {
        answer: id.into(),
        created_at: saved.created_at,
        background: saved.background,
        model: saved.model.into(),
        fields: Echo::fields_of_object(&saved.fields)?,
    };
    let input = Bytes::from(saved.input.get().to_owned());
    let record = Record::new(Arc::new(echo), Arc::new(plan), saved.caller, input, previous, until);
    // The turn ended with its process, and nothing will continue it.
    let end = saved.end.map_or_else(interrupted, SavedEnd::into_end);
    record.resume(saved.log.into_owned(), end, saved.completed_at);
    Ok(record)
}

#[derive(Deserialize)]
struct Form {
    format: u32,
}

fn interrupted() -> End {
    let message = "This server was restarted while the response was in progress. Send the request again.";
    End::Failed(Error::new(ErrorKind::Internal, message))
}

impl SavedEnd {
    fn of(end: &End) -> Self {
        match end {
            End::Finished { reason, usage } => SavedEnd::Finished {
                reason: *reason,
                prompt_tokens: usage.prompt_tokens,
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                completion_tokens: usage.completion_tokens,
                reasoning_tokens: usage.reasoning_tokens,
            },
            End::Failed(error) => SavedEnd::Failed {
                code: error.kind().class().code.map(str::to_owned),
                message: error.to_string(),
                param: error.param().map(str::to_owned),
            },
            End::Cancelled => SavedEnd::Cancelled,
        }
    }

    fn into_end(self) -> End {
        match self {
            SavedEnd::Finished {
                reason,
                prompt_tokens,
                cached_tokens,
                cache_write_tokens,
                completion_tokens,
                reasoning_tokens,
            } => {
                // A response tells no more of its usage.
                let usage = Usage {
                    prompt_tokens,
                    cached_tokens,
                    cache_write_tokens,
                    completion_tokens,
                    reasoning_tokens,
                    ..Usage::default()
                };
                End::Finished { reason, usage }
            }
            SavedEnd::Failed { code, message, param } => {
                // The only kind without a code is that of an invalid request.
                let kind = match code {
                    None => ErrorKind::InvalidRequest,
                    Some(code) => ErrorKind::ALL
                        .iter()
                        .copied()
                        .find(|kind| kind.class().code == Some(&*code))
                        .unwrap_or(ErrorKind::Internal),
                };
                let error = Error::new(kind, message);
                End::Failed(match param {
                    Some(param) => error.with_param(param),
                    None => error,
                })
            }
            SavedEnd::Cancelled => End::Cancelled,
        }
    }
}
