//! What a process is asked comes from one caller, whatever the others know: here they all know everything, and go on with
//! each other's conversations, word for word.
//!
//! `PROPTEST_CASES` sets the number of cases.

use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_claude::cli::ClaudeCli;
use tower_claude::layers::RecognizeLayer;

use crate::support::chat::{Heard, function, hear, in_time, request, result, user};
use crate::support::random_cases::{Pool, live};

/// Keys and sessions: each caller differs from another in one of them.
const CALLERS: [(Option<u64>, Option<&str>); 6] =
    [(None, None), (Some(1), None), (Some(2), None), (None, Some("a")), (Some(1), Some("a")), (Some(1), Some("b"))];

/// What a caller does with the conversation that all of them share.
#[derive(Clone, Debug)]
enum Step {
    Say,
    /// Has the model call functions, whose results whoever comes next will give.
    Call(usize),
    /// Changes an earlier text of a user's.
    Edit(prop::sample::Index),
    /// Asks for the last answer once more.
    Regenerate,
    System(bool),
    Tools(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Say),
        4 => (1usize..3).prop_map(Step::Call),
        1 => any::<prop::sample::Index>().prop_map(Step::Edit),
        1 => Just(Step::Regenerate),
        1 => any::<bool>().prop_map(Step::System),
        1 => any::<bool>().prop_map(Step::Tools),
    ]
}

/// One conversation, in the hands of all.
struct Shared {
    claude: ClaudeCli,
    /// Whether a layer notes what clients sent and were told.
    recognizes: bool,
    system: bool,
    tools: bool,
    messages: Vec<Value>,
    /// The calls that have no results yet.
    calls: Vec<String>,
}

impl Shared {
    async fn ask(&self, caller: usize) -> Heard {
        let mut messages = self.messages.clone();
        if self.system {
            messages.insert(0, json!({"role": "system", "content": "Be brief."}));
        }
        let mut tools = vec![function("look")];
        tools.extend(self.tools.then(|| function("exec")));
        let (key, session) = CALLERS[caller];
        let mut body = json!({"model": "sonnet", "messages": messages, "tools": tools});
        // A session has two names.
        if caller.is_multiple_of(2) {
            body["prompt_cache_key"] = json!(session);
        }
        let mut request = request(body);
        request.caller.key = key;
        if caller % 2 == 1 {
            request.caller.session = session.map(str::to_owned);
        }
        let answer = async {
            let response = if self.recognizes {
                RecognizeLayer::new().layer(self.claude.clone()).oneshot(request).await
            } else {
                self.claude.clone().oneshot(request).await
            };
            hear(response.unwrap()).await.unwrap()
        };
        in_time("an answer", answer).await
    }

    /// Sends new messages in a caller's name: each bears it.
    async fn send(&mut self, caller: usize, new: Vec<Value>) {
        self.messages.extend(new);
        let answer = self.ask(caller).await;
        self.messages.push(answer.message());
        self.calls = answer.calls.iter().map(|call| call.id.clone()).collect();
    }

    async fn take(&mut self, caller: usize, step: &Step) {
        let mark = format!("<{caller}>");
        if !self.calls.is_empty() {
            let results = std::mem::take(&mut self.calls).into_iter().map(|id| result(&id, mark.as_str()));
            let results = results.collect();
            self.send(caller, results).await;
        }
        match step {
            Step::Say => self.send(caller, vec![user(&format!("hello {mark}"))]).await,
            Step::Call(calls) => {
                let calls = vec![format!(r#"look {{"for":"{mark}"}}"#); *calls].join(" ;; ");
                self.send(caller, vec![user(&format!("[[tool {calls}]]"))]).await;
            }
            Step::Edit(at) => {
                let mut said: Vec<&mut Value> = self.messages.iter_mut().filter(|it| it["role"] == "user").collect();
                if !said.is_empty() {
                    let at = at.index(said.len());
                    said[at]["content"] = json!(format!("edited {mark}"));
                }
            }
            Step::Regenerate => {
                // The question is asked in the name of the one who asks now.
                if let [.., question, answer] = &mut self.messages[..]
                    && question["role"] == "user"
                    && answer["role"] == "assistant"
                {
                    *question = user(&format!("again {mark}"));
                    self.messages.pop();
                    self.send(caller, Vec::new()).await;
                }
            }
            Step::System(system) => self.system = *system,
            Step::Tools(tools) => self.tools = *tools,
        }
    }
}

/// Who asked a process: the last name in each question, and in each result that it was waiting for.
fn askers(told: &str) -> HashSet<&str> {
    // A replay's first message is asked under a context limit, for which nothing is answered.
    let mut is_limited = false;
    let asks = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["request_id"] == "limit" {
            is_limited = line["request"]["settings"]["env"]["CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE"] != "";
        }
        match line["type"].as_str() {
            Some("user") => line["shouldQuery"] != false && !is_limited,
            Some("control_response") => !line["response"]["response"]["mcp_response"]["result"]["content"].is_null(),
            _ => false,
        }
    };
    told.lines().filter(asks).filter_map(|line| Some(line.rsplit_once('<')?.1.split_once('>')?.0)).collect()
}

fn check(directory: &Path) {
    for file in std::fs::read_dir(directory).unwrap() {
        let told = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let askers = askers(&told);
        assert!(askers.len() <= 1, "one process was asked by {askers:?}: {told}");
    }
}

#[test]
fn a_process_is_asked_by_one_caller_though_all_know_the_whole_conversation() {
    let pool = Pool::new();
    let lives = (any::<bool>(), prop::collection::vec((0..CALLERS.len(), 1usize..3, step()), 2..10));
    let cases = live(30, &lives, async |(recognizes, steps)| {
        let (claude, tools) = (pool.claude.clone(), false);
        let mut shared = Shared { claude, recognizes, system: false, tools, messages: Vec::new(), calls: Vec::new() };
        for (caller, times, step) in &steps {
            for _ in 0..*times {
                shared.take(*caller, step).await;
            }
        }
        check(pool.told());
    });
    let requests = pool.claude.health().requests;
    assert!(requests.live > u64::from(cases) / 2, "callers do go on with their own: {requests:?}");
}
