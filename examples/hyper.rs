//! The API served by hyper alone: the least there can be around the service.
//!
//! ```text
//! cargo run --example hyper                    # the `claude` on PATH, on 127.0.0.1:3456
//! cargo run --example hyper -- 127.0.0.1:8080  # another address
//! CLAUDE_BIN=target/debug/examples/stand-in-cli cargo run --example hyper   # without an account
//!
//! curl http://127.0.0.1:3456/v1/chat/completions -H 'content-type: application/json' \
//!   -d '{"model": "sonnet", "messages": [{"role": "user", "content": "Say hello."}]}'
//! ```

use std::error::Error;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::Layer;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::ModelAliasLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let program = std::env::var_os("CLAUDE_BIN").unwrap_or_else(|| "claude".into());
    let claude = ClaudeCli::builder().program(program).build();
    claude.version().await?;
    claude.warm_up();

    let models = ModelAliasLayer::claude();
    let api = ApiService::new(models.layer(claude))
        .abilities(ClaudeCli::abilities())
        .models(models.ids().map(ClaudeCli::model));
    let service = TowerToHyperService::new(HttpStack::new(api, GuardLayer::new()));

    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3456".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("Listening on http://{}/v1", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // The deltas of a stream are small, and each is to leave at once.
        stream.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
