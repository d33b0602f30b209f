//! The scanner against a model that sees the whole text, and the stream around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;

use super::*;
use crate::EventStream;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What the scanner lets out for each piece and at the end, and whether it saw a match.
fn scan(stop: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
    let mut scanner = StopScanner::new(&texts(stop));
    let mut sent = Vec::new();
    for piece in pieces {
        let scanned = scanner.push((*piece).to_owned());
        sent.push(scanned.text);
        if scanned.matched.is_some() {
            return (sent, true);
        }
    }
    let scanned = scanner.finish();
    sent.push(scanned.text);
    (sent, scanned.matched.is_some())
}

#[track_caller]
fn assert_scan(stop: &[&str], pieces: &[&str], sent: &[&str], matched: bool) {
    assert_eq!(scan(stop, pieces), (texts(sent), matched), "{stop:?} in {pieces:?}");
}

#[test]
fn a_match_ends_the_text_before_it() {
    assert_scan(&["END"], &["one END two"], &["one "], true);
    assert_scan(&["\n\n", "END"], &["one\n\ntwo END"], &["one"], true);
    assert_scan(&["END"], &["END"], &[""], true);
}

#[test]
fn a_match_is_seen_across_deltas_and_characters_of_several_bytes() {
    assert_scan(&["END"], &["one E", "N", "D two"], &["one ", "", ""], true);
    assert_scan(&["é→"], &["caf", "é", "→ x"], &["caf", "", ""], true);
    // `è` shares its first byte with `é`, so that bytes alone would look like a beginning.
    assert_scan(&["é→"], &["caf", "è", "→"], &["caf", "è", "→", ""], false);
}

#[test]
fn only_what_may_become_a_match_is_held() {
    assert_scan(&["END"], &["an E", "gg E", "N", "E"], &["an ", "Egg ", "", "EN", "E"], false);
    assert_scan(&["aab"], &["aaa", "a", "b"], &["a", "a", ""], true);
    assert_scan(&["xyz"], &["nothing of it"], &["nothing of it", ""], false);
}

#[test]
fn the_match_that_begins_first_wins_whichever_is_complete_first() {
    assert_scan(&["abcd", "bc"], &["abc", "d"], &["", ""], true);
    assert_scan(&["abcd", "bc"], &["abc", "x"], &["", "a"], true);
    assert_scan(&["abcd", "bc"], &["abc"], &["", "a"], true);
    assert_scan(&["abcdef", "bc", "de"], &["-abcde", "x"], &["-", "a"], true);
}

proptest! {
    /// However the text is cut up, what is sent is the text before the earliest match, and at every moment all of it but
    /// the longest end that is a beginning of a stop text.
    #[test]
    fn the_scanner_does_what_a_search_of_the_whole_text_does(
        stop in prop::collection::vec("[abé→]{1,5}", 1..5),
        pieces in prop::collection::vec("[abé→]{0,6}", 0..12),
    ) {
        let mut scanner = StopScanner::new(&stop);
        let (mut seen, mut sent) = (String::new(), String::new());
        for piece in pieces {
            seen.push_str(&piece);
            let scanned = scanner.push(piece);
            sent.push_str(&scanned.text);
            let earliest = stop.iter().filter_map(|stop| seen.find(stop.as_str())).min();
            let open = (0..=seen.len())
                .filter(|at| seen.is_char_boundary(*at))
                .find(|at| stop.iter().any(|stop| stop.starts_with(&seen[*at..]) && *stop != seen[*at..]))
                .expect("the empty end begins every stop text");
            match earliest {
                Some(earliest) if open >= earliest => {
                    prop_assert!(scanned.matched.is_some());
                    prop_assert_eq!(&sent, &seen[..earliest]);
                    return Ok(());
                }
                _ => {
                    prop_assert!(scanned.matched.is_none());
                    prop_assert_eq!(&sent, &seen[..open]);
                }
            }
        }
        let scanned = scanner.finish();
        sent.push_str(&scanned.text);
        let earliest = stop.iter().filter_map(|stop| seen.find(stop.as_str())).min();
        prop_assert_eq!(scanned.matched.is_some(), earliest.is_some());
        prop_assert_eq!(sent, &seen[..earliest.unwrap_or(seen.len())]);
    }
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::TextDelta(text.to_owned())
}

fn finished(reason: FinishReason, usage: Usage) -> ChatEvent {
    ChatEvent::Finished { reason, usage }
}

fn call(index: u32) -> ChatEvent {
    ChatEvent::ToolCallStart { index, id: "c".to_owned(), name: "f".to_owned() }
}

/// The events after the stop texts have had their say; none of these streams ever waits.
fn cut(stop: &[&str], events: Vec<ChatEvent>) -> Vec<ChatEvent> {
    let events = EventStream::from_iter(events).translate(CutAtStop::new(texts(stop)));
    let events = events.map(|event| event.expect("no errors here")).collect().now_or_never();
    events.expect("a stream that is ready at once")
}

fn matched(text: &str) -> ChatEvent {
    ChatEvent::StopMatched(text.to_owned())
}

#[test]
fn a_match_finishes_the_answer_with_what_is_known_of_its_cost() {
    let told = Usage { prompt_tokens: 100, cached_tokens: 90, completion_tokens: 1, ..Usage::default() };
    let events = vec![
        ChatEvent::Started,
        ChatEvent::Usage(told),
        ChatEvent::ReasoningDelta("END of".to_owned()),
        ChatEvent::TextBlockStart,
        text("one E"),
        text("ND two"),
        finished(FinishReason::Length, Usage::default()),
    ];
    let usage = Usage { completion_tokens: 5, reasoning_tokens: 2, ..told };
    let expected = [&events[..4], &[text("one "), matched("END"), finished(FinishReason::Stop, usage)]].concat();
    assert_eq!(cut(&["END"], events), expected);
}

#[test]
fn the_arguments_of_calls_count_in_what_a_match_costs_and_are_no_reasoning() {
    let delta = ChatEvent::ToolCallDelta { index: 0, arguments: r#"{"path":"/tmp"}"#.to_owned() };
    let usage = Usage { completion_tokens: 6, ..Usage::default() };
    let expected = [call(0), delta.clone(), text("done "), matched("END"), finished(FinishReason::Stop, usage)];
    assert_eq!(cut(&["END"], vec![call(0), delta, text("done END")]), expected);
}

#[test]
fn a_match_drops_the_turn_before_the_client_reads_on() {
    struct Turn(Arc<AtomicBool>);
    impl Drop for Turn {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let dropped = Arc::new(AtomicBool::new(false));
    let turn = Turn(dropped.clone());
    let inner = stream::iter([Ok(text("one END"))]).chain(stream::pending()).map(move |event| {
        let _held = &turn;
        event
    });
    let mut events = EventStream::new(inner).translate(CutAtStop::new(texts(&["END"])));
    let mut next = || events.next().now_or_never().expect("ready at once");
    assert_eq!(next(), Some(Ok(text("one "))));
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(next(), Some(Ok(matched("END"))));
    assert!(matches!(next(), Some(Ok(ChatEvent::Finished { reason: FinishReason::Stop, .. }))));
    assert_eq!(next(), None);
}

#[test]
fn held_text_goes_out_before_a_call_and_before_the_end() {
    let end = finished(FinishReason::ToolCalls, Usage::default());
    let delta = ChatEvent::ToolCallDelta { index: 0, arguments: "END".to_owned() };
    let events = vec![text("a E"), call(0), delta.clone(), text("b E"), end.clone()];
    assert_eq!(cut(&["END"], events), [text("a "), text("E"), call(0), delta, text("b "), text("E"), end]);
}

#[test]
fn no_match_reaches_across_a_call() {
    let end = finished(FinishReason::ToolCalls, Usage::default());
    let events = vec![text("a E"), call(0), text("ND"), end.clone()];
    assert_eq!(cut(&["END"], events), [text("a "), text("E"), call(0), text("ND"), end]);
}

#[test]
fn a_match_that_waited_for_an_earlier_one_counts_when_the_text_is_over() {
    let usage = Usage { completion_tokens: 7, ..Usage::default() };
    let events = vec![text("-abc"), finished(FinishReason::Length, usage)];
    let expected = [text("-"), text("a"), matched("bc"), finished(FinishReason::Stop, usage)];
    assert_eq!(cut(&["abcd", "bc"], events), expected);
    let stopped = finished(FinishReason::Stop, Usage { completion_tokens: 1, ..Usage::default() });
    assert_eq!(cut(&["abcd", "bc"], vec![text("-abc"), call(0)]), [text("-"), text("a"), matched("bc"), stopped]);
}

#[test]
fn text_held_back_is_not_lost_to_an_error() {
    let error = Error::invalid_request("gone");
    let inner = EventStream::new(stream::iter([Ok(text("a E")), Err(error.clone())]));
    let events = inner.translate(CutAtStop::new(texts(&["END"])));
    let events: Vec<_> = events.collect().now_or_never().expect("ready at once");
    assert_eq!(events, [Ok(text("a ")), Ok(text("E")), Err(error)]);
}

#[tokio::test]
async fn without_stop_texts_every_event_is_as_it_was() {
    let events = vec![text("a"), text(""), call(0), finished(FinishReason::Stop, Usage::default())];
    for stop in [Vec::new(), vec![String::new()]] {
        let inner = tower::service_fn(|request: ChatRequest| {
            assert!(request.stop.is_empty());
            let events = EventStream::from_iter(events.clone());
            std::future::ready(Ok::<_, Error>(ChatResponse::new("m", events)))
        });
        let request = ChatRequest { stop, ..ChatRequest::default() };
        let response = tower::ServiceExt::oneshot(StopLayer::new().layer(inner), request).await.unwrap();
        assert_eq!(response.events.map(Result::unwrap).collect::<Vec<_>>().await, events);
    }
}
