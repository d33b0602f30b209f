//! Resident memory: at rest, with open streams at each of the three doors, and when they have ended.

use std::path::Path;

use futures_util::StreamExt;
use futures_util::stream;

use super::client::Conversation;
use super::door::Door;
use super::figures::table;
use super::procfs::{Memory, memory, quiet};
use super::separate::Separate;
use super::verdict;

/// Open streams.
const STREAMS: [usize; 2] = [100, 1000];

/// What each conversation says before its stream is opened: the buffers have seen traffic then.
const TRAFFIC: &str = "[[count 1000]]";

/// A stream that stays open.
const OPEN: &str = "[[slow 3600000 count 2]]";

pub(crate) async fn measure(stand_in: &Path) {
    let mut rows = Vec::new();
    let mut row = |what: String, now: Memory, per: String, target: String| {
        let megabytes = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
        rows.push(vec![what, megabytes(now.resident), megabytes(now.anonymous), per, target]);
    };
    for (count, door) in STREAMS.into_iter().flat_map(|count| Door::ALL.map(|door| (count, door))) {
        let server = Separate::start(stand_in, count + 2, false);
        quiet().await;
        let rest = memory(server.pid);
        let address = server.address;
        // The first conversation of all maps 1.5 to 2 MB of the program itself, which is no later stream's.
        let mut first = Conversation::at(door, address, "opus", "Terse.", None).await;
        let answer = first.say(TRAFFIC).await;
        first.finish(answer).await;
        quiet().await;
        let begun = memory(server.pid);
        if (count, door) == (STREAMS[0], Door::Chat) {
            row("at rest".into(), rest, String::new(), format!("≤ 15 MB: {}", verdict(rest.resident, 15e6, true)));
        }
        if count == STREAMS[0] {
            row(format!("one conversation, `{}`", door.path()), begun, String::new(), String::new());
        }
        let kilobytes = |now: Memory, before: Memory| (now.resident - before.resident) / 1e3 / count as f64;
        let per = |now: Memory| format!("{:.1} kB, {:.1} kB", kilobytes(now, begun), kilobytes(now, rest));
        let conversations: Vec<Conversation> = stream::iter(0..count)
            .map(|number| async move {
                let mut conversation = Conversation::at(door, address, "opus", "Terse.", None).await;
                let answer = conversation.say(&format!("{number}: {TRAFFIC}")).await;
                conversation.finish(answer).await;
                conversation
            })
            .buffer_unordered(4)
            .collect()
            .await;
        quiet().await;
        let now = memory(server.pid);
        row(format!("{count} live conversations, `{}`", door.path()), now, per(now), String::new());
        let open = stream::iter(conversations).map(|mut conversation| async move {
            let answer = conversation.say(OPEN).await;
            assert_eq!(answer.process, "live");
            (conversation, answer)
        });
        let open: Vec<_> = open.buffer_unordered(4).collect().await;
        quiet().await;
        let now = memory(server.pid);
        let target = format!("≤ 40 kB a stream: {}", verdict(kilobytes(now, rest), 40.0, true));
        row(format!("{count} open streams, `{}`", door.path()), now, per(now), target);
        drop(open);
        quiet().await;
        row(format!("after {count} streams, `{}`", door.path()), memory(server.pid), String::new(), String::new());
    }
    table(
        "Resident memory",
        &["", "resident", "of it not from files", "a stream: over one conversation, over rest", "target over rest"],
        &rows,
    );
}
