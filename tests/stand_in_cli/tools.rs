//! The client's functions: the MCP handshake over the control channel, and the calls, parked until they are answered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lines::Tally;
use super::session::Session;
use super::told::acceptable;
use super::version;

/// How long the CLI waits for a handshake, and between two `tool_progress` lines.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much the model is told of an input that is not JSON, in characters.
const SHOWN_OF_BAD_INPUT: usize = 200;

/// What the model is told of an answer that its tool does not allow for; the size in characters.
const RESULT_SIZE: u64 = 100_000;

const REJECTED: &str = "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was a \
    file edit, the new_string was NOT written to the file). STOP what you are doing and wait for the user to tell you \
    how to proceed. Correction to the text above: this call was stopped while running, not refused before it ran. It \
    may have run in part or in full, and its changes may have been written. No permission prompt was involved. Work it \
    started elsewhere (a remote command, a background process) may still be running, so check before starting the same \
    work again. The instruction to stop and wait still stands.";
const LOST: &str = "The tool call was interrupted before a result was received. It may or may not have completed on the \
    server \u{2014} verify before assuming it succeeded, and retry if needed.";

/// How far the CLI has come with the client's MCP server.
pub(crate) enum Handshake {
    /// There is no server.
    None,
    /// This request is being waited for; `tools/list` if `listing`, so many times already.
    Waiting {
        request: String,
        listing: bool,
        tries: u32,
    },
    Connected,
    Failed,
}

/// One call of the model's.
pub(crate) struct Call {
    id: String,
    name: String,
    input: Value,
    /// The server's own name of the tool, if it is the server's.
    tool: Option<String>,
    read_only: bool,
    max_size: u64,
    state: State,
    /// Its result says that the turn ends with it.
    ends: bool,
    /// Which of the `user` lines written so far is its own.
    written: Option<usize>,
}

enum State {
    Waiting,
    /// `can_use_tool` was asked.
    Asking(String),
    /// `tools/call` was sent: the control request's id, and the JSON-RPC request's.
    Running(String, u64),
    /// The block for the model, and what else the `user` line has.
    Done(Value, Value),
}

impl Call {
    /// What the `assistant` line says of the call.
    pub(crate) fn meta(&self, server: Option<&str>) -> Option<Value> {
        if self.name == "StructuredOutput" {
            return None;
        }
        let short = self.tool.as_deref().unwrap_or(&self.name);
        let display: String = short.chars().take(1).flat_map(char::to_uppercase).chain(short.chars().skip(1)).collect();
        Some(match &self.tool {
            Some(tool) => {
                json!({"id": self.id, "display_name": display, "server_display_name": server, "tool_name": tool})
            }
            None => json!({"id": self.id, "display_name": display}),
        })
    }

    fn done(&mut self, content: Value, is_error: bool, result: Value, meta: Value) {
        let block = if is_error {
            json!({"type": "tool_result", "content": content, "is_error": true, "tool_use_id": self.id})
        } else {
            json!({"tool_use_id": self.id, "type": "tool_result", "content": content})
        };
        let mut line = json!({"tool_use_result": result});
        if !meta.is_null() {
            line["tool_result_meta"] = json!([meta]);
        }
        self.state = State::Done(block, line);
    }

    fn fail(&mut self, text: &str, meta: Value) {
        self.done(json!(text), true, json!(format!("Error: {text}")), meta);
    }

    fn accepted(&self, source: &str) -> Value {
        json!({"id": self.id, "permission_decision": {"decision": "accept", "source": source, "reason_type": "rule"}})
    }

    /// Takes an MCP result.
    fn answered(&mut self, response: &Value) {
        let meta = self.accepted("config");
        let message = &response["response"]["mcp_response"];
        let result = &message["result"];
        if response["subtype"] == "error" || result.is_null() {
            let error = response["error"].as_str().or(message["error"]["message"].as_str());
            return self.fail(error.unwrap_or("no result"), meta);
        }
        let texts: Vec<_> =
            result["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect();
        if result["isError"] == true {
            let text = texts.join("\n");
            return match text.trim() {
                "" if texts.is_empty() => self.fail("Unknown error", meta),
                "" => self.fail("Command failed with no output", meta),
                text => self.fail(text, meta),
            };
        }
        self.ends = result["_meta"]["claude/endTurn"] == true && std::env::var_os("STAND_IN_GOES_ON").is_none();
        let has_others = result["content"].as_array().into_iter().flatten().any(|part| part["text"].is_null());
        let size: usize = texts.iter().map(|text| text.chars().count()).sum();
        let content = if size as u64 > self.max_size {
            json!(format!(
                "<persisted-output>Output too large ({size} characters). Saved to a file.</persisted-output>"
            ))
        } else if texts.concat().trim().is_empty() && !has_others {
            json!(format!("({} completed with no output)", self.name))
        } else {
            result["content"].as_array().into_iter().flatten().map(block).collect()
        };
        self.done(content.clone(), false, content, meta);
    }
}

/// An MCP content part as the block that the model gets.
fn block(part: &Value) -> Value {
    if part["type"] == "image" {
        let source = json!({"type": "base64", "media_type": part["mimeType"], "data": part["data"]});
        return json!({"type": "image", "source": source});
    }
    part.clone()
}

impl Session {
    /// Sends a request of the MCP client's, and says under which ids.
    fn rpc(&mut self, method: &str, params: Value) -> (String, u64) {
        let id = self.next_rpc;
        self.next_rpc += 1;
        let mut message = json!({"method": method});
        if !params.is_null() {
            message["params"] = params;
        }
        message["jsonrpc"] = json!("2.0");
        message["id"] = json!(id);
        (self.send_to_server(message), id)
    }

    fn send_to_server(&mut self, message: Value) -> String {
        let server = self.told.server.clone();
        self.request(json!({"subtype": "mcp_message", "server_name": server, "message": message}))
    }

    fn request(&mut self, request: Value) -> String {
        let id = self.out.uuid();
        self.out.raw(&json!({"type": "control_request", "request_id": id, "request": request}));
        id
    }

    /// Asks for what the manifest should have said.
    pub(crate) fn begin_handshake(&mut self) {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "claude-code", "title": "Claude Code",
                "description": "Anthropic's agentic coding tool", "websiteUrl": "https://claude.com/claude-code",
                "version": version()}});
        let (request, _) = self.rpc("initialize", params);
        self.handshake = Handshake::Waiting { request, listing: false, tries: 0 };
    }

    /// Takes the next step if the answer to the last one is there.
    pub(crate) fn advance_handshake(&mut self) {
        let Handshake::Waiting { request, listing, tries } = &self.handshake else { return };
        let (listing, tries) = (*listing, *tries);
        let Some(answer) = self.answers.remove(request) else { return };
        let result = &answer["response"]["mcp_response"]["result"];
        if answer["subtype"] == "error" || result.is_null() {
            self.handshake = Handshake::Failed;
        } else if listing && acceptable(&result["tools"]) {
            self.told.take_tools(&result["tools"]);
            self.handshake = Handshake::Connected;
        } else if listing && tries == 4 {
            // One tool that it cannot take costs all of them.
            self.handshake = Handshake::Connected;
        } else {
            if !listing {
                self.send_to_server(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
            }
            let (request, _) = self.rpc("tools/list", Value::Null);
            self.handshake = Handshake::Waiting { request, listing: true, tries: tries + 1 };
        }
    }

    /// The first turn does not begin before the handshake has ended.
    pub(crate) fn wait_for_handshake(&mut self) {
        let until = Instant::now() + PATIENCE;
        while matches!(self.handshake, Handshake::Waiting { .. }) {
            if self.ended || Instant::now() >= until {
                self.handshake = Handshake::Failed;
            } else {
                self.take(Some(until));
            }
        }
    }

    /// A `tool_use` block as a call to be made.
    pub(crate) fn call(&self, block: &Value) -> Call {
        let name = block["name"].as_str().unwrap_or_default().to_owned();
        let tool = self.told.tool(&name);
        Call {
            id: block["id"].as_str().unwrap_or_default().to_owned(),
            input: block["input"].clone(),
            tool: tool.map(|(short, _)| short.to_owned()),
            ends: false,
            read_only: tool.is_some_and(|(_, tool)| tool["annotations"]["readOnlyHint"] == true),
            max_size: tool
                .and_then(|(_, tool)| tool["_meta"]["anthropic/maxResultSizeChars"].as_u64())
                .map_or(RESULT_SIZE, |size| size.min(500_000)),
            name,
            state: State::Waiting,
            written: None,
        }
    }

    /// Starts the calls that may start: all that only read together, any other one by itself.
    pub(crate) fn start_calls(&mut self, calls: &mut [Call]) {
        for at in 0..calls.len() {
            let (earlier, rest) = calls.split_at_mut(at);
            let Some(call) = rest.first_mut().filter(|call| matches!(call.state, State::Waiting)) else { continue };
            let mut running = earlier.iter().filter(|call| !matches!(call.state, State::Done(..)));
            if !running.all(|other| other.read_only && call.read_only) {
                return;
            }
            self.start(call);
        }
    }

    fn start(&mut self, call: &mut Call) {
        let unparsed = &call.input["__unparsedToolInput"];
        if let (Some(raw), Some(length)) = (unparsed["raw"].as_str(), unparsed["len"].as_u64()) {
            let shown: String = raw.chars().take(SHOWN_OF_BAD_INPUT).collect();
            let text = format!(
                "<tool_use_error>InputValidationError: {} was called with input that could not be parsed as JSON.\nYou sent \
                 (first {} of {length} bytes): {shown}\nCommon causes: unescaped backslashes in file paths (use / or \\\\), \
                 unescaped control characters, or truncated output. Retry with valid JSON.</tool_use_error>",
                call.name,
                shown.chars().count()
            );
            let result = json!(format!("InputValidationError: JSON parse failed ({length} bytes)"));
            return call.done(json!(text), true, result, Value::Null);
        }
        let Some(tool) = &call.tool else {
            if call.name == "StructuredOutput" {
                let said = json!("Structured output provided successfully");
                let meta = json!({"id": call.id, "permission_decision": {"decision": "accept", "source": "config"}});
                return call.done(said.clone(), false, said, meta);
            }
            let text = format!("Error: No such tool available: {}", call.name);
            return call.done(
                json!(format!("<tool_use_error>{text}</tool_use_error>")),
                true,
                json!(text),
                Value::Null,
            );
        };
        let server = format!("mcp__{}", self.told.server.as_deref().unwrap_or_default());
        if self.allowed.iter().any(|rule| *rule == server || *rule == call.name || *rule == format!("{server}__*")) {
            return self.send_call(call);
        }
        let suggestion = json!({"type": "addRules", "rules": [{"toolName": call.name}], "behavior": "allow",
            "destination": "localSettings"});
        let request = json!({"subtype": "can_use_tool", "tool_name": call.name,
            "mcp_server": {"name": self.told.server, "source": "sdk"}, "display_name": tool, "input": call.input,
            "permission_suggestions": [suggestion], "server_policy_ask_only": true, "tool_use_id": call.id});
        call.state = State::Asking(self.request(request));
    }

    fn send_call(&mut self, call: &mut Call) {
        let params = json!({"name": call.tool, "arguments": call.input,
            "_meta": {"claudecode/toolUseId": call.id, "progressToken": self.next_rpc}});
        let (request, rpc) = self.rpc("tools/call", params);
        call.state = State::Running(request, rpc);
    }

    fn poll_calls(&mut self, calls: &mut [Call]) {
        for call in calls.iter_mut() {
            match &call.state {
                State::Running(request, _) => {
                    if let Some(answer) = self.answers.remove(request) {
                        call.answered(&answer);
                    }
                }
                State::Asking(request) => {
                    let Some(answer) = self.answers.remove(request) else { continue };
                    let decision = &answer["response"];
                    if decision["behavior"] == "allow" {
                        if decision["updatedInput"].is_object() {
                            call.input = decision["updatedInput"].clone();
                        }
                        self.send_call(call);
                    } else {
                        let meta = json!({"id": call.id, "non_execution_kind": "permission-rule",
                            "permission_decision": {"decision": "reject", "source": "user_reject"}});
                        call.fail(decision["message"].as_str().unwrap_or("denied"), meta);
                    }
                }
                State::Waiting | State::Done(..) => {}
            }
        }
    }

    /// Writes a `user` line for each call that has been answered, in the calls' order.
    pub(crate) fn write_results(&mut self, calls: &mut [Call], tally: &mut Tally) {
        let mut waiting = false;
        let mut count = calls.iter().flat_map(|call| call.written).count();
        for call in calls {
            let State::Done(block, more) = &call.state else {
                waiting = true;
                continue;
            };
            // The CLI's own answer to an input that it cannot read does not wait for others.
            if (waiting && call.input["__unparsedToolInput"].is_null()) || call.written.is_some() {
                continue;
            }
            call.written = Some(count);
            tally.ends |= call.ends;
            count += 1;
            self.out.message(json!({"type": "user", "message": {"role": "user", "content": [block]}}), more.clone());
            if call.name == "StructuredOutput" {
                tally.structured = Some(call.input.clone());
                tally.text = call.input.to_string();
            }
            tally.turns += 1;
        }
    }

    /// Waits for the calls' answers and writes a `user` line for each, in the calls' order. True if it was interrupted.
    pub(crate) fn finish_calls(&mut self, mut calls: Vec<Call>, tally: &mut Tally) -> bool {
        let (started, mut next_progress) = (Instant::now(), Instant::now() + PATIENCE);
        loop {
            self.poll_calls(&mut calls);
            if self.interrupt.is_some() {
                self.reject(&mut calls);
            } else if self.ended {
                for call in calls.iter_mut().filter(|call| !matches!(call.state, State::Done(..))) {
                    let meta = json!({"id": call.id, "non_execution_kind": "interrupted"});
                    call.fail(LOST, meta);
                }
            }
            self.write_results(&mut calls, tally);
            let Some(next) = calls.iter().position(|call| call.written.is_none()) else { break };
            self.start_calls(&mut calls);
            if matches!(calls[next].state, State::Done(..)) {
                continue;
            }
            self.take(Some(next_progress));
            if Instant::now() >= next_progress {
                next_progress += PATIENCE;
                for call in calls.iter().filter(|call| matches!(call.state, State::Running(..))) {
                    self.out.line(json!({"type": "tool_progress", "tool_use_id": call.id, "tool_name": call.name,
                        "parent_tool_use_id": null, "elapsed_time_seconds": started.elapsed().as_secs()}));
                }
            }
        }
        calls.sort_by_key(|call| call.written);
        let blocks = calls.into_iter().filter_map(|call| match call.state {
            State::Done(block, _) => Some(block),
            _ => None,
        });
        self.told.push("user", blocks.collect());
        if self.interrupt.take().is_none() {
            return false;
        }
        let content = json!([{"type": "text", "text": "[Request interrupted by user for tool use]"}]);
        self.out.message(json!({"type": "user", "message": {"role": "user", "content": content}}), json!({}));
        self.told.push("user", content);
        tally.turns += 1;
        self.interrupted(tally, "aborted_tools");
        true
    }

    fn reject(&mut self, calls: &mut [Call]) {
        for call in calls.iter() {
            if let State::Running(_, rpc) = call.state {
                self.send_to_server(json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": {"requestId": rpc, "reason": "AbortError: remote-cancel"}}));
            }
        }
        let request = json!(self.interrupt);
        self.respond(&request, json!({"still_queued": []}));
        for call in calls.iter_mut().filter(|call| !matches!(call.state, State::Done(..))) {
            let meta = json!({"id": call.id, "non_execution_kind": "user-rejected"});
            call.done(json!(REJECTED), true, json!("User rejected tool use"), meta);
        }
    }
}
