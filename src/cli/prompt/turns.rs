//! The conversation as turns of the Messages API: consecutive messages of one side form one turn.

use super::blocks::{self, Block, CallIds};
use super::leading_system;
use crate::Error;
use crate::chat::{GO_AHEAD, Message, Role};
use crate::cli::config::Config;

/// One turn of the conversation, borrowed from its messages so that megabytes of images are not copied.
#[derive(Debug)]
pub(crate) struct PromptTurn<'a> {
    pub(crate) assistant: bool,
    pub(crate) blocks: Vec<Block<'a>>,
    /// How many blocks, from the first, the client will send again: those before the first one that a layer adds only once.
    lasting: usize,
}

impl<'a> PromptTurn<'a> {
    /// Each block comes with whether the client will send it again.
    fn of(assistant: bool, blocks: Vec<(bool, Block<'a>)>) -> Self {
        let lasting = blocks.iter().take_while(|(lasts, _)| *lasts).count();
        PromptTurn { assistant, lasting, blocks: blocks.into_iter().map(|(_, block)| block).collect() }
    }

    /// The user's turn before the model's, where a conversation begins with that: the API wants one.
    pub(crate) fn go_ahead() -> Self {
        PromptTurn::of(false, vec![(false, Block::text(GO_AHEAD))])
    }

    /// Takes out the blocks for which `stays` is false.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Block<'a>) -> bool) {
        let mut at = 0;
        let (lasting, mut gone) = (self.lasting, 0);
        self.blocks.retain(|block| {
            let stays = stays(block);
            gone += usize::from(!stays && at < lasting);
            at += 1;
            stays
        });
        self.lasting -= gone;
    }

    /// Whether the client will send all of it again.
    pub(super) fn lasts(&self) -> bool {
        self.lasting == self.blocks.len()
    }

    /// The last of the blocks up to which the client will send everything again.
    pub(super) fn last_lasting(&mut self) -> Option<&mut Block<'a>> {
        self.blocks[..self.lasting].last_mut()
    }
}

/// The messages as turns. Each message comes with its place in the request, which errors name.
pub(crate) fn turns<'a>(
    messages: impl IntoIterator<Item = (usize, &'a Message)>,
    config: &Config,
) -> Result<Vec<PromptTurn<'a>>, Error> {
    let mut turns: Vec<(bool, Vec<(bool, Block)>)> = Vec::new();
    let mut ids = CallIds::default();
    for (place, message) in messages {
        let assistant = message.role == Role::Assistant;
        let blocks = blocks::of(message, &mut ids, config).map_err(|error| at(place, error))?;
        if blocks.is_empty() {
            continue;
        }
        let blocks = blocks.into_iter().map(|block| (!message.ephemeral, block));
        match turns.last_mut() {
            Some((of_assistant, turn)) if *of_assistant == assistant => turn.extend(blocks),
            _ => turns.push((assistant, blocks.collect())),
        }
    }
    for (_, blocks) in turns.iter_mut().filter(|(assistant, _)| !assistant) {
        // The API wants the results first, right behind their calls. Sorting takes memory even where they are.
        let rank = |(_, block): &(bool, Block)| !block.is_tool_result();
        if !blocks.is_sorted_by_key(rank) {
            blocks.sort_by_key(rank);
        }
    }
    Ok(turns.into_iter().map(|(assistant, blocks)| PromptTurn::of(assistant, blocks)).collect())
}

/// Refuses a conversation that cannot be sent, before it takes a process.
pub(crate) fn check(messages: &[Message]) -> Result<(), Error> {
    for (place, message) in messages.iter().enumerate() {
        blocks::check(message).map_err(|error| at(place, error))?;
    }
    let conversation = &messages[leading_system(messages).len()..];
    match conversation.iter().rev().find(|message| blocks::says(message)) {
        Some(message) if message.role != Role::Assistant => Ok(()),
        _ => Err(nothing_to_answer()),
    }
}

/// Adds the message's place to an error that names a part of it.
fn at(place: usize, error: Error) -> Error {
    match error.param().map(|param| format!("messages[{place}].{param}")) {
        Some(param) => error.with_param(param),
        None => error,
    }
}

pub(crate) fn nothing_to_answer() -> Error {
    Error::invalid_request(
        "There is nothing to answer: end the messages with a user or tool message that is not blank.",
    )
    .with_param("messages")
}
