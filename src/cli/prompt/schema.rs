//! The schema of the answer, in the words that both the CLI and the API take.
//!
//! The CLI checks the answer with ajv, as of draft-07 and strictly: for a keyword that it does not know, or another `$schema`, it
//! drops the whole schema (2.1.328). The API gets the same schema as that of a tool's input: it must be valid in draft 2020-12 (no
//! array as `items`), and its root an object without `anyOf`, `oneOf` and `allOf`. So a schema is translated:
//!
//! - What no draft knows constrains nothing (`discriminator`, `x-order`), and is left out.
//! - What can be said in words that both know is said so (`dependentRequired`, `exclusiveMinimum: true`).
//! - What cannot stands in the `description`, for the model alone: the order of `prefixItems`, for one.
//! - A root that is not plainly an object becomes the one property of an object, which [`Unwrap`] takes off the answer.

use serde_json::{Map, Value, json};

use crate::ChatEvent;
use crate::chat::{Events, Translate};

/// The property that holds an answer which need not be an object.
const ANSWER: &str = "answer";

/// What ajv knows of draft-07, and is valid in 2020-12.
const KEYWORDS: [&str; 47] = [
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "dependencies",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Keywords that constrain, and that ajv does not know.
const UNSAID: [&str; 6] =
    ["$dynamicRef", "$recursiveRef", "maxContains", "minContains", "unevaluatedItems", "unevaluatedProperties"];

/// The schema for the CLI, and whether the answer will be wrapped in an object.
pub(super) fn translate(schema: Value) -> (Value, bool) {
    let Value::Object(mut root) = translated(schema) else { return (json!({"type": "object"}), false) };
    if let Some(target) = referred(&root) {
        root.remove("$ref");
        for (name, value) in target {
            root.entry(name).or_insert(value);
        }
    }
    let has = |names: &[&str]| names.iter().any(|name| root.contains_key(*name));
    let is_object = match root.get("type") {
        Some(kind) => kind == "object" && !has(&["$ref", "allOf", "anyOf", "oneOf"]),
        None => !has(&["$ref", "allOf", "anyOf", "const", "enum", "not", "oneOf"]),
    };
    if is_object {
        root.entry("type").or_insert(json!("object"));
        return (Value::Object(root), false);
    }
    let mut wrapper = Map::new();
    for name in ["$defs", "definitions"] {
        wrapper.extend(root.remove(name).map(|schemas| (name.to_owned(), schemas)));
    }
    root.remove("$id");
    wrapper.insert("type".to_owned(), json!("object"));
    wrapper.insert("properties".to_owned(), json!({ANSWER: root}));
    wrapper.insert("required".to_owned(), json!([ANSWER]));
    wrapper.insert("additionalProperties".to_owned(), json!(false));
    let mut wrapper = Value::Object(wrapper);
    move_references(&mut wrapper);
    (wrapper, true)
}

/// The schema that is referred to in place of the root, if that can be put there.
fn referred(root: &Map<String, Value>) -> Option<Map<String, Value>> {
    const ANNOTATIONS: [&str; 3] = ["$comment", "description", "title"];
    let path = root.get("$ref")?.as_str()?.strip_prefix("#/")?;
    let (first, rest) = path.split_once('/')?;
    let target = root.get(first)?.pointer(&format!("/{rest}"))?.as_object()?;
    let fits = |name: &String| !root.contains_key(name) || ANNOTATIONS.contains(&name.as_str());
    // One that refers to a further one does not fit.
    target.keys().all(fits).then(|| target.clone())
}

/// Corrects the references to a root that has become a property.
fn move_references(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(move_references),
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(path) = reference.strip_prefix('#')
                && !["/$defs/", "/definitions/"].iter().any(|stays| path.starts_with(stays))
                && (path.is_empty() || path.starts_with('/'))
            {
                *reference = format!("#/properties/{ANSWER}{path}");
            }
            fields.values_mut().for_each(move_references);
        }
        _ => {}
    }
}

/// A schema, at any depth, with the keywords that it may have.
fn translated(schema: Value) -> Value {
    let Value::Object(mut fields) = schema else { return schema };
    let mut unsaid = Map::new();
    // Before draft-06 a bound was marked as exclusive.
    for (mark, bound) in [("exclusiveMaximum", "maximum"), ("exclusiveMinimum", "minimum")] {
        if let Some(Value::Bool(exclusive)) = fields.get(mark) {
            let bound = if *exclusive { fields.remove(bound) } else { None };
            fields.remove(mark);
            fields.extend(bound.map(|bound| (mark.to_owned(), bound)));
        }
    }
    if let Some(example) = fields.remove("example") {
        fields.entry("examples").or_insert(json!([example]));
    }
    for name in ["dependentRequired", "dependentSchemas"] {
        let Some(Value::Object(dependencies)) = fields.remove(name) else { continue };
        if let Value::Object(all) = fields.entry("dependencies").or_insert(json!({})) {
            all.extend(dependencies);
        }
    }
    translate_tuple(&mut fields, &mut unsaid);
    let applies_others = ["$ref", "allOf", "anyOf", "dependencies", "if", "oneOf"];
    if fields.get("unevaluatedProperties") == Some(&json!(false))
        && !applies_others.iter().any(|name| fields.contains_key(*name))
    {
        fields.remove("unevaluatedProperties");
        fields.entry("additionalProperties").or_insert(json!(false));
    }
    if fields.get("minContains") == Some(&json!(0)) {
        unsaid.extend(fields.remove("contains").map(|schema| ("contains".to_owned(), schema)));
    }
    for name in UNSAID {
        unsaid.extend(fields.remove(name).filter(|value| *value != true).map(|value| (name.to_owned(), value)));
    }
    // ajv wants a `type` beside it.
    let or_null = !fields.contains_key("type") && fields.remove("nullable") == Some(json!(true));
    fields.retain(|name, _| KEYWORDS.contains(&name.as_str()));
    for (name, value) in &mut fields {
        match (name.as_str(), value) {
            ("$defs" | "definitions" | "dependencies" | "patternProperties" | "properties", Value::Object(schemas)) => {
                schemas.values_mut().for_each(|schema| *schema = translated(schema.take()));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| *schema = translated(schema.take()));
            }
            (
                "additionalProperties" | "contains" | "else" | "if" | "items" | "not" | "propertyNames" | "then",
                schema,
            ) => {
                *schema = translated(schema.take());
            }
            _ => {}
        }
    }
    if !unsaid.is_empty() {
        let description = fields.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = format!("{description}\nIt also has to meet: {}", Value::Object(unsaid));
        fields.insert("description".to_owned(), json!(description.trim_start()));
    }
    if or_null { json!({"anyOf": [fields, {"type": "null"}]}) } else { Value::Object(fields) }
}

/// Says of a list whose items have a schema by their place, by either draft, what can be said of all of its items.
fn translate_tuple(fields: &mut Map<String, Value>, unsaid: &mut Map<String, Value>) {
    let (first, rest) = match (fields.remove("prefixItems"), fields.remove("additionalItems")) {
        (Some(Value::Array(first)), _) => (first, fields.remove("items")),
        (_, rest) => match fields.remove("items") {
            Some(Value::Array(first)) => (first, rest),
            items => {
                fields.extend(items.map(|items| ("items".to_owned(), items)));
                return;
            }
        },
    };
    let most = fields.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let most = if rest == Some(json!(false)) { most.min(first.len() as u64) } else { most };
    let rest = rest.filter(|_| most > first.len() as u64);
    let mut any: Vec<&Value> = Vec::new();
    for schema in first.iter().chain(&rest) {
        if !any.contains(&schema) {
            any.push(schema);
        }
    }
    let items = match any.as_slice() {
        // Whatever follows may be anything.
        _ if most > first.len() as u64 && rest.is_none() => None,
        [one] => Some((*one).clone()),
        any => Some(json!({"anyOf": any})),
    };
    if any.len() > 1 || items.is_none() {
        unsaid.insert("prefixItems".to_owned(), json!(first));
        unsaid.extend(rest.map(|rest| ("items".to_owned(), rest)));
    }
    fields.extend(items.map(|items| ("items".to_owned(), items)));
    if most < u64::MAX {
        fields.insert("maxItems".to_owned(), json!(most));
    }
}

/// Takes the object off an answer that was wrapped in one.
#[derive(Debug, Default)]
pub(crate) struct Unwrap {
    /// How many objects and arrays are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether the property's value has begun.
    begun: bool,
}

impl Translate for Unwrap {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        match event {
            ChatEvent::TextDelta(text) => {
                let within: String = text.chars().filter(|character| self.is_within(*character)).collect();
                if !within.is_empty() {
                    out.push(ChatEvent::TextDelta(within));
                }
            }
            ChatEvent::TextBlockStart => {
                *self = Unwrap::default();
                out.push(ChatEvent::TextBlockStart);
            }
            other => out.push(other),
        }
    }
}

impl Unwrap {
    /// Whether the next character of the JSON belongs to the property's value.
    fn is_within(&mut self, character: char) -> bool {
        let begun = self.begun;
        match character {
            _ if self.escaped => self.escaped = false,
            '\\' if self.in_string => self.escaped = true,
            '"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            ':' if self.depth == 1 => self.begun = true,
            _ => {}
        }
        begun && self.depth > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a schema that is a property of the root.
    fn within(schema: Value) -> Value {
        let (mut schema, wrapped) = translate(json!({"properties": {"p": schema}}));
        assert!(!wrapped);
        schema["properties"]["p"].take()
    }

    #[test]
    fn what_constrains_nothing_is_left_out_at_any_depth_and_a_property_may_have_any_name() {
        let noise = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "x-order": 1, "discriminator": {
            "propertyName": "kind"}, "externalDocs": {}});
        let with = |schema: Value| {
            let mut schema = schema;
            schema.as_object_mut().unwrap().extend(noise.as_object().unwrap().clone());
            schema
        };
        let name = with(json!({"type": "string", "format": "email", "example": "a@b"}));
        let list = with(json!({"type": "array", "items": with(json!({"anyOf": [with(json!({"type": "null"}))]}))}));
        let (schema, wrapped) = translate(with(json!({
            "type": "object", "properties": {"example": name, "x-list": list}, "default": noise, "required": ["example"],
        })));
        let wanted = json!({
            "type": "object", "default": noise, "required": ["example"],
            "properties": {
                "example": {"type": "string", "format": "email", "examples": ["a@b"]},
                "x-list": {"type": "array", "items": {"anyOf": [{"type": "null"}]}},
            },
        });
        assert_eq!((schema, wrapped), (wanted, false));
    }

    #[test]
    fn what_other_drafts_say_is_said_in_words_that_all_know() {
        for (other, common) in [
            (json!({"minimum": 1, "exclusiveMinimum": true}), json!({"exclusiveMinimum": 1})),
            (json!({"maximum": 1, "exclusiveMaximum": false}), json!({"maximum": 1})),
            (json!({"dependentRequired": {"a": ["b"]}}), json!({"dependencies": {"a": ["b"]}})),
            (json!({"unevaluatedProperties": false}), json!({"additionalProperties": false})),
            (json!({"unevaluatedProperties": true}), json!({})),
            (json!({"$ref": "#", "nullable": true}), json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]})),
            (json!({"type": "string", "nullable": true}), json!({"type": "string", "nullable": true})),
        ] {
            assert_eq!(within(other.clone()), common, "{other}");
        }
    }

    #[test]
    fn of_a_tuple_all_is_said_that_holds_of_each_item_and_the_model_is_told_the_rest() {
        let (a, b) = (json!({"type": "string"}), json!({"type": "integer"}));
        let same = json!({"items": a, "maxItems": 2, "minItems": 2});
        assert_eq!(within(json!({"prefixItems": [a, a], "minItems": 2, "maxItems": 2})), same);
        assert_eq!(within(json!({"items": [a, a], "additionalItems": false, "minItems": 2})), same);
        for (tuple, items, most) in [
            (json!({"prefixItems": [a, b], "items": false}), Some(json!({"anyOf": [a, b]})), Some(2)),
            (json!({"prefixItems": [a], "items": b}), Some(json!({"anyOf": [a, b]})), None),
            (json!({"prefixItems": [a]}), None, None),
        ] {
            let said = within(tuple.clone());
            assert_eq!((said.get("items"), said["maxItems"].as_u64()), (items.as_ref(), most), "{tuple}");
            let description = said["description"].as_str().unwrap();
            assert!(description.contains(&tuple["prefixItems"].to_string()), "{description}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_in_the_description() {
        let all = within(json!({"description": "A.", "allOf": [{"x-a": 1}], "unevaluatedProperties": false}));
        let description = "A.\nIt also has to meet: {\"unevaluatedProperties\":false}";
        assert_eq!(all, json!({"description": description, "allOf": [{}]}));
    }

    #[test]
    fn a_root_that_refers_to_an_object_is_that_object() {
        let node = json!({"type": "object", "title": "Node", "properties": {"next": {"$ref": "#/$defs/Node"}}});
        let (schema, wrapped) =
            translate(json!({"$ref": "#/$defs/Node", "description": "A list.", "$defs": {"Node": node}}));
        let mut wanted = node.clone();
        wanted["description"] = json!("A list.");
        wanted["$defs"] = json!({"Node": node});
        assert_eq!((schema, wrapped), (wanted, false));
        assert_eq!(translate(json!({})), (json!({"type": "object"}), false));
    }

    #[test]
    fn any_other_root_is_the_property_of_an_object() {
        let (schema, wrapped) = translate(json!({
            "anyOf": [{"$ref": "#/$defs/A"}, {"type": "array", "items": {"$ref": "#"}}], "$defs": {"A": {"$ref": "#/anyOf/1"}},
        }));
        let at = |path: &str| json!({"$ref": format!("#/properties/answer{path}")});
        let answer = json!({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "array", "items": at("")}]});
        let wanted = json!({"$defs": {"A": at("/anyOf/1")}, "type": "object", "properties": {"answer": answer},
            "required": ["answer"], "additionalProperties": false});
        assert_eq!((schema, wrapped), (wanted, true));
        for root in [json!({"type": "array"}), json!({"$ref": "#"}), json!({"type": "object", "oneOf": []})] {
            assert!(translate(root.clone()).1, "{root}");
        }
    }

    #[test]
    fn a_wrapped_answer_is_unwrapped_wherever_it_is_cut() {
        let answer = r#"{"answer" : [1, {"a:\"}": "\\"}, "}]"] }"#;
        for first in 1..6 {
            let mut unwrap = Unwrap::default();
            let pieces = answer.as_bytes().chunks(first).map(|piece| String::from_utf8(piece.to_vec()).unwrap());
            let texts = pieces.map(|piece| piece.chars().filter(|c| unwrap.is_within(*c)).collect::<String>());
            assert_eq!(texts.collect::<String>().trim(), r#"[1, {"a:\"}": "\\"}, "}]"]"#);
        }
        let mut unwrap = Unwrap::default();
        assert_eq!(r#"{"answer":null}"#.chars().filter(|c| unwrap.is_within(*c)).collect::<String>(), "null");
    }
}
