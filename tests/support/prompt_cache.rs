//! Models the API's prompt cache by its documented rules: how much of a request is read, written, and billed in full.
//!
//! The rules, from Anthropic's documentation ("Prompt caching", docs.anthropic.com, November 2026):
//!
//! - A prefix of a request is cached: its tools, then its system blocks, then its messages, in this order. Two
//!   prefixes match if they are equal apart from `cache_control`.
//! - A block with `cache_control` is a mark: the prefix that ends with it is written. There may be four.
//! - What is read is the longest prefix that was written before and ends at a mark or up to 20 blocks before one.
//! - A prefix must have a minimum length: 1,024 tokens for most models, 4,096 for some. This model uses the larger one.
//! - Tokens cost 0.1 of the input price if they are read, 1.25 if they are written for five minutes, 2 for an hour.
//!
//! `marks.rs` has the marks that the API refuses.
//!
//! Entries never expire here: time is not part of the measurement. A token is taken to be four bytes of JSON.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

const LOOK_BACK: usize = 20;

const SHORTEST_PREFIX: f64 = 4096.0;

/// The prefixes written so far, and all prefixes sent so far.
#[derive(Default)]
pub(crate) struct PromptCache {
    written: HashSet<u64>,
    sent: HashSet<u64>,
}

/// The tokens of a request, or of several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bill {
    pub(crate) read: f64,
    pub(crate) written: f64,
    /// Neither read nor written.
    pub(crate) plain: f64,
    /// What would have been read with a mark on every block.
    pub(crate) readable: f64,
    /// In tokens at the input price.
    pub(crate) cost: f64,
}

impl Bill {
    pub(crate) fn tokens(&self) -> f64 {
        self.read + self.written + self.plain
    }
}

impl std::ops::AddAssign for Bill {
    fn add_assign(&mut self, more: Bill) {
        self.read += more.read;
        self.written += more.written;
        self.plain += more.plain;
        self.readable += more.readable;
        self.cost += more.cost;
    }
}

/// A block of a request, identified by the prefix that ends with it.
struct Block {
    prefix: u64,
    /// The tokens of the whole prefix.
    tokens: f64,
    mark: Option<Lifetime>,
}

#[derive(Clone, Copy, PartialEq)]
enum Lifetime {
    FiveMinutes,
    OneHour,
}

impl PromptCache {
    /// Adds a request, and returns how its input tokens are billed.
    pub(crate) fn bill(&mut self, request: &Value) -> Bill {
        let blocks = blocks(request);
        let total = blocks.last().map_or(0.0, |block| block.tokens);
        let long_enough = |block: &&Block| block.tokens >= SHORTEST_PREFIX;
        let marks: Vec<usize> = (0..blocks.len()).filter(|at| blocks[*at].mark.is_some()).collect();
        let read = marks
            .iter()
            .flat_map(|mark| blocks[mark.saturating_sub(LOOK_BACK)..=*mark].iter())
            .filter(long_enough)
            .filter(|block| self.written.contains(&block.prefix))
            .fold(0.0, |most: f64, block| most.max(block.tokens));
        let readable = blocks.iter().filter(long_enough).filter(|block| self.sent.contains(&block.prefix));
        let readable = readable.fold(0.0, |most: f64, block| most.max(block.tokens));
        let marked: Vec<&Block> = marks.iter().map(|at| &blocks[*at]).filter(long_enough).collect();
        let (mut written, mut cost, mut from) = (0.0, 0.1 * read, read);
        for block in marked.iter().filter(|block| block.tokens > read) {
            let rate = if block.mark == Some(Lifetime::OneHour) { 2.0 } else { 1.25 };
            written += block.tokens - from;
            cost += rate * (block.tokens - from);
            from = block.tokens;
        }
        self.written.extend(marked.iter().map(|block| block.prefix));
        self.sent.extend(blocks.iter().map(|block| block.prefix));
        let plain = total - read - written;
        Bill { read, written, plain, readable, cost: cost + plain }
    }
}

fn blocks(request: &Value) -> Vec<Block> {
    let mut prefix = Prefix { hasher: DefaultHasher::new(), bytes: 0, blocks: Vec::new() };
    for place in ["tools", "system"] {
        prefix.header(place);
        for block in list(&request[place]) {
            prefix.block(&block);
        }
    }
    for message in list(&request["messages"]) {
        prefix.header(&format!("{} {}", message["role"], message["output_config"]));
        for block in list(&message["content"]) {
            prefix.block(&block);
        }
    }
    prefix.blocks
}

/// A string is short for one block of text.
fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(blocks) => blocks.clone(),
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        _ => Vec::new(),
    }
}

struct Prefix {
    hasher: DefaultHasher,
    bytes: usize,
    blocks: Vec<Block>,
}

impl Prefix {
    fn header(&mut self, text: &str) {
        text.hash(&mut self.hasher);
    }

    fn block(&mut self, block: &Value) {
        let mut block = block.clone();
        let mark = block
            .as_object_mut()
            .and_then(|block| block.remove("cache_control"))
            .map(|mark| if mark["ttl"] == "1h" { Lifetime::OneHour } else { Lifetime::FiveMinutes });
        let text = sorted(&block).to_string();
        text.hash(&mut self.hasher);
        self.bytes += text.len();
        self.blocks.push(Block { prefix: self.hasher.finish(), tokens: self.bytes as f64 / 4.0, mark });
    }
}

/// Sorts a block's own keys, whose order does not count.
fn sorted(block: &Value) -> Value {
    let Some(block) = block.as_object() else { return block.clone() };
    let mut fields: Vec<_> = block.clone().into_iter().collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    Value::Object(fields.into_iter().collect())
}
