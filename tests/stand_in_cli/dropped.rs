//! A connection to the API that is lost in mid-answer: the CLI abandons what it has streamed, asks again for a message
//! in one piece, and writes that as an `assistant` line alone.

use serde_json::json;

use super::lines::Tally;
use super::output::DeltaKind;
use super::session::Session;

impl Session {
    /// Writes an answer with these deltas, the connection lost after the first one.
    pub(crate) fn dropped(&mut self, deltas: &[String], tally: &mut Tally) {
        let model = self.told.model_name().to_owned();
        let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 7,
            "output_tokens": 1});
        let envelope = |id: &str| {
            json!({"id": id, "type": "message", "role": "assistant", "model": model, "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": usage})
        };
        self.out.line(json!({"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 1,
            "retry_delay_ms": 500, "error_status": null, "error": "unknown"}));
        let id = self.next_message_id();
        self.out.event(json!({"type": "message_start", "message": envelope(&id)}), &id, json!({"ttft_ms": 1}));
        let block = json!({"type": "text", "text": ""});
        self.out.event(json!({"type": "content_block_start", "index": 0, "content_block": block}), &id, json!({}));
        if let Some(first) = deltas.first() {
            self.out.delta(0, DeltaKind::Text, first, &id);
        }
        self.out.event(json!({"type": "content_block_stop", "index": 0}), &id, json!({}));
        let abandoned = json!({"api_message_id": id, "from_block_index": 0});
        self.out.event(json!({"type": "message_stop"}), &id, json!({"abandoned_blocks": abandoned}));

        let content = json!([{"type": "text", "text": deltas.concat()}]);
        let mut message = envelope(&self.next_message_id());
        message["content"] = content.clone();
        message["stop_reason"] = json!("end_turn");
        self.out.message(json!({"type": "assistant", "message": message}), json!({}));
        self.told.push("assistant", content);
        tally.text = deltas.concat();
        tally.stop = json!("end_turn");
        tally.input_tokens += 10;
        tally.output_tokens += 1;
    }
}
