//! Durations as people write them: `600`, `600s`, `10m`, `1h`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// The units, each with its milliseconds.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A longer one is surely a mistake, and could not be added to the current time.
const MAX: Duration = Duration::from_secs(365 * 86_400);

/// Reads a whole number and a unit: `ms`, `s`, `m`, `h` or `d`; seconds if there is none.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, milliseconds)| milliseconds);
    let (Ok(number), Some(milliseconds)) = (number.parse::<u64>(), milliseconds) else {
        return Err("write a whole number and a unit, such as 90s, 10m or 1h".to_owned());
    };
    match number.checked_mul(*milliseconds).map(Duration::from_millis) {
        Some(duration) if duration <= MAX => Ok(duration),
        _ => Err("that is more than a year (365d)".to_owned()),
    }
}

/// The same, but not zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("it must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// As people write it, in the largest unit that has a whole number of it.
pub(crate) fn format(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = UNITS.iter().rev().filter(|(name, _)| !name.is_empty());
    match { units }.find(|(_, unit)| milliseconds >= *unit && milliseconds % unit == 0) {
        Some((name, unit)) => format!("{}{name}", milliseconds / unit),
        None => "0s".to_owned(),
    }
}

/// A text or a number in a settings file, which `parse` reads.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserialize_by(parse, deserializer)
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// The same, but not zero.
pub(crate) mod positive {
    pub(crate) use super::serialize;
    use super::{Deserializer, Duration, deserialize_by, parse_positive};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserialize_by(parse_positive, deserializer)
    }
}

fn deserialize_by<'de, D: Deserializer<'de>>(
    parse: impl Fn(&str) -> Result<Duration, String>,
    deserializer: D,
) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a duration in quotes, such as \"10m\"")]
    enum Written {
        Text(String),
        Seconds(u64),
    }
    let written = match Written::deserialize(deserializer)? {
        Written::Text(text) => text,
        Written::Seconds(seconds) => seconds.to_string(),
    };
    parse(&written).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let cases = [
            ("600", 600_000),
            ("600s", 600_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("250ms", 250),
            ("0", 0),
            (" 5 s ", 5000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "m", "-1s", "1.5h", "1h30m", "10 minutes", "1M", "٣s", "99999999999999999999"] {
            assert!(parse(text).unwrap_err().contains("such as 90s"), "{text}");
        }
        for text in ["366d", "18446744073709551615h"] {
            assert!(parse(text).unwrap_err().contains("a year"), "{text}");
        }
        assert!(parse_positive("0ms").unwrap_err().contains("more than 0"));
    }

    #[test]
    fn they_are_written_in_the_largest_unit_that_has_a_whole_number_of_them() {
        for text in ["0s", "90s", "10m", "1h", "2d", "250ms", "1500ms", "36h"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }
}
