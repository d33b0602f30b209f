//! The table, against OpenAI's own schema and against itself.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::{Value, json};

use super::FIELDS;
use crate::http::fields::{Ignored, Shape, admit};

#[test]
fn every_field_of_the_official_request_has_a_stated_treatment() {
    fn properties(schemas: &Value, schema: &Value, names: &mut BTreeSet<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            properties(schemas, &schemas[name], names);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            properties(schemas, part, names);
        }
        names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/openai/chat-completions.schema.json");
    let Ok(text) = std::fs::read(path) else {
        // Past the test harness, which would keep it to itself.
        std::io::stderr().write_all(b"skipped: no schema to hold the fields against\n").unwrap();
        return;
    };
    let schemas = serde_json::from_slice::<Value>(&text).unwrap()["$defs"].take();
    let mut official = BTreeSet::new();
    properties(&schemas, &schemas["CreateChatCompletionRequest"], &mut official);
    assert!(official.len() > 30, "the schema has changed its form: {official:?}");
    assert_eq!(official, FIELDS.iter().map(|field| field.name.to_owned()).collect());
}

#[test]
fn every_field_is_in_the_table_once_and_in_order() {
    assert!(FIELDS.is_sorted_by(|a, b| a.name < b.name));
}

#[test]
fn a_field_of_the_wrong_type_is_refused_whatever_its_treatment_and_null_counts_as_absent() {
    for field in FIELDS {
        let wrong = match field.shape {
            Shape::Any => continue,
            Shape::Object | Shape::Array => json!("text"),
            Shape::Integer => json!(1.5),
            Shape::String | Shape::Number | Shape::Boolean => json!(["text"]),
        };
        let refusal = admit(FIELDS, field.name, &wrong, &mut Ignored::default()).expect_err(field.name);
        assert_eq!((refusal.status().as_u16(), refusal.param()), (400, Some(field.name)));
        assert_eq!(admit(FIELDS, field.name, &Value::Null, &mut Ignored::default()), Ok(false));
    }
}
