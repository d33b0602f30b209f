//! What an operator sees: the status report, live and at once, the metrics, and the page.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::answer::Answer;
use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example};

async fn started(args: &[&str]) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0"]).args(args).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}

fn with(headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn the_report_tells_of_conversations_and_traffic_and_nothing_that_was_said() {
    let server = started(&[]).await;
    server.say("a secret").await;
    server.say("[[fail 529]]").await;
    let report = server.get("/status").await;
    assert_eq!(report.headers["content-type"], "application/json");
    assert_eq!(report.headers["cache-control"], "no-store");
    assert!(!report.text().contains("secret"), "{}", report.text());

    let report = report.json();
    let conversation = &report["claude"]["conversations"][0];
    assert_eq!(conversation["state"], "live");
    assert_eq!(conversation["door"], "chat_completions");
    assert_eq!((&conversation["turns"], conversation["tokens"].as_u64() > Some(0)), (&json!(1), true));
    assert!(conversation["model"].as_str().unwrap().starts_with("claude-sonnet"), "{conversation}");
    assert_eq!(report["claude"]["events"]["starts"], 2);
    assert_eq!(report["claude"]["status"], "ok");
    assert_eq!(report["server"]["mode"], "client");

    let hour = &report["last_hour"];
    assert_eq!((&hour["requests"], &hour["failed"], &hour["cancelled"]), (&json!(2), &json!(1), &json!(0)));
    let minutes = hour["minutes"].as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    assert_eq!(minutes.iter().map(|minute| minute["requests"].as_u64().unwrap()).sum::<u64>(), 2);
    assert_eq!((&hour["errors"][0]["code"], &hour["errors"][0]["count"]), (&json!("overloaded"), &json!(1)));
    assert!(hour["errors"][0]["advice"].as_str().unwrap().contains("passes"));
    assert!(hour["first_token_ms"]["p50"].as_u64() <= hour["first_token_ms"]["p95"].as_u64());
}

#[tokio::test]
async fn processes_that_end_and_conversations_that_are_replayed_are_counted_by_reason() {
    let server = started(&[]).await;
    server.say("[[crash]]").await;
    server.say("hello").await;
    let edited = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "not what it said"},
        {"role": "user", "content": "go on"},
    ]);
    server.chat(&json!({"model": "sonnet", "messages": edited})).await;
    let events = server.get("/status").await.json()["claude"]["events"].clone();
    assert_eq!(events["ends"], json!({"crashed": 1}));
    assert_eq!(events["replays"], json!({"reply": 1}));
    assert_eq!(events["starts"], 3);
}

#[tokio::test]
async fn a_process_whose_turn_ended_it_is_counted_by_what_the_turn_came_to() {
    let server = started(&["--request-timeout", "1s"]).await;
    server.say("[[long story]]").await;
    server.say("[[fail 529]]").await;
    server.say("[[silence]]").await;
    let stop =
        json!({"model": "sonnet", "stop": "b", "messages": [{"role": "user", "content": "[[slow 200 a b c d e f]]"}]});
    assert_eq!(server.chat(&stop).await.json()["choices"][0]["finish_reason"], "stop");
    let ends = server.get("/status").await.json()["claude"]["events"]["ends"].clone();
    assert_eq!(ends, json!({"abandoned": 1, "failed": 1, "timeout": 1, "unusable": 1}));
}

#[tokio::test]
async fn the_live_report_comes_at_once_and_does_not_keep_the_server_from_ending() {
    let server = started(&[]).await;
    let mut events = server.send("/status/events", with(&[])).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let first = tokio::time::timeout(PATIENCE, events.body_mut().frame()).await.unwrap().unwrap().unwrap();
    let first = String::from_utf8(first.into_data().unwrap().to_vec()).unwrap();
    let report: Value = serde_json::from_str(first.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(report["claude"]["processes"]["max"], 8);
    server.signal(Signal::TERM);
    let rest = in_time("the stream ends", events.into_body().collect()).await;
    drop(rest);
    assert!(server.ended().await.0.success());
}

#[tokio::test]
async fn the_key_is_asked_for_and_web_pages_are_kept_out() {
    let server = started(&["--api-key", "sk-test"]).await;
    for path in ["/status", "/status/events", "/metrics"] {
        assert_eq!(server.get(path).await.status, 401, "{path}");
        let answer = server.send(path, with(&[("authorization", "Bearer sk-test")])).await;
        assert_eq!(answer.status(), 200, "{path}");
        let foreign = [("authorization", "Bearer sk-test"), ("origin", "https://evil.example")];
        assert_eq!(server.send(path, with(&foreign)).await.status(), 403, "{path}");
        assert_eq!(server.send(path, with(&[("host", "evil.example")])).await.status(), 403, "{path}");
    }
    assert_eq!(server.get("/").await.status, 200);
    assert_eq!(server.send("/", with(&[("host", "evil.example")])).await.status(), 403);
}

#[tokio::test]
async fn the_page_is_one_small_file_that_may_load_nothing_else() {
    let server = started(&[]).await;
    let page = server.get("/").await;
    assert_eq!(
        (page.status.as_u16(), page.headers["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.text().len() <= 100_000);
    for reference in ["src=", "@import", "url(", "//cdn", "https://"] {
        assert!(!page.text().contains(reference), "the page has {reference}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.text().matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    let again = server.get("/").await;
    assert!(!again.text().contains(&nonce), "each answer has a nonce of its own");

    // Claude Code asks this way whether a server is there.
    let mut head = with(&[]);
    *head.method_mut() = Method::HEAD;
    let head = Answer::of(server.send("/", head).await).await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    let mut post = with(&[]);
    *post.method_mut() = Method::POST;
    let refused = server.send("/", post).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
}

#[tokio::test]
async fn metrics_are_of_requests_and_processes() {
    let server = started(&[]).await;
    server.say("[[limits]]").await;
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "tower_claude_up 1",
        "tower_claude_processes{state=\"live\"} 1",
        "tower_claude_process_starts_total 1",
        "tower_claude_turns_total{process=\"cold\"} 1",
        "tower_claude_plan_utilization_ratio{window=\"five_hour\"}",
        "gen_ai_server_request_duration_seconds_bucket{",
        "gen_ai_server_time_to_first_token_seconds_count{",
    ] {
        assert!(metrics.text().contains(line), "no {line} in\n{}", metrics.text());
    }
}

/// What `claude-max-api status` says and whether it succeeds.
async fn status(args: &[&str]) -> (bool, String, String) {
    let output = example("claude-max-api").arg("status").args(args).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("an end in time").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_command_says_the_same_in_a_terminal() {
    let server = started(&[]).await;
    server.say("[[limits]] a secret").await;
    server.say("[[fail 529]]").await;
    let (well, said, _) = status(&["--url", &server.url]).await;
    assert!(well, "{said}");
    for words in [
        "2 in the last hour; 1 failed, 0 cancelled",
        "1 live",
        "5 hours",
        "93%",
        "1 answers",
        "1× 503 overloaded",
        "2 started so far",
    ] {
        assert!(said.contains(words), "no {words:?} in\n{said}");
    }
    let (well, json, _) = status(&["--json", "--url", &server.url]).await;
    assert!(well);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["last_hour"]["requests"], 2);
    assert!(!said.contains("secret") && !json.to_string().contains("secret"), "{said}");
}

#[tokio::test]
async fn a_plan_that_is_used_up_is_told_in_the_same_words_everywhere() {
    for (overage, state, consequence, extra) in [
        ("allow", "ready", "requests draw on extra usage, which may be charged for.", "Extra usage is drawn on"),
        ("refuse", "limited", "requests are refused, since --overage refuse keeps them from", "Extra usage is refused"),
    ] {
        let server = started(&["--overage", overage]).await;
        server.say("[[overage]]").await;
        let report = server.get("/status").await.json();
        assert_eq!((report["state"].as_str(), &report["notices"][0]["bad"]), (Some(state), &json!(state == "limited")));
        let notice = report["notices"][0]["text"].as_str().unwrap();
        assert!(notice.starts_with("The plan's window of 5 hours is used up and begins anew in "), "{notice}");
        assert!(notice.contains(consequence), "{notice}");
        assert!(report["plan"]["overage"].as_str().unwrap().contains(extra), "{report}");
        let (well, said, _) = status(&["--url", &server.url]).await;
        assert!(well && said.contains(consequence) && said.contains(extra) && said.contains(state), "{said}");
    }
}

#[tokio::test]
async fn the_command_says_what_to_do_where_it_learns_nothing() {
    let server = started(&["--api-key", "sk-test"]).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    for (args, advice) in [
        (vec!["--url", &server.url], "set TOWER_CLAUDE_API_KEY, or give it by --api-key"),
        (vec!["--url", &server.url, "--api-key", "sk-wrong"], "wants its API key"),
        (vec!["--url", "http://127.0.0.1:1"], "Start one with `claude-max-api`, or say where it is with --url"),
        (vec!["--url", "https://127.0.0.1:1"], "write it as http://HOST:PORT"),
        (vec!["--url", &address], "write it as http://HOST:PORT"),
    ] {
        let (well, said, error) = status(&args).await;
        assert!(!well && said.is_empty() && error.contains(advice), "{args:?}: {said}{error}");
    }
    assert!(status(&["--url", &server.url, "--api-key", "sk-test"]).await.0);
}
