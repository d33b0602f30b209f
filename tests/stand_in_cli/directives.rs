//! What every pretend model knows: which text of a request decides, and the directives that need nothing but a model. The
//! stand-in's is one, and that of the tests' Messages API another.

use serde_json::Value;

/// A block of an answer, and its deltas.
pub(crate) enum Block {
    Text(Vec<String>),
    /// The deltas `w0 `, `w1 `, and so on.
    Count(u64),
    Thinking(Vec<String>),
    /// A call: the tool's name, and its arguments as the model wrote them.
    Tool(String, String),
    /// Another model takes over: of this the CLI does not stream a thing.
    Fallback,
}

/// An answer: its blocks, and why it ends there.
pub(crate) type Said = (Vec<Block>, &'static str);

/// Why a message may end.
const STOPS: [&str; 8] = [
    "end_turn",
    "max_tokens",
    "model_context_window_exceeded",
    "of_tomorrow",
    "pause_turn",
    "refusal",
    "stop_sequence",
    "tool_use",
];

/// What a directive has the model say, if it is one of those below. `tool` gives a name the form in which the model knows
/// it.
pub(crate) fn said(directive: &str, tool: &dyn Fn(&str) -> String) -> Option<Said> {
    let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    Some(match word {
        "tool" => {
            let mut blocks = vec![text(["calling "])];
            blocks.extend(rest.split(" ;; ").map(|call| {
                let (name, input) = call.split_once(' ').unwrap_or((call, "{}"));
                Block::Tool(tool(name), input.to_owned())
            }));
            (blocks, "tool_use")
        }
        "count" => (vec![Block::Count(rest.trim().parse().unwrap_or(0))], "end_turn"),
        "blocks" => (rest.split('|').map(|part| text([part])).collect(), "end_turn"),
        "think" => (vec![thinking(["let me ", "think"]), text(["echo: ", directive])], "end_turn"),
        "end" => {
            let (reason, rest) = rest.split_once(' ')?;
            let stop = STOPS.into_iter().find(|stop| *stop == reason)?;
            (said(rest, tool).unwrap_or_else(|| echo(rest)).0, stop)
        }
        "fallback" => {
            let (mut blocks, stop) = said(rest, tool).unwrap_or_else(|| echo(rest));
            blocks.insert(0, Block::Fallback);
            (blocks, stop)
        }
        "nothing" => (vec![], "end_turn"),
        "long" => (vec![text(["cut ", "here"])], "max_tokens"),
        "refusal" => (vec![text(["I ", "cannot"])], "refusal"),
        "big" => (vec![Block::Text(vec!["x".repeat(rest.trim().parse().unwrap_or(0))])], "end_turn"),
        _ => return None,
    })
}

/// What is said where there is no directive.
pub(crate) fn echo(said: &str) -> Said {
    (vec![text(["echo: ", said])], "end_turn")
}

/// What is said of the results of calls.
pub(crate) fn results(results: Vec<Value>) -> Said {
    (vec![text(["result: ", &Value::Array(results).to_string()])], "end_turn")
}

/// The call by which Claude Code has an object of a given shape from the model.
pub(crate) fn structured_output(said: &str) -> Said {
    let input = said.strip_prefix("json ").unwrap_or(r#"{"name":"Ada"}"#);
    (vec![Block::Tool("StructuredOutput".to_owned(), input.to_owned())], "tool_use")
}

pub(crate) fn text<'a>(deltas: impl IntoIterator<Item = &'a str>) -> Block {
    Block::Text(deltas.into_iter().map(str::to_owned).collect())
}

pub(crate) fn thinking<'a>(deltas: impl IntoIterator<Item = &'a str>) -> Block {
    Block::Thinking(deltas.into_iter().map(str::to_owned).collect())
}

/// The text that decides, a directive's inside if there is one, and the contents of the turn's tool results.
pub(crate) fn last_user_turn(messages: &[Value]) -> (String, Vec<Value>) {
    let start = messages.iter().rposition(|message| message["role"] == "assistant").map_or(0, |last| last + 1);
    let (mut texts, mut results) = (Vec::new(), Vec::new());
    for message in messages[start..].iter().filter(|message| message["role"] == "user") {
        match &message["content"] {
            Value::Array(blocks) => {
                for block in blocks {
                    match block["type"].as_str() {
                        Some("text") => texts.push(block["text"].as_str().unwrap_or_default()),
                        Some("tool_result") => results.push(block["content"].clone()),
                        _ => {}
                    }
                }
            }
            content => texts.push(content.as_str().unwrap_or_default()),
        }
    }
    // Those are Claude Code's own words to the model.
    texts.retain(|text| !text.starts_with("<system-reminder>"));
    let all = texts.join("\n");
    let directive = all.split_once("[[").and_then(|(_, after)| {
        // A directive's own text may end in brackets, as a JSON array does: the last of several closing ones closes.
        let end = after.find("]]")?;
        let more = after[end + 2..].bytes().take_while(|&byte| byte == b']').count();
        Some(&after[..end + more])
    });
    (directive.or(texts.last().copied()).unwrap_or_default().to_owned(), results)
}
