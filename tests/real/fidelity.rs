//! What the model gets of random conversations, and what the client gets back, is what is right.

#[path = "../fidelity/mod.rs"]
mod conversations;

/// Those that each run holds.
const SEED: u64 = 23;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_client_and_model() {
    let Some(court) = conversations::court().await else { return };
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let known = conversations::judge(&court, SEED, 0..60, conversations::SHRINKS).await;
    let new = conversations::judge(&court, time.as_secs(), 0..20, conversations::SHRINKS).await;
    assert_eq!(known + new, 0, "kinds of differences that are not known; they are printed above");
}
