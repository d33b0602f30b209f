//! The root of a JSON schema, at both of OpenAI's doors.

use serde_json::Value;

use crate::Error;
use crate::http::fields::{found, invalid};

/// Checks that a JSON schema describes an object, as a call's arguments and a structured answer must be.
pub(crate) fn check_schema(schema: &Value, at: &str) -> Result<(), Error> {
    let Some(object) = schema.as_object() else {
        let message = format!("A JSON schema must be an object, not {}.", found(schema));
        return Err(invalid(at, message));
    };
    match object.get("type") {
        None => {}
        Some(kind) if kind == "object" => {}
        Some(kind) => {
            let message = format!("The root of the schema has type {kind}. It must be \"object\": wrap it in one.");
            return Err(invalid(format!("{at}.type"), message));
        }
    }
    match object.get("properties") {
        None | Some(Value::Object(_)) => Ok(()),
        Some(other) => {
            let message = format!("`properties` must be an object of schemas by name, not {}.", found(other));
            Err(invalid(format!("{at}.properties"), message))
        }
    }
}
