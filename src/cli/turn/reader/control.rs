//! What the CLI says besides the answer: whether it took the setup, its control requests, and its replies to ours.

use super::{Context, Step, TurnReader};
use crate::cli::conversation::PreparedRequest;
use crate::cli::prompt::mcp::PendingCall;
use crate::cli::protocol::incoming::{ControlReply, ModelTaken, read};
use crate::cli::protocol::{ControlRequest, Line, STRUCTURED_OUTPUT};
use crate::{Error, ErrorKind};

impl TurnReader {
    pub(super) fn take_init(&mut self, line: &Line<'_>, request: &PreparedRequest) -> Result<(), Error> {
        if self.setup_confirmed {
            return Ok(());
        }
        let tools: Vec<String> = read(line.tools);
        request.setup.functions.check_taken(&tools)?;
        // The CLI silently ignores an invalid schema (2.1.328).
        if request.setup.schema.is_some() && !tools.iter().any(|tool| tool == STRUCTURED_OUTPUT) {
            return Err(Error::invalid_request(
                "Claude Code refused the schema of response_format. Check that it is a valid JSON schema of an object.",
            )
            .with_param("response_format.json_schema.schema"));
        }
        self.setup_confirmed = true;
        Ok(())
    }

    pub(super) fn take_control_request(&mut self, line: &Line<'_>, context: Context<'_>, out: &mut Step) {
        let Some(request_id) = line.request_id.as_ref() else { return };
        let request_id = request_id.as_str();
        let request: ControlRequest = read(line.request);
        match request.subtype.as_str() {
            "mcp_message" => match PendingCall::read(request_id, &request.message) {
                Some(call) => {
                    let events = self.calls.issued(call);
                    if !events.is_empty() {
                        // The model made the call long ago, and the CLI issues it only now.
                        self.start(out);
                        out.events.extend(events);
                    }
                    self.park_if_complete(out);
                }
                None => context.request.setup.functions.answer(request_id, &request.message, &mut out.replies),
            },
            "can_use_tool" | "hook_callback" => out.questions.push((request_id.to_owned(), request)),
            other => out.replies.refuse(request_id, &format!("Unsupported control request subtype: {other}")),
        }
    }

    pub(super) fn take_control_reply(&mut self, reply: ControlReply<'_>) -> Result<(), Error> {
        let id = reply.request_id.as_ref().map_or("", |id| id.as_str());
        if reply.subtype.as_ref().is_none_or(|subtype| subtype.as_str() != "error") {
            if id == "model" {
                self.knows_model = true;
                self.model = read::<ModelTaken>(reply.response).model.unwrap_or_default();
            }
            return Ok(());
        }
        let said = reply.error.map(String::from).unwrap_or_default();
        match id {
            "model" => Err(Error::new(
                ErrorKind::ModelNotFound,
                format!("Claude Code does not take this model: {said} See GET /v1/models for names."),
            )
            .with_param("model")),
            request => {
                Err(Error::new(ErrorKind::Cli, format!("Claude Code refused the control request {request}: {said}")))
            }
        }
    }
}
