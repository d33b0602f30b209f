//! What is outside the workspace stays there, however its path is written.

use serde_json::json;

use crate::server::{Server, request};

#[tokio::test]
async fn white_space_before_a_path_leads_nobody_out() {
    let Some(server) = Server::start().await else { return };
    let outside = server.outside("secret.txt");
    std::fs::write(&outside, "the secret").unwrap();
    let outside = outside.display();
    let attempts = [
        json!({"pattern": "secret", "path": format!(" {outside}"), "output_mode": "content"}),
        json!({"pattern": "secret", "path": format!("\u{a0}{outside}"), "output_mode": "content"}),
        json!({"pattern": "secret", "path": "\u{feff}..", "output_mode": "content"}),
        json!({"pattern": "secret", "path": "\t~/..", "output_mode": "content"}),
    ];
    let calls: Vec<_> = attempts.iter().map(|input| format!("Grep {input}")).collect();
    server.answer(&request(&[json!({"role": "user", "content": format!("[[tool {}]]", calls.join(" ;; "))})])).await;
    let results = server.last_results();
    assert_eq!(results.len(), attempts.len());
    for result in results {
        assert!(result["is_error"] == true && !result.to_string().contains("the secret"), "{result}");
    }
}
