//! The page in a real browser: it shows what the report says, asks for the key, and breaks no rule of its policy.

use serde_json::json;

use super::browser::Browser;
use super::server;

#[tokio::test]
async fn it_shows_what_has_happened_and_goes_on_showing_it() {
    let Some(browser) = Browser::start().await else { return };
    let server = server(&[]).await;
    server.say("[[limits]]").await;
    server.say("[[fail 529]]").await;
    let parks = json!({"model": "opus", "messages": [{"role": "user", "content": "[[tool look {}]]"}],
        "tools": [{"type": "function", "function": {"name": "look"}}]});
    assert_eq!(server.chat(&parks).await.json()["choices"][0]["finish_reason"], "tool_calls");

    browser.open(&server.url).await;
    browser.until("return document.getElementById('requests').textContent === '3'").await;
    let text = browser.text().await;
    for words in ["1 failed", "5 hours", "93% used", "503 overloaded", "claude-opus", "Chat Completions", "parked"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert!(!text.contains("undefined") && !text.contains("NaN"), "{text}");
    assert_eq!(browser.run("return document.querySelectorAll('#requests-plot rect').length > 0").await, true);

    // What the terminal says, in the same words.
    let report = server.get("/status").await.json();
    for words in [report["plan"]["overage"].as_str().unwrap(), "begins anew in ", "Memory", " MiB", "ready"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }

    server.say("once more").await;
    browser.until("return document.getElementById('requests').textContent === '4'").await;
    let wide = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(browser.run(wide).await, true);
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    server.say("[[overage]]").await;
    browser
        .until("return document.getElementById('notices').textContent.includes('requests draw on extra usage')")
        .await;

    drop(server);
    browser.until("return document.getElementById('state').textContent === 'no connection'").await;
    assert_eq!(browser.run("return document.title").await, "no connection · claude-max-api");
}

#[tokio::test]
async fn it_asks_for_the_key_and_keeps_it_out_of_addresses() {
    let Some(browser) = Browser::start().await else { return };
    let server = server(&["--api-key", "sk-test"]).await;
    browser.open(&server.url).await;
    browser.until("return !document.getElementById('ask').hidden").await;
    let enter = |key: &str| {
        format!(
            "document.getElementById('key-field').value = '{key}'; \
             document.getElementById('ask').requestSubmit()"
        )
    };
    browser.run(&enter("sk-wrong")).await;
    browser.until("return !document.getElementById('wrong').hidden").await;
    browser.run(&enter("sk-test")).await;
    browser.until("return !document.getElementById('main').hidden").await;
    assert_eq!(browser.run("return location.href.includes('sk-test')").await, false);
    // The refusals themselves are what the console complains of.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("401")), "{complaints:?}");
    // It is still known after a reload, and only in this tab.
    browser.open(&server.url).await;
    browser.until("return !document.getElementById('main').hidden").await;
    assert_eq!(browser.run("return localStorage.length").await, 0);
}
