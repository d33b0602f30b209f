//! Live conversations: which request goes on with a process, and which must not.

use serde_json::{Value, json};

use crate::support::chat::{
    Chat, ask, ask_once, assistant, call, claude, function, hear, hear_until, messages, request, system, user,
};

#[tokio::test]
async fn a_conversation_stays_on_one_process() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    let first = chat.say("[[pid]]").await;
    assert_eq!(first.process, "cold");
    for _ in 0..9 {
        let next = chat.say("[[pid]]").await;
        assert_eq!((next.process.as_str(), next.pid()), ("live", first.pid()));
    }
    assert_eq!(claude.health().processes.total, 1);
}

#[tokio::test]
async fn eight_interleaved_conversations_have_a_process_each() {
    let claude = claude().max_processes(8).build();
    let mut chats: Vec<Chat> = (0..8).map(|_| Chat::new(&claude)).collect();
    let mut pids = Vec::new();
    for (number, chat) in chats.iter_mut().enumerate() {
        pids.push(chat.say(&format!("[[pid]] {number}")).await.pid());
    }
    for _ in 0..2 {
        for (chat, pid) in chats.iter_mut().zip(&pids) {
            assert_eq!(chat.pid().await, *pid);
        }
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 8);
}

#[tokio::test]
async fn a_live_process_is_told_the_new_message_alone_and_holds_the_whole_conversation() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.messages().push(system("Be brief."));
    chat.say("one").await;
    chat.say("two").await;
    let answer = chat.say("[[history]]").await;
    assert_eq!(answer.process, "live");
    let told = answer.json();
    assert_eq!(told["system"], json!(["Be brief."]));
    let block = |role, text| json!({"role": role, "content": [{"type": "text", "text": text}]});
    assert_eq!(
        told["messages"],
        json!([
            block("user", "one"),
            block("assistant", "echo: one"),
            block("user", "two"),
            block("assistant", "echo: two"),
            block("user", "[[history]]"),
        ])
    );
}

/// Two turns, then a third in which the request was changed: `live` or not.
async fn process_after(change: impl FnOnce(&mut Chat)) -> String {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.request["tools"] = json!([function("look")]);
    chat.messages().push(system("Be brief."));
    chat.say("one").await;
    chat.say("two").await;
    change(&mut chat);
    chat.say("three").await.process
}

#[tokio::test]
async fn what_clients_do_to_a_history_does_not_matter() {
    type Change = fn(&mut Chat);
    let changes: [(&str, Change); 9] = [
        ("nothing", |_| {}),
        ("white space around texts", |chat| {
            chat.messages()[1]["content"] = json!("  one\n");
            chat.messages()[2]["content"] = json!("echo: one\n\n");
        }),
        ("parts for text", |chat| {
            chat.messages()[1]["content"] = json!([{"type": "text", "text": "one"}]);
            chat.messages()[2]["content"] = json!([{"type": "output_text", "text": "echo: one"}]);
        }),
        ("split parts", |chat| {
            chat.messages()[2]["content"] = json!([{"type": "text", "text": "echo:"}, {"type": "text", "text": "one"}]);
        }),
        ("an empty part", |chat| {
            chat.messages()[1]["content"] = json!([{"type": "text", "text": "one"}, {"type": "text", "text": ""}]);
        }),
        ("null fields", |chat| {
            chat.messages()[2]["tool_calls"] = Value::Null;
            chat.messages()[2]["refusal"] = Value::Null;
            chat.messages()[1]["name"] = Value::Null;
        }),
        ("an empty list of calls", |chat| chat.messages()[2]["tool_calls"] = json!([])),
        ("unknown fields", |chat| chat.messages()[2]["annotations"] = json!([])),
        ("the newer name of system", |chat| chat.messages()[0]["role"] = json!("developer")),
    ];
    for (what, change) in changes {
        assert_eq!(process_after(change).await, "live", "{what}");
    }
}

#[tokio::test]
async fn whatever_makes_another_conversation_has_another_process() {
    type Change = fn(&mut Chat);
    let changes: [(&str, Change); 16] = [
        ("another system prompt", |chat| chat.messages()[0]["content"] = json!("Be vague.")),
        ("no system prompt", |chat| drop(chat.messages().remove(0))),
        ("a further system prompt", |chat| chat.messages().insert(0, system("x"))),
        ("an edited message", |chat| chat.messages()[1]["content"] = json!("One")),
        ("an edited answer", |chat| chat.messages()[4]["content"] = json!("echo: two!")),
        ("an edited early answer", |chat| chat.messages()[2]["content"] = json!("echo: One")),
        ("white space within a text", |chat| chat.messages()[2]["content"] = json!("echo:one")),
        ("a deleted turn", |chat| drop(chat.messages().drain(1..3))),
        ("a message more", |chat| chat.messages().insert(1, user("zero"))),
        ("another role", |chat| chat.messages()[1]["role"] = json!("system")),
        ("a name", |chat| chat.messages()[1]["name"] = json!("ada")),
        ("another function", |chat| chat.request["tools"] = json!([function("look"), function("leap")])),
        ("no functions", |chat| chat.request["tools"] = json!([])),
        ("another description", |chat| chat.request["tools"][0]["function"]["description"] = json!("Looks.")),
        ("another API key", |chat| chat.caller.key = Some(7)),
        ("another session", |chat| chat.request["prompt_cache_key"] = json!("s2")),
    ];
    for (what, change) in changes {
        assert_ne!(process_after(change).await, "live", "{what}");
    }
}

#[tokio::test]
async fn an_image_counts() {
    let claude = claude().build();
    let image =
        |data: &str| json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}});
    let mut chat = Chat::new(&claude);
    chat.send([json!({"role": "user", "content": [image("AAAA"), {"type": "text", "text": "what is it?"}]})]).await;
    let mut other = chat.clone();
    other.messages()[0]["content"][0] = image("BBBB");
    assert_eq!(other.say("sure?").await.process, "cold");
    let answer = chat.say("sure? [[history]]").await;
    assert_eq!(answer.process, "live");
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    assert_eq!(answer.json()["messages"][0]["content"][0], json!({"type": "image", "source": source}));
}

#[tokio::test]
async fn a_regenerated_answer_is_a_replay_of_what_was_before_it() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.say("one").await;
    chat.say("two [[history]]").await;
    chat.messages().pop();
    let again = chat.try_again().await.unwrap();
    assert_eq!(again.process, "cold");
    let block = |role, text| json!({"role": role, "content": [{"type": "text", "text": text}]});
    let expected = json!([block("user", "one"), block("assistant", "echo: one"), block("user", "two [[history]]")]);
    assert_eq!(again.json()["messages"], expected);
}

#[tokio::test]
async fn of_two_requests_for_one_conversation_one_is_live_and_one_a_replay() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    let pid = chat.pid().await;
    let mut twice = [chat.clone(), chat];
    let [one, two] = &mut twice;
    let (one, two) = tokio::join!(one.say("[[slow 20 pid]]"), two.say("[[slow 20 pid]]"));
    let mut processes = [one.process.as_str(), two.process.as_str()];
    processes.sort_unstable();
    assert_eq!(processes, ["cold", "live"]);
    let live = if one.process == "live" { &one } else { &two };
    assert_eq!(live.pid(), pid);
    assert_ne!(one.pid(), two.pid());
}

#[tokio::test]
async fn settings_are_a_requests_own() {
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    let settings = |told: Value| {
        let no_thinking = &told["env"]["CLAUDE_CODE_DISABLE_THINKING"];
        json!([told["model"], told["effort"], told["max_tokens"], no_thinking])
    };

    let plain = chat.say("[[history]] 1").await;
    assert_eq!(settings(plain.json()), json!(["sonnet", null, null, null]));

    chat.request["max_tokens"] = json!(77);
    chat.request["reasoning_effort"] = json!("xhigh");
    let set = chat.say("[[history]] 2").await;
    assert_eq!((set.process.as_str(), settings(set.json())), ("live", json!(["sonnet", "xhigh", "77", null])));

    chat.request["reasoning_effort"] = json!("none");
    chat.request["max_completion_tokens"] = json!(5);
    let none = chat.say("[[history]] 3").await;
    assert_eq!((none.process.as_str(), settings(none.json())), ("live", json!(["sonnet", "low", "5", "1"])));

    for field in ["max_tokens", "max_completion_tokens", "reasoning_effort"] {
        chat.request.as_object_mut().unwrap().remove(field);
    }
    let undone = chat.say("[[history]] 4").await;
    assert_eq!(undone.process, "live");
    assert_eq!(settings(undone.json()), json!(["sonnet", null, null, null]));
    assert_eq!((undone.json()["env"].clone(), undone.json()["settings"].clone()), (json!({}), json!({})));

    // The CLI would put a /model command into the user's words.
    chat.request["model"] = json!("haiku");
    let other = chat.say("hello").await;
    assert_eq!((other.process.as_str(), other.model.as_str()), ("cold", "claude-haiku-5-5"));
}

#[tokio::test]
async fn a_message_that_will_not_be_repeated_is_seen_and_does_not_count() {
    let claude = claude().build();
    let ephemeral = |json: Value| {
        let mut request = request(json);
        for message in &mut request.messages {
            message.ephemeral = message.text().starts_with("<context>");
        }
        request
    };
    let mut history = vec![user("one"), user("<context>1")];
    for next in ["two", "[[history]]"] {
        let answer = hear(call(&claude, ephemeral(messages(history.clone()))).await.unwrap()).await.unwrap();
        history.pop();
        history.extend([answer.message(), user(next), user("<context>2")]);
    }
    let answer = hear(call(&claude, ephemeral(messages(history))).await.unwrap()).await.unwrap();
    assert_eq!(answer.process, "live");
    let told = answer.json()["messages"].clone();
    let texts =
        |at: usize| told[at]["content"].as_array().unwrap().iter().map(|b| b["text"].clone()).collect::<Vec<_>>();
    assert_eq!(texts(0), ["one", "<context>1"]);
    assert_eq!(texts(2), ["two", "<context>2"]);
    assert_eq!(texts(4), ["[[history]]", "<context>2"]);
}

#[tokio::test]
async fn a_process_is_never_given_another_conversation() {
    let claude = claude().warm_processes(2).max_processes(4).build();
    let mut pids = Vec::new();
    for number in 0..12 {
        let answer = ask_once(&claude, &format!("secret{number} [[history]]")).await;
        assert_ne!(answer.process, "live");
        assert_eq!(answer.text.matches("secret").count(), 1, "{}", answer.text);
        pids.push(ask_once(&claude, "[[pid]]").await.pid());
    }
    let count = pids.len();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), count, "the same question twice is two conversations");
}

#[tokio::test]
async fn two_callers_with_the_same_words_do_not_share() {
    let claude = claude().build();
    let history = [user("one"), assistant("echo: one"), user("[[pid]]")];
    let mut owner = Chat::new(&claude);
    owner.caller.session = Some("a".to_owned());
    owner.say("one").await;
    let stranger = ask(&claude, messages(history)).await;
    assert_eq!(stranger.process, "cold");
    assert_eq!(owner.say("[[pid]]").await.process, "live");
}

#[tokio::test]
async fn a_conversation_whose_answer_was_not_heard_to_the_end_is_not_live() {
    let claude = claude().build();
    let mut response = call(&claude, request(messages([user("[[slow 5 count 1000]]")]))).await.unwrap();
    hear_until(&mut response.events, "w1 ").await;
    drop(response);
    crate::support::chat::until("no process", || claude.health().processes.total == 0).await;
    let history = [user("[[slow 5 count 1000]]"), assistant("w0 w1"), user("on")];
    assert_eq!(ask(&claude, messages(history)).await.process, "cold");
}
