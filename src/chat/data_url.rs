//! `data:` URLs of the one form that carries images and files: `data:<media type>;base64,<data>`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The two halves of a `data:` URL, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataUrl<'a> {
    /// The media type, such as `image/png`, without parameters. `image/jpg`, which is none, is `image/jpeg`.
    pub(crate) media_type: &'a str,
    /// The content in standard base64 with padding, as it was sent; [`DataUrl::parse`] has checked every byte.
    pub(crate) base64: &'a str,
}

impl<'a> DataUrl<'a> {
    /// Parses the URL. The error completes the sentence that begins with "is not a usable data URL: ".
    ///
    /// The scheme and media type must be in lower case, and `charset` is the only parameter allowed before `;base64`.
    pub(crate) fn parse(url: &'a str) -> Result<Self, &'static str> {
        let rest = url.strip_prefix("data:").ok_or("it does not begin with \"data:\"")?;
        let (head, base64) = rest.split_once(',').ok_or("it has no comma before its data")?;
        let head = head.strip_suffix(";base64").ok_or("its data is not marked \";base64\"")?;
        let (media_type, parameter) = head.split_once(';').unwrap_or((head, ""));
        if !parameter.is_empty() && !parameter.starts_with("charset=") {
            return Err("it has a parameter other than charset");
        }
        let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
        if base64.is_empty() {
            return Err("its data is empty");
        }
        if !is_base64(base64.as_bytes()) {
            return Err("its data is not standard base64 with padding");
        }
        Ok(DataUrl { media_type, base64 })
    }

    /// Whether the content is UTF-8 text.
    pub(crate) fn is_text(self) -> bool {
        self.each_piece(|_| Ok(())).is_ok()
    }

    /// Gives the content, piece by piece, to a function. Never has all of it: a file may have megabytes.
    ///
    /// # Errors
    /// If the function fails, or the content is not UTF-8 text.
    pub(crate) fn each_piece(self, mut take: impl FnMut(&str) -> fmt::Result) -> fmt::Result {
        // Whole characters of base64, and so whole bytes.
        const PIECE: usize = 4096;
        let mut decoded = [0; PIECE / 4 * 3 + 3];
        // How many bytes there are of a character that goes on in the next piece.
        let mut begun = 0;
        for piece in self.base64.as_bytes().chunks(PIECE) {
            let length = STANDARD.decode_slice(piece, &mut decoded[begun..]).map_err(|_| fmt::Error)?;
            let bytes = &decoded[..begun + length];
            let whole = match str::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) if error.error_len().is_some() => return Err(fmt::Error),
                Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).map_err(|_| fmt::Error)?,
            };
            take(whole)?;
            let rest = whole.len()..bytes.len();
            begun = rest.len();
            decoded.copy_within(rest, 0);
        }
        if begun == 0 { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The content, if it is text.
impl fmt::Display for DataUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.each_piece(|piece| f.write_str(piece))
    }
}

/// Whether these bytes are base64. Does not decode them: an image may have megabytes.
fn is_base64(bytes: &[u8]) -> bool {
    let padding = bytes.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    let data = bytes.get(..bytes.len() - padding).unwrap_or_default();
    bytes.len().is_multiple_of(4)
        && data.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_comes_apart_into_its_media_type_and_its_data() {
        let parsed = DataUrl { media_type: "image/png", base64: "iVBORw==" };
        assert_eq!(DataUrl::parse("data:image/png;base64,iVBORw=="), Ok(parsed));
        let parsed = DataUrl { media_type: "text/plain", base64: "aGk=" };
        assert_eq!(DataUrl::parse("data:text/plain;charset=utf-8;base64,aGk="), Ok(parsed));
    }

    #[test]
    fn a_common_misspelling_of_jpeg_is_understood() {
        assert_eq!(DataUrl::parse("data:image/jpg;base64,aGk=").unwrap().media_type, "image/jpeg");
    }

    /// The content, if it is text.
    fn text(base64: &str) -> Option<String> {
        let url = DataUrl { media_type: "text/plain", base64 };
        url.is_text().then(|| url.to_string())
    }

    #[test]
    fn the_content_is_text_where_it_is_utf_8() {
        assert_eq!(text("aMOp").as_deref(), Some("hé"));
        assert_eq!(text("/w=="), None);
        assert_eq!(text("aGl="), None, "the bits behind the last byte are not zero");
    }

    #[test]
    fn a_character_may_fall_between_two_pieces() {
        for before in 0..12 {
            let long = format!("{}{}", "x".repeat(before), "aé→🦀".repeat(2000));
            let of = |bytes: &[u8]| text(&STANDARD.encode(bytes));
            assert_eq!(of(long.as_bytes()).as_ref(), Some(&long), "{before}");
            assert_eq!(of(&long.as_bytes()[..long.len() - 1]), None, "{before}");
            assert_eq!(of(&[long.as_bytes(), b"\xff", long.as_bytes()].concat()), None, "{before}");
        }
    }

    #[test]
    fn anything_else_is_told_what_it_lacks() {
        for (url, problem) in [
            ("https://e/x.png", "it does not begin with \"data:\""),
            ("data:image/png;base64", "it has no comma before its data"),
            ("data:image/png,abcd", "its data is not marked \";base64\""),
            ("data:image/png;size=1;base64,abcd", "it has a parameter other than charset"),
            ("data:image/png;base64,", "its data is empty"),
            ("data:image/png;base64,abc", "its data is not standard base64 with padding"),
            ("data:image/png;base64,ab=d", "its data is not standard base64 with padding"),
            ("data:image/png;base64,ab-_", "its data is not standard base64 with padding"),
            ("data:image/png;base64,====", "its data is not standard base64 with padding"),
        ] {
            assert_eq!(DataUrl::parse(url), Err(problem), "{url}");
        }
    }
}
