//! What a request leaves in the log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;
use tower_claude::openai::{GuardLayer, OpenAiService};
use tower_claude::{Error, ErrorKind, proxy};
use tracing_subscriber::fmt::MakeWriter;

use crate::script::{body, post, says_or_fails, text};

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

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn a_request_is_logged_by_method_path_and_id_and_never_by_its_key_or_words() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());

    let inner = says_or_fails([Ok(text("secret answer")), Err(Error::new(ErrorKind::Upstream, "It broke."))]);
    let service = proxy(OpenAiService::new(inner).api_key("sk-secret"), GuardLayer::new());
    let mut request = post(&body(json!({"stream": true, "user": "secret user"})));
    *request.uri_mut() = "/v1/chat/completions?key=secret-query".parse().unwrap();
    request.headers_mut().insert("authorization", "Bearer sk-secret".parse().unwrap());
    request.headers_mut().insert("x-request-id", "id-1".parse().unwrap());
    let answer = service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert!(answer.to_bytes().starts_with(b"data: "));
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let span = r#"request{method=POST path="/v1/chat/completions" request_id="id-1"}"#;
    assert!(log.lines().any(|line| line.contains(span)), "{log}");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("It broke.")), "{log}");
    assert!(!log.contains("secret"), "{log}");
}
