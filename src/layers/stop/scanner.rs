//! Finds stop texts in deltas, with a Knuth-Morris-Pratt automaton for each.

/// Looks for the earliest of several texts in a text that comes in pieces.
///
/// It holds back only the longest end of the text that is the beginning of a stop text. If a match begins within what may still
/// become an earlier match, it waits until that is decided, so the result never depends on how the text was cut.
pub(super) struct StopScanner {
    stops: Vec<Matcher>,
    held: String,
    /// Where in `held` the earliest match so far begins, and of which text, while an earlier one is still possible.
    found: Option<(usize, usize)>,
}

/// The outcome of a piece of text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Text that is not part of any match; may be empty.
    pub(super) text: String,
    /// Which of the stop texts follows this text, if one does. Then nothing comes after it.
    pub(super) matched: Option<usize>,
}

impl StopScanner {
    /// A scanner for these texts, none of which may be empty (an empty one is never found).
    pub(super) fn new(stop: &[String]) -> Self {
        let stops = stop.iter().filter(|text| !text.is_empty()).map(|text| Matcher::new(text)).collect();
        StopScanner { stops, held: String::new(), found: None }
    }

    /// Takes a piece of text and returns what can be sent by now. A piece is returned as it is if nothing need be held back.
    pub(super) fn push(&mut self, mut piece: String) -> Scanned {
        let start = self.held.len();
        for (i, byte) in piece.bytes().enumerate() {
            let end = start + i + 1;
            for (which, stop) in self.stops.iter_mut().enumerate() {
                if stop.step(byte) {
                    let begin = end - stop.text.len();
                    if self.found.is_none_or(|(found, _)| begin < found) {
                        self.found = Some((begin, which));
                    }
                }
            }
            if let Some((found, which)) = self.found
                && self.candidate(end) >= found
            {
                let text = self.cut(piece, found);
                self.clear();
                return Scanned { text, matched: Some(which) };
            }
        }
        let candidate = self.candidate(start + piece.len());
        self.found = self.found.map(|(found, which)| (found - candidate, which));
        if start == 0 {
            // A candidate begins with a stop text's first byte, so this never splits a character.
            self.held.push_str(piece.get(candidate..).unwrap_or_default());
            piece.truncate(candidate);
            return Scanned { text: piece, matched: None };
        }
        self.held.push_str(&piece);
        let text = self.held.drain(..candidate).collect();
        Scanned { text, matched: None }
    }

    /// Returns what is held, since the text is over. Any later text is scanned afresh.
    pub(super) fn finish(&mut self) -> Scanned {
        let mut text = std::mem::take(&mut self.held);
        let matched = self.found.map(|(_, which)| which);
        if let Some((found, _)) = self.found {
            text.truncate(found);
        }
        self.clear();
        Scanned { text, matched }
    }

    /// Where the longest end of the text that may become a match begins.
    fn candidate(&self, end: usize) -> usize {
        end - self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0)
    }

    /// The text held and this piece of it, up to there.
    fn cut(&mut self, mut piece: String, at: usize) -> String {
        if self.held.is_empty() {
            piece.truncate(at);
            return piece;
        }
        let mut text = std::mem::take(&mut self.held);
        text.push_str(&piece);
        text.truncate(at);
        text
    }

    fn clear(&mut self) {
        self.held.clear();
        self.found = None;
        self.stops.iter_mut().for_each(|stop| stop.matched = 0);
    }
}

struct Matcher {
    text: Box<[u8]>,
    /// For each length of a partial match: the length of the next shorter one that ends in the same place. Known up to the
    /// longest match so far: a stop text may be megabytes, and the model writes no such thing.
    shorter: Vec<usize>,
    /// How much of the text is matched by what came last; never all of it between steps.
    matched: usize,
}

impl Matcher {
    fn new(text: &str) -> Self {
        Matcher { text: text.as_bytes().into(), shorter: vec![0; 2], matched: 0 }
    }

    /// Takes one byte, and says whether a match ends with it.
    fn step(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.text[self.matched] != byte {
            self.matched = self.shorter[self.matched];
        }
        if self.text[self.matched] == byte {
            self.matched += 1;
            self.learn();
        }
        let complete = self.matched == self.text.len();
        if complete {
            self.matched = self.shorter[self.matched];
        }
        complete
    }

    /// Finds the next shorter match for one that is longer by a byte than any before.
    fn learn(&mut self) {
        let end = self.shorter.len() - 1;
        if self.matched <= end {
            return;
        }
        let mut length = self.shorter[end];
        while length > 0 && self.text[end] != self.text[length] {
            length = self.shorter[length];
        }
        self.shorter.push(length + usize::from(self.text[end] == self.text[length]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_begins_with_the_beginning_of_the_stop_text() {
        let mut matcher = Matcher::new("aabaacx");
        // What follows "aabaac" would complete a match if that ended like "aa".
        assert!("aabaacbaacx".bytes().all(|byte| !matcher.step(byte)));
        let steps = "aaabaacx".bytes().map(|byte| matcher.step(byte));
        assert_eq!(steps.collect::<Vec<_>>().last(), Some(&true));
    }

    #[test]
    fn a_stop_text_that_the_model_does_not_write_takes_no_more_memory_than_its_text() {
        let mut matcher = Matcher::new(&"ab".repeat(500_000));
        for byte in "abab, and abababab".bytes() {
            assert!(!matcher.step(byte));
        }
        assert_eq!((matcher.matched, matcher.shorter.len()), (8, 9));
    }
}
