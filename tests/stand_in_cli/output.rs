//! Standard output, one NDJSON line at a time: buffered while there is more to say, and fast for deltas.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::fault::Fault;

/// Written out when it holds this much; the size of a Linux pipe.
const FULL: usize = 64 * 1024;

/// Lines that are none, each of which a reader of the real CLI has to live with.
const JUNK: [&str; 5] = [
    "this line is not JSON",
    "",
    r#"{"type":"a_type_from_next_year","payload":{"deep":[1,2,3]}}"#,
    r#"{"type":"stream_event","event":{"type":"an_event_from_next_year"},"session_id":"","parent_tool_use_id":null}"#,
    r#"["an array", 1]"#,
];

pub(crate) struct Output {
    buffer: Vec<u8>,
    start_of_line: usize,
    session: String,
    uuid: [u8; 36],
    count: u64,
    /// Junk between the lines, and CRLF after every second one.
    pub(crate) garbage: bool,
    /// Each line written in pieces that end inside its multi-byte characters.
    pub(crate) split: bool,
    /// What happens instead of a line to come.
    pub(crate) fault: Option<Fault>,
}

impl Output {
    /// Output of a process with this identity, from which session id and uuids follow.
    pub(crate) fn new(identity: &str) -> Self {
        // FNV-1a, twice: identities differ, so should the ids.
        let hash = |seed: u64| {
            identity.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        };
        let (one, two) = (hash(0xcbf2_9ce4_8422_2325), hash(0x8422_2325_cbf2_9ce4));
        let text = format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-000000000000",
            one >> 32,
            one & 0xffff,
            (one >> 16) & 0xfff,
            two & 0xfff
        );
        let mut uuid = [b'0'; 36];
        uuid.copy_from_slice(text.as_bytes());
        Output {
            buffer: Vec::with_capacity(2 * FULL),
            start_of_line: 0,
            session: text,
            uuid,
            count: 0,
            garbage: false,
            split: false,
            fault: None,
        }
    }

    /// A uuid that no other line of this process has.
    pub(crate) fn uuid(&mut self) -> String {
        self.next_uuid();
        String::from_utf8_lossy(&self.uuid).into_owned()
    }

    fn next_uuid(&mut self) {
        self.count += 1;
        let mut rest = self.count;
        for digit in self.uuid[24..].iter_mut().rev() {
            *digit = b"0123456789abcdef"[(rest & 15) as usize];
            rest >>= 4;
        }
    }

    /// A line as it is.
    pub(crate) fn raw(&mut self, line: &Value) {
        self.buffer.extend_from_slice(line.to_string().as_bytes());
        self.end_line();
    }

    /// A line with the session's id and a uuid of its own added.
    pub(crate) fn line(&mut self, mut line: Value) {
        line["session_id"] = json!(self.session);
        line["uuid"] = json!(self.uuid());
        self.raw(&line);
    }

    /// An `assistant` or `user` line, which has a time stamp beside its ids.
    pub(crate) fn message(&mut self, mut line: Value, more: Value) {
        line["parent_tool_use_id"] = Value::Null;
        line["session_id"] = json!(self.session);
        line["uuid"] = json!(self.uuid());
        line["timestamp"] = json!(timestamp());
        if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        self.raw(&line);
    }

    /// A `stream_event` line around one event of the Messages API.
    pub(crate) fn event(&mut self, event: Value, message_id: &str, more: Value) {
        let mut line = json!({"type": "stream_event", "event": event, "session_id": self.session,
            "parent_tool_use_id": null, "uuid": self.uuid()});
        if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        line["api_message_id"] = json!(message_id);
        self.raw(&line);
    }

    /// A `content_block_delta`, put together by hand: this is the line there are millions of.
    pub(crate) fn delta(&mut self, index: usize, kind: DeltaKind, text: &str, message_id: &str) {
        let (start, end) = kind.around();
        self.put(br#"{"type":"stream_event","event":{"type":"content_block_delta","index":"#);
        if index < 10 {
            self.buffer.push(b'0' + index as u8);
        } else {
            self.put(index.to_string().as_bytes());
        }
        self.put(start.as_bytes());
        if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.put(text.as_bytes());
        } else {
            let quoted = Value::from(text).to_string();
            self.put(&quoted.as_bytes()[1..quoted.len() - 1]);
        }
        self.put(br#""}},"session_id":""#);
        self.buffer.extend_from_slice(self.session.as_bytes());
        self.put(br#"","parent_tool_use_id":null,"uuid":""#);
        self.next_uuid();
        self.buffer.extend_from_slice(&self.uuid);
        self.put(end.as_bytes());
        self.put(message_id.as_bytes());
        self.put(b"\"}");
        self.end_line();
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        if let Some(fault) = &mut self.fault
            && let Some(rest) = fault.at_line(self.buffer.len() - self.start_of_line)
        {
            let fault = *fault;
            self.buffer.truncate(self.start_of_line + rest);
            self.flush();
            fault.strike();
        }
        if self.garbage || self.split {
            self.end_odd_line();
        } else {
            self.buffer.push(b'\n');
        }
        self.start_of_line = self.buffer.len();
        if self.buffer.len() >= FULL {
            self.flush();
        }
    }

    fn end_odd_line(&mut self) {
        let line = self.buffer.split_off(self.start_of_line);
        if self.garbage {
            self.count += 1;
            self.buffer.extend_from_slice(JUNK[(self.count % 5) as usize].as_bytes());
            self.buffer.push(b'\n');
        }
        for byte in line {
            self.buffer.push(byte);
            if self.split && byte >= 0x80 {
                self.flush();
            }
        }
        self.buffer.extend_from_slice(if self.garbage && self.count.is_multiple_of(2) { b"\r\n" } else { b"\n" });
    }

    /// Hands over what has been said so far. A reader that is gone ends the process, as it does the real CLI.
    pub(crate) fn flush(&mut self) {
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&self.buffer).and_then(|()| stdout.flush()).is_err() {
            std::process::exit(1);
        }
        self.buffer.clear();
        self.start_of_line = 0;
    }
}

/// Which field of a block a delta adds to.
#[derive(Clone, Copy)]
pub(crate) enum DeltaKind {
    Text,
    Thinking,
    Signature,
    InputJson,
}

impl DeltaKind {
    /// What comes between index and text, and between uuid and message id.
    fn around(self) -> (&'static str, &'static str) {
        const END: &str = r#"","api_message_id":""#;
        match self {
            Self::Text => (r#","delta":{"type":"text_delta","text":""#, END),
            Self::Thinking => (
                r#","delta":{"type":"thinking_delta","thinking":""#,
                r#"","thinking_display":"updates","api_message_id":""#,
            ),
            Self::Signature => (r#","delta":{"type":"signature_delta","signature":""#, END),
            Self::InputJson => (r#","delta":{"type":"input_json_delta","partial_json":""#, END),
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The time in RFC 3339, UTC. The calendar is reckoned in years that begin in March.
fn timestamp() -> String {
    let seconds = now();
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month < 3);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}
