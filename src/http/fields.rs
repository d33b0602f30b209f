//! What becomes of a request's fields, at every door: what the API says, and then what the service within says.
//!
//! Each door has a table of its API's fields. Whether a setting has an effect is not the API's to say but the inner
//! service's, in its [`Abilities`].

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::chat::Abilities;
use crate::chat::abilities::Ability;
use crate::{Error, ErrorKind};

/// A top-level field of an API's request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name in the JSON.
    pub(crate) name: &'static str,
    /// The JSON type that it must have, `null` aside, which counts as absent.
    pub(crate) shape: Shape,
    /// Values, as JSON text, that ask for nothing: with these there is nothing to ignore or to refuse.
    pub(crate) harmless: &'static [&'static str],
    pub(crate) treatment: Treatment,
}

/// A JSON type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    String,
    Number,
    /// A number without a fraction.
    Integer,
    Boolean,
    Object,
    Array,
    /// Several types are possible.
    Any,
}

/// What becomes of a field unless the inner service says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It has its effect: the door or the conversation has a name for it, or the inner service gets it in `extra`.
    Honoured,
    /// It asks for nothing that would change the answer.
    Accepted,
    /// This crate's answers cannot carry what is asked for: 400, with what to do instead.
    Refused(&'static str),
}

/// A row of a door's table: a field that has its effect unless the inner service says otherwise.
pub(crate) const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, harmless: &[], treatment: Treatment::Honoured }
}

impl Field {
    pub(crate) const fn accepted(self) -> Self {
        Field { treatment: Treatment::Accepted, ..self }
    }

    pub(crate) const fn refused(self, advice: &'static str) -> Self {
        Field { treatment: Treatment::Refused(advice), ..self }
    }

    pub(crate) const fn harmless(self, values: &'static [&'static str]) -> Self {
        Field { harmless: values, ..self }
    }

    fn is_harmless(&self, value: &Value) -> bool {
        self.harmless.iter().any(|json| serde_json::from_str::<Value>(json).is_ok_and(|harmless| harmless == *value))
    }
}

/// Checks a field that its door has no name for. Returns whether the inner service gets to see it.
///
/// # Errors
/// 400, where the field is of another type than the API's, or cannot be done.
pub(crate) fn admit(table: &[Field], name: &str, value: &Value, ignored: &mut Ignored) -> Result<bool, Error> {
    if value.is_null() {
        return Ok(false);
    }
    let field = table.iter().find(|field| field.name == name);
    if let Some(Field { shape, .. }) = field
        && !shape.fits(value)
    {
        let (expected, found) = (shape.described(), found(value));
        return Err(invalid(name, format!("`{name}` must be {expected}, not {found}. Send one, or leave it out.")));
    }
    if field.is_some_and(|field| field.is_harmless(value)) {
        return Ok(false);
    }
    decide(name, name, field.map(|field| field.treatment), ignored)
}

/// Checks a nested setting: `path` is where it stands, `name` what it is called in a chat request. Returns whether the
/// inner service gets to see it.
///
/// # Errors
/// 400, where the inner service says that it cannot be done.
pub(crate) fn admit_setting(path: &str, name: &str, ignored: &mut Ignored) -> Result<bool, Error> {
    decide(path, name, Some(Treatment::Honoured), ignored)
}

/// What the inner service says counts; then what the API says; and what nobody knows has no effect.
fn decide(path: &str, name: &str, treatment: Option<Treatment>, ignored: &mut Ignored) -> Result<bool, Error> {
    let refused = |advice: &str| Err(unsupported(path, format!("`{path}` is not supported with this value. {advice}")));
    match (ignored.abilities.of(name), treatment) {
        (Some(Ability::Honoured), _) | (None, Some(Treatment::Honoured)) => return Ok(true),
        (Some(Ability::Refused(advice)), _) => return refused(advice),
        (None, Some(Treatment::Refused(advice))) => return refused(advice),
        (None, Some(Treatment::Accepted)) => {}
        (Some(Ability::Ignored), _) | (None, None) => ignored.mention(path),
    }
    Ok(false)
}

/// The names of fields without effect, each once, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    pub(crate) names: Vec<String>,
    seen: HashSet<String>,
    /// What the inner service says of itself.
    pub(crate) abilities: Abilities,
}

impl Ignored {
    /// No names yet, for a request to a service with these abilities.
    pub(crate) fn by(abilities: Abilities) -> Self {
        Ignored { abilities, ..Ignored::default() }
    }

    /// Whether the inner service has a tool of its own for this one, which the API's maker would run.
    pub(crate) fn has_own(&self, tool: &str) -> bool {
        self.abilities.of(&format!("tools.{tool}")) == Some(&Ability::Honoured)
    }

    /// Adds a field that no door knows, unless the inner service does. One that is `null` counts as absent.
    pub(crate) fn name(&mut self, prefix: &str, name: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        let name = format!("{prefix}{name}");
        if self.abilities.of(&name) != Some(&Ability::Honoured) {
            self.mention(&name);
        }
    }

    /// Adds all the fields here but those that need nothing done, as [`name`](Self::name) adds one.
    pub(crate) fn name_all(&mut self, prefix: &str, fields: &Map<String, Value>, accepted: &[&str]) {
        for (name, value) in fields {
            if !accepted.contains(&name.as_str()) {
                self.name(prefix, name, value);
            }
        }
    }

    /// Adds this name.
    pub(crate) fn mention(&mut self, name: &str) {
        if self.seen.insert(name.to_owned()) {
            self.names.push(name.to_owned());
        }
    }
}

/// An error for a request that no server could answer.
pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::invalid_request(message).with_param(param)
}

/// An error for a request that the API's own servers would answer, but this one cannot.
pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedParameter, message).with_param(param)
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        match self {
            Shape::String => value.is_string(),
            Shape::Number => value.is_number(),
            Shape::Integer => value.is_i64() || value.is_u64(),
            Shape::Boolean => value.is_boolean(),
            Shape::Object => value.is_object(),
            Shape::Array => value.is_array(),
            Shape::Any => true,
        }
    }

    fn described(self) -> &'static str {
        match self {
            Shape::String => "a string",
            Shape::Number => "a number",
            Shape::Integer => "a whole number",
            Shape::Boolean => "a boolean",
            Shape::Object => "an object",
            Shape::Array => "an array",
            Shape::Any => "a JSON value",
        }
    }
}

/// The JSON type of a value, for a message that says what it should have been.
pub(crate) fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fractional number",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
