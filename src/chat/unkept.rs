//! JSON that is read without being kept: checked, hashed or passed over.
//!
//! As values, JSON may take a hundred times the memory of its text: `[[],[]]`. So nothing here builds any.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::digest::{hash_number, hasher};

/// Checks that a text is a JSON object, strings and numbers within it included.
#[cfg(feature = "cli")]
pub(crate) fn check_object(text: &str) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Read(&mut Nothing))?;
    deserializer.end()
}

/// Passes over a value, which may be no deeper than any other.
#[cfg(feature = "http")]
pub(crate) fn skip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    Read(&mut Nothing).deserialize(deserializer)
}

/// Hashes a text by the JSON value that it is, or by its letters if it is none. Neither white space between values nor the
/// order of fields counts.
pub(super) fn hash(text: &str, hasher: &mut DefaultHasher) {
    let mut of_value = self::hasher();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match Read(&mut of_value).deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => of_value.finish().hash(hasher),
        Err(_) => text.hash(hasher),
    }
}

/// What becomes of the values that are read.
trait Take {
    fn take(&mut self, value: impl Hash);
    fn number(&mut self, number: &Number);
    /// What takes one of an object's fields.
    fn field(&self) -> Self;
    /// The object has these fields, in any order.
    fn fields(&mut self, count: usize, sum: u64);
    /// The sum of a field that has been taken.
    fn sum(&self) -> u64;
}

/// They are dropped.
#[cfg(any(feature = "cli", feature = "http"))]
struct Nothing;

#[cfg(any(feature = "cli", feature = "http"))]
impl Take for Nothing {
    fn take(&mut self, _: impl Hash) {}
    fn number(&mut self, _: &Number) {}
    fn field(&self) -> Self {
        Nothing
    }
    fn fields(&mut self, _: usize, _: u64) {}
    fn sum(&self) -> u64 {
        0
    }
}

/// They are hashed.
impl Take for DefaultHasher {
    fn take(&mut self, value: impl Hash) {
        value.hash(self);
    }
    fn number(&mut self, number: &Number) {
        hash_number(number, self);
    }
    fn field(&self) -> Self {
        hasher()
    }
    fn fields(&mut self, count: usize, sum: u64) {
        (6_u8, count, sum).hash(self);
    }
    fn sum(&self) -> u64 {
        self.finish()
    }
}

/// Reads one value.
struct Read<'a, T>(&'a mut T);

impl<'de, T: Take> DeserializeSeed<'de> for Read<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take> Visitor<'de> for Read<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.take(0_u8);
        Ok(())
    }
    fn visit_bool<E>(self, bool: bool) -> Result<(), E> {
        self.0.take((1_u8, bool));
        Ok(())
    }
    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.number(&number.into());
        Ok(())
    }
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.number(&number.into());
        Ok(())
    }
    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        match Number::from_f64(number) {
            Some(number) => self.0.number(&number),
            None => self.0.take(0_u8),
        }
        Ok(())
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.take((4_u8, text));
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut count = 0_usize;
        self.0.take(5_u8);
        while items.next_element_seed(Read(&mut *self.0))?.is_some() {
            count += 1;
        }
        self.0.take((7_u8, count));
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        // Reserializing JSON may change the order, so the fields' hashes are added up. Nobody knows them who could choose
        // fields of the same sum.
        let (mut count, mut sum) = (0_usize, 0_u64);
        let mut field = self.0.field();
        while fields.next_key_seed(Read(&mut field))?.is_some() {
            fields.next_value_seed(Read(&mut field))?;
            sum = sum.wrapping_add(field.sum());
            field = self.0.field();
            count += 1;
        }
        self.0.fields(count, sum);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(text: &str) -> u64 {
        let mut of = hasher();
        hash(text, &mut of);
        of.finish()
    }

    #[test]
    fn texts_of_the_same_value_have_the_same_hash_and_others_have_not() {
        for (a, b) in [
            (r#"{"a":1,"b":[2,{"c":null}]}"#, " {\n\"b\" : [2.0, {\"c\":null}], \"a\":1}"),
            (r#"{"a":"\u00e9"}"#, r#"{"a":"é"}"#),
            ("{", "{"),
        ] {
            assert_eq!(hashed(a), hashed(b), "{a} {b}");
        }
        let different = [
            "{}",
            "[]",
            "",
            "{",
            "null",
            "false",
            "0",
            "\"\"",
            "[0]",
            "[[]]",
            "[[],[]]",
            "[[[]]]",
            r#"{"a":1}"#,
            r#"{"a":1.5}"#,
            r#"{"a":"1"}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":[1],"b":[2]}"#,
            r#"{"a":[1,2],"b":[]}"#,
            r#"{"a":1,"b":2} x"#,
        ];
        for (at, a) in different.iter().enumerate() {
            for b in &different[at + 1..] {
                assert_ne!(hashed(a), hashed(b), "{a} {b}");
            }
        }
    }

    #[test]
    #[cfg(feature = "cli")]
    fn an_object_is_one_to_its_last_string() {
        for object in ["{}", " {\"a\":[1,{\"b\":\"\\n\"}]} "] {
            assert!(check_object(object).is_ok(), "{object}");
        }
        for other in ["", "[]", "1", "{", "{} {}", r#"{"a":"\ud800"}"#, r#"{"a":01}"#, r#"{"a":1e999}"#] {
            assert!(check_object(other).is_err(), "{other}");
        }
        let error = check_object("[]").unwrap_err().to_string();
        assert!(error.starts_with("invalid type: sequence, expected a map"), "{error}");
        assert!(check_object(&format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }
}
