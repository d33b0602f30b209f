//! The pool: warm processes, the queue, who gives way, and who is never waited for.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tower_claude::cli::{ClaudeCli, NotReady};
use tower_claude::{ChatResponse, ErrorKind};

use crate::support::chat::{
    Chat, ask_once, call, claude, health, hear, hear_until, in_time, messages, next, request, try_ask, until, user,
};
use crate::support::process::{kill, runs};

fn processes(claude: &ClaudeCli, which: &str) -> u64 {
    health(claude)["processes"][which].as_u64().unwrap()
}

/// A process that is busy for as long as its answer is held.
async fn busy(claude: &ClaudeCli) -> ChatResponse {
    let mut response = call(claude, request(messages([user("[[slow 20 count 100000]]")]))).await.unwrap();
    hear_until(&mut response.events, "w0 ").await;
    response
}

#[tokio::test]
async fn a_warm_process_takes_the_first_request_and_is_replaced_while_it_answers() {
    let claude = claude().warm_processes(1).build();
    assert_eq!(claude.ready(), Ok(()), "the first request would start it");
    claude.warm_up();
    assert_eq!(claude.ready(), Err(NotReady::Starting));
    until("a warm process", || processes(&claude, "warm") == 1).await;
    assert_eq!(claude.ready(), Ok(()));
    let response = busy(&claude).await;
    assert_eq!(response.headers["x-claude-process"], "warm");
    until("another warm process", || processes(&claude, "warm") == 1).await;
    assert_eq!((processes(&claude, "busy"), processes(&claude, "total")), (1, 2));
}

#[tokio::test]
async fn the_memory_of_all_processes_is_in_health() {
    const MB: u64 = 1_000_000;
    let claude = claude().build();
    let held = || claude.health().memory.held.expect("Linux says it") / MB;
    assert_eq!(held(), 0);
    Chat::new(&claude).say("[[hold 150]]").await;
    let one = held();
    assert!((150..200).contains(&one), "{one} MB");
    Chat::new(&claude).say("[[hold 100]]").await;
    let both = held();
    assert!((one + 100..one + 120).contains(&both), "{one}, then {both} MB: the program's own text counts once");
}

#[tokio::test]
async fn a_single_question_makes_room_for_a_warm_process_at_once_and_conversations_that_go_on_stay() {
    let claude = claude().warm_processes(1).max_processes(3).build();
    let (mut first, mut second) = (Chat::new(&claude), Chat::new(&claude));
    for (chat, text) in [(&mut first, "this"), (&mut second, "that")] {
        chat.say(text).await;
        chat.say("go on").await;
    }
    until("a warm process", || processes(&claude, "warm") == 1).await;
    assert_eq!(ask_once(&claude, "a single question").await.process, "warm");
    until("another warm process", || processes(&claude, "warm") == 1).await;
    assert_eq!(processes(&claude, "live"), 2);
    for chat in [&mut first, &mut second] {
        assert_eq!(chat.say("and on").await.process, "live");
    }
}

#[tokio::test]
async fn it_is_replaced_a_moment_after_the_first_token_and_not_after_the_longest_pause() {
    let claude = claude().warm_processes(1).build();
    claude.warm_up();
    until("a warm process", || processes(&claude, "warm") == 1).await;
    let _response = busy(&claude).await;
    // From here on the clock goes on only where nothing else is left to do.
    tokio::time::pause();
    let first_token = tokio::time::Instant::now();
    until("another process", || processes(&claude, "total") == 2).await;
    assert!(first_token.elapsed() < Duration::from_secs(1), "{:?}", first_token.elapsed());
}

#[tokio::test]
async fn a_warm_process_is_replaced_also_where_its_turn_says_nothing() {
    let claude = claude().warm_processes(1).build();
    claude.warm_up();
    until("a warm process", || processes(&claude, "warm") == 1).await;
    let caller = claude.clone();
    let silent = tokio::spawn(async move { call(&caller, request(messages([user("[[silence]]")]))).await });
    until("a busy process", || processes(&claude, "busy") == 1).await;
    until("another warm process", || processes(&claude, "warm") == 1 && processes(&claude, "total") == 2).await;
    silent.abort();
}

#[tokio::test]
async fn health_counts_processes_requests_and_the_queue() {
    let claude = claude().warm_processes(1).max_processes(4).queue_limit(7).build();
    claude.warm_up();
    until("a warm process", || processes(&claude, "warm") == 1).await;
    let mut chat = Chat::new(&claude);
    chat.say("one").await;
    chat.say("two").await;
    let held = busy(&claude).await;
    until("a warm process", || processes(&claude, "warm") == 1).await;
    let health = health(&claude);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["claude_code_version"], "2.1.332");
    assert_eq!(health["processes"], json!({"busy": 1, "live": 1, "parked": 0, "warm": 1, "total": 3, "max": 4}));
    assert_eq!(health["queue"], json!({"length": 0, "max": 7}));
    let requests = &health["requests"];
    assert_eq!(requests["live"], 1);
    assert_eq!(requests["warm"].as_u64().unwrap() + requests["cold"].as_u64().unwrap(), 2);
    drop(held);
    assert_eq!(processes(&claude, "busy"), 0);
}

#[tokio::test]
async fn a_full_queue_is_429_and_so_is_a_wait_that_is_too_long() {
    let claude = claude().max_processes(1).queue_limit(1).queue_timeout(Duration::from_millis(200)).build();
    let held = busy(&claude).await;
    let mut waiting = std::pin::pin!(try_ask(&claude, messages([user("hi")])));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(claude.health().queue.length, 1);
    assert_eq!(claude.ready(), Err(NotReady::Full));

    let refused = try_ask(&claude, messages([user("hi")])).await.unwrap_err();
    assert_eq!((refused.kind(), refused.status().as_u16()), (ErrorKind::QueueFull, 429));
    assert_eq!(refused.body()["error"]["code"], "queue_full");
    assert!(refused.retry_after().is_some());

    let late = in_time("the refusal", waiting).await.unwrap_err();
    assert_eq!((late.status().as_u16(), late.retry_after().is_some()), (429, true));
    assert!(late.to_string().contains("200ms"), "{late}");
    assert_eq!(claude.health().queue.length, 0);
    assert_eq!(claude.ready(), Ok(()), "there is room in the queue");
    drop(held);
}

#[tokio::test]
async fn a_request_that_stops_waiting_leaves_the_queue() {
    let claude = claude().max_processes(1).queue_limit(1).build();
    let held = busy(&claude).await;
    {
        let mut waiting = std::pin::pin!(try_ask(&claude, messages([user("hi")])));
        assert!((&mut waiting).now_or_never().is_none());
    }
    assert_eq!(claude.health().queue.length, 0);
    drop(held);
    assert_eq!(ask_once(&claude, "hi").await.text, "echo: hi");
}

#[tokio::test]
async fn the_queue_is_first_come_first_served() {
    let claude = claude().max_processes(1).build();
    let held = busy(&claude).await;
    let waiting = futures_util::stream::FuturesUnordered::new();
    for number in 0..6 {
        let request = request(messages([user(&number.to_string())]));
        waiting.push(async { hear(call(&claude, request).await?).await });
    }
    let mut waiting = std::pin::pin!(waiting);
    assert!(waiting.next().now_or_never().is_none());
    assert_eq!(claude.health().queue.length, 6);
    drop(held);
    let mut order = Vec::new();
    while let Some(answer) = in_time("an answer", waiting.next()).await {
        order.push(answer.unwrap().text);
    }
    assert_eq!(order, (0..6).map(|number| format!("echo: {number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_unused_conversation_gives_way_to_a_new_one() {
    let claude = claude().max_processes(3).build();
    let mut chats: Vec<Chat> = (0..3).map(|_| Chat::new(&claude)).collect();
    let mut pids = Vec::new();
    for (number, chat) in chats.iter_mut().enumerate() {
        pids.push(chat.say(&format!("[[pid]] {number}")).await.pid());
    }
    // The second is now the one that was used longest ago.
    assert_eq!(chats[0].pid().await, pids[0]);
    assert_ne!(ask_once(&claude, "new").await.process, "live");
    until("the second to end", || !runs(pids[1])).await;
    assert!(runs(pids[0]) && runs(pids[2]));
    assert_eq!(processes(&claude, "total"), 3);
    assert_eq!(chats[0].pid().await, pids[0]);
    let replayed = chats[1].say("[[pid]]").await;
    assert_ne!((replayed.process.as_str(), replayed.pid()), ("live", pids[1]));
}

#[tokio::test]
async fn a_conversation_that_nobody_goes_on_with_ends_after_the_idle_timeout() {
    let claude = claude().idle_timeout(Duration::from_millis(300)).build();
    let mut chat = Chat::new(&claude);
    let pid = chat.pid().await;
    assert_eq!(chat.pid().await, pid);
    until("the process to end", || !runs(pid)).await;
    until("its place to be free", || processes(&claude, "total") == 0).await;
    assert_eq!(chat.say("hello").await.process, "cold");
}

#[tokio::test]
async fn a_parked_process_waits_as_long_as_the_tool_timeout_whatever_the_idle_timeout() {
    let claude = claude().idle_timeout(Duration::from_millis(1)).tool_timeout(Duration::from_millis(1500)).build();
    let mut chat = Chat::new(&claude);
    chat.request["tools"] = json!([crate::support::chat::function("look")]);
    chat.say("[[tool look {}]]").await;
    let other = ask_once(&claude, "[[pid]]").await.pid();
    until("the idle one to end", || !runs(other)).await;
    assert_eq!(processes(&claude, "parked"), 1);
    until("the parked one to end", || processes(&claude, "total") == 0).await;
}

/// The pids of all that were started: each writes what it is told to a file of its own.
fn started(directory: &std::path::Path) -> Vec<u32> {
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_killed_live_process_is_not_missed() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    for _ in 0..3 {
        kill(chat.pid().await);
        let answer = chat.say("[[history]]").await;
        assert_eq!(answer.process, "cold");
        assert_eq!(answer.json()["messages"].as_array().unwrap().len(), chat.messages().len() - 1);
    }
}

#[tokio::test]
async fn killed_live_and_warm_processes_are_not_missed() {
    let directory = tempfile::tempdir().unwrap();
    let claude = claude().warm_processes(2).env("STAND_IN_LOG", directory.path().join("{pid}")).build();
    let mut chat = Chat::new(&claude);
    chat.say("one").await;
    until("three processes", || started(directory.path()).len() == 3).await;
    started(directory.path()).into_iter().for_each(kill);
    let answer = chat.say("[[history]]").await;
    assert_eq!(answer.json()["messages"].as_array().unwrap().len(), 3);
    assert_ne!(answer.process, "live");
    until("warm ones again", || processes(&claude, "warm") == 2).await;
}

#[tokio::test]
async fn a_killed_parked_process_is_not_missed() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.request["tools"] = json!([crate::support::chat::function("look")]);
    let pid = chat.pid().await;
    chat.say("[[tool look {\"at\":1}]]").await;
    assert_eq!(processes(&claude, "parked"), 1);
    kill(pid);
    let answer = chat.give(["seen"]).await;
    assert_eq!(answer.process, "cold");
    assert_eq!(answer.text, r#"result: [[{"type":"text","text":"seen"}]]"#);
    let told = chat.say("[[history]]").await.json();
    let kinds: Vec<Value> = told["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["content"].as_array().unwrap().last().unwrap()["type"].clone())
        .collect();
    assert_eq!(kinds[3..5], ["tool_use", "tool_result"]);
}

#[tokio::test]
async fn dropping_an_answer_ends_the_process_and_its_children_and_frees_its_place() {
    // A shell that starts a child, then becomes the stand-in.
    let stand_in = crate::support::claude_bin::stand_in();
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let script = format!(
        "if [ \"$1\" != --version ]; then sleep 1000 & echo $! > '{}'; fi; exec '{}' \"$@\"",
        pid_file.display(),
        stand_in.display()
    );
    let claude =
        ClaudeCli::builder().warm_processes(0).program("sh").args(["-c", &script, "sh"]).max_processes(1).build();
    let response = busy(&claude).await;
    let child: u32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert!(runs(child));
    drop(response);
    until("the child to end", || !runs(child)).await;
    assert_eq!(processes(&claude, "busy"), 0);
    until("its place to be free", || processes(&claude, "total") == 0).await;
    assert_eq!(ask_once(&claude, "hi").await.text, "echo: hi");
}

#[tokio::test]
async fn dropping_a_call_before_its_first_token_ends_the_process_and_frees_its_place() {
    let claude = claude().max_processes(1).build();
    {
        let mut waiting = std::pin::pin!(try_ask(&claude, messages([user("[[silence]]")])));
        // It has no head to wait for: it is dropped when its process is busy.
        until("the process to be busy", || {
            assert!((&mut waiting).now_or_never().is_none());
            processes(&claude, "total") == 1
        })
        .await;
    }
    assert_eq!(processes(&claude, "busy"), 0);
    until("its place to be free", || processes(&claude, "total") == 0).await;
    assert_eq!(ask_once(&claude, "hi").await.text, "echo: hi");
}

#[tokio::test]
async fn a_slow_reader_does_not_keep_others_waiting() {
    let claude = claude().max_processes(2).build();
    let mut slow = call(&claude, request(messages([user("[[count 20000]]")]))).await.unwrap();
    next(&mut slow.events).await;
    assert_eq!(ask_once(&claude, "hi").await.text, "echo: hi");
    assert!(hear(slow).await.unwrap().text.ends_with("w19999 "));
}
