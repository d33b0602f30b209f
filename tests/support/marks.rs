//! The API's rules for the `cache_control` marks in a request.

use serde_json::Value;

/// The lifetimes of the marks, in the order of the API: tools, system, messages.
pub(crate) fn lifetimes(body: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for part in ["tools", "system", "messages"] {
        gather(&body[part], &mut found);
    }
    found
}

fn gather<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| *name == "content").for_each(|(_, content)| gather(content, found));
            let mark = fields.get("cache_control").filter(|mark| mark.is_object());
            found.extend(mark.map(|mark| mark["ttl"].as_str().unwrap_or("5m")));
        }
        _ => {}
    }
}

/// Why an API that allows `at_most` marks would refuse the request.
pub(crate) fn refusal(body: &Value, at_most: usize) -> Option<String> {
    let marks = lifetimes(body);
    if marks.len() > at_most {
        let found = marks.len();
        return Some(format!("A maximum of {at_most} blocks with cache_control may be provided. Found {found}."));
    }
    let shorter = marks.iter().position(|lifetime| *lifetime == "5m");
    let longer = marks.iter().rposition(|lifetime| *lifetime == "1h");
    let disordered = matches!((shorter, longer), (Some(shorter), Some(longer)) if shorter < longer);
    disordered.then(|| "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block".to_owned())
}

/// The lifetime of the cache entry that the request's last mark writes.
pub(crate) fn written(body: &Value) -> &str {
    lifetimes(body).last().copied().unwrap_or("none")
}
