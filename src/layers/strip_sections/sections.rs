//! [`Sections`]: which sections of a Markdown text to remove, and the text without them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A choice of Markdown sections, by their headings.
///
/// A section reaches from its heading to the next heading of the same or a higher level, or to the text's end. Headings
/// are ATX headings (`## Like this`); what looks like one in a fenced code block is not one. [`strip`](Self::strip)
/// takes the chosen sections out and leaves everything else byte for byte.
///
/// ```
/// use tower_claude::layers::Sections;
///
/// let text = "Be kind.\n\n## Tools\nMany.\n\n### More tools\nEven more.\n\n## Style\nTerse.\n";
/// let without = "Be kind.\n\n## Style\nTerse.\n";
/// assert_eq!(Sections::named(["Tools"]).strip(text), without);
/// assert_eq!(Sections::chosen_by(|heading| heading.starts_with("Tool")).strip(text), without);
/// ```
#[derive(Clone)]
pub struct Sections {
    chosen: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    until: Vec<String>,
    boundaries: Vec<String>,
}

impl Sections {
    /// The sections with these headings: the text after the `#`s, in the same case.
    pub fn named<H: Into<String>>(headings: impl IntoIterator<Item = H>) -> Self {
        let headings: Vec<String> = headings.into_iter().map(Into::into).collect();
        Self::chosen_by(move |heading| headings.iter().any(|wanted| wanted == heading))
    }

    /// The sections whose heading this accepts.
    pub fn chosen_by(chosen: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Sections { chosen: Arc::new(chosen), until: Vec::new(), boundaries: Vec::new() }
    }

    /// Stops at this heading; everything after it is left untouched. Below the heading of a section that is
    /// removed, it counts only if it ends that section.
    #[must_use]
    pub fn until(mut self, heading: impl Into<String>) -> Self {
        self.until.push(heading.into());
        self
    }

    /// Treats a line of exactly this text, apart from white space around it, as the beginning of another document: it ends
    /// any section or fenced code block, and whatever [`until`](Self::until) has left untouched.
    #[must_use]
    pub fn boundary(mut self, line: impl Into<String>) -> Self {
        self.boundaries.push(line.into());
        self
    }

    /// The text without the chosen sections; borrowed if there are none.
    ///
    /// The blank lines at a section's end go with it; those before it stay, except at the end of the text.
    pub fn strip<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let cuts = self.find(text);
        if cuts.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut kept = String::with_capacity(text.len());
        let mut from = 0;
        for cut in &cuts {
            kept.push_str(&text[from..cut.start]);
            from = cut.end;
        }
        if from < text.len() {
            kept.push_str(&text[from..]);
        } else {
            close_end(&mut kept, text.ends_with('\n'));
        }
        Cow::Owned(kept)
    }

    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut cuts: Vec<Range<usize>> = Vec::new();
        // The chosen section that the line is in: where it begins, and its level.
        let mut section: Option<(usize, usize)> = None;
        let mut fence: Option<Fence> = None;
        let mut ours = true;
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            let start = end;
            end += line.len();
            if self.is_boundary(line) {
                cuts.extend(section.take().map(|(from, _)| from..start));
                (fence, ours) = (None, true);
                continue;
            }
            if !ours {
                continue;
            }
            if let Some(open) = &fence {
                match open.follow(line) {
                    Follow::Within => continue,
                    Follow::Closed => {
                        fence = None;
                        continue;
                    }
                    Follow::Left => {}
                }
            }
            fence = Fence::open(line);
            let Some((level, heading)) = parse_heading(line) else { continue };
            if section.is_some_and(|(_, of)| level > of) {
                continue;
            }
            cuts.extend(section.take().map(|(from, _)| from..start));
            if self.until.iter().any(|last| last == heading) {
                ours = false;
            } else if (self.chosen)(heading) {
                section = Some((start, level));
            }
        }
        cuts.extend(section.map(|(from, _)| from..end));
        cuts
    }

    fn is_boundary(&self, line: &str) -> bool {
        !self.boundaries.is_empty() && {
            let line = line.trim();
            self.boundaries.iter().any(|boundary| boundary == line)
        }
    }
}

impl fmt::Debug for Sections {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Sections")
            .field("until", &self.until)
            .field("boundaries", &self.boundaries)
            .finish_non_exhaustive()
    }
}

/// Removes blank lines from the end, where text was cut off. It ends with a line feed if it did before.
fn close_end(kept: &mut String, with_line_feed: bool) {
    let last = kept.trim_end().len();
    let line_end = kept[last..].find('\n').map_or(kept.len(), |feed| last + feed + 1);
    kept.truncate(if last == 0 { 0 } else { line_end });
    if !with_line_feed {
        let line = kept.trim_end_matches(['\r', '\n']).len();
        kept.truncate(line);
    }
}

/// The level and text of an ATX heading.
fn parse_heading(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches(' ');
    let title = rest.trim_start_matches('#');
    let (indent, level) = (line.len() - rest.len(), rest.len() - title.len());
    if indent > 3 || !(1..=6).contains(&level) || !(title.is_empty() || title.starts_with([' ', '\t', '\r', '\n'])) {
        return None;
    }
    let title = title.trim();
    let unclosed = title.trim_end_matches('#');
    Some((level, if unclosed.is_empty() || unclosed.ends_with([' ', '\t']) { unclosed.trim_end() } else { title }))
}

/// An open fenced code block.
struct Fence {
    mark: char,
    length: usize,
    /// The indentation of the list item that it is in; 0 outside of lists.
    indent: usize,
}

/// What a line means to the fenced code block that was open before it.
enum Follow {
    Within,
    Closed,
    /// The list item that the block was in has ended, and the block with it.
    Left,
}

impl Fence {
    fn open(line: &str) -> Option<Fence> {
        let mut rest = line;
        let mut indent = 0;
        loop {
            let text = rest.trim_start_matches(' ');
            let spaces = rest.len() - text.len();
            if spaces > 3 {
                return None;
            }
            if let Some(item) = after_list_marker(text) {
                indent += rest.len() - item.len();
                rest = item;
                continue;
            }
            let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
            let info = text.trim_start_matches(mark);
            let length = text.len() - info.len();
            let opens = length >= 3 && !(mark == '`' && info.contains('`'));
            return opens.then_some(Fence { mark, length, indent });
        }
    }

    fn follow(&self, line: &str) -> Follow {
        let text = line.trim_start_matches(' ');
        let spaces = line.len() - text.len();
        if spaces < self.indent && !text.trim().is_empty() {
            return Follow::Left;
        }
        let after = text.trim_start_matches(self.mark);
        let closes = text.len() - after.len() >= self.length && after.trim().is_empty() && spaces <= self.indent + 3;
        if closes { Follow::Closed } else { Follow::Within }
    }
}

/// What follows `- `, `1. ` and the like.
fn after_list_marker(text: &str) -> Option<&str> {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let after = if (1..=9).contains(&(text.len() - number.len())) {
        number.strip_prefix(['.', ')'])
    } else {
        text.strip_prefix(['-', '*', '+'])
    };
    after?.strip_prefix(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn strips(text: &str, rest: &str) {
        assert_eq!(Sections::named(["Gone"]).strip(text), rest);
    }

    #[test]
    fn a_section_ends_at_the_next_heading_of_its_level_or_a_higher_one() {
        strips("# A\n## Gone\nx\n### Deeper\ny\n## B\n", "# A\n## B\n");
        strips("# A\n### Gone\nx\n# B\n", "# A\n# B\n");
        strips("# Gone\n## A\n# Gone\n# B\n", "# B\n");
        strips("## Gone\n", "");
        strips("a\n## Gone", "a");
    }

    #[test]
    fn what_is_not_exactly_the_heading_is_not_the_heading() {
        for text in [
            "Gone\n",
            "##Gone\n",
            "####### Gone\n",
            "    ## Gone\n",
            "\t## Gone\n",
            "## gone\n",
            "## Gone too\n",
            "## Gone#\n",
            "> ## Gone\n",
            "\\## Gone\n",
            "#\n",
            "",
        ] {
            assert!(matches!(Sections::named(["Gone"]).strip(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn headings_may_be_indented_closed_and_spaced() {
        for heading in ["   ## Gone", "##\tGone  ", "## Gone ##", "## Gone #####  \r"] {
            strips(&format!("a\n{heading}\nx\n## B\n"), "a\n## B\n");
        }
        assert_eq!(parse_heading("## C# ##\n"), Some((2, "C#")));
        assert_eq!(parse_heading("# #\n"), Some((1, "")));
    }

    #[test]
    fn fenced_code_is_neither_a_section_nor_the_end_of_one() {
        for text in [
            "```\n## Gone\n```\n",
            "~~~ md\n## Gone\n```\n~~~~\n",
            "````\n```\n## Gone\n````\n",
            "  ```sh\n## Gone\n   ```\n",
            "```\n## Gone\n``` sh\n## Gone\n",
            "- ```\n  ## Gone\n  ```\n",
            "2. x\n\n   ```\n   ## Gone\n   ```\n",
            "2. ```sh title=example\n   ## Gone\n   ```\n",
            "```\n## Gone",
            "```\n## Gone\n    ```\n## Gone\n",
        ] {
            strips(text, text);
        }
        strips("## Gone\n```\n## B\n```\nx\n## C\n", "## C\n");
        strips("``` a`b\n## Gone\nx\n## B\n", "``` a`b\n## B\n");
        strips("- ```\n  x\nno longer the item\n## Gone\nx\n# B\n", "- ```\n  x\nno longer the item\n# B\n");
        strips("- ```\n ## Gone\nx\n# B\n", "- ```\n# B\n");
        strips("```\nx\n   ```\n## Gone\ny\n# B\n", "```\nx\n   ```\n# B\n");
    }

    #[test]
    fn what_only_looks_like_a_fence_or_a_list_item_opens_nothing() {
        strips("    ```\n## Gone\nx\n# B\n", "    ```\n# B\n");
        strips("1234567890. ```\n## Gone\nx\n# B\n", "1234567890. ```\n# B\n");
    }

    #[test]
    fn blank_lines_are_closed_up_at_the_cut_and_left_alone_elsewhere() {
        strips("a\n\n\n## Gone\n\nx\n\n\n\n## B\n\n\nb", "a\n\n\n## B\n\n\nb");
        strips("a\r\n\r\n## Gone\r\nx\r\n\r\n## B\r\n", "a\r\n\r\n## B\r\n");
        strips("a\n\n  \n## Gone\nx\n\n", "a\n");
        strips("a  \n\n## Gone\nx\n", "a  \n");
        strips("a\r\n\r\n## Gone\r\nx", "a");
        strips("\n\n## Gone\nx", "");
    }

    #[test]
    fn after_the_last_heading_nothing_is_ours_until_a_boundary() {
        let sections = Sections::named(["Gone"]).until("Files").boundary("<!-- next -->");
        let text = "## Gone\nx\n# Files\n## Gone\nkept\n```\n<!-- next -->\n## A\n## Gone\ny\n <!-- next --> \nz\n";
        let rest = "# Files\n## Gone\nkept\n```\n<!-- next -->\n## A\n <!-- next --> \nz\n";
        assert_eq!(sections.strip(text), rest);
    }

    #[test]
    fn a_choice_is_printed_with_what_it_stops_at() {
        let sections = Sections::named(["Gone"]).until("Files").boundary("<!-- next -->");
        let printed = r#"Sections { until: ["Files"], boundaries: ["<!-- next -->"], .. }"#;
        assert_eq!(format!("{sections:?}"), printed);
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            "#{1,4} (Gone|Kept|Files)",
            "[ ]{0,5}(- |1[.] )?[`~]{2,5}(md)?",
            "[ -~]{0,12}",
            Just("<!-- next -->".to_owned()),
            "\\PC{0,6}",
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        (proptest::collection::vec((line(), "\r?\n"), 0..24), any::<bool>()).prop_map(|(lines, cut_last)| {
            let mut text: String = lines.into_iter().map(|(line, end)| line + &end).collect();
            if cut_last {
                text.pop();
            }
            text
        })
    }

    proptest! {
        #[test]
        fn a_text_without_chosen_headings_is_left_byte_for_byte(text in text()) {
            let sections = Sections::named(["Absent"]).until("Files").boundary("<!-- next -->");
            prop_assert!(matches!(sections.strip(&text), Cow::Borrowed(same) if same == text));
        }

        #[test]
        fn what_is_left_holds_nothing_more_to_strip_and_nothing_new(text in text()) {
            let sections = Sections::named(["Gone"]).until("Files").boundary("<!-- next -->");
            let once = sections.strip(&text);
            prop_assert_eq!(&sections.strip(&once), &once);
            let mut lines = text.lines();
            prop_assert!(once.lines().all(|kept| lines.any(|line| line == kept)));
        }
    }
}
