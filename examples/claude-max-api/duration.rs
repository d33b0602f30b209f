//! Durations as people write them: `600`, `600s`, `10m`, `1h`.

use std::time::Duration;

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
