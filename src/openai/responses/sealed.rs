//! `encrypted_content`: the signature of the model's reasoning, and its text if the client is not told that.
//!
//! | form | holds |
//! |---|---|
//! | `SIGNATURE` | the signature; the text is in the item's summary |
//! | `SIGNATURE.TEXT` | the signature, and the text in base64 |
//! | `.DATA` | the data of a thought that only the API can read |

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What the model needs to accept its reasoning back.
#[derive(Debug, PartialEq)]
pub(crate) enum Sealed {
    Signed { signature: String, text: Option<String> },
    Redacted { data: String },
}

pub(crate) fn seal(signature: &str, text: &str, redacted: bool) -> String {
    match (redacted, text) {
        (true, _) => format!(".{signature}"),
        (false, "") => signature.to_owned(),
        (false, text) => format!("{signature}.{}", STANDARD_NO_PAD.encode(text)),
    }
}

/// Opens what [`seal`] made. What another server has encrypted cannot be told from a signature.
pub(crate) fn open(sealed: &str) -> Sealed {
    match sealed.split_once('.') {
        None => Sealed::Signed { signature: sealed.to_owned(), text: None },
        Some(("", data)) => Sealed::Redacted { data: data.to_owned() },
        Some((signature, text)) => {
            let text = STANDARD_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            Sealed::Signed { signature: signature.to_owned(), text }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_again() {
        assert_eq!(open(&seal("c2ln", "", false)), Sealed::Signed { signature: "c2ln".to_owned(), text: None });
        let (signature, text) = ("c2ln".to_owned(), Some("Hm, é".to_owned()));
        assert_eq!(open(&seal("c2ln", "Hm, é", false)), Sealed::Signed { signature, text });
        assert_eq!(open(&seal("ZGF0YQ==", "", true)), Sealed::Redacted { data: "ZGF0YQ==".to_owned() });
    }
}
