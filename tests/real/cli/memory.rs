//! `max_memory` with real processes: what they hold, and who gives way.

use serde_json::json;

use crate::support::chat::until;
use crate::support::stack::Stack;

const MB: u64 = 1_000_000;

#[tokio::test]
async fn memory_has_room_for_two_conversations_and_the_third_takes_the_place_of_the_first() {
    let most = (82 + 2 * 115) * MB;
    let Some(stack) = Stack::real_with(|builder| builder.max_memory(most)).await else { return };

    for text in ["one", "two", "three"] {
        stack.completion(json!({"model": "opus", "messages": [{"role": "user", "content": text}]})).await;
        let health = stack.claude.health();
        let held = health.memory.held.expect("Linux says it").saturating_sub(82 * MB);
        let each = held / health.processes.total as u64 / MB;
        // Just after its first turn one holds more than a second later.
        assert!((60..160).contains(&each), "{each} MB each after {text}");
    }
    assert_eq!((stack.claude.health().processes.total, stack.started().len()), (2, 3));
    assert_eq!(stack.claude.status().events.ends.get("evicted"), Some(&1));
    until("them to hold no more than they may", || stack.claude.health().memory.held <= Some(most)).await;
}
