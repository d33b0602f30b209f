//! Estimates the number of tokens in a text: no tokenizer of a current Claude model is published.
//!
//! The weights were fitted to the one tokenizer that is published (npm `@anthropic-ai/tokenizer`, of Claude 2), and stay
//! within 15 % of it for prose, code, JSON, tool definitions and CJK. Later models split texts into up to a third more
//! tokens.

use crate::ChatRequest;
use crate::chat::{Content, Part};

/// What an image costs at most: Anthropic scales it down to about this many tokens.
const IMAGE: u64 = 1600;

/// What each message and each tool costs in addition to its text.
const OVERHEAD: u64 = 4;

/// The estimate for a whole request, in tokens.
pub(crate) fn of(request: &ChatRequest) -> u64 {
    let mut count = Estimate::default();
    for message in &request.messages {
        count.add_tokens(OVERHEAD);
        match &message.content {
            Some(Content::Text(text)) => count.add(text),
            Some(Content::Parts(parts)) => parts.iter().for_each(|part| add_part(part, &mut count)),
            _ => {}
        }
        for call in message.calls() {
            count.add(&call.function.name);
            count.add(&call.function.arguments);
        }
    }
    for function in request.functions() {
        count.add_tokens(OVERHEAD);
        count.add(&function.name);
        count.add(function.description.as_deref().unwrap_or_default());
        if let Some(schema) = &function.parameters {
            count.add(&schema.to_string());
        }
    }
    count.tokens()
}

fn add_part(part: &Part, count: &mut Estimate) {
    if let Some(text) = part.as_text() {
        return count.add(text);
    }
    let source = &part.extra.get("source");
    let data = source.and_then(|source| source["data"].as_str()).unwrap_or_default();
    match part.kind.as_str() {
        "image" | "image_url" | "input_image" => count.add_tokens(IMAGE),
        // A page of a PDF is about 60 kB of base64, and about 2,000 tokens.
        "document" if source.is_some_and(|source| source["type"] == "base64") => {
            count.add_tokens((data.len() as u64 / 30).max(500));
        }
        "document" => count.add(data),
        _ if part.file.is_some() => count.add_tokens(IMAGE),
        _ => count.add(&part.extra.get("content").map(ToString::to_string).unwrap_or_default()),
    }
}

/// An estimate that grows with each text that belongs to a request.
#[derive(Debug, Default)]
pub(crate) struct Estimate {
    /// In hundredths of a token, so that many small texts do not add up to a rounding error.
    hundredths: u64,
}

impl Estimate {
    /// Adds a text.
    pub(crate) fn add(&mut self, text: &str) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let kind = Kind::of(first);
            let length = rest.find(|character| Kind::of(character) != kind).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(length);
            self.hundredths += kind.weight(run);
            rest = behind;
        }
    }

    /// Adds a known number of tokens.
    pub(crate) fn add_tokens(&mut self, tokens: u64) {
        self.hundredths += tokens * 100;
    }

    /// The estimate so far, in tokens.
    pub(crate) fn tokens(&self) -> u64 {
        self.hundredths.div_ceil(100)
    }
}

/// What a run of characters is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letters,
    Digits,
    Space,
    Punctuation,
    /// Letters with accents, which mostly break a word in two.
    Accented,
    Kana,
    Hangul,
    /// Ideographs, and symbols that are as rare.
    Ideographs,
    /// Cyrillic, Greek, Arabic and the like.
    Alphabets,
}

impl Kind {
    fn of(character: char) -> Self {
        match character {
            'a'..='z' | 'A'..='Z' => Kind::Letters,
            '0'..='9' => Kind::Digits,
            _ if character.is_whitespace() => Kind::Space,
            '\0'..='\u{7f}' => Kind::Punctuation,
            '\u{80}'..='\u{24f}' => Kind::Accented,
            '\u{3040}'..='\u{30ff}' => Kind::Kana,
            '\u{ac00}'..='\u{d7af}' => Kind::Hangul,
            '\u{2e80}'.. => Kind::Ideographs,
            _ => Kind::Alphabets,
        }
    }

    fn weight(self, run: &str) -> u64 {
        let length = run.len() as u64;
        let characters = || run.chars().count() as u64;
        match self {
            // A word is a token, and a long one more: 0.31 for each further four letters.
            Kind::Letters => 106 + length.saturating_sub(7) * 31 / 4,
            Kind::Digits => length.div_ceil(3) * 60,
            // The space before a word is part of it.
            Kind::Space if run == " " => 0,
            Kind::Space => 136,
            Kind::Punctuation => length.div_ceil(2) * 94,
            Kind::Accented => characters() * 195,
            Kind::Kana => characters() * 110,
            Kind::Hangul => characters() * 132,
            Kind::Ideographs => characters() * 88,
            Kind::Alphabets => characters() * 53,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
        let mut estimate = Estimate::default();
        texts.into_iter().for_each(|text| estimate.add(text));
        estimate.tokens()
    }

    #[test]
    fn the_estimate_is_within_15_percent_of_texts_of_known_length() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokens");
        let counts = std::fs::read_to_string(directory.join("counts.tsv")).unwrap();
        let mut texts = 0;
        for (name, count) in counts.lines().filter_map(|line| line.split_once('\t')) {
            let text = std::fs::read_to_string(directory.join(name)).unwrap();
            let (known, estimate) = (count.parse::<f64>().unwrap(), estimate([text.as_str()]) as f64);
            assert!((estimate / known - 1.0).abs() <= 0.15, "{name}: estimated {estimate}, known {known}");
            texts += 1;
        }
        assert!(texts >= 12, "{texts}");
    }

    #[test]
    fn many_small_texts_count_as_much_as_one() {
        assert_eq!(estimate(["word"; 100]), 106);
        assert_eq!(estimate([]), 0);
    }
}
