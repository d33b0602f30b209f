//! The API below `/v1` of an axum application, beside the application's own routes.
//!
//! ```text
//! cargo run --example axum                    # the `claude` on PATH, on 127.0.0.1:3456
//! cargo run --example axum -- 127.0.0.1:8080  # another address
//! CLAUDE_BIN=target/debug/examples/stand-in-cli cargo run --example axum   # without an account
//!
//! curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' \
//!   -d '{"model": "sonnet", "messages": [{"role": "user", "content": "Say hello."}]}'
//! ```

use std::error::Error;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tower::Layer;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::ModelAliasLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let program = std::env::var_os("CLAUDE_BIN").unwrap_or_else(|| "claude".into());
    let claude = ClaudeCli::builder().program(program).build();
    // Fails with advice, before the first request does, where Claude Code is missing or too old.
    claude.version().await?;
    claude.warm_up();

    let models = ModelAliasLayer::claude();
    let api = ApiService::new(models.layer(claude))
        .abilities(ClaudeCli::abilities())
        .models(models.ids().map(ClaudeCli::model));
    let app = Router::new()
        .route("/", get(|| async { "The application's own page; the API is below /v1.\n" }))
        .nest_service("/v1", HttpStack::new(api, GuardLayer::new()));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3456".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("Listening on http://{}/v1", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
