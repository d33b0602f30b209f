//! A conversation: what is asked, what should be answered, and what clients do that they should not.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Came, Judged, Manner, send};
use super::dialect::{Dialect, Said};
use super::draw::Draw;
use super::judge::{Expected, Verdict, judge};
use super::support::server_process::ServerProcess;

/// How long a client that does not read does not: longer than it may.
const STALL: Duration = Duration::from_secs(3);

struct Talk<'a> {
    server: SocketAddr,
    /// Stands in every message, and must stand in no other conversation's.
    token: String,
    model: &'static str,
    dialect: Dialect,
    key: Option<String>,
    session: Option<String>,
    messages: Vec<Value>,
    turns: u64,
    draw: Draw,
    count: &'a mut (dyn FnMut(&str, Judged) + Send),
}

/// How one request is meant.
struct Meant {
    what: &'static str,
    expected: Expected,
    manner: Manner,
    /// No process may have held the conversation as it is told here.
    fresh: bool,
    /// Where it is not the conversation's.
    dialect: Option<Dialect>,
}

impl Meant {
    fn to(what: &'static str, expected: Expected) -> Meant {
        Meant { what, expected, manner: Manner::Well, fresh: false, dialect: None }
    }

    fn manner(self, manner: Manner) -> Meant {
        Meant { manner, ..self }
    }

    fn fresh(self) -> Meant {
        Meant { fresh: true, ..self }
    }
}

/// Holds one conversation, and counts its requests.
pub(crate) async fn hold(
    server: &ServerProcess,
    number: u64,
    mut draw: Draw,
    mut count: impl FnMut(&str, Judged) + Send,
) {
    let server = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let key = draw.percent(70).then(|| format!("sk-{}", draw.below(5)));
    let session = draw.percent(30).then(|| format!("session-{number}"));
    let model = draw.one_of(&["sonnet", "opus", "gpt-4o"]);
    let dialect = draw.one_of(&Dialect::ALL);
    let requests = 1 + draw.below(6);
    let token = format!("tok-{number}");
    let mut talk =
        Talk { server, token, model, dialect, key, session, messages: Vec::new(), turns: 0, draw, count: &mut count };
    if talk.draw.percent(40) {
        talk.messages.push(json!({"role": "system", "content": format!("Answer {}.", talk.token)}));
    }
    for _ in 0..requests {
        let pause = talk.draw.pause(60);
        tokio::time::sleep(pause).await;
        talk.step().await;
    }
}

impl Talk<'_> {
    async fn step(&mut self) {
        self.turns += 1;
        match self.draw.below(100) {
            0..34 => self.echo(Manner::Well).await,
            34..43 => self.directive().await,
            43..53 => self.fault_at_a_step().await,
            53..57 => self.failure().await,
            57..69 => self.function().await,
            69..74 => self.history().await,
            74..84 => self.hang_up().await,
            84..87 => self.bad_reader().await,
            87..92 => self.bad_request().await,
            92..95 => self.large_request().await,
            95..97 => self.edited().await,
            _ => self.of_another_caller().await,
        }
    }

    fn say(&self) -> String {
        format!("{} turn {}", self.token, self.turns)
    }

    async fn echo(&mut self, manner: Manner) {
        let text = self.say();
        let expected = Expected::Text(format!("echo: {text}"));
        self.ask(&text, Meant::to("an echo", expected).manner(manner)).await;
    }

    async fn directive(&mut self) {
        let token = &self.token;
        let echoed = |text: String| (format!("[[{text}]]"), Expected::Text(format!("echo: {text}")));
        let (text, expected) = match self.draw.below(10) {
            0 => echoed(format!("think {token}")),
            1 => echoed(format!("garbage {token}")),
            2 => echoed(format!("drop {token}")),
            3 => echoed(format!("limits {token}")),
            4 => ("[[utf8]]".to_owned(), Expected::Holds(vec!["日本語".to_owned()])),
            5 => (format!("[[blocks {token}|b|c]]"), Expected::Holds(vec![token.clone(), "c".to_owned()])),
            6 => ("[[big 200000]]".to_owned(), Expected::Text("x".repeat(200_000))),
            7 => ("[[refusal]]".to_owned(), Expected::Whatever),
            8 => ("[[long]]".to_owned(), Expected::Whatever),
            _ => {
                let words: String = (0..40).map(|number| format!("w{number} ")).collect();
                ("[[slow 3 count 40]]".to_owned(), Expected::Text(words))
            }
        };
        self.ask(&text, Meant::to("a directive", expected)).await;
    }

    /// The process dies, hangs or breaks off at one line of the turn; behind the last one, the answer is right.
    async fn fault_at_a_step(&mut self) {
        let kind = self.draw.one_of(&["crash-at", "crash-at", "half-at", "half-at", "hang-at"]);
        let at = self.draw.below(16);
        let token = self.token.clone();
        let (inner, expected) = match self.draw.below(4) {
            0 => (format!("echo {token}"), Expected::Text(format!("echo: echo {token}"))),
            1 => (format!("think {token}"), Expected::Text(format!("echo: think {token}"))),
            2 => ("count 5".to_owned(), Expected::Text("w0 w1 w2 w3 w4 ".to_owned())),
            _ => (format!(r#"tool look {{"q":"{token}"}}"#), Expected::Call(token)),
        };
        let before = self.messages.len();
        self.ask(&format!("[[{kind} {at} {inner}]]"), Meant::to("a fault at a step", expected)).await;
        if self.messages.last().is_some_and(|last| last.get("tool_calls").is_some()) {
            self.messages.truncate(before);
        }
    }

    async fn failure(&mut self) {
        let directive = match self.draw.below(12) {
            0 => "[[crash]]".to_owned(),
            1 => "[[crash-mid]]".to_owned(),
            2 => "[[silence]]".to_owned(),
            3 => "[[overflow]]".to_owned(),
            _ => {
                let status = self.draw.one_of(&[400, 401, 402, 403, 404, 413, 429, 500, 529]);
                format!("[[fail {status} no-retry]]")
            }
        };
        let refused: &[u16] = &[400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504];
        self.ask(&directive, Meant::to("a failure", Expected::Refused(refused))).await;
    }

    async fn function(&mut self) {
        let before = self.messages.len();
        if self.call_and_answer().await.is_none() {
            self.messages.truncate(before);
        }
    }

    async fn call_and_answer(&mut self) -> Option<Said> {
        let token = self.token.clone();
        let call = format!(r#"[[tool look {{"q":"{token}"}}]]"#);
        let said = self.ask(&call, Meant::to("a call", Expected::Call(token.clone()))).await?;
        let (id, _) = said.calls.first()?;
        let pause = self.draw.pause(100);
        tokio::time::sleep(pause).await;
        let found = format!("found by {token}");
        let result = json!({"role": "tool", "tool_call_id": id, "content": found});
        let right = || Expected::Holds(vec!["result: ".to_owned(), found.clone()]);
        match self.draw.below(8) {
            // It never comes.
            0 => None,
            1 => {
                self.messages.push(result);
                let (first, second) = (self.request(&self.key.clone()), self.request(&self.key.clone()));
                let server = self.server;
                let (first, second) =
                    tokio::join!(send(server, &first, Manner::Well), send(server, &second, Manner::Well));
                let reply = self.judged(first, Meant::to("a result, twice at once", right()));
                let other = self.judged(second, Meant::to("a result, twice at once", right()));
                self.reply(reply.or(other))
            }
            2 => {
                self.messages.push(result);
                let request = self.request(&Some("sk-other".to_owned()));
                let came = send(self.server, &request, Manner::Well).await;
                self.judged(came, Meant::to("a result by another key", right()).fresh());
                self.post(Meant::to("a result", right())).await
            }
            3 => {
                self.messages.push(json!({"role": "tool", "tool_call_id": "call_nobodys", "content": found}));
                self.post(Meant::to("a result of no call", Expected::Refused(&[400]))).await
            }
            4 => {
                self.messages.push(result);
                let pause = self.draw.pause(20);
                self.post(Meant::to("a result, gone", right()).manner(Manner::LeavesAfter(pause))).await;
                self.post(Meant::to("a result, again", right())).await
            }
            _ => {
                self.messages.push(result);
                self.post(Meant::to("a result", right())).await
            }
        }
    }

    /// All that the process was told: nobody else's words, and all of this conversation's.
    async fn history(&mut self) {
        let mine = self.messages.iter().filter(|message| message["role"] == "user");
        let mine = mine.filter_map(|message| message["content"].as_str()).filter(|text| !text.contains(['"', '[']));
        let mine: Vec<String> = mine.filter(|text| text.len() < 1000).map(str::to_owned).collect();
        self.ask("[[history]]", Meant::to("the history", Expected::Holds(mine))).await;
    }

    async fn hang_up(&mut self) {
        let manner = match self.draw.below(6) {
            0 => Manner::SendsPart(self.draw.below(100) as usize),
            1 => Manner::LeavesAt(1 + self.draw.below(3000) as usize),
            2 => Manner::SendsMore(self.draw.one_of(&["\r\n", "x", "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"])),
            _ => Manner::LeavesAfter(self.draw.pause(80)),
        };
        if matches!(manner, Manner::SendsMore(_)) {
            return self.echo(manner).await;
        }
        let directive = match self.draw.below(4) {
            0 => format!("[[silence {}]]", self.token),
            1 => format!(r#"[[tool look {{"q":"{}"}}]]"#, self.token),
            2 => "[[slow 2 count 2000]]".to_owned(),
            _ => self.say(),
        };
        self.ask(&directive, Meant::to("a hang-up", Expected::Whatever).manner(manner)).await;
    }

    async fn bad_reader(&mut self) {
        if self.draw.percent(25) {
            let text = "[[count 3000000]]";
            self.ask(text, Meant::to("a stalled reader", Expected::Whatever).manner(Manner::Stalls(STALL))).await;
        } else {
            let words: String = (0..300).map(|number| format!("w{number} ")).collect();
            let expected = Expected::Text(words);
            self.ask("[[count 300]]", Meant::to("a slow reader", expected).manner(Manner::Slowly)).await;
        }
    }

    async fn bad_request(&mut self) {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        let with = |more: &str, body: &[u8]| {
            let head = format!("{head}content-type: application/json\r\n{more}content-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        let (request, statuses): (Vec<u8>, &'static [u16]) = match self.draw.below(9) {
            0 => (with("", br#"{"model": "#), &[400]),
            1 => (with("", br#"{"model": "sonnet", "messages": "hello"}"#), &[400]),
            2 => (with("", br#"{"model": "sonnet", "messages": []}"#), &[400]),
            3 => (with("", "[".repeat(100_000).as_bytes()), &[400]),
            4 => (with("", b"\xff\xfe{}"), &[400]),
            5 => (with("content-encoding: gzip\r\n", b"\x1f\x8b\x08\x00\x00"), &[400, 415]),
            6 => (format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n").into_bytes(), &[400, 415]),
            7 => (b"GET /v1/nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec(), &[404]),
            _ => (b"what is this\r\n\r\n".to_vec(), &[400]),
        };
        let came = send(self.server, &request, Manner::Well).await;
        let meant = Meant::to("a bad request", Expected::Refused(statuses));
        self.judged(came, Meant { dialect: Some(Dialect::Chat), ..meant });
    }

    async fn large_request(&mut self) {
        if self.draw.percent(50) {
            let text = "y".repeat(3 * 1024 * 1024);
            self.ask(&text, Meant::to("too large a request", Expected::Refused(&[413]))).await;
        } else {
            // The conversation may not outgrow the limit.
            if json!(self.messages).to_string().len() > 200_000 {
                self.messages.clear();
            }
            let text = format!("{} {}", self.token, "z".repeat(700_000));
            let expected = Expected::Text(format!("echo: {text}"));
            self.ask(&text, Meant::to("a large request", expected)).await;
            self.messages.clear();
        }
    }

    /// The same conversation with other words in its past.
    async fn edited(&mut self) {
        let length = self.messages.len();
        let Some(first) = self.messages.iter_mut().find(|message| message["role"] == "user") else { return };
        // Other words each time: the same ones again would be no edit.
        first["content"] = json!(format!("{} edited before message {}", self.token, length));
        let text = self.say();
        let expected = Expected::Text(format!("echo: {text}"));
        self.ask(&text, Meant::to("an edited conversation", expected).fresh()).await;
    }

    /// The same conversation by somebody else.
    async fn of_another_caller(&mut self) {
        let text = self.say();
        self.messages.push(json!({"role": "user", "content": text}));
        let request = self.request(&Some(format!("sk-not-{}", self.token)));
        self.messages.pop();
        let came = send(self.server, &request, Manner::Well).await;
        let expected = Expected::Text(format!("echo: {text}"));
        self.judged(came, Meant::to("another caller", expected).fresh());
    }

    /// Says something, and keeps what is answered in the conversation. What failed is forgotten.
    async fn ask(&mut self, text: &str, meant: Meant) -> Option<Said> {
        self.messages.push(json!({"role": "user", "content": text}));
        self.post(meant).await
    }

    async fn post(&mut self, meant: Meant) -> Option<Said> {
        let request = self.request(&self.key.clone());
        let came = send(self.server, &request, meant.manner).await;
        let said = self.judged(came, meant);
        self.reply(said)
    }

    fn reply(&mut self, said: Option<Said>) -> Option<Said> {
        let Some(said) = said else {
            // A client would ask something else, without what went wrong.
            while self.messages.last().is_some_and(|last| last["role"] == "user") {
                self.messages.pop();
            }
            return None;
        };
        let mut message = json!({"role": "assistant", "content": said.text});
        if !said.calls.is_empty() {
            let calls = said.calls.iter().map(|(id, arguments)| {
                json!({"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}})
            });
            message["tool_calls"] = calls.collect();
        }
        self.messages.push(message);
        Some(said)
    }

    fn request(&mut self, key: &Option<String>) -> Vec<u8> {
        let streamed = self.draw.percent(60);
        let body = self.dialect.request(self.model, &self.messages, streamed).to_string();
        let mut head = format!("POST {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", self.dialect.path());
        for (name, value) in [("authorization: Bearer", key), ("x-session-affinity:", &self.session)] {
            if let Some(value) = value {
                head += &format!("{name} {value}\r\n");
            }
        }
        format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Counts a request. What was said, if it was right.
    fn judged(&mut self, (came, took): (Came, Duration), meant: Meant) -> Option<Said> {
        let mut process = None;
        let (verdict, said) = match came {
            Came::Left => (Verdict::Left, None),
            Came::Nothing(why) => (Verdict::Wrong(why), None),
            Came::Answer(got) => {
                process = got.header("x-claude-process").map(str::to_owned);
                let (verdict, said) = judge(&got, meant.dialect.unwrap_or(self.dialect), &meant.expected, &self.token);
                match verdict {
                    Verdict::Right if meant.fresh && process.as_deref() == Some("live") => {
                        (Verdict::Wrong("a process that held another conversation".to_owned()), None)
                    }
                    Verdict::Right if got.status == 200 => (Verdict::Right, Some(said)),
                    verdict => (verdict, None),
                }
            }
        };
        (self.count)(
            &format!("{:?} {}, turn {}, {}", self.dialect, self.token, self.turns, meant.what),
            Judged { verdict, took, process },
        );
        said
    }
}
