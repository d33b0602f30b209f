//! `max_memory` with real processes: what they hold, and who gives way.

use serde_json::json;

use crate::support::chat::until;
use crate::support::stack::Stack;

const MB: u64 = 1_000_000;

#[tokio::test]
async fn no_more_conversations_are_kept_than_memory_has_room_for() {
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
    assert_eq!(stack.started().len(), 3);
    // There is room for two, once they have given back what a first turn takes for a while; until then for one.
    // One that gives way counts as evicted at once, and among the kept until it has ended.
    let kept = || stack.claude.health().processes.total;
    let evicted = || stack.claude.status().events.ends.get("evicted").copied().unwrap_or_default();
    let fits = || stack.claude.health().memory.held <= Some(most);
    until("them to hold no more than they may", || fits() && kept() as u64 + evicted() == 3).await;
    assert!((1..=2).contains(&kept()), "{} are kept", kept());
}
