//! Turns items into the messages of a conversation.
//!
//! One turn of the model, its reasoning, texts and calls, is several items there and one assistant message here.

use serde_json::Value;

use super::items::{Content, Item, OwnItems, Part};
use super::output::place_of;
use super::parts;
use super::sealed::{self, Sealed};
use super::tools::Tools;
use crate::Error;
use crate::chat::call_id::{Waiting, canonical};
use crate::chat::{self, CalledFunction, Extra, Message, Reasoning, Role, ToolCall};
use crate::http::fields::{Ignored, invalid, unsupported};
use crate::openai::free_text;

/// How OpenAI's own encrypted reasoning begins. A client that changed models within a conversation may send some.
const OPENAIS: &str = "gAAAA";

/// Items that a hosted tool, or OpenAI's own bookkeeping, has left in a history. Clients replay them blindly; what mattered in
/// them is in the answers that followed.
const LEFT_BEHIND: &[&str] = &[
    "additional_tools",
    "code_interpreter_call",
    "compaction",
    "compaction_summary",
    "context_compaction",
    "file_search_call",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// The messages that items became, each with the number of its first item.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
    pub(crate) origins: Vec<usize>,
}

/// Turns items into messages: those of a conversation that was kept here, and then the client's own. Errors name the place
/// among the latter.
pub(crate) fn read(
    kept: Vec<Item>,
    own: OwnItems,
    tools: &Tools,
    ignored: &mut Ignored,
) -> Result<Conversation, Error> {
    let (conversation, called, waiting) = (Conversation::default(), Vec::new(), Waiting::default());
    let mut reader = Reader { tools, ignored, kept: kept.len(), conversation, called, waiting };
    let mut index = 0;
    let mut take = |item| {
        index += 1;
        reader.item(index - 1, item)
    };
    kept.into_iter().try_for_each(&mut take)?;
    own.try_for_each(&mut take)?;
    reader.check_answered()?;
    Ok(reader.conversation)
}

struct Reader<'a> {
    tools: &'a Tools,
    ignored: &'a mut Ignored,
    kept: usize,
    conversation: Conversation,
    /// The ids of the last calls, and which of these have no result yet.
    called: Vec<String>,
    waiting: Waiting,
}

impl Reader<'_> {
    /// Where the item is in the client's input.
    fn at(&self, index: usize) -> String {
        match index.checked_sub(self.kept) {
            Some(index) => format!("input[{index}]"),
            None => "previous_response_id".to_owned(),
        }
    }

    fn item(&mut self, index: usize, mut item: Item) -> Result<(), Error> {
        let kind = item.kind().to_owned();
        match kind.as_str() {
            "message" => self.message(index, item),
            "reasoning" => self.reasoning(index, item),
            "function_call" | "custom_tool_call" => self.call(index, item, kind == "custom_tool_call"),
            "function_call_output" | "custom_tool_call_output" => self.result(index, &mut item),
            kind if LEFT_BEHIND.contains(&kind) => {
                self.ignored.name("input[].", kind, &Value::Bool(true));
                Ok(())
            }
            "" => {
                let message = "An item needs a `type`. Add it, or a `role` to make it a message.";
                Err(invalid(format!("{}.type", self.at(index)), message))
            }
            other => {
                let message = format!(
                    "Items of type {other:?} are not supported. Send messages, function calls, custom tool calls, \
                     their outputs, reasoning and item references."
                );
                Err(unsupported(format!("{}.type", self.at(index)), message))
            }
        }
    }

    fn message(&mut self, index: usize, item: Item) -> Result<(), Error> {
        let Some(role) = item.role else {
            return Err(invalid(format!("{}.role", self.at(index)), "A message needs a `role`. Add it."));
        };
        if matches!(role, Role::Tool | Role::Function) {
            let message = "The result of a call is an item of type `function_call_output` here. Send it as one.";
            return Err(invalid(format!("{}.role", self.at(index)), message));
        }
        let at = format!("{}.content", self.at(index));
        let content = match item.content {
            Some(Content::Text(text)) => chat::Content::Text(text),
            Some(Content::Parts(parts)) if role == Role::User && parts.is_empty() => {
                return Err(invalid(at, "The array of parts is empty. Send at least one part, or a string."));
            }
            Some(Content::Parts(parts)) => chat::Content::Parts(parts::parts(parts, role, &at, self.ignored)?),
            None if role == Role::Assistant => chat::Content::Parts(Vec::new()),
            None => {
                return Err(invalid(at, "A message needs `content`: a string or an array of parts. Add it."));
            }
        };
        if role == Role::Assistant {
            let message = self.assistant(index)?;
            message.content = Some(match (message.content.take(), content) {
                (None | Some(chat::Content::Null), content) => content,
                // As an answer of several texts is where it is one.
                (Some(before), content) if message.reasoning.is_empty() && is_text(&before) && is_text(&content) => {
                    let [before, content] = [before, content].map(text_of);
                    chat::Content::Text(format!("{before}\n\n{content}"))
                }
                (Some(before), content) => chat::Content::Parts(parts_of(before).chain(parts_of(content)).collect()),
            });
        } else {
            self.push(index, Message { role, content: Some(content), ..Message::default() });
        }
        Ok(())
    }

    /// The model's own reasoning goes back to it; that of another model is of no use and is dropped.
    fn reasoning(&mut self, index: usize, item: Item) -> Result<(), Error> {
        let elsewhere = item.id.as_deref().is_some_and(|id| place_of(id).is_none());
        let sealed = item.encrypted_content.filter(|sealed| !elsewhere && !sealed.starts_with(OPENAIS));
        let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) else { return Ok(()) };
        let summary = item.summary.unwrap_or_default().into_iter().filter_map(|part| part.text);
        let message = self.assistant(index)?;
        let place = match &message.content {
            Some(chat::Content::Parts(parts)) => parts.len(),
            Some(chat::Content::Text(_)) => 1,
            Some(chat::Content::Null) | None => 0,
        };
        let place = place + message.calls().len();
        message.reasoning.push(match sealed::open(&sealed) {
            Sealed::Signed { signature, text } => {
                Reasoning::Signed { text: text.unwrap_or_else(|| summary.collect()), signature, place }
            }
            Sealed::Redacted { data } => Reasoning::Redacted { data, place },
        });
        Ok(())
    }

    fn call(&mut self, index: usize, item: Item, custom: bool) -> Result<(), Error> {
        let at = self.at(index);
        let missing = |field: &str| invalid(format!("{at}.{field}"), format!("A call needs its `{field}`. Add it."));
        let Some(id) = item.call_id.map(told_id) else { return Err(missing("call_id")) };
        let Some(name) = item.name.filter(|name| !name.is_empty()) else { return Err(missing("name")) };
        let name = self.tools.function(item.namespace.as_deref(), &name);
        let arguments = if custom {
            let Some(Value::String(input)) = item.input.map(|input| *input) else { return Err(missing("input")) };
            free_text::arguments(&input)
        } else {
            let Some(Value::String(arguments)) = item.arguments.map(|arguments| *arguments) else {
                return Err(missing("arguments"));
            };
            if self.tools.origin(&name).is_some_and(|tool| tool.custom) {
                // Cursor sends every call as one of a function.
                free_text::arguments(&arguments)
            } else {
                arguments
            }
        };
        if canonical(&id).is_empty() {
            let message = format!("The id {id:?} has no letter or digit to know the call by. Give it some.");
            return Err(invalid(format!("{at}.call_id"), message));
        }
        let message = self.assistant(index)?;
        let call = ToolCall {
            id: id.clone(),
            kind: "function".to_owned(),
            function: CalledFunction { name, arguments },
            extra: Extra::default(),
        };
        message.tool_calls.get_or_insert_with(|| Vec::with_capacity(1)).push(call);
        if self.waiting.open() == 0 {
            (self.called, self.waiting) = (Vec::new(), Waiting::default());
        }
        if self.waiting.knows(&id) {
            let message = format!("Two calls have the id {id:?}. Give each its own.");
            return Err(invalid(format!("{at}.call_id"), message));
        }
        self.waiting.call(&id);
        self.called.push(id);
        Ok(())
    }

    fn result(&mut self, index: usize, item: &mut Item) -> Result<(), Error> {
        let at = self.at(index);
        let Some(id) = item.call_id.take().map(told_id) else {
            let message = "An output needs the `call_id` of its call. Add it.";
            return Err(invalid(format!("{at}.call_id"), message));
        };
        if self.waiting.result(&id).is_none() {
            let message = format!(
                "No tool call found for function call output with call_id {id}. Send the call before its output, and \
                 one output for each call."
            );
            return Err(invalid(format!("{at}.call_id"), message));
        }
        let at = format!("{at}.output");
        let content = match item.output.take().map(|output| *output) {
            Some(Value::String(text)) => chat::Content::Text(text),
            Some(parts @ Value::Array(_)) => {
                let parts: Vec<Part> = serde_json::from_value(parts).map_err(|error| {
                    invalid(at.clone(), format!("The output's parts are not valid: {error}. Send input_text parts."))
                })?;
                chat::Content::Parts(parts::parts(parts, Role::Tool, &at, self.ignored)?)
            }
            _ => return Err(invalid(at, "An output needs `output`: a string or an array of parts. Add it.")),
        };
        let message =
            Message { role: Role::Tool, content: Some(content), tool_call_id: Some(id), ..Message::default() };
        self.push(index, message);
        Ok(())
    }

    /// The assistant message that is being gathered, or a new one.
    fn assistant(&mut self, index: usize) -> Result<&mut Message, Error> {
        if self.conversation.messages.last().is_none_or(|last| last.role != Role::Assistant) {
            self.check_answered()?;
            self.push(index, Message { role: Role::Assistant, ..Message::default() });
        }
        let last = self.conversation.messages.len() - 1;
        Ok(&mut self.conversation.messages[last])
    }

    fn push(&mut self, index: usize, message: Message) {
        // Reasoning alone, from an answer that was cut off, is no message.
        let thought =
            |last: &mut Message| last.role == Role::Assistant && last.content.is_none() && last.calls().is_empty();
        if self.conversation.messages.pop_if(thought).is_some() {
            self.conversation.origins.pop();
        }
        self.conversation.messages.push(message);
        self.conversation.origins.push(index);
    }

    fn check_answered(&self) -> Result<(), Error> {
        let mut called = self.called.iter().enumerate();
        match called.find(|(place, _)| self.waiting.is_open(*place)) {
            None => Ok(()),
            Some((_, id)) => {
                let message = format!("No tool output found for function call {id}. Send one for each call.");
                Err(invalid("input", message))
            }
        }
    }
}

/// Whether it is texts alone, without marks for the prompt cache.
fn is_text(content: &chat::Content) -> bool {
    match content {
        chat::Content::Text(_) => true,
        chat::Content::Parts(parts) => parts.iter().all(|part| part.as_text().is_some() && part.extra.is_empty()),
        chat::Content::Null => false,
    }
}

fn text_of(content: chat::Content) -> String {
    parts_of(content).filter_map(|part| part.as_text().map(str::to_owned)).collect::<Vec<_>>().join("\n")
}

fn parts_of(content: chat::Content) -> impl Iterator<Item = chat::Part> {
    match content {
        chat::Content::Text(text) => vec![chat::Part::from_text(text)],
        chat::Content::Parts(parts) => parts,
        chat::Content::Null => Vec::new(),
    }
    .into_iter()
}

/// The call's id as the client was given it. OpenClaw sends back another, made of that and of the item's id:
/// `call_toolu01_fc_4e45...92_1_5357cd72a9` (2026.9.6).
fn told_id(id: String) -> String {
    const DIGITS: usize = 32;
    let told = id.strip_prefix("call_").and_then(|rest| {
        let (told, item) = rest.split_once("_fc_").or_else(|| rest.split_once("_ctc_"))?;
        let answer = item.get(..DIGITS)?;
        (item[DIGITS..].starts_with('_') && answer.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(told)
    });
    told.map(str::to_owned).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::told_id;

    #[test]
    fn an_id_that_openclaw_has_made_of_two_is_the_calls_own_again() {
        let made = "call_toolu11_fc_4e4519b2759447eab631656af3ded392_1_5357cd72a9".to_owned();
        assert_eq!(told_id(made), "toolu11");
        for own in ["toolu01", "call_abc", "call_a_fc_b", "call_toolu11_fc_4e4519b2759447eab631656af3ded392"] {
            assert_eq!(told_id(own.to_owned()), own);
        }
    }
}
