//! `max_memory`: who gives way where processes hold too much, and who waits. Stand-ins hold what they are told to.

use std::time::Duration;

use tower_claude::cli::ClaudeCli;
use tower_claude::{ChatResponse, ErrorKind};

use crate::support::chat::{
    Chat, ask_once, call, claude, hear_until, in_time, messages, request, try_ask, until, user,
};

const MB: u64 = 1_000_000;

/// A new process counts 110 MB, and the program's text 82.
fn limited_to(megabytes: u64) -> ClaudeCli {
    claude().max_memory(megabytes * MB).build()
}

async fn busy(claude: &ClaudeCli) -> ChatResponse {
    let mut busy = call(claude, request(messages([user("[[slow 20 count 100000]]")]))).await.unwrap();
    hear_until(&mut busy.events, "w0 ").await;
    busy
}

fn held(claude: &ClaudeCli) -> u64 {
    claude.health().memory.held.expect("Linux says it") / MB
}

fn evicted(claude: &ClaudeCli) -> u64 {
    claude.status().events.ends.get("evicted").copied().unwrap_or(0)
}

#[tokio::test]
async fn the_memory_of_all_processes_is_in_health() {
    let claude = claude().build();
    assert_eq!((held(&claude), claude.health().memory.max), (0, None));
    Chat::new(&claude).say("[[hold 150]]").await;
    let one = held(&claude);
    assert!((150..200).contains(&one), "{one} MB");
    Chat::new(&claude).say("[[hold 100]]").await;
    let both = held(&claude);
    assert!((one + 100..one + 120).contains(&both), "{one}, then {both} MB: the program's own text counts once");
}

#[tokio::test]
async fn a_conversation_that_grows_has_the_one_that_is_silent_for_longest_give_way() {
    let claude = limited_to(330);
    let (mut oldest, mut second) = (Chat::new(&claude), Chat::new(&claude));
    oldest.say("[[hold 100]]").await;
    second.say("[[hold 100]]").await;
    assert_eq!((evicted(&claude), claude.health().processes.live), (0, 2));
    assert_eq!(second.say("[[hold 160]]").await.process, "live");
    // Its growth counts once it has been measured twice.
    until("the oldest to give way", || evicted(&claude) == 1 && claude.health().processes.total == 1).await;
    assert_eq!(second.say("on").await.process, "live");
    assert_eq!(oldest.say("on").await.process, "cold", "it is replayed");
}

#[tokio::test]
async fn a_process_that_there_is_no_room_for_waits_until_another_has_ended() {
    let claude = limited_to(82 + 110 + 109);
    Chat::new(&claude).say("one").await;
    assert_eq!(ask_once(&claude, "another").await.process, "cold");
    assert_eq!((evicted(&claude), claude.health().processes.total), (1, 1));
}

#[tokio::test]
async fn one_conversation_may_be_larger_than_all_may_be_together() {
    let claude = limited_to(20);
    let mut chat = Chat::new(&claude);
    for process in ["cold", "live", "live"] {
        assert_eq!(chat.say("[[hold 60]]").await.process, process);
    }
    assert_eq!((evicted(&claude), claude.health().processes.live), (0, 1));
}

#[tokio::test]
async fn where_the_busy_ones_fill_it_a_request_is_refused_after_the_queue_timeout() {
    let claude = claude().max_memory(100 * MB).queue_timeout(Duration::from_millis(300)).build();
    let _busy = busy(&claude).await;
    let refused = in_time("the refusal", try_ask(&claude, messages([user("hi")]))).await.unwrap_err();
    assert_eq!((refused.kind(), refused.retry_after().is_some()), (ErrorKind::QueueFull, true));
    assert!(refused.to_string().contains("raise max_memory"), "{refused}");
}

#[tokio::test]
async fn where_the_busy_ones_fill_it_a_request_waits_until_one_is_done() {
    let claude = limited_to(100);
    let busy = busy(&claude).await;
    let waits = {
        let claude = claude.clone();
        tokio::spawn(async move { ask_once(&claude, "hi").await.text })
    };
    until("it to have a permit", || claude.health().processes.busy == 2).await;
    assert_eq!(claude.health().processes.total, 1);
    drop(busy);
    assert_eq!(in_time("the answer", waits).await.unwrap(), "echo: hi");
}
