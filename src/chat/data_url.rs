//! `data:` URLs of the one form that carries images and files: `data:<media type>;base64,<data>`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The two halves of a `data:` URL, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataUrl<'a> {
    /// The media type, such as `image/png`, without parameters.
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
        if base64.is_empty() {
            return Err("its data is empty");
        }
        if !is_base64(base64.as_bytes()) {
            return Err("its data is not standard base64 with padding");
        }
        Ok(DataUrl { media_type, base64 })
    }

    /// The content, decoded, if it is UTF-8 text.
    pub(crate) fn text(self) -> Option<String> {
        String::from_utf8(STANDARD.decode(self.base64).ok()?).ok()
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
    use super::DataUrl;

    #[test]
    fn a_data_url_comes_apart_into_its_media_type_and_its_data() {
        let parsed = DataUrl { media_type: "image/png", base64: "iVBORw==" };
        assert_eq!(DataUrl::parse("data:image/png;base64,iVBORw=="), Ok(parsed));
        let parsed = DataUrl { media_type: "text/plain", base64: "aGk=" };
        assert_eq!(DataUrl::parse("data:text/plain;charset=utf-8;base64,aGk="), Ok(parsed));
    }

    #[test]
    fn the_content_is_text_where_it_is_utf_8() {
        let url = |base64| DataUrl { media_type: "text/plain", base64 };
        assert_eq!(url("aMOp").text().as_deref(), Some("hé"));
        assert_eq!(url("/w==").text(), None);
        assert_eq!(url("aGl=").text(), None, "the bits behind the last byte are not zero");
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
