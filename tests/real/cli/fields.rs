//! Fields of the request: limits, stop texts, formats, effort, `n`; and what an answer carries beside its text.

use serde_json::{Value, json};

use crate::support::stack::{Stack, content, request, says, turns};

/// A request with one user message and these fields.
pub(super) fn says_with(text: &str, fields: Value) -> Value {
    let mut body = says(text);
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn an_answer_at_its_limit_ends_once_and_the_cli_asks_for_no_more() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says_with("[[long]]", json!({"max_tokens": 20}))).await;
    assert_eq!(content(&completion), "cut here");
    assert_eq!(completion["choices"][0]["finish_reason"], "length");

    let whole = stack.stream(says_with("[[long]]", json!({"max_completion_tokens": 21}))).await.whole().await;
    assert_eq!((whole.content.as_str(), whole.error), ("cut here", None));
    assert_eq!(whole.finish_reasons, ["length"]);

    for pid in stack.started() {
        crate::support::stack::gone(pid).await;
    }
    let limits: Vec<_> = stack.api.requests().iter().map(|upstream| upstream["max_tokens"].clone()).collect();
    assert_eq!(limits, [20, 21], "one request each");
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_the_conversation_goes_on() {
    let Some(stack) = Stack::real().await else { return };

    let stop = json!({"stop": ["w3", "never"]});
    let completion = stack.completion(says_with("[[count 20]]", stop.clone())).await;
    assert_eq!(content(&completion), "w0 w1 w2 ");
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");

    // The stop text lies across two deltas.
    let stop = json!({"stop": "2 w3"});
    let whole = stack.stream(says_with("[[slow 20 count 20]]", stop)).await.whole().await;
    assert_eq!((whole.content.as_str(), whole.error), ("w0 w1 w", None));
    assert_eq!(whole.finish_reasons, ["stop"]);

    let answer = stack
        .ask(request(json!([
            {"role": "user", "content": "[[count 20]]"},
            {"role": "assistant", "content": "w0 w1 w2 "},
            {"role": "user", "content": "next"},
        ])))
        .await;
    // What the model had said beyond the stop text is in no process any more.
    assert_eq!(answer.header("x-claude-process"), Some("cold"));
    assert_eq!(content(&answer.json()), "echo: next");
    let upstream = stack.api.requests().pop().unwrap();
    assert!(turns(&upstream)[1].1[0]["text"].as_str().unwrap().starts_with("w0 w1 w2"));
    assert!(!turns(&upstream)[1].1.to_string().contains("w3"));
}

#[tokio::test]
async fn a_schema_makes_the_answer_json_streamed_and_not() {
    let Some(stack) = Stack::real().await else { return };

    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"],
        "additionalProperties": false});
    let format =
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}});
    let completion = stack.completion(says_with("Who?", format.clone())).await;
    assert_eq!(serde_json::from_str::<Value>(content(&completion)).unwrap(), json!({"name": "Ada"}));
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");
    assert_eq!(completion["choices"][0]["message"].get("tool_calls"), None);

    let whole = stack.stream(says_with("Who?", format)).await.whole().await;
    assert_eq!(serde_json::from_str::<Value>(&whole.content).unwrap(), json!({"name": "Ada"}));
    assert_eq!((whole.finish_reasons, whole.calls.len()), (vec!["stop".to_owned()], 0));

    let format = json!({"response_format": {"type": "json_object"}});
    let completion = stack.completion(says_with(r#"[[json {"any": [1, {"x": null}]}]]"#, format)).await;
    assert_eq!(serde_json::from_str::<Value>(content(&completion)).unwrap(), json!({"any": [1, {"x": null}]}));
}

/// A request for JSON of this schema, and its path, at each door.
fn formatted(text: &str, schema: &Value) -> [(&'static str, Value); 3] {
    let chat = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let responses = json!({"type": "json_schema", "name": "n", "schema": schema});
    let messages = json!({"type": "json_schema", "schema": schema});
    [
        ("/v1/chat/completions", says_with(text, json!({"response_format": chat}))),
        (
            "/v1/responses",
            json!({"model": "claude-opus-4", "store": false, "input": text, "text": {"format": responses}}),
        ),
        (
            "/v1/messages",
            json!({"model": "claude-opus-4", "max_tokens": 99, "messages": [{"role": "user", "content": text}],
                "output_config": {"format": messages}}),
        ),
    ]
}

/// The text of an answer of any door.
fn answered(answer: &Value) -> Value {
    let texts = [
        &answer["choices"][0]["message"]["content"],
        &answer["output"][0]["content"][0]["text"],
        &answer["content"][0]["text"],
    ];
    let text = texts.into_iter().find_map(Value::as_str).unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_schema_may_be_of_any_draft_and_have_any_root_at_each_door() {
    let Some(stack) = Stack::real().await else { return };

    let name = json!({"type": "string"});
    let person = json!({"type": "object", "properties": {"name": name}, "required": ["name"]});
    let of_person = |fields: Value| {
        let mut schema = person.clone();
        schema.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        schema
    };
    let zod = of_person(json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
        "additionalProperties": false, "x-order": ["name"], "example": {"name": "Bob"}}));
    let kinds = json!({"oneOf": [{"$ref": "#/$defs/Cat"}, {"type": "null"}], "discriminator": {
        "propertyName": "kind", "mapping": {"cat": "#/$defs/Cat"}}});
    let pydantic = of_person(json!({"properties": {"name": name, "pet": kinds},
        "$defs": {"Cat": of_person(json!({"properties": {"kind": {"const": "cat"}}, "required": ["kind"]}))}}));
    let tuple = of_person(json!({"properties": {"name": name, "at": {"type": "array", "prefixItems": [
        {"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2}}, "unevaluatedProperties": false}));
    let reference = json!({"$ref": "#/$defs/Node", "$defs": {"Node": of_person(json!({"properties": {
        "name": name, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}))}});
    let union = json!({"anyOf": [person, {"type": "array", "items": {"$ref": "#"}}]});
    let ada = json!({"name": "Ada"});
    for (schema, given, wanted) in [
        (zod, ada.clone(), ada.clone()),
        (pydantic, json!({"name": "Ada", "pet": {"kind": "cat"}}), json!({"name": "Ada", "pet": {"kind": "cat"}})),
        (tuple, json!({"name": "Ada", "at": ["a", 1]}), json!({"name": "Ada", "at": ["a", 1]})),
        (reference, json!({"name": "Ada", "next": ada}), json!({"name": "Ada", "next": ada})),
        (union, json!({"answer": [ada]}), json!([ada])),
        (json!({}), ada.clone(), ada.clone()),
    ] {
        for (path, mut body) in formatted(&format!("[[json {given}]]"), &schema) {
            let answer = stack.post(path, &body).await;
            assert_eq!(answer.status, 200, "{path} {schema}: {}", answer.text());
            assert_eq!(answered(&answer.json()), wanted, "{path} {schema}");
            assert_eq!(answer.header("x-ignored-parameters"), None);
            body["stream"] = json!(true);
            let streamed = stack.post(path, &body).await;
            assert_eq!(streamed.status, 200, "{path} {schema}: {}", streamed.text());
        }
    }
}

#[tokio::test]
async fn a_schema_holds_whatever_its_root_is_and_the_conversation_goes_on() {
    let Some(stack) = Stack::real().await else { return };

    let schema = json!({"type": "array", "items": {"type": "integer"}});
    let [_, _, (path, mut body)] = formatted(r#"[[json {"answer": [1, 2]}]]"#, &schema);
    let first = stack.post(path, &body).await.json();
    assert_eq!(answered(&first), json!([1, 2]));
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": first["content"]}));
    messages.push(json!({"role": "user", "content": "and?"}));
    // What the model gives then is not looked at: on loopback it cannot be told.
    assert_eq!(stack.post(path, &body).await.header("x-claude-process"), Some("live"));
    body["messages"] = json!([{"role": "user", "content": r#"[[json {"answer": ["x"]}]]"#}]);
    assert_eq!(stack.post(path, &body).await.status, 500, "the model gave what the schema does not allow");
}

#[tokio::test]
async fn a_schema_of_the_answer_that_the_cli_refuses_is_a_400() {
    let Some(stack) = Stack::real().await else { return };

    let schema = json!({"type": "object", "properties": {"a": {"type": "strange"}}});
    let places = ["response_format.json_schema.schema", "text.format.schema", "output_config.format.schema"];
    for ((path, body), place) in formatted("Who?", &schema).into_iter().zip(places) {
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let error = &answer.json()["error"];
        let named = error["param"] == place || error["message"].as_str().unwrap().starts_with(place);
        assert!(named, "{error}");
    }
}

#[tokio::test]
async fn where_a_call_is_required_the_model_is_not_told_to_give_json_as_well() {
    let Some(stack) = Stack::real().await else { return };

    let parameters = json!({"type": "object"});
    let names = ["response_format", "text.format", "output_config.format"];
    let choices = [
        json!({"tools": [{"type": "function", "function": {"name": "look", "parameters": parameters}}],
            "tool_choice": "required"}),
        json!({"tools": [{"type": "function", "name": "look", "parameters": parameters}], "tool_choice": "required"}),
        json!({"tools": [{"name": "look", "input_schema": parameters}], "tool_choice": {"type": "any"}}),
    ];
    for (i, (path, mut body)) in formatted("[[tool look {}]]", &json!({"type": "object"})).into_iter().enumerate() {
        body.as_object_mut().unwrap().extend(choices[i].as_object().unwrap().clone());
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-ignored-parameters"), Some(names[i]));
        let told = stack.api.requests().pop().unwrap();
        let tools: Vec<_> = told["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(tools, ["mcp__c__look"]);
    }
}

#[tokio::test]
async fn instructions_alone_are_answered_and_the_conversation_goes_on() {
    let Some(stack) = Stack::real().await else { return };

    let mut messages = vec![json!({"role": "system", "content": "Greet."})];
    let completion = stack.completion(request(json!(messages))).await;
    assert_eq!(content(&completion), "echo: Go ahead.");
    let upstream = stack.api.requests().pop().unwrap();
    assert!(upstream["system"].to_string().contains("Greet."), "{}", upstream["system"]);
    messages.push(completion["choices"][0]["message"].clone());
    messages.push(json!({"role": "user", "content": "and?"}));
    let answer = stack.ask(request(json!(messages))).await;
    assert_eq!((answer.header("x-claude-process"), content(&answer.json())), (Some("live"), "echo: and?"));
    stack.kill_last().await;
    let answer = stack.ask(request(json!(messages))).await;
    assert_eq!((answer.header("x-claude-process"), content(&answer.json())), (Some("cold"), "echo: and?"));
}

#[tokio::test]
async fn json_that_does_not_fit_its_schema_is_a_failure_and_never_followed_by_other_json() {
    let Some(stack) = Stack::real().await else { return };
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]});
    let format =
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}});
    let answer = stack.ask(says_with("How old?", format)).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("does not fit the schema"), "{}", answer.text());
}

#[tokio::test]
async fn each_effort_is_the_one_that_the_api_is_asked_for() {
    let Some(stack) = Stack::real().await else { return };

    let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    for effort in efforts {
        stack.completion(says_with("hello", json!({"reasoning_effort": effort}))).await;
    }
    let requests = stack.api.requests();
    let asked: Vec<_> = requests.iter().map(|upstream| upstream["output_config"]["effort"].as_str().unwrap()).collect();
    assert_eq!(asked, ["low", "low", "low", "medium", "high", "xhigh", "max"]);
}

#[tokio::test]
async fn effort_none_is_no_thinking_and_the_next_request_of_the_conversation_thinks_again() {
    let Some(stack) = Stack::real().await else { return };

    let mut messages = Vec::new();
    for effort in ["none", "low", "none"] {
        messages.push(json!({"role": "user", "content": "hi"}));
        let mut body = request(json!(messages));
        body["reasoning_effort"] = json!(effort);
        messages.push(stack.completion(body).await["choices"][0]["message"].take());
    }
    let thinks: Vec<_> = stack.api.requests().iter().map(|upstream| upstream["thinking"].is_object()).collect();
    assert_eq!(thinks, [false, true, false]);
    assert_eq!(stack.started().len(), 1);
}

#[tokio::test]
async fn thinking_comes_first_and_usage_counts_cached_tokens() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says("[[think]]")).await;
    let message = &completion["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "let me think");
    assert_eq!(message["content"], "echo: think");
    let usage = &completion["usage"];
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 7);
    let (prompt, answer) = (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert!(prompt > 100 && answer > 1, "{usage}");
    assert_eq!(usage["total_tokens"], prompt + answer);

    let fields = json!({"stream_options": {"include_usage": true}, "temperature": 0.5, "seed": 1});
    let mut events = stack.stream(says_with("[[think]]", fields)).await;
    assert_eq!(events.headers["x-ignored-parameters"], "temperature, seed");
    let mut order = Vec::new();
    let mut usage = Value::Null;
    while let Some(chunk) = events.next().await {
        let delta = &chunk["choices"][0]["delta"];
        let kind = if delta["reasoning_content"].is_string() { "thinking" } else { "text" };
        if (kind == "thinking" || delta["content"].as_str().is_some_and(|text| !text.is_empty()))
            && order.last() != Some(&kind)
        {
            order.push(kind);
        }
        usage = chunk["usage"].clone();
    }
    assert_eq!(order, ["thinking", "text"]);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 7);
}

#[tokio::test]
async fn two_answers_are_two_turns() {
    let Some(stack) = Stack::real().await else { return };

    let completion = stack.completion(says_with("hello", json!({"n": 2}))).await;
    let choices = completion["choices"].as_array().unwrap();
    let said: Vec<_> = choices.iter().map(|choice| (&choice["index"], &choice["message"]["content"])).collect();
    assert_eq!(said, [(&json!(0), &json!("echo: hello")), (&json!(1), &json!("echo: hello"))]);
    assert_eq!(stack.api.requests().len(), 2);
    assert_eq!(stack.started().len(), 2);
}
