//! The worst that a client can send, on all three doors: as many of a thing as there may be, or one as large.

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

/// What a request is made of, and what it should be answered with.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    pub(crate) answers: u32,
    /// A body of about so many bytes.
    pub(crate) body: fn(usize) -> String,
}

const fn input(name: &'static str, path: &'static str, body: fn(usize) -> String) -> Input {
    Input { name, path, status: 200, answers: 1, body }
}

/// The largest has as many values as it may, with so many bytes for each, and the others are made alike.
const BYTES_A_VALUE: usize = 170;

pub(crate) const INPUTS: &[Input] = &[
    input("chat: one long text", CHAT, |size| chat(&user(&quoted(&prose(size))))),
    input("chat: a picture", CHAT, |size| {
        let url = format!("data:image/png;base64,{}", "iVBORw0K".repeat(size / 8));
        chat(&user(&format!(r#"[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]"#)))
    }),
    input("chat: many messages", CHAT, |size| chat(&many(size, 3, |_, text| user(&quoted(text))))),
    input("chat: many turns", CHAT, |size| {
        let turns = many(size, 6, |_, text| {
            let text = &text[..text.len() / 2];
            format!("{},{}", user(&quoted(text)), assistant(&quoted(text)))
        });
        chat(&format!("{turns},{}", user("\"go on\"")))
    }),
    input("chat: many calls of one id", CHAT, |size| {
        let calls = many(size, 14, |_, text| {
            let call = format!(
                r#"{{"id":"call_0","type":"function","function":{{"name":"f","arguments":{}}}}}"#,
                arguments(text)
            );
            format!(
                r#"{{"role":"assistant","content":null,"tool_calls":[{call}]}},{{"role":"tool","tool_call_id":"call_0","content":"x"}}"#
            )
        });
        chat(&calls)
    }),
    input("chat: many calls at once", CHAT, |size| {
        let call = |number: usize, text: &str| {
            format!(
                r#"{{"id":"call_{number}","type":"function","function":{{"name":"f","arguments":{}}}}}"#,
                arguments(text)
            )
        };
        let calls = many(size / 2, 6, call);
        let results = many(size / 2, 6, |number, text| {
            format!(r#"{{"role":"tool","tool_call_id":"call_{number}","content":{}}}"#, quoted(text))
        });
        chat(&format!(r#"{{"role":"assistant","content":null,"tool_calls":[{calls}]}},{results}"#))
    }),
    input("chat: many tiny parts", CHAT, |size| {
        let parts = many(size, 3, |_, text| format!(r#"{{"type":"text","text":{}}}"#, quoted(text)));
        chat(&user(&format!("[{parts}]")))
    }),
    input("chat: a prompt of OpenClaw's, all sections", CHAT, |size| {
        let sections = "## Tooling\nxx\n## Other\nyy\n### Deeper\n## Tool Call Style\n```\n## Tooling\n```\n";
        let prompt = format!(
            "You are a personal assistant running inside OpenClaw.\n{}",
            sections.repeat(size / quoted(sections).len())
        );
        chat(&format!(r#"{{"role":"system","content":{}}},{}"#, quoted(&prompt), user("\"hello\"")))
    }),
    input("chat: a prompt of OpenClaw's, all markers", CHAT, |size| {
        let markers = "<!-- openclaw:attempt:STABLE -->\n<!-- /openclaw:attempt:STABLE -->\n## Tooling\n";
        chat(&format!(
            r#"{{"role":"system","content":{}}},{}"#,
            quoted(&markers.repeat(size / quoted(markers).len())),
            user("\"hello\"")
        ))
    }),
    input("chat: deep arguments", CHAT, |size| {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let arguments = format!(r#"{{\"a\":[{}0]}}"#, format!("{deep},").repeat(size / 201));
        let call =
            format!(r#"{{"id":"call_0","type":"function","function":{{"name":"f","arguments":"{arguments}"}}}}"#);
        chat(&format!(
            r#"{},{{"role":"assistant","content":null,"tool_calls":[{call}]}},{{"role":"tool","tool_call_id":"call_0","content":"x"}}"#,
            user("\"hello\"")
        ))
    }),
    input("chat: deep JSON that nobody reads", CHAT, |size| {
        let deep = format!("{}{}{}", "[".repeat(50), quoted(&prose(50 * BYTES_A_VALUE)), "]".repeat(50));
        let unread = format!(r#","unread":[{}0]"#, format!("{deep},").repeat(size / (deep.len() + 1)));
        chat_with(&user("\"hello\""), &unread)
    }),
    input("chat: long texts that nobody reads", CHAT, |size| {
        let unread = many(size, 2, |number, text| format!(r#""{number}":{}"#, quoted(text)));
        chat_with(&user("\"hello\""), &format!(",\"unread\":{{{unread}}}"))
    }),
    input("chat: many fields that nobody reads", CHAT, |size| {
        let unread = many(size, 1, |number, text| format!(r#""{number}":{}"#, quoted(text)));
        chat_with(&user("\"hello\""), &format!(",{unread}"))
    }),
    input("chat: long stop texts", CHAT, |size| {
        let stop = quoted(&"ab".repeat(size / 8));
        chat_with(&user("\"hello\""), &format!(r#","stop":[{stop},{stop},{stop},{stop}]"#))
    }),
    input("chat: a large schema", CHAT, |size| {
        let properties =
            many(size, 3, |number, text| format!(r#""p{number}":{{"type":"string","description":{}}}"#, quoted(text)));
        let function = format!(r#"{{"name":"f","parameters":{{"type":"object","properties":{{{properties}}}}}}}"#);
        chat_with(&user("\"hello\""), &format!(r#","tools":[{{"type":"function","function":{function}}}]"#))
    }),
    Input {
        answers: 8,
        ..input("chat: eight answers about a picture", CHAT, |size| {
            let url = format!("data:image/png;base64,{}", "iVBORw0K".repeat(size / 8));
            chat_with(&user(&format!(r#"[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]"#)), ",\"n\":8")
        })
    },
    Input {
        answers: 8,
        ..input("chat: eight answers to many messages", CHAT, |size| {
            chat_with(&many(size, 3, |_, text| user(&quoted(text))), ",\"n\":8")
        })
    },
    Input {
        status: 413,
        ..input("chat: more numbers than may be", CHAT, |size| {
            chat_with(&user("\"hello\""), &format!(",\"unread\":[{}0]", "0,".repeat(size.max(1_100_000) / 2)))
        })
    },
    input("messages: many messages", MESSAGES, |size| messages(&many(size, 3, |_, text| user(&quoted(text))), "")),
    input("messages: many calls", MESSAGES, |size| {
        let calls = many(size, 16, |number, text| {
            let call = format!(r#"{{"type":"tool_use","id":"c{number}","name":"f","input":{{"a":{}}}}}"#, quoted(text));
            format!(
                r#"{{"role":"assistant","content":[{call}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c{number}","content":"x"}}]}}"#
            )
        });
        messages(&format!("{},{calls}", user("\"hello\"")), "")
    }),
    input("messages: many tiny blocks", MESSAGES, |size| {
        let blocks = many(size, 3, |_, text| format!(r#"{{"type":"text","text":{}}}"#, quoted(text)));
        messages(&user(&format!("[{blocks}]")), "")
    }),
    input("messages: a long prompt", MESSAGES, |size| {
        messages(&user("\"hello\""), &format!(",\"system\":{}", quoted(&prose(size))))
    }),
    input("messages: long stop texts", MESSAGES, |size| {
        let stop = quoted(&"ab".repeat(size / 8));
        messages(&user("\"hello\""), &format!(r#","stop_sequences":[{stop},{stop},{stop},{stop}]"#))
    }),
    input("responses: many items", RESPONSES, |size| responses(&many(size, 3, |_, text| user(&quoted(text))))),
    input("responses: many calls", RESPONSES, |size| {
        let calls = many(size, 9, |number, text| {
            format!(
                r#"{{"type":"function_call","call_id":"c{number}","name":"f","arguments":{}}},{{"type":"function_call_output","call_id":"c{number}","output":"x"}}"#,
                arguments(text)
            )
        });
        responses(&format!("{},{calls}", user("\"hello\"")))
    }),
    input("responses: many tiny parts", RESPONSES, |size| {
        let parts = many(size, 3, |_, text| format!(r#"{{"type":"input_text","text":{}}}"#, quoted(text)));
        responses(&user(&format!("[{parts}]")))
    }),
    input("responses: one long text", RESPONSES, |size| responses(&user(&quoted(&prose(size))))),
];

fn chat(messages: &str) -> String {
    chat_with(messages, "")
}

fn chat_with(messages: &str, more: &str) -> String {
    format!(r#"{{"model":"sonnet","stream":true,"messages":[{messages}]{more}}}"#)
}

fn messages(messages: &str, more: &str) -> String {
    format!(r#"{{"model":"sonnet","stream":true,"max_tokens":1000,"messages":[{messages}]{more}}}"#)
}

fn responses(items: &str) -> String {
    format!(r#"{{"model":"sonnet","stream":true,"input":[{items}]}}"#)
}

fn user(content: &str) -> String {
    format!(r#"{{"role":"user","content":{content}}}"#)
}

fn assistant(content: &str) -> String {
    format!(r#"{{"role":"assistant","content":{content}}}"#)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Arguments as JSON in a text.
fn arguments(text: &str) -> String {
    quoted(&serde_json::json!({"a": text}).to_string())
}

fn prose(size: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(size / 45 + 1)
}

/// As many of these as make up the size, divided by commas, where each is so many values.
fn many(size: usize, values: usize, one: impl Fn(usize, &str) -> String) -> String {
    let each = values * BYTES_A_VALUE;
    let bare = one(100_000, "").len();
    let text = prose(each);
    let text = &text[..each.saturating_sub(bare + 1).max(1)];
    (0..size / each).map(|number| one(number, text)).collect::<Vec<_>>().join(",")
}
