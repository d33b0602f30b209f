//! One turn: requests to the pretend model until it has said its last word, streamed as the real CLI streams them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::directives::Block;
use super::failure::{Failure, max_retries, retry_kind};
use super::lines::Tally;
use super::output::DeltaKind;
use super::prompt_cache;
use super::script::{Answer, Message, answer, fault};
use super::session::Session;
use super::tools::Call;

/// What the CLI says to the model by itself.
const CONTINUE: &str = "Output token limit hit. Resume directly \u{2014} no apology, no recap of what you were doing. \
    Pick up mid-thought if that is where the cut happened. Break remaining work into smaller pieces.";
const REFUSED: &str = "Your response above was stopped by a safety classifier \u{2014} this is not a tool or API error. \
    The rest of it was withheld, and tool calls in it that had not finished did not run. Do not produce that content \
    again, even reworded.";
const ENFORCE: &str = "[structured-output-enforce] You MUST call the StructuredOutput tool to complete this request. \
    Call this tool now.";

const VISIBLE: &str =
    "[Your previous response had no visible output. Please continue and produce a user-visible response.]";
const NO_CALL: &str = "The previous response failed to produce a valid tool call. Please retry the tool call now.";

/// How long a delta may take before input is looked at again, in deltas.
const LOOK_EVERY: u64 = 512;

/// How much is kept of an input that is not JSON, in characters.
const KEPT_OF_BAD_INPUT: usize = 2048;

/// What the environment says if a refusal is to be the end.
const REFUSED_FOR_GOOD: [&str; 2] = ["CLAUDE_CODE_DISABLE_REFUSAL_RETRY", "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK"];

/// What comes after a message of the model.
enum After {
    /// Another request.
    Again,
    /// The turn's end; its `result` is not written yet.
    Done,
    /// The turn's end, with its `result`.
    Over,
}

impl Session {
    /// Takes a user message's turn, up to its `result`.
    pub(crate) fn turn(&mut self, content: Value) {
        let mut tally = Tally::new();
        self.busy = true;
        self.interrupt = None;
        self.wait_for_handshake();
        self.told.push_said(content);
        self.out.fault = fault(&self.told);
        self.init_line();
        loop {
            self.status_line();
            if self.told.exceeds_limit() {
                self.failure(&Failure::blocked(), &mut tally);
                break;
            }
            if !self.logged_in {
                self.failure(&Failure::not_logged_in(), &mut tally);
                break;
            }
            let after = match prompt_cache::refusal(&self.told).unwrap_or_else(|| answer(&self.told, self.gap)) {
                Answer::Message(message) => self.message(message, &mut tally),
                Answer::Failure(failure) => {
                    self.retries(&failure);
                    self.failure(&failure, &mut tally);
                    After::Over
                }
                Answer::Crash => self.crash(),
                Answer::Silence => {
                    while !self.ended && self.interrupt.is_none() {
                        self.take(None);
                    }
                    if self.interrupt.is_none() { After::Over } else { self.cut_short("", None, &mut tally) }
                }
            };
            match after {
                After::Again => self.notes(),
                After::Done => {
                    self.success(&tally);
                    break;
                }
                After::Over => break,
            }
        }
        self.input_tokens += tally.input_tokens;
        self.output_tokens += tally.output_tokens;
        self.busy = false;
    }

    /// Messages that the user sent while the model's calls ran are told to it as notes.
    fn notes(&mut self) {
        while self.queue.front().is_some_and(|user| !user.silent) {
            let Some(user) = self.queue.pop_front() else { return };
            let text = match &user.content {
                Value::String(text) => text.clone(),
                Value::Array(blocks) => {
                    blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
                }
                _ => String::new(),
            };
            let note = format!(
                "The user sent a new message while you were working:\n{text}\n\nThis is how Claude Code surfaces \
                 messages the user sends mid-turn \u{2014} within the running turn, often alongside the next tool \
                 result, rather than as a separate conversation turn. Address the message above as you continue this \
                 turn."
            );
            self.told.push("system", json!(note));
            // What is not text stands beside the note.
            let others = user.content.as_array().into_iter().flatten().filter(|block| block["type"] != "text");
            let others: Vec<Value> = others.cloned().collect();
            if !others.is_empty() {
                self.told.push("user", Value::Array(others));
            }
        }
    }

    fn retries(&mut self, failure: &Failure) {
        let (true, Some(status)) = (failure.retried, failure.status) else { return };
        let retries = max_retries();
        for attempt in 1..=retries {
            self.out.line(json!({"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": retries,
                "retry_delay_ms": 500 * attempt, "error_status": status, "error": retry_kind(status)}));
        }
    }

    fn crash(&mut self) -> After {
        self.out.flush();
        eprintln!("stand-in: crashed, as the prompt asked");
        std::process::exit(1);
    }

    /// Streams a message and does what it calls for.
    fn message(&mut self, message: Message, tally: &mut Tally) -> After {
        if let (true, Some(Block::Text(deltas))) = (message.dropped, message.blocks.first()) {
            self.dropped(deltas, tally);
            return After::Done;
        }
        let id = self.next_message_id();
        (self.out.garbage, self.out.split) = (message.garbage, message.split);
        let input_tokens = self.told.messages.len() as u64 * 10;
        tally.input_tokens += input_tokens;
        let mut usage = json!({"input_tokens": input_tokens, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 7, "output_tokens": 1});
        prompt_cache::tell(&mut usage);
        let envelope = |content: Value, model: &str| {
            json!({"id": id, "type": "message", "role": "assistant", "model": model, "content": content,
                "stop_reason": null, "stop_sequence": null, "usage": usage})
        };
        self.out.event(
            json!({"type": "message_start", "message": envelope(json!([]), self.told.model_name())}),
            &id,
            json!({"ttft_ms": 1, "thinking_display": "updates"}),
        );
        let (mut content, mut calls, mut tokens) = (Vec::new(), Vec::<Call>::new(), 1);
        for (index, block) in message.blocks.into_iter().enumerate() {
            let mut streamed = Streamed { index, id: &id, gap: message.gap, tokens: &mut tokens, whole: String::new() };
            let (block, more) = self.block(block, &mut streamed);
            let whole = std::mem::take(&mut streamed.whole);
            if message.crash {
                return self.crash();
            }
            if self.interrupt.is_some() {
                tally.output_tokens += tokens;
                let line = json!({"type": "assistant", "message": envelope(json!([block]), self.told.model_name())});
                if block["type"] == "text" {
                    content.push(block);
                }
                self.told.push("assistant", Value::Array(content));
                return self.cut_short(&id, Some((index, line)), tally);
            }
            let mut line = json!({"type": "assistant", "message": envelope(json!([block]), self.told.model_name())});
            line["message"]["context_management"] = Value::Null;
            let call = (block["type"] == "tool_use").then(|| self.call(&block));
            let mut fields = more;
            if let Some(call) = &call
                && let Some(meta) = call.meta(self.told.server.as_deref())
            {
                fields["tool_use_meta"] = json!([meta]);
            }
            let blank = block["type"] == "text" && whole.trim().is_empty();
            if !blank {
                self.out.message(line, fields);
            }
            if block["type"] != "fallback" {
                self.out.event(json!({"type": "content_block_stop", "index": index}), &id, json!({}));
            }
            if block["type"] == "text" {
                tally.text = whole;
            }
            if !blank {
                content.push(block);
            }
            // The CLI runs a call as soon as its block is whole.
            if let Some(call) = call {
                calls.push(call);
                self.start_calls(&mut calls);
                self.write_results(&mut calls, tally);
            }
        }
        tally.output_tokens += tokens;
        tally.stop = json!(message.stop);
        let visible = content.iter().any(|block| matches!(block["type"].as_str(), Some("text" | "tool_use")));
        if !content.is_empty() {
            self.told.push("assistant", Value::Array(content));
        }
        let refused =
            message.stop == "refusal" && REFUSED_FOR_GOOD.into_iter().all(|name| std::env::var_os(name).is_some());
        let failure = refused.then(|| Failure::refusal(&id));
        if let Some(failure) = &failure {
            self.safety_stops += 1;
            self.out.line(json!({"type": "system", "subtype": "model_refusal_no_fallback"}));
            self.failure_message(failure);
        }
        self.out.event(
            json!({"type": "message_delta", "delta": {"stop_reason": message.stop, "stop_sequence": null},
                "usage": {"output_tokens": tokens}}),
            &id,
            json!({}),
        );
        self.out.event(json!({"type": "message_stop"}), &id, json!({}));
        (self.out.garbage, self.out.split) = (false, false);
        if let Some(limits) = &message.limits {
            self.out.line(json!({"type": "rate_limit_event", "rate_limit_info": limits}));
        }
        if let Some(failure) = failure {
            self.failure_result(&failure, tally);
            return After::Over;
        }
        self.after(message.stop, visible, calls, tally, &id)
    }

    /// The id of one more message of the model.
    pub(crate) fn next_message_id(&mut self) -> String {
        self.messages += 1;
        format!("msg_{}_{}", self.identity, self.messages)
    }

    fn after(&mut self, stop: &str, visible: bool, calls: Vec<Call>, tally: &mut Tally, id: &str) -> After {
        if !calls.is_empty() {
            let interrupted = self.finish_calls(calls, tally);
            if interrupted {
                return After::Over;
            }
            return if tally.structured.is_some() || tally.ends { After::Done } else { After::Again };
        }
        match stop {
            "max_tokens" | "model_context_window_exceeded" => {
                self.say_to_model(CONTINUE, json!({"isSynthetic": true}), tally)
            }
            "refusal" if !std::mem::replace(&mut tally.refused, true) => {
                self.safety_stops += 1;
                self.out.line(json!({"type": "system", "subtype": "informational", "level": "notice",
                    "content": "Opus 5.5's safeguards stopped the response above \u{b7} continuing once with that noted"}));
                self.say_to_model(REFUSED, json!({"isSynthetic": true, "refused_message_id": id}), tally)
            }
            "tool_use" if tally.missing_calls == 2 => {
                self.failure(&Failure::no_call(), tally);
                After::Over
            }
            "tool_use" => {
                tally.missing_calls += 1;
                self.told.retract();
                self.say_to_model(NO_CALL, json!({"isSynthetic": true}), tally)
            }
            "pause_turn" if !visible => {
                self.interrupted(tally, "completed");
                After::Over
            }
            _ if !visible && !tally.asked_for_more && !self.told.structured() => {
                tally.asked_for_more = true;
                self.say_to_model(VISIBLE, json!({"isSynthetic": true}), tally)
            }
            _ if self.told.structured() => self.say_to_model(ENFORCE, json!({"isSynthetic": true}), tally),
            _ => After::Done,
        }
    }

    /// A user message of the CLI's own.
    fn say_to_model(&mut self, text: &str, more: Value, tally: &mut Tally) -> After {
        let content = json!([{"type": "text", "text": text}]);
        self.out.message(json!({"type": "user", "message": {"role": "user", "content": content}}), more);
        // The model gets these as reminders (2.1.332).
        let told = match text {
            CONTINUE | REFUSED => format!("<system-reminder>\n{text}\n</system-reminder>"),
            text => text.to_owned(),
        };
        self.told.push("user", json!([{"type": "text", "text": told}]));
        tally.turns += 1;
        After::Again
    }

    /// Ends a message that an interrupt stopped, and the turn with it.
    fn cut_short(&mut self, id: &str, open: Option<(usize, Value)>, tally: &mut Tally) -> After {
        (self.out.garbage, self.out.split) = (false, false);
        let request = json!(self.interrupt.take());
        self.respond(&request, json!({"still_queued": []}));
        let index = open.as_ref().map(|(index, _)| index + 1);
        if let Some((_, line)) = open {
            self.out.message(line, json!({"aborted": true}));
        }
        self.say_to_model("[Request interrupted by user]", json!({}), tally);
        if let Some(index) = index {
            let delta = json!({"container": null, "stop_details": null, "stop_reason": null, "stop_sequence": null});
            let usage = json!({"output_tokens": 1});
            self.out.event(
                json!({"type": "message_delta", "context_management": null, "delta": delta, "usage": usage}),
                id,
                json!({}),
            );
            let abandoned = json!({"api_message_id": id, "from_block_index": index});
            self.out.event(json!({"type": "message_stop"}), id, json!({"abandoned_blocks": abandoned}));
        }
        self.interrupted(tally, "aborted_streaming");
        After::Over
    }

    /// Streams one block up to its last delta; the block as it came out, and what its `assistant` line has besides.
    fn block(&mut self, block: Block, streamed: &mut Streamed<'_>) -> (Value, Value) {
        let start = |session: &mut Session, block: Value, more: Value| {
            let event = json!({"type": "content_block_start", "index": streamed.index, "content_block": block});
            session.out.event(event, streamed.id, more);
        };
        match block {
            Block::Text(deltas) => {
                start(self, json!({"type": "text", "text": ""}), json!({}));
                for delta in &deltas {
                    self.delta(DeltaKind::Text, delta, streamed);
                }
                (json!({"type": "text", "text": streamed.whole}), json!({}))
            }
            Block::Count(count) => {
                start(self, json!({"type": "text", "text": ""}), json!({}));
                let mut delta = String::new();
                for number in 0..count {
                    delta.clear();
                    let _ = write!(delta, "w{number} ");
                    self.delta(DeltaKind::Text, &delta, streamed);
                }
                (json!({"type": "text", "text": streamed.whole}), json!({}))
            }
            Block::Thinking(deltas) => {
                let updates = json!({"thinking_display": "updates"});
                start(self, json!({"type": "thinking", "thinking": "", "signature": ""}), updates);
                for (number, delta) in deltas.iter().enumerate() {
                    let line = json!({"type": "system", "subtype": "thinking_tokens",
                        "estimated_tokens": 2 * (number + 1), "estimated_tokens_delta": 2});
                    self.out.line(line);
                    self.delta(DeltaKind::Thinking, delta, streamed);
                }
                let whole = streamed.whole.clone();
                self.delta(DeltaKind::Signature, "c2ln", streamed);
                (
                    json!({"type": "thinking", "thinking": whole, "signature": "c2ln"}),
                    json!({"thinking_duration_ms": 1, "thinking_display": "updates"}),
                )
            }
            Block::Fallback => {
                self.safety_stops += 1;
                let (from, to) = (json!({"model": "claude-fable-5-2"}), json!({"model": "claude-opus-5-5"}));
                (json!({"type": "fallback", "from": from, "to": to}), json!({}))
            }
            Block::Tool(name, input) => {
                let id = format!("toolu_{}_{}_{}", self.identity, self.messages, streamed.index);
                start(self, json!({"type": "tool_use", "id": id, "name": name, "input": {}}), json!({}));
                let half = (input.len() / 2..input.len()).find(|&at| input.is_char_boundary(at)).unwrap_or(0);
                for part in [&input[..half], &input[half..]] {
                    self.delta(DeltaKind::InputJson, part, streamed);
                }
                let input: Value = serde_json::from_str(&input).unwrap_or_else(|_| {
                    let raw: String = input.chars().take(KEPT_OF_BAD_INPUT).collect();
                    json!({"__unparsedToolInput": {"raw": raw, "len": input.encode_utf16().count()}})
                });
                (json!({"type": "tool_use", "id": id, "name": name, "input": input}), json!({}))
            }
        }
    }

    fn delta(&mut self, kind: DeltaKind, text: &str, streamed: &mut Streamed<'_>) {
        if self.interrupt.is_some() {
            return;
        }
        self.out.delta(streamed.index, kind, text, streamed.id);
        streamed.whole.push_str(text);
        *streamed.tokens += 1;
        if let Some(gap) = streamed.gap {
            let until = Instant::now() + gap;
            while Instant::now() < until && self.interrupt.is_none() {
                self.take(Some(until));
            }
        } else if streamed.tokens.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }
}

/// A block while it is streamed.
struct Streamed<'a> {
    index: usize,
    id: &'a str,
    gap: Option<Duration>,
    tokens: &'a mut u64,
    /// The deltas so far, put together.
    whole: String,
}
