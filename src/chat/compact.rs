//! JSON values without room for more: a schema of many small objects takes a third less memory.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most fields of an object that are counted before it is built.
const SMALL: usize = 8;

/// Reads a value; `null` is none. For fields of `Option<Value>`.
pub(crate) fn some_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Compact::deserialize(deserializer).map(|Compact(value)| Some(value).filter(|value| !value.is_null()))
}

/// Reads a list.
pub(crate) fn some_list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let mut list = Option::<Vec<T>>::deserialize(deserializer)?;
    list.iter_mut().for_each(Vec::shrink_to_fit);
    Ok(list)
}

/// A value that has been read so.
pub(super) struct Compact(pub(super) Value);

impl<'de> Deserialize<'de> for Compact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Build.deserialize(deserializer).map(Compact)
    }
}

struct Build;

impl<'de> DeserializeSeed<'de> for Build {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any valid JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(bool.into())
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }
    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Build)? {
            array.push(item);
        }
        array.shrink_to_fit();
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut first: Vec<(String, Value)> = Vec::new();
        while first.len() < SMALL
            && let Some(name) = fields.next_key()?
        {
            first.push((name, fields.next_value_seed(Build)?));
        }
        let mut object = Map::with_capacity(first.len());
        let may_be_more = first.len() == SMALL;
        object.extend(first);
        while may_be_more && let Some(name) = fields.next_key::<String>()? {
            object.insert(name, fields.next_value_seed(Build)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_one_that_was_written() {
        let many: String = (0..20).map(|number| format!("\"f{number}\":[{number},null],")).collect();
        for json in [
            "null",
            "[]",
            "{}",
            r#"{"b":1,"a":-2,"c":0.5,"d":"é\n","e":[true,{"x":{}}],"b":3}"#,
            &format!("{{{many}\"last\":18446744073709551615}}"),
        ] {
            let Compact(value) = serde_json::from_str(json).unwrap();
            let plain: Value = serde_json::from_str(json).unwrap();
            assert_eq!((value.to_string(), &value), (plain.to_string(), &plain));
            assert_eq!(Compact::deserialize(plain.clone()).map(|Compact(value)| value).unwrap(), plain);
        }
    }
}
