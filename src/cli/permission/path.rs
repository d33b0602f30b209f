//! Paths that Claude Code may read differently from how they are written.
//!
//! It strips white space from both ends of a path as JavaScript does, resolves `.` and `..` in the rest, and sometimes does
//! both again (2.1.328). To judge what it will open, the fence would have to do exactly the same for every version. It refuses
//! such paths instead: nobody means one, and a file with such a name can still be reached with `Bash`.

/// Why the path is refused, however harmless it looks; `None` if it is read as it is written.
pub(crate) fn oddity(path: &str) -> Option<&'static str> {
    if path.chars().any(char::is_control) {
        return Some("has a control character in it");
    }
    let spaced = |part: &str| part.starts_with(is_stripped) || part.ends_with(is_stripped);
    if path.split('/').any(spaced) {
        return Some("has white space, or a character that cannot be seen, at an end of one of its parts");
    }
    if path.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return Some("is a URL");
    }
    None
}

/// What JavaScript's `trim` strips, and what earlier versions of Unicode counted as white space, or later ones might.
fn is_stripped(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ECMAScript's WhiteSpace and LineTerminator.
    const JAVASCRIPT: &str = "\t\u{b}\u{c}\u{feff} \u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\
                              \u{2007}\u{2008}\u{2009}\u{200a}\u{202f}\u{205f}\u{3000}\n\r\u{2028}\u{2029}";

    #[test]
    fn a_path_that_is_read_as_it_is_written_is_not_odd() {
        for path in [
            "",
            ".",
            "..",
            "/",
            "a.txt",
            "/etc/passwd",
            "a b/c d.txt",
            "~/x",
            ".hidden",
            "a%20b",
            "grüße.txt",
            "profile:1",
            "日本語/ファイル",
            "a\u{200d}b",
            "./a/",
            "a//b",
        ] {
            assert_eq!(oddity(path), None, "{path:?}");
        }
    }

    #[test]
    fn whatever_javascript_would_strip_from_an_end_is_odd_at_the_end_of_any_part() {
        let more = "\u{85}\u{180e}\u{200b}\u{200e}\u{200f}\u{2060}";
        for space in JAVASCRIPT.chars().chain(more.chars()) {
            for path in ["_/etc/passwd", "/etc/passwd_", "_", "a/_/..", "a_/.", "_~", "a/_b", "__a"] {
                let path = path.replace('_', &space.to_string());
                assert!(oddity(&path).is_some(), "{path:?}");
            }
        }
    }

    #[test]
    fn control_characters_are_odd_anywhere() {
        for path in ["a\0b", "/etc/passwd\0.txt", "a\u{1b}[31mb", "a\nb", "a\u{7f}b", "a\u{9c}b"] {
            assert_eq!(oddity(path), Some("has a control character in it"), "{path:?}");
        }
    }

    #[test]
    fn a_url_of_a_file_is_odd() {
        for path in ["file:///etc/passwd", "FILE:/etc/passwd", "file:a"] {
            assert_eq!(oddity(path), Some("is a URL"), "{path:?}");
        }
    }
}
