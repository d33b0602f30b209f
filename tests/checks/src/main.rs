//! Validates JSON against the types of OpenAI's schemas, for the tests that have an answer to check (`tests/support/schema.rs`).
//!
//! It reads a line of JSON for each value, `{"schema": FILE, "type": NAME, "value": ...}`, and answers with a line: an array of what
//! is wrong with it.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use jsonschema::Validator;
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut validators: HashMap<(String, String), Validator> = HashMap::new();
    let mut stdout = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let [file, name] = ["schema", "type"].map(|field| line[field].as_str().unwrap_or_default().to_owned());
        let validator = match validators.entry((file.clone(), name.clone())) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(validator(&file, &name)?),
        };
        let faults = validator.iter_errors(&line["value"]);
        let faults: Vec<String> = faults.map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
        writeln!(stdout, "{}", json!(faults))?;
    }
    Ok(())
}

/// The validator of a schema's type.
fn validator(file: &str, name: &str) -> Result<Validator, Error> {
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    put_right(&mut schema);
    let of_type = json!({
        "$schema": schema["$schema"],
        "$defs": schema["$defs"],
        "$ref": format!("#/$defs/{name}"),
    });
    Ok(jsonschema::validator_for(&of_type)?)
}

/// Replaces OpenAPI's `nullable` and an older draft's recursion keywords, which the schema's own draft does not have.
fn put_right(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(put_right),
        Value::Object(fields) => {
            fields.values_mut().for_each(put_right);
            fields.remove("$recursiveAnchor");
            if fields.remove("$recursiveRef").is_some() {
                // The only recursive schema.
                fields.insert("$ref".to_owned(), json!("#/$defs/CompoundFilter"));
            }
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                *schema = json!({"anyOf": [schema.take(), {"type": "null"}]});
            }
        }
        _ => {}
    }
}
