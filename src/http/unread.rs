//! Reads a request without building the fields that nobody reads: as values they are several times as large as their text.

use std::fmt;

use serde::de::value::BoolDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};

use crate::chat::unkept;

/// How many fields that nobody reads are named. The header with their names holds fewer.
const MAX_NAMED: usize = 1500;

/// The fields of an object, of which those that `reads` is false for are passed over: the first so many are `true`, whatever
/// they were, and the others, as any that are `null`, are absent.
pub(crate) struct WithoutUnread<D, F> {
    pub(crate) inner: D,
    pub(crate) reads: F,
}

impl<'de, D: Deserializer<'de>, F: Fn(&str) -> bool> Deserializer<'de> for WithoutUnread<D, F> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Object { visitor, reads: self.reads })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Object<V, F> {
    visitor: V,
    reads: F,
}

impl<'de, V: Visitor<'de>, F: Fn(&str) -> bool> Visitor<'de> for Object<V, F> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.visitor.expecting(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { inner, reads: self.reads, named: 0, is_unread: false })
    }
}

struct Fields<A, F> {
    inner: A,
    reads: F,
    named: usize,
    /// Whether the last name was that of a field that nobody reads.
    is_unread: bool,
}

impl<'de, A: MapAccess<'de>, F: Fn(&str) -> bool> MapAccess<'de> for Fields<A, F> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.inner.next_key::<String>()? {
            self.is_unread = !(self.reads)(&name);
            if self.is_unread {
                let is_null = self.inner.next_value_seed(Skip)?;
                if is_null || self.named == MAX_NAMED {
                    continue;
                }
                self.named += 1;
            }
            return seed.deserialize(name.into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        if self.is_unread {
            let value: BoolDeserializer<A::Error> = true.into_deserializer();
            return seed.deserialize(value);
        }
        self.inner.next_value_seed(seed)
    }
}

/// Passes over a value. Says whether it was `null`.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("some JSON")
    }
    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(true)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(true)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        unkept::skip(deserializer).map(|()| false)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Map, Value, json};

    use super::*;

    fn read(json: &str) -> Result<Map<String, Value>, serde_json::Error> {
        let inner = &mut serde_json::Deserializer::from_str(json);
        Map::deserialize(WithoutUnread { inner, reads: |name: &str| name.starts_with("read") })
    }

    #[test]
    fn what_nobody_reads_is_no_more_than_named() {
        let fields = read(r#"{"x": [{"deep": "text"}], "read": {"x": 1}, "null": null, "y": "", "read_null": null}"#);
        assert_eq!(
            Value::Object(fields.unwrap()).to_string(),
            json!({"x": true, "read": {"x": 1}, "y": true, "read_null": null}).to_string()
        );
    }

    #[test]
    fn after_the_most_that_are_named_what_is_read_still_is() {
        let many: String = (0..2 * MAX_NAMED).map(|number| format!("\"{number}\":{number},")).collect();
        let fields = read(&format!("{{{many}\"read\":1}}")).unwrap();
        assert_eq!((fields.len(), &fields["read"]), (MAX_NAMED + 1, &json!(1)));
    }

    #[test]
    fn what_nobody_reads_must_be_json_all_the_same() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for wrong in [r#"{"x": 01}"#, r#"{"x": "\ud800"}"#, r#"{"x": [}"#, r#"{"x": }"#, "[1]", &deep] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
