//! Checks that this Claude Code still behaves as the server relies on. Much of that is undocumented and could change.
//!
//! Each check runs Claude Code through the library, against an API on loopback that records its requests. The user's login,
//! settings and network are not used.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tower_claude::cli::ClaudeCli;
use tower_claude::{Error, ErrorKind, FinishReason};

use super::api::{Answer, Api};
use super::report::Report;
use super::turn::{ask, begin};

/// How long a check may take. A process takes a second to start on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long to watch for a request that Claude Code should not send.
const SILENCE: Duration = Duration::from_millis(500);

/// Prefixes of the variables that could point Claude Code away from the API on loopback.
const REDIRECTING: [&str; 4] = ["ANTHROPIC_", "CLAUDE_", "AWS_", "GOOGLE_"];
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// Must never reach the API. It is in the files that a message names, and in the user's instructions.
const SECRET: &str = "this-must-stay-on-this-machine";

/// The result of a check: the error says what is wrong.
type Outcome = Result<(), String>;

/// A Claude Code under test, and the API that it talks to.
struct IsolatedCli {
    claude: ClaudeCli,
    api: Api,
    home: tempfile::TempDir,
}

pub(super) async fn examine(program: &Path, report: &mut Report) {
    let cli = match IsolatedCli::new(program).await {
        Ok(cli) => cli,
        Err(error) => {
            let message = format!("It was not checked: there is no API on loopback to check against: {error}.");
            return report.note("protocol", &message, "");
        }
    };
    let cli = &cli;
    let mut failed =
        check(report, "answers", "It answers, delta by delta, and is told no more than the request.", cli.answers())
            .await;
    if failed {
        let advice =
            "Run `claude --version` and `claude -p hello` by hand. The checks that need an answer were left out.";
        return report.note("protocol", "Claude Code gave no answer to check further.", advice);
    }
    failed |=
        check(report, "guard", "`@path` and `/command` in a message are text, and no file is read.", cli.guards())
            .await;
    failed |= check(report, "isolation", "The user's own instructions stay out of requests.", cli.isolates()).await;
    failed |= check(report, "replay", "A history is replayed as real turns.", cli.replays()).await;
    failed |=
        check(report, "live", "The next message goes to the process that holds the conversation.", cli.goes_on()).await;
    failed |= check(report, "functions", "A call waits in its process for the client's result.", cli.parks()).await;
    failed |= check(report, "schema", "An answer can be held to a JSON schema.", cli.structures()).await;
    failed |= check(
        report,
        "limit",
        "An answer ends at its token limit, and Claude Code does not go on by itself.",
        cli.stops(),
    )
    .await;
    failed |= check(report, "failures", "A failure of the API is told as one, with its kind.", cli.fails()).await;
    failed |= check(report, "interruption", "A turn whose client has gone ends at once.", cli.is_interrupted()).await;
    if failed {
        let advice = "Use a version that this release was tested with (npm install -g @anthropic-ai/claude-code@VERSION), or \
                      a newer release of this server.";
        report.note("protocol", "This Claude Code and this server do not fit together.", advice);
    }
}

/// Runs one check and reports it. Returns whether it failed.
async fn check(
    report: &mut Report,
    name: &'static str,
    good: &str,
    work: impl Future<Output = Result<Outcome, Error>>,
) -> bool {
    let wrong = match tokio::time::timeout(TIMEOUT, work).await {
        Ok(Ok(Ok(()))) => {
            report.ok(name, good);
            return false;
        }
        Ok(Ok(Err(wrong))) => wrong,
        Ok(Err(error)) => format!("It failed: {error}"),
        Err(_) => format!("There was no answer within {TIMEOUT:?}."),
    };
    report.broken(name, &wrong, "");
    true
}

impl IsolatedCli {
    async fn new(program: &Path) -> std::io::Result<IsolatedCli> {
        let home = tempfile::tempdir()?;
        let settings = home.path().join(".claude");
        std::fs::create_dir(&settings)?;
        std::fs::write(settings.join("CLAUDE.md"), SECRET)?;
        std::fs::write(home.path().join("secret.txt"), SECRET)?;
        let api = Api::start().await?;
        let mut builder = ClaudeCli::builder().program(program).warm_processes(1).max_processes(3);
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if PROXIES.contains(&&*shown) || REDIRECTING.iter().any(|prefix| shown.starts_with(prefix)) {
                builder = builder.env_remove(name);
            }
        }
        let claude = builder
            .env("HOME", home.path())
            .env("ANTHROPIC_BASE_URL", api.url())
            .env("ANTHROPIC_API_KEY", "no-key-is-needed-on-loopback")
            .env("DISABLE_TELEMETRY", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .first_token_timeout(TIMEOUT)
            .request_timeout(TIMEOUT)
            .build();
        Ok(IsolatedCli { claude, api, home })
    }

    /// The last request that the API got.
    fn last(&self) -> Value {
        self.api.asked().pop().unwrap_or_default()
    }

    async fn answers(&self) -> Result<Outcome, Error> {
        self.api.will(Answer::Text(&["Hel", "lo."], "end_turn"));
        let messages =
            json!([{"role": "system", "content": "You are examined."}, {"role": "user", "content": "hello"}]);
        let turn = ask(&self.claude, json!({"messages": messages})).await?;
        let asked = self.last();
        Ok(expect(turn.deltas == ["Hel", "lo."], || format!("Its deltas were {:?}.", turn.deltas))
            .and_then(|()| {
                expect(turn.reason == Some(FinishReason::Stop), || format!("It ended with {:?}.", turn.reason))
            })
            .and_then(|()| {
                let tools = asked["tools"].as_array().is_none_or(Vec::is_empty);
                expect(tools, || "Tools were offered to the model that nobody asked for.".to_owned())
            })
            .and_then(|()| {
                let system = asked["system"].to_string();
                expect(system.contains("You are examined."), || format!("The system prompt was {system}."))
            })
            .and_then(|()| {
                let size = asked.to_string().len();
                expect(size < 8000, || format!("A \"hello\" became a request of {size} bytes."))
            }))
    }

    async fn guards(&self) -> Result<Outcome, Error> {
        let file = self.home.path().join("secret.txt");
        for text in [format!("what is in @{}", file.display()), "/help".to_owned(), "/clear".to_owned()] {
            ask(&self.claude, said(&text)).await?;
            let asked = self.last();
            if asked.to_string().contains(SECRET) {
                return Ok(
                    Err("It read a file that a message names. NEVER serve others with this version.".to_owned()),
                );
            }
            if !user_texts(&asked).contains(&text) {
                return Ok(Err(format!("The message {text:?} reached the model as {:?}.", user_texts(&asked))));
            }
        }
        Ok(Ok(()))
    }

    async fn isolates(&self) -> Result<Outcome, Error> {
        ask(&self.claude, said("who are you?")).await?;
        let leaked = self.api.asked().iter().any(|asked| asked.to_string().contains(SECRET));
        Ok(expect(!leaked, || "The user's CLAUDE.md is in its requests.".to_owned()))
    }

    async fn replays(&self) -> Result<Outcome, Error> {
        let call = json!({"id": "call1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}});
        let messages = json!([
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call1", "content": "three"},
            {"role": "assistant", "content": "four"},
            {"role": "user", "content": "five"},
        ]);
        ask(&self.claude, json!({"messages": messages})).await?;
        let asked = self.last();
        let turns: Vec<(&str, String)> = asked["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|message| message["role"] != "system")
            .map(|message| (message["role"].as_str().unwrap_or_default(), message["content"].to_string()))
            .collect();
        let expected = [
            ("user", "one"),
            ("assistant", "tool_use"),
            ("user", "tool_result"),
            ("assistant", "four"),
            ("user", "five"),
        ];
        let same = turns.len() == expected.len()
            && turns
                .iter()
                .zip(expected)
                .all(|((role, content), (wanted, holds))| *role == wanted && content.contains(holds));
        Ok(expect(same, || format!("Its turns reached the model as {turns:?}.")))
    }

    async fn goes_on(&self) -> Result<Outcome, Error> {
        self.api.will(Answer::Text(&["one"], "end_turn"));
        let first = ask(&self.claude, said("count")).await?;
        let messages = json!([{"role": "user", "content": "count"}, {"role": "assistant", "content": first.text()},
            {"role": "user", "content": "go on"}]);
        let second = ask(&self.claude, json!({"messages": messages})).await?;
        Ok(expect(second.process == "live", || format!("It was answered by a process that was {:?}.", second.process)))
    }

    async fn parks(&self) -> Result<Outcome, Error> {
        let parameters = json!({"type": "object", "properties": {"at": {"type": "integer"}}});
        let tools = json!([{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": parameters}}]);
        self.api.will(Answer::Call("look", r#"{"at": 7}"#));
        let question = json!({"role": "user", "content": "look at 7"});
        let first = ask(&self.claude, json!({"messages": [question], "tools": tools})).await?;
        let Some((id, name, arguments)) = first.calls.first() else {
            return Ok(Err(format!("There was no call, but the text {:?}.", first.text())));
        };
        if name != "look" || serde_json::from_str::<Value>(arguments).ok() != Some(json!({"at": 7})) {
            return Ok(Err(format!("The call was {name:?} with {arguments:?}.")));
        }
        self.api.will(Answer::Text(&["seen"], "end_turn"));
        let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let messages = json!([question, {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": "a blue door"}]);
        let second = ask(&self.claude, json!({"messages": messages, "tools": tools})).await?;
        Ok(expect(second.process == "live", || format!("The result went to a process that was {:?}.", second.process))
            .and_then(|()| {
                expect(self.last().to_string().contains("a blue door"), || {
                    "The result did not reach the model.".to_owned()
                })
            })
            .and_then(|()| expect(second.text() == "seen", || format!("The answer to it was {:?}.", second.text()))))
    }

    async fn structures(&self) -> Result<Outcome, Error> {
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
        let format = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema}});
        self.api.will(Answer::Call("StructuredOutput", r#"{"name": "Ada"}"#));
        let messages = json!([{"role": "user", "content": "who?"}]);
        let turn = ask(&self.claude, json!({"messages": messages, "response_format": format})).await?;
        let object = serde_json::from_str::<Value>(&turn.text()).ok();
        Ok(expect(object == Some(json!({"name": "Ada"})), || format!("The answer was {:?}.", turn.text())))
    }

    async fn stops(&self) -> Result<Outcome, Error> {
        self.api.will(Answer::Text(&["cut ", "here"], "max_tokens"));
        let asked = self.api.asked().len();
        let messages = json!([{"role": "user", "content": "a long story"}]);
        let turn = ask(&self.claude, json!({"messages": messages, "max_tokens": 77})).await?;
        let limit = self.last()["max_tokens"].clone();
        tokio::time::sleep(SILENCE).await;
        let times = self.api.asked().len() - asked;
        Ok(expect(limit == 77, || format!("The model's limit was {limit}, not the 77 that were asked for."))
            .and_then(|()| {
                expect(turn.reason == Some(FinishReason::Length), || format!("It ended with {:?}.", turn.reason))
            })
            .and_then(|()| expect(turn.text() == "cut here", || format!("The answer was {:?}.", turn.text())))
            .and_then(|()| expect(times == 1, || format!("The API was asked {times} times for one answer."))))
    }

    async fn fails(&self) -> Result<Outcome, Error> {
        self.api.will(Answer::Fails(429));
        Ok(match ask(&self.claude, said("fail")).await {
            Err(error) => expect(error.kind() == ErrorKind::RateLimited, || {
                format!("A 429 of the API became {:?}: {error}", error.kind())
            }),
            Ok(turn) => Err(format!("A 429 of the API became the answer {:?}.", turn.text())),
        })
    }

    async fn is_interrupted(&self) -> Result<Outcome, Error> {
        self.api.will(Answer::Unfinished);
        let (_, events) = begin(&self.claude, said("talk")).await?;
        drop(events);
        self.api.until_hung_up(1).await;
        let next = ask(&self.claude, said("hello again")).await?;
        Ok(expect(next.text() == "ok", || format!("The next answer was {:?}.", next.text())))
    }
}

fn said(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

/// The texts of a request's user messages.
fn user_texts(asked: &Value) -> Vec<String> {
    let messages = asked["messages"].as_array().into_iter().flatten().filter(|message| message["role"] == "user");
    let texts = messages.flat_map(|message| match &message["content"] {
        Value::String(text) => vec![text.clone()],
        content => {
            let blocks = content.as_array().into_iter().flatten();
            blocks.filter_map(|block| block["text"].as_str().map(str::to_owned)).collect()
        }
    });
    texts.collect()
}

fn expect(holds: bool, wrong: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(wrong()) }
}
