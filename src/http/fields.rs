//! Decides what happens to a request's fields, at every door: by the API's table, and by the inner service's abilities.
//!
//! Each door has a table of its API's fields. Whether a setting has an effect depends on the inner service, which says so
//! in its [`Abilities`].

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
    /// Values, as JSON text, that change nothing, such as a default: with these the field is neither ignored nor refused.
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

/// What happens to a field unless the inner service says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It has an effect: the door or [`ChatRequest`](crate::ChatRequest) has a name for it, or the inner service gets it in
    /// `extra`.
    Honoured,
    /// It does not change the answer.
    Accepted,
    /// It has no effect here.
    Ignored,
    /// This crate's answers cannot carry what it asks for: 400, with this advice on what to do instead.
    Refused(&'static str),
}

/// A row of a door's table: a field that is honoured unless the inner service says otherwise.
pub(crate) const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, harmless: &[], treatment: Treatment::Honoured }
}

impl Field {
    pub(crate) const fn accepted(self) -> Self {
        Field { treatment: Treatment::Accepted, ..self }
    }

    pub(crate) const fn ignored(self) -> Self {
        Field { treatment: Treatment::Ignored, ..self }
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

/// Whether anybody reads a top-level field: the API with this table, or an inner service with these abilities.
pub(crate) fn reads(table: &[Field], abilities: &Abilities, name: &str) -> bool {
    table.iter().any(|field| field.name == name) || abilities.of(name) == Some(&Ability::Honoured)
}

/// Checks a field that its door has no name for. Returns whether the inner service gets to see it.
///
/// # Errors
/// 400 if the field has the wrong type, or is refused.
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

/// Checks a nested setting: `path` is its place in the JSON, `name` its name in a chat request. Returns whether the
/// inner service gets to see it.
///
/// # Errors
/// 400 if the inner service refuses it.
pub(crate) fn admit_setting(path: &str, name: &str, ignored: &mut Ignored) -> Result<bool, Error> {
    decide(path, name, Some(Treatment::Honoured), ignored)
}

/// The inner service's abilities decide first, then the API's table. A field in neither has no effect.
fn decide(path: &str, name: &str, treatment: Option<Treatment>, ignored: &mut Ignored) -> Result<bool, Error> {
    let refused = |advice: &str| Err(unsupported(path, format!("`{path}` is not supported with this value. {advice}")));
    match (ignored.abilities.of(name), treatment) {
        (Some(Ability::Honoured), _) | (None, Some(Treatment::Honoured)) => return Ok(true),
        (Some(Ability::Refused(advice)), _) => return refused(advice),
        (None, Some(Treatment::Refused(advice))) => return refused(advice),
        (None, Some(Treatment::Accepted)) => {}
        (Some(Ability::Ignored), _) | (None, None | Some(Treatment::Ignored)) => ignored.mention(path),
    }
    Ok(false)
}

/// The names of fields without effect, each once, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    pub(crate) names: Vec<String>,
    seen: HashSet<String>,
    /// The abilities of the inner service.
    pub(crate) abilities: Abilities,
}

impl Ignored {
    /// An empty list, for a request to a service with these abilities.
    pub(crate) fn by(abilities: Abilities) -> Self {
        Ignored { abilities, ..Ignored::default() }
    }

    /// Whether the inner service has its own version of this hosted tool.
    pub(crate) fn has_own(&self, tool: &str) -> bool {
        self.abilities.of(&format!("tools.{tool}")) == Some(&Ability::Honoured)
    }

    /// Adds a field that no door knows, unless the inner service knows it. `null` counts as absent.
    pub(crate) fn name(&mut self, prefix: &str, name: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        let name = format!("{prefix}{name}");
        if self.abilities.of(&name) != Some(&Ability::Honoured) {
            self.mention(&name);
        }
    }

    /// Adds each of these fields as [`name`](Self::name) does, except those in `accepted`.
    pub(crate) fn name_all(&mut self, prefix: &str, fields: &Map<String, Value>, accepted: &[&str]) {
        for (name, value) in fields {
            if !accepted.contains(&name.as_str()) {
                self.name(prefix, name, value);
            }
        }
    }

    /// Adds what has no effect in a function's definition: `strict`, since arguments are not checked, and at the root of its
    /// schema a choice between others, of which their properties alone are left.
    pub(crate) fn name_function(&mut self, prefix: &str, strict: bool, schema: (&str, Option<&Value>)) {
        if strict {
            self.name(prefix, "strict", &Value::Bool(true));
        }
        let (name, schema) = schema;
        for union in ["allOf", "anyOf", "oneOf"] {
            if schema.is_some_and(|schema| schema.get(union).is_some()) {
                self.name(prefix, &format!("{name}.{union}"), &Value::Bool(true));
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
