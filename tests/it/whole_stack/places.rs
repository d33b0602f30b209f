//! What a request over HTTP holds of the pool, and when it gives it back.

use std::fmt::Write;

use serde_json::json;
use tower_claude::cli::ClaudeCli;

use super::{post, shown, stack};
use crate::support::answer::ask;
use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::snapshot::assert_snapshot;

fn claude(most: usize) -> ClaudeCli {
    ClaudeCli::builder().program(stand_in()).warm_processes(0).max_processes(most).build()
}

#[tokio::test]
async fn more_choices_than_processes_come_one_after_the_other() {
    for stream in [false, true] {
        let body = json!({"model": "opus", "messages": [{"role": "user", "content": "hi"}], "n": 3, "stream": stream});
        let asked = ask(stack(&claude(1)), post(&body));
        let answer = asked.await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.text().matches("\"finish_reason\":\"stop\"").count(), 3, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_stop_text_ends_the_process_with_the_answer() {
    let claude = claude(1);
    let body = json!({
        "model": "opus", "messages": [{"role": "user", "content": "[[slow 2 count 100000]]"}], "stop": "w3"
    });
    let answer = ask(stack(&claude), post(&body)).await.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "w0 w1 w2 ");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let gone = async {
        while claude.health().processes.total > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    in_time("the end of the process", gone).await;
}

#[tokio::test]
async fn a_crash_in_the_middle() {
    let mut text = String::new();
    for stream in [false, true] {
        let body =
            json!({"model": "opus", "messages": [{"role": "user", "content": "[[crash-mid]]"}], "stream": stream});
        writeln!(text, "{}", shown(&ask(stack(&claude(1)), post(&body)).await, "")).unwrap();
    }
    let sentence = "The CLI crashes in the middle: 502 where nothing was sent yet, else an error event.";
    assert_snapshot!("recorded/crash_in_the_middle", sentence, text);
}
