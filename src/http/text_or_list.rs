//! Content, which in all APIs is a string or an array.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};

/// Either a string or an array.
pub(crate) enum Either<T> {
    Text(String),
    List(Vec<T>),
}

/// Reads either without a copy, and keeps the path to an error inside the array.
pub(crate) fn text_or_list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<Either<T>, D::Error> {
    struct Visitor<T>(&'static str, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Either<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E>(self, text: &str) -> Result<Either<T>, E> {
            Ok(Either::Text(text.to_owned()))
        }
        fn visit_string<E>(self, text: String) -> Result<Either<T>, E> {
            Ok(Either::Text(text))
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Either<T>, A::Error> {
            let mut list = Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(list))?;
            // A hundred thousand messages may have one part each.
            list.shrink_to_fit();
            Ok(Either::List(list))
        }
    }

    deserializer.deserialize_any(Visitor(expected, PhantomData))
}
