//! Smaller conversations, in large steps: each has to be held over real processes, which takes a second.

use super::conversation::{Answer, Block, Change, Choice, Conversation, End, Ids, Part, Says, Settings};

/// Conversations that are a little smaller, those that save most first.
fn smaller(conversation: &Conversation) -> Vec<Conversation> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Conversation)| {
        let mut changed = conversation.clone();
        change(&mut changed);
        changed.history = changed.history.min(changed.turns.len().saturating_sub(1));
        if !changed.turns.is_empty() && format!("{changed:?}") != format!("{conversation:?}") {
            all.push(changed);
        }
    };
    let turns = conversation.turns.len();
    for length in [1, 2, turns / 2, turns - 1] {
        with(&|it| it.turns.truncate(length));
        with(&|it| drop(it.turns.drain(..turns - length.min(turns))));
    }
    with(&|it| it.history = turns - 1);
    with(&|it| it.history = 0);
    for at in 0..turns {
        with(&|it| drop(it.turns.remove(at)));
    }
    with(&|it| it.tools.clear());
    let tools = conversation.tools.len();
    with(&|it| it.tools.truncate(tools / 2));
    with(&|it| drop(it.tools.drain(..tools / 2)));
    with(&|it| it.system.clear());
    with(&|it| {
        it.settings =
            Settings { max_tokens: None, effort: None, choice: Choice::Auto, one_call: false, temperature: false };
    });
    with(&|it| (it.ids, it.thinks) = (Ids::Kept, false));
    with(&|it| {
        it.turns.iter_mut().for_each(|turn| (turn.settings, turn.model, turn.change) = (None, None, Change::Nothing))
    });
    for at in 0..turns {
        with(&|it| it.turns[at].says.clear());
        with(&|it| {
            let answer = &mut it.turns[at].answer;
            *answer = Answer {
                blocks: vec![Block::Text("one".to_owned())],
                calls: Vec::new(),
                end: End::Done,
                pieces: 1,
                ..*answer
            };
        });
        with(&|it| it.turns[at].answer.blocks.clear());
        with(&|it| it.turns[at].answer.calls.truncate(1));
        with(&|it| it.turns[at].answer.calls.iter_mut().for_each(|(_, arguments)| *arguments = "{}".to_owned()));
        with(&|it| (it.turns[at].settings, it.turns[at].model, it.turns[at].change) = (None, None, Change::Nothing));
        with(&|it| {
            it.turns[at].results.truncate(1);
            it.turns[at].results[0].parts = vec![Part::Text("r".to_owned())];
        });
        with(&|it| it.turns[at].results.truncate(1));
        for which in 0..conversation.turns[at].answer.blocks.len() {
            with(&|it| drop(it.turns[at].answer.blocks.remove(which)));
        }
        for which in 0..conversation.turns[at].says.len() {
            with(&|it| drop(it.turns[at].says.remove(which)));
            with(&|it| {
                if let Says::User { name, parts } = &mut it.turns[at].says[which] {
                    *name = None;
                    parts.truncate(1);
                }
            });
        }
    }
    for at in 0..conversation.system.len() {
        with(&|it| drop(it.system.remove(at)));
    }
    for at in 0..tools.min(5) {
        with(&|it| drop(it.tools.remove(at)));
    }
    all
}

/// The smallest conversation that is found, in at most so many trials, to do what `holds` tries.
pub(crate) async fn shrink(
    conversation: &Conversation,
    trials: usize,
    mut holds: impl AsyncFnMut(&Conversation) -> bool,
) {
    let mut left = trials;
    let (mut smallest, mut from) = (conversation.clone(), 0);
    'smaller: loop {
        for (at, candidate) in smaller(&smallest).into_iter().enumerate().skip(from) {
            if left == 0 {
                return;
            }
            left -= 1;
            if holds(&candidate).await {
                (smallest, from) = (candidate, at);
                continue 'smaller;
            }
        }
        if from == 0 {
            return;
        }
        from = 0;
    }
}
