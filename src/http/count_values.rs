//! Counts the values in some JSON before any of them is built.
//!
//! A value can take forty times the memory of its text: `0,` is two bytes, and `{"role":"user"},` makes a message with
//! all its fields. So the number of values is limited, rather than the size that each kind of them may grow to.

use memchr::memchr2;

use crate::{Error, ErrorKind};

/// The most values that a request may have. A conversation that fills a context window of a million tokens has
/// about a hundred thousand. What values take beside their text, some 200 bytes each, is then at most 40 MB.
pub(crate) const MAX_VALUES: usize = 200_000;

/// Refuses JSON with too many values.
pub(crate) fn check_values(json: &[u8]) -> Result<(), Error> {
    // A value takes at least one byte and a separator.
    if json.len().div_ceil(2) <= MAX_VALUES || count(json) <= MAX_VALUES {
        return Ok(());
    }
    let message = format!(
        "The request has more JSON values (texts, numbers, objects, ...) than the {MAX_VALUES} that this server reads. \
         Send fewer, such as many numbers as one text."
    );
    Err(Error::new(ErrorKind::RequestTooLarge, message))
}

/// The number of values; empty arrays and objects count twice. For text that is not JSON the number means nothing.
fn count(mut json: &[u8]) -> usize {
    let mut count = 1;
    while let Some((&byte, rest)) = json.split_first() {
        json = rest;
        match byte {
            b',' | b'[' | b'{' => count += 1,
            b'"' => json = behind_string(json),
            _ => {}
        }
    }
    count
}

/// What follows a string's end.
fn behind_string(mut json: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', json) {
        if json[at] == b'"' {
            return &json[at + 1..];
        }
        json = json.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_what_is_in_texts_is_not() {
        for (json, values) in [
            ("1", 1),
            ("[1,2,3]", 4),
            (r#"{"a":1,"b":[2,"x"]}"#, 5),
            (r#"{"a,[{":"\",[{\\","b":1}"#, 3),
            (r#"["\\",2]"#, 3),
            ("[]", 2),
            ("", 1),
            ("\"", 1),
            ("\"\\", 1),
        ] {
            assert_eq!(count(json.as_bytes()), values, "{json}");
        }
    }

    #[test]
    fn the_most_values_are_taken_and_one_more_is_refused() {
        let numbers = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(check_values(numbers(MAX_VALUES).as_bytes()).is_ok());
        let refused = check_values(numbers(MAX_VALUES + 1).as_bytes()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RequestTooLarge);
        assert!(check_values(format!("\"{}\"", ",".repeat(2 * MAX_VALUES)).as_bytes()).is_ok());
    }
}
