//! Rounds of the maintainer: which processes end, when the next one starts, and when the next round is due.

use super::super::tests::{conversation, ends, hold, pool, reading, spawned, until};
use super::*;

/// The conversation, silent for so many seconds.
fn silent(seconds: u64, mut held: Box<LiveConversation>) -> Box<LiveConversation> {
    held.silent_since = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
    held
}

#[tokio::test]
async fn a_conversation_that_is_silent_for_too_long_is_counted_by_what_it_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    for (parked, reason) in [(false, "idle"), (true, "unanswered")] {
        let pool = reading(&directory, |config| {
            (config.idle_timeout, config.tool_timeout) = (Duration::from_secs(10), Duration::from_secs(20));
        });
        let limit = if parked { 20 } else { 10 };
        let held = conversation(1, parked);
        let due = held.silent_since + Duration::from_secs(limit);
        hold(&pool, held);
        assert!(pool.shared.end_expired() == Some(due));
        assert_eq!(ends(&pool), []);
        hold(&pool, silent(limit, conversation(1, parked)));
        assert!(pool.shared.end_expired() == Some(due), "that of the other one");
        assert_eq!(ends(&pool), [(reason, 1)]);
    }
    let pool = pool(&directory, "exit 3", |_| ());
    hold(&pool, conversation(1, false));
    until("the process's end", || pool.shared.lock().live[0].0.process.has_exited()).await;
    assert_eq!(pool.shared.end_expired(), None);
    assert_eq!(ends(&pool), [("crashed", 1)]);
}

/// How many conversations there are after one was to make room for a warm process.
fn left(pool: &Pool) -> usize {
    pool.shared.hold_a_place_back();
    pool.shared.lock().live.len()
}

#[tokio::test]
async fn a_single_question_makes_room_for_a_warm_process_where_three_places_or_more_are_all_taken() {
    let directory = tempfile::tempdir().unwrap();
    for (places, conversations, left_of_them) in [(2, 2, 2), (3, 2, 2), (3, 3, 2), (4, 4, 3)] {
        let pool = reading(&directory, |config| (config.max_processes, config.warm_processes) = (places, 1));
        (0..conversations).for_each(|_| hold(&pool, conversation(1, false)));
        assert_eq!(left(&pool), left_of_them, "{conversations} in {places}");
    }
}

#[tokio::test]
async fn nothing_makes_room_where_a_process_is_warm_or_about_to_end_or_none_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let three = |warm: usize| reading(&directory, |config| (config.max_processes, config.warm_processes) = (3, warm));
    let pool = three(1);
    (0..2).for_each(|_| hold(&pool, conversation(1, false)));
    let warm = spawned(&pool);
    pool.shared.lock().warm.push(warm);
    assert_eq!(left(&pool), 2, "one is warm");

    let pool = three(1);
    (0..2).for_each(|_| hold(&pool, conversation(1, false)));
    let (_place, wanted) = pool.shared.places.take().unwrap();
    drop(wanted);
    assert_eq!(left(&pool), 2, "one is ending");

    let pool = three(0);
    (0..3).for_each(|_| hold(&pool, conversation(1, false)));
    assert_eq!(left(&pool), 3, "none is wanted");
}

#[tokio::test]
async fn a_conversation_of_several_answers_makes_room_after_a_minute_of_silence_and_a_parked_one_never() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| (config.max_processes, config.warm_processes) = (3, 1));
    let held = conversation(2, false);
    let due = held.silent_since + Duration::from_secs(60);
    hold(&pool, silent(90, conversation(1, true)));
    hold(&pool, held);
    hold(&pool, silent(50, conversation(2, false)));
    assert!(pool.shared.hold_a_place_back().is_some_and(|next| next < due), "the one that is silent for longer");
    assert_eq!(pool.shared.lock().live.len(), 3);
    pool.shared.lock().live[2].1 = silent(60, conversation(2, false));
    assert_eq!(pool.shared.hold_a_place_back(), None);
    let left: Vec<_> = pool.shared.lock().live.iter().map(|(_, held)| held.answers).collect();
    assert_eq!(left, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_warm_process_starts_at_the_very_end_of_the_pause() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| config.warm_processes = 1);
    pool.shared.lock().refill.taken();
    let due = pool.shared.lock().refill.after();
    assert_eq!(pool.shared.start_warm(), due);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(pool.shared.start_warm(), None);
    assert_eq!(pool.health().processes.warm, 1);
}
