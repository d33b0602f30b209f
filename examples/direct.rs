//! The same stack over another inner service: no Claude Code, and other abilities, which that service declares itself.
//!
//! The service is the smallest of language models: it knows one text, and goes on from any word with a word that has
//! followed it there. So it has a temperature, a seed, and answers that go on from what the client has begun for it; it
//! calls no functions and sees no images, and says so.
//!
//! ```text
//! cargo run --example direct                    # on 127.0.0.1:3456
//! cargo run --example direct -- 127.0.0.1:8080  # another address
//!
//! curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' -d '{
//!   "model": "bigram", "temperature": 1, "seed": 7, "messages": [
//!     {"role": "user", "content": "Tell me of the sea."}, {"role": "assistant", "content": "The sea"}]}'
//! ```

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use tokio::net::TcpListener;
use tower::Service;
use tower_claude::chat::{Abilities, Model, Role};
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, EventStream, FinishReason, Usage};

/// All that the model has ever read.
const TEXT: &str = "The sea takes what the river brings, and the river brings what the rain has taken from the hill. The \
                    hill waits. The rain comes from the sea, and the sea waits for the river.";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let api = ApiService::new(Bigram::of(TEXT))
        .abilities(abilities())
        .models([Model::new("bigram").display_name("Bigram").owned_by("the sea").context_window(1)]);

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3456".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("Listening on http://{}/v1", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback_service(HttpStack::new(api, GuardLayer::new()))).await?;
    Ok(())
}

/// What becomes of the settings that the model does not go by. Of `temperature`, `seed` and the assistant's words at the
/// end nothing need be said: what an API knows is handed on.
fn abilities() -> Abilities {
    Abilities::new()
        .ignores(["frequency_penalty", "presence_penalty", "reasoning_effort", "top_p"])
        .refuses("tools", "This model only talks: leave the functions out.")
        .refuses("image_url", "This model only reads: say what the image shows.")
        .refuses("logprobs", "This model could tell how probable a word was, and does not: leave it out.")
}

/// For each word of a text, those that follow it, as often as they do.
#[derive(Clone)]
struct Bigram {
    followers: Arc<HashMap<&'static str, Vec<&'static str>>>,
}

impl Bigram {
    fn of(text: &'static str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut followers: HashMap<&str, Vec<&str>> = HashMap::new();
        for pair in words.windows(2) {
            followers.entry(pair[0]).or_default().push(pair[1]);
        }
        Bigram { followers: Arc::new(followers) }
    }

    /// A word to follow this one: at a temperature of zero the most frequent, or the first of those.
    fn next(&self, word: &str, temperature: f64, dice: &mut Dice) -> Option<&'static str> {
        let followers = self.followers.get(word)?;
        if temperature > 0.0 {
            return Some(followers[dice.throw(followers.len())]);
        }
        let often = |word: &&str| followers.iter().filter(|other| *other == word).count();
        followers.iter().rev().max_by_key(|word| often(word)).copied()
    }
}

impl Service<ChatRequest> for Bigram {
    type Response = ChatResponse;
    type Error = Infallible;
    type Future = Ready<Result<ChatResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ChatRequest) -> Self::Future {
        // Fields that the crate has no name for are as they were sent; that they are numbers has been checked.
        let temperature = request.extra.get("temperature").and_then(|value| value.as_f64()).unwrap_or(1.0);
        let mut dice = Dice(request.extra.get("seed").and_then(|value| value.as_u64()).unwrap_or(0));
        // Where the assistant has begun to speak, it goes on from there.
        let begun = request.messages.last().filter(|message| message.role == Role::Assistant).map(|last| last.text());
        let begun = begun.as_deref().and_then(|text| text.split_whitespace().last());

        let (mut word, mut events) = (begun.unwrap_or_default(), Vec::new());
        if begun.is_none() {
            word = "The";
            events.push(ChatEvent::TextDelta(word.to_owned()));
        }
        let limit = request.token_limit().unwrap_or(20) as usize;
        let reason = loop {
            if events.len() >= limit {
                break FinishReason::Length;
            }
            let Some(next) = self.next(word, temperature, &mut dice) else { break FinishReason::Stop };
            events.push(ChatEvent::TextDelta(format!(" {next}")));
            if next.ends_with('.') {
                break FinishReason::Stop;
            }
            word = next;
        };
        let read: usize = request.messages.iter().map(|message| message.text().split_whitespace().count()).sum();
        events.push(ChatEvent::finished(reason, Usage::new(read as u64, events.len() as u64)));
        ready(Ok(ChatResponse::new(request.model, EventStream::from_iter(events))))
    }
}

/// Throws that are the same for the same seed: a linear congruential generator, with Knuth's constants.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}
