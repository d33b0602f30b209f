//! Whatever the CLI writes, an answer is an answer or an error, and never a panic.

use proptest::prelude::*;

use super::*;
use crate::cli::prompt::prefix::KnownThinking;

/// Lines that the real CLI wrote, of every type.
const RECORDED: [&str; 8] = [
    include_str!("../../../../../tests/fixtures/cli-2.1.328/tools.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/structured_output.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/dropped_connection.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/think.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/max_tokens.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/usage_limit.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/rate_limit_event.ndjson"),
    include_str!("../../../../../tests/fixtures/cli-2.1.328/refusal.ndjson"),
];

/// Takes the lines until one is an error, as a turn does.
fn take<'a>(lines: impl IntoIterator<Item = &'a [u8]>, schema: bool) -> Step {
    let (request, subscription) = (prepared(schema), Subscription::default());
    let (mut reader, mut step) = (TurnReader::fresh(), Step::default());
    for line in lines {
        let Some(line) = Line::parse(line) else { continue };
        let context = Context {
            request: &request,
            subscription: &subscription,
            cache_lifetime: &KnownLifetime::default(),
            thinking: &KnownThinking::default(),
        };
        if reader.take(line, context, &mut step).is_err() || step.after.is_some() {
            break;
        }
    }
    step
}

proptest! {
    #[test]
    fn any_bytes_are_no_more_than_a_line_to_skip(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        take([line.as_slice()], false);
    }

    #[test]
    fn recorded_lines_damaged_and_in_any_order_never_break_it(
        picks in proptest::collection::vec((0usize..8, 0usize..40, 0usize..4000, any::<u8>()), 1..8),
        schema in any::<bool>(),
    ) {
        let lines: Vec<Vec<u8>> = picks
            .into_iter()
            .map(|(file, line, at, byte)| {
                let lines: Vec<&str> = RECORDED[file].lines().collect();
                let mut line = lines[line % lines.len()].as_bytes().to_vec();
                // Half of the lines stay intact.
                if byte % 2 == 0 && !line.is_empty() {
                    let at = at % line.len();
                    line[at] = byte;
                }
                line
            })
            .collect();
        take(lines.iter().map(Vec::as_slice), schema);
    }
}
