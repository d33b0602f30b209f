//! Whether an answer is right, a well-formed failure, or wrong.

use serde_json::Value;

use super::client::Got;

/// What is said of one request.
pub(crate) enum Verdict {
    Right,
    /// A failure that says so in OpenAI's form, by its code.
    Failed(String),
    /// The client went before the end.
    Left,
    Wrong(String),
}

/// What the right answer is.
pub(crate) enum Expected {
    /// This text and no other.
    Text(String),
    /// A text that has all of these in it.
    Holds(Vec<String>),
    /// A call of the function, with this in its arguments.
    Call(String),
    /// Whatever it says, it ends as it should.
    Whatever,
    /// A refusal with one of these statuses.
    Refused(&'static [u16]),
}

/// What came of a chat request that was right.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// Id and arguments.
    pub(crate) calls: Vec<(String, String)>,
}

/// Codes that a busy server or a failing process may have, at any time.
const MAY_FAIL: [(u16, &str); 8] = [
    (429, "queue_full"),
    (502, "upstream_error"),
    (502, "claude_cli_error"),
    (503, "overloaded"),
    (503, "claude_cli_error"),
    (503, "unavailable"),
    (504, "first_token_timeout"),
    (504, "request_timeout"),
];

/// Judges an answer; the tokens in it must begin with the conversation's own.
pub(crate) fn judge(got: &Got, expected: &Expected, own: &str) -> (Verdict, Said) {
    let none = |verdict| (verdict, Said::default());
    let wrong = |why: String| none(Verdict::Wrong(format!("{why}: {}", got.shown())));
    let body = match std::str::from_utf8(&got.body) {
        Ok(body) => body,
        Err(_) => return wrong("not UTF-8".to_owned()),
    };
    if let Some(token) = foreign(body, own) {
        return wrong(format!("another conversation's {token:?} (not {own:?})"));
    }
    if got.status != 200 {
        return none(refusal(got, body, expected));
    }
    let said = if got.is_stream() { read_stream(body) } else { read_completion(body) };
    let said = match said {
        Ok(said) => said,
        Err(Unfinished::Failed(code)) if may_fail(None, &code) => {
            return none(Verdict::Failed(format!("stream: {code}")));
        }
        Err(Unfinished::Failed(code)) => return wrong(format!("failed with {code}")),
        Err(Unfinished::Malformed(why)) => return wrong(why),
    };
    let shown = |text: &str| text.chars().take(300).collect::<String>();
    let right = match expected {
        Expected::Text(text) if said.text != *text => Err(format!("not {:?}", shown(text))),
        Expected::Holds(parts) => match parts.iter().find(|part| !said.text.contains(*part)) {
            Some(part) => Err(format!("without {:?}", shown(part))),
            None => Ok(()),
        },
        Expected::Call(token) if !said.calls.iter().any(|(_, arguments)| arguments.contains(token)) => {
            Err(format!("no call with {token:?}"))
        }
        Expected::Refused(_) => Err("it should have been refused".to_owned()),
        _ => Ok(()),
    };
    match right {
        Ok(()) => (Verdict::Right, said),
        Err(why) => wrong(why),
    }
}

fn may_fail(status: Option<u16>, code: &str) -> bool {
    MAY_FAIL.iter().any(|(of, name)| *name == code && status.is_none_or(|status| status == *of))
}

/// A token of a conversation other than this one.
fn foreign<'a>(body: &'a str, own: &str) -> Option<&'a str> {
    let tokens = body.match_indices("tok-").map(|(at, _)| {
        let end = body[at + 4..].find(|char: char| !char.is_ascii_digit()).map_or(body.len(), |end| at + 4 + end);
        &body[at..end]
    });
    tokens.into_iter().find(|token| *token != own)
}

fn refusal(got: &Got, body: &str, expected: &Expected) -> Verdict {
    let wrong = |why: &str| Verdict::Wrong(format!("{why}: {}", got.shown()));
    let expected = match expected {
        Expected::Refused(statuses) => statuses.contains(&got.status),
        _ => false,
    };
    let Ok(error) = serde_json::from_str::<Value>(body) else {
        // What is no HTTP request at all is refused by hyper, without a word.
        return if expected && body.is_empty() { Verdict::Right } else { wrong("the error is no JSON") };
    };
    let error = &error["error"];
    if !error["message"].is_string() || !error["type"].is_string() || error.get("param").is_none() {
        return wrong("the error is not OpenAI's");
    }
    let code = error["code"].as_str().unwrap_or_default();
    if expected {
        return Verdict::Right;
    }
    if !may_fail(Some(got.status), code) {
        return wrong("it should not fail so");
    }
    if code == "queue_full" && got.header("retry-after").is_none() {
        return wrong("there is no Retry-After");
    }
    Verdict::Failed(format!("{} {code}", got.status))
}

enum Unfinished {
    /// An error event of this code.
    Failed(String),
    Malformed(String),
}

fn read_completion(body: &str) -> Result<Said, Unfinished> {
    let malformed = |why: &str| Unfinished::Malformed(why.to_owned());
    let completion: Value = serde_json::from_str(body).map_err(|error| malformed(&error.to_string()))?;
    let choice = &completion["choices"][0];
    if completion["object"] != "chat.completion" || !choice["finish_reason"].is_string() {
        return Err(malformed("it is no completion"));
    }
    let calls = choice["message"]["tool_calls"].as_array().into_iter().flatten().map(|call| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&call["id"]), text(&call["function"]["arguments"]))
    });
    let text = choice["message"]["content"].as_str().unwrap_or_default().to_owned();
    Ok(Said { text, calls: calls.collect() })
}

fn read_stream(body: &str) -> Result<Said, Unfinished> {
    let malformed = |why: &str| Unfinished::Malformed(why.to_owned());
    let (mut said, mut finished, mut done) = (Said::default(), false, false);
    for event in body.split_terminator("\n\n") {
        if event.starts_with(':') {
            continue;
        }
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let Some(data) = data.filter(|_| !done) else { return Err(malformed(&format!("a stray event {event:?}"))) };
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| malformed("a chunk is no JSON"))?;
        if let Some(error) = chunk.get("error") {
            if !error["message"].is_string() || finished {
                return Err(malformed("an error event out of place"));
            }
            return Err(Unfinished::Failed(error["code"].as_str().unwrap_or("no code").to_owned()));
        }
        let choice = &chunk["choices"][0];
        said.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        for part in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = part["index"].as_u64().unwrap_or(0) as usize;
            if said.calls.len() <= at {
                said.calls.resize(at + 1, Default::default());
            }
            said.calls[at].0.push_str(part["id"].as_str().unwrap_or_default());
            said.calls[at].1.push_str(part["function"]["arguments"].as_str().unwrap_or_default());
        }
        finished |= choice["finish_reason"].is_string();
    }
    if !(finished && done) {
        return Err(malformed("the stream has neither an end nor an error"));
    }
    Ok(said)
}
