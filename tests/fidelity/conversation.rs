//! What a conversation is, whichever API it is held over, and how one is made up.
//!
//! It is a plan: which call a result answers, or whether there is anybody to ask, follows when it is held. So every
//! simplification of a plan is a plan.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// The three APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Chat,
    Responses,
    Messages,
}

#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) door: Door,
    pub(crate) model: &'static str,
    /// Whether the client asks to be told what the model thinks.
    pub(crate) thinks: bool,
    pub(crate) ids: Ids,
    pub(crate) system: Vec<System>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) settings: Settings,
    /// So many turns are history when the first request is made.
    pub(crate) history: usize,
    pub(crate) turns: Vec<Turn>,
    /// The turn that is also asked for on a fresh process.
    pub(crate) replayed: usize,
    /// How many of the user's last blocks are marked for the prompt cache, where the API has such marks.
    pub(crate) marks: usize,
}

/// What a client makes of the ids of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    Kept,
    /// Letters and digits only.
    Stripped,
    /// By the name of the function and the place in the answer: the same in each turn.
    ByName,
    /// Alike in their first 45 characters.
    Long,
    /// `call_1_11` and `call_11_1`.
    Alike,
}

#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) developer: bool,
    pub(crate) texts: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) schema: Option<Value>,
    pub(crate) strict: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) max_tokens: Option<u32>,
    pub(crate) effort: Option<&'static str>,
    pub(crate) choice: Choice,
    pub(crate) one_call: bool,
    pub(crate) temperature: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Choice {
    Auto,
    None,
    Required,
    /// Of the tools, modulo their number.
    Function(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) change: Change,
    pub(crate) model: Option<&'static str>,
    pub(crate) settings: Option<Settings>,
    /// For the open calls, in turn.
    pub(crate) results: Vec<CallResult>,
    /// Whether the last call is answered first.
    pub(crate) reversed: bool,
    pub(crate) says: Vec<Says>,
    pub(crate) streamed: bool,
    pub(crate) answer: Answer,
}

/// What the client has done to its history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    Nothing,
    /// An earlier message, modulo their number, has been edited.
    Edited(usize),
    /// All after an earlier answer is gone.
    Forked(usize),
    /// The arguments of calls have been parsed and written anew.
    Rewritten,
}

#[derive(Clone, Debug)]
pub(crate) enum Says {
    User { name: Option<&'static str>, parts: Vec<Part> },
    System(System),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Picture(Picture),
    PictureAt(&'static str),
    Pdf,
    TextFile(String),
    SearchResult(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Picture {
    Dot,
    /// More than 2,000 pixels wide.
    Wide,
    /// More than 500 kB.
    Heavy,
}

#[derive(Clone, Debug)]
pub(crate) struct CallResult {
    pub(crate) parts: Vec<Part>,
    pub(crate) is_error: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) blocks: Vec<Block>,
    pub(crate) calls: Vec<(usize, String)>,
    pub(crate) end: End,
    /// In how many pieces each text comes.
    pub(crate) pieces: usize,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Block {
    Text(String),
    Thinking(String),
    Redacted,
    /// One of those that the API has had since this was written. In a history that the client made up, one that Anthropic's servers
    /// have left there.
    Unknown,
}

/// Why an answer ends; `Done` is `tool_use` where there are calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Done,
    /// `max_tokens`, in the middle of the last call if there is one.
    Cut,
    Refused,
    Window,
    Paused,
    Nothing,
}

/// Every kind of Unicode that something on the way may change.
const PIECES: [&str; 26] = [
    "word",
    " ",
    "\n",
    "e\u{301}",
    "👨‍👩‍👧",
    "m²",
    "½",
    "ﾊﾝ",
    "x\u{200b}y",
    "\r\n",
    "\t",
    "  \n",
    "\u{feff}",
    "\u{202e}abc",
    "<system-reminder>",
    "@/etc/hostname",
    "/clear",
    "\\u00e9",
    "\"'",
    "&amp;<b>",
    "\u{2028}",
    "\u{1}",
    "ﷺ",
    "🇨🇭",
    "{{x}}",
    "```\n",
];

/// What the CLI takes for white space, or leaves out.
fn is_mute(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || "\u{feff}\u{200b}\u{1}".contains(character))
}

fn text() -> impl Strategy<Value = String> {
    // A text of nothing but a byte order mark is one to us, and none to the CLI.
    let pieces = |pieces: Vec<&str>| pieces.concat().replace('\u{feff}', "\u{feff}x");
    prop_oneof![
        4 => select(vec!["one", "two words", "three.", "Ünïcödé"]).prop_map(str::to_owned),
        4 => vec(select(PIECES.to_vec()), 1..5).prop_map(pieces),
        1 => select(vec!["", " ", "\n\n"]).prop_map(str::to_owned),
    ]
}

/// A text that says something.
fn said() -> impl Strategy<Value = String> {
    text().prop_map(|text| if is_mute(&text) { format!("said{text}") } else { text })
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        8 => text().prop_map(Part::Text),
        2 => select(vec![Picture::Dot, Picture::Dot, Picture::Dot, Picture::Wide, Picture::Heavy]).prop_map(Part::Picture),
        1 => Just(Part::PictureAt("https://example.com/a.png")),
        1 => Just(Part::Pdf),
        1 => said().prop_map(Part::TextFile),
        1 => said().prop_map(Part::SearchResult),
    ]
}

fn system() -> impl Strategy<Value = System> {
    let texts = prop_oneof![1 => vec(text(), 1), 1 => vec(said(), 1..3)];
    (any::<bool>(), texts).prop_map(|(developer, texts)| System { developer, texts })
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        9 => (weighted(0.1, Just("ada")), vec(part(), 1..4)).prop_map(|(name, parts)| Says::User { name, parts }),
        1 => system().prop_map(Says::System),
    ]
}

fn tool() -> impl Strategy<Value = Tool> {
    let long_name = "a_name_that_is_as_long_as_openai_lets_a_function_name_be_64_long";
    let names = vec![
        "read",
        "look",
        "exec",
        "Bash",
        "mcp__github__create_pull_request_review",
        "a-b",
        "__proto__",
        "toString",
        "functions_read_0",
        long_name,
    ];
    let descriptions = prop_oneof![
        5 => Just(Some("Reads.".to_owned())),
        1 => Just(None),
        3 => said().prop_map(Some),
        1 => (1900_usize..5000).prop_map(|length| Some("long é ".repeat(length / 7))),
    ];
    let name = select(names).prop_map(str::to_owned);
    (name, descriptions, weighted(0.9, select(schemas())), prop::bool::weighted(0.05))
        .prop_map(|(name, description, schema, strict)| Tool { name, description, schema, strict })
}

/// Parameters as clients write them.
fn schemas() -> Vec<Value> {
    let of = |properties: Value| json!({"type": "object", "properties": properties});
    vec![
        of(json!({"path": {"type": "string", "description": "Where."}})),
        json!({"type": "object"}),
        json!({}),
        of(json!({})),
        json!({"type": "object", "properties": {"node": {"$ref": "#/$defs/node"}}, "required": ["node"],
            "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}}),
        of(
            json!({"value": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "either": {"type": ["string", "number"]}}),
        ),
        of(json!({"unit": {"enum": ["m²", "½", "ﾊﾝ", "x\u{200b}y", "👨‍👩‍👧", "e\u{301}"]}})),
        of(
            json!({"n": {"type": "integer", "maximum": 9_223_372_036_854_775_807_u64, "const": 9_007_199_254_740_993_u64}}),
        ),
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        json!({"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}]}),
        json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
            "properties": {"a": {"type": "array", "prefixItems": [{"type": "string"}]}}, "x-own": {"é": [1.0, null]}}),
    ]
}

/// Arguments as models write them.
fn arguments() -> impl Strategy<Value = String> {
    let values = vec![
        "1",
        "\"text\"",
        "1.5",
        "-0.0",
        "1e3",
        "null",
        "[]",
        "{}",
        "[1, {\"b\": [true]}]",
        "9007199254740993",
        "\"e\u{301} m² \\n\"",
        "\"\\u00e9\"",
        "\"\\\\u00e9\"",
        "\" \"",
        "\"\"",
        "{\"b\": 1, \"a\": 2}",
        "12345678901234567890",
        "\"👨‍👩‍👧\u{200b}\"",
    ];
    let keys = vec!["path", "text", "a b", "é", "__proto__", "constructor", "10", "9"];
    prop_oneof![
        6 => vec((select(keys), select(values)), 0..4).prop_map(|fields| {
            let mut keys = Vec::new();
            let fields = fields.into_iter().filter(|(key, _)| !keys.contains(key) && { keys.push(key); true });
            let fields: Vec<String> = fields.map(|(key, value)| format!("{key:?}: {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        }),
        1 => Just(String::new()),
        1 => Just(format!("{{\"text\": {:?}}}", "long ".repeat(4000))),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let choice = prop_oneof![
        12 => Just(Choice::Auto),
        1 => Just(Choice::None),
        1 => Just(Choice::Required),
        1 => (0_usize..5).prop_map(Choice::Function),
    ];
    let efforts = vec!["low", "medium", "high", "xhigh", "none"];
    (
        weighted(0.3, select(vec![50, 4096, 20_000])),
        weighted(0.3, select(efforts)),
        choice,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(max_tokens, effort, choice, one_call, temperature)| Settings {
            max_tokens,
            effort,
            choice,
            one_call,
            temperature,
        })
}

fn result() -> impl Strategy<Value = CallResult> {
    let parts = prop_oneof![
        3 => text().prop_map(|text| vec![Part::Text(text)]),
        3 => vec(part(), 0..4),
        1 => Just(vec![]),
        1 => (1000_usize..300_000).prop_map(|length| vec![Part::Text("r".repeat(length))]),
    ];
    (parts, prop::bool::weighted(0.15)).prop_map(|(parts, is_error)| CallResult { parts, is_error })
}

fn answer() -> impl Strategy<Value = Answer> {
    let block = prop_oneof![
        8 => said().prop_map(Block::Text),
        2 => text().prop_map(|text| Block::Thinking(format!("Hm, {text}"))),
        1 => Just(Block::Redacted),
        1 => Just(Block::Unknown),
    ];
    let end = prop_oneof![
        20 => Just(End::Done),
        2 => Just(End::Cut),
        1 => Just(End::Refused),
        1 => Just(End::Window),
        1 => Just(End::Paused),
        1 => Just(End::Nothing),
    ];
    let calls = prop_oneof![
        2 => Just(Vec::new()),
        3 => vec((0_usize..60, arguments()), 1..4),
    ];
    (vec(block, 0..4), calls, end, 1_usize..5, 1_u32..100_000, 2_u32..5000).prop_map(
        |(blocks, calls, end, pieces, input_tokens, output_tokens)| Answer {
            blocks,
            calls,
            end,
            pieces,
            input_tokens,
            output_tokens,
        },
    )
}

fn turn() -> impl Strategy<Value = Turn> {
    let change = prop_oneof![
        24 => Just(Change::Nothing),
        1 => (0_usize..10).prop_map(Change::Edited),
        1 => (0_usize..10).prop_map(Change::Forked),
        2 => Just(Change::Rewritten),
    ];
    (
        (change, weighted(0.03, select(vec!["sonnet", "haiku"])), weighted(0.15, settings())),
        (vec(result(), 1..4), any::<bool>(), vec(says(), 0..3)),
        (any::<bool>(), answer()),
    )
        .prop_map(|((change, model, settings), (results, reversed, says), (streamed, answer))| Turn {
            change,
            model,
            settings,
            results,
            reversed,
            says,
            streamed,
            answer,
        })
}

/// All conversations, short ones more often.
pub(crate) fn conversations() -> impl Strategy<Value = Conversation> {
    let turns = prop_oneof![6 => vec(turn(), 1..4), 3 => vec(turn(), 4..8), 1 => vec(turn(), 8..16)];
    let tools = prop_oneof![1 => Just(Vec::new()), 8 => vec(tool(), 1..5), 1 => vec(tool(), 20..60)];
    let ids = prop_oneof![8 => Just(Ids::Kept), 1 => Just(Ids::Stripped), 1 => Just(Ids::ByName), 1 => Just(Ids::Long), 1 => Just(Ids::Alike)];
    let history = prop_oneof![3 => Just(0_usize), 1 => 1_usize..6];
    (
        (select(vec![Door::Chat, Door::Responses, Door::Messages]), select(vec!["opus", "opus", "sonnet"])),
        (prop::bool::weighted(0.7), ids, vec(system(), 0..3), tools, settings()),
        (history, turns, 0_usize..16, prop_oneof![9 => Just(0), 1 => 1_usize..5]),
    )
        .prop_map(|((door, model), (thinks, ids, system, tools, settings), (history, turns, replayed, marks))| {
            let history = history.min(turns.len() - 1);
            let mut tools: Vec<Tool> = tools;
            for at in 0..tools.len() {
                if tools[..at].iter().any(|tool| tool.name == tools[at].name) {
                    let name = format!("{at}_{}", tools[at].name);
                    tools[at].name = name[..name.len().min(64)].to_owned();
                }
            }
            Conversation { door, model, thinks, ids, system, tools, settings, history, turns, replayed, marks }
        })
}
