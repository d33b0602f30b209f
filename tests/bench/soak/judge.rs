//! Whether an answer is right, a well-formed failure, or wrong.

use serde_json::Value;

use super::client::Got;
use super::dialect::{Dialect, Said, Unfinished};

/// What is said of one request.
pub(crate) enum Verdict {
    Right,
    /// A failure that says so in its dialect's form, by its code.
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

/// Codes that a busy server or a failing process may have, at any time.
const MAY_FAIL: [(u16, &str); 12] = [
    (429, "queue_full"),
    (502, "upstream_error"),
    (502, "claude_cli_error"),
    (503, "overloaded"),
    (503, "claude_cli_error"),
    (503, "unavailable"),
    (504, "first_token_timeout"),
    (504, "request_timeout"),
    // Of Anthropic's, which has types.
    (429, "rate_limit_error"),
    (500, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

/// Codes of a response that failed after its head.
const MAY_FAIL_LATER: [&str; 2] = ["server_error", "rate_limit_exceeded"];

/// Judges an answer; the tokens in it must begin with the conversation's own.
pub(crate) fn judge(got: &Got, dialect: Dialect, expected: &Expected, own: &str) -> (Verdict, Said) {
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
        return none(refusal(got, dialect, body, expected));
    }
    let said = if got.is_stream() { dialect.read_stream(body) } else { dialect.read(body) };
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
        || (status.is_none() && MAY_FAIL_LATER.contains(&code))
}

/// A token of a conversation other than this one.
fn foreign<'a>(body: &'a str, own: &str) -> Option<&'a str> {
    let tokens = body.match_indices("tok-").map(|(at, _)| {
        let end = body[at + 4..].find(|char: char| !char.is_ascii_digit()).map_or(body.len(), |end| at + 4 + end);
        &body[at..end]
    });
    tokens.into_iter().find(|token| *token != own)
}

fn refusal(got: &Got, dialect: Dialect, body: &str, expected: &Expected) -> Verdict {
    let wrong = |why: &str| Verdict::Wrong(format!("{why}: {}", got.shown()));
    let expected = match expected {
        // Of Anthropic's own statuses, 500 is for any failure behind the server, and 529 for what is overloaded.
        Expected::Refused(statuses) => {
            statuses.contains(&got.status) || (dialect == Dialect::Messages && got.status == 529 && statuses.len() > 1)
        }
        _ => false,
    };
    let Ok(error) = serde_json::from_str::<Value>(body) else {
        // What is no HTTP request at all is refused by hyper, without a word.
        return if expected && body.is_empty() { Verdict::Right } else { wrong("the error is no JSON") };
    };
    let code = match dialect.failure(&error) {
        Ok(code) => code,
        Err(why) => return wrong(why),
    };
    if expected {
        return Verdict::Right;
    }
    if !may_fail(Some(got.status), &code) {
        return wrong("it should not fail so");
    }
    if matches!(got.status, 429 | 503 | 529) && got.header("retry-after").is_none() {
        return wrong("there is no Retry-After");
    }
    Verdict::Failed(format!("{} {code}", got.status))
}
