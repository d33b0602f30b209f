//! What a request leaves in the log, and what it does not.
//!
//! A program of its own with one subscriber for all of it: tracing remembers of each place in the code whether anyone
//! listens, and a thread that has no subscriber would answer for the others.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::{ChatEvent, Error, ErrorKind};

use crate::support::answer::{body, post};
use crate::support::turns::{says_or_fails, text};
use support::chat::{Chat, call, claude, messages, next, request, user};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The log of this whole program.
    fn get() -> &'static Log {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
            subscriber.with_writer(move || writer.clone()).init();
            log
        })
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn a_request_is_logged_by_method_path_and_id_and_never_by_its_key_or_words() {
    let log = Log::get();
    let inner = says_or_fails([Ok(text("secret answer")), Err(Error::new(ErrorKind::Upstream, "It broke."))]);
    let service = HttpStack::new(ApiService::new(inner).api_keys([("ada", "sk-secret")]), GuardLayer::new());
    let mut request = post(&body(json!({"stream": true, "user": "secret user"})));
    *request.uri_mut() = "/v1/chat/completions?key=secret-query".parse().unwrap();
    request.headers_mut().insert("authorization", "Bearer sk-secret".parse().unwrap());
    request.headers_mut().insert("x-request-id", "id-1".parse().unwrap());
    let answer = service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert!(answer.to_bytes().starts_with(b"data: "));

    let log = log.text();
    let span = r#"request{method=POST path="/v1/chat/completions" request_id="id-1" key="ada"}"#;
    assert!(log.lines().any(|line| line.contains(span)), "{log}");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("It broke.")), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_turn_says_how_long_it_waited_to_its_first_token_and_in_all() {
    let log = Log::get();
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.say("a secret").await;
    chat.say("another secret").await;
    // Its message begins, and no token comes.
    let mut events = call(&claude, request(messages([user("[[hang-at 4 secret]]")]))).await.unwrap().events;
    assert!(matches!(next(&mut events).await, Some(Ok(ChatEvent::Started))));
    drop(events);

    let log = log.text();
    let turns: Vec<&str> = log.lines().filter(|line| line.contains("the turn is over")).collect();
    assert_eq!(turns.len(), 3, "{log}");
    assert!(!turns[2].contains("first_token_ms="), "{}", turns[2]);
    for (turn, process) in turns.iter().zip(["cold", "live"]) {
        assert!(turn.contains(&format!("process=\"{process}\"")), "{turn}");
        for field in ["pid=", "queue_ms=", "first_token_ms=", "total_ms="] {
            assert!(turn.contains(field), "no {field} in {turn}");
        }
    }
    assert!(!log.contains("secret"), "{log}");
}
