//! What is read of a refusal.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

/// What is read of a refusal at most; the rest says nothing more.
pub(crate) const MAX_REFUSAL: usize = 64 * 1024;

/// How long the rest of a refusal is waited for; its status says the most of it.
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// The beginning of a refusal's body. One that breaks off or halts is a refusal all the same.
/// What it says may be what it was sent: it is overwritten, and does not grow, which leaves copies.
pub(crate) async fn read_beginning(mut reply: reqwest::Response) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_REFUSAL));
    let reading = async {
        while let Ok(Some(chunk)) = reply.chunk().await {
            let room = MAX_REFUSAL - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_REFUSAL {
                break;
            }
        }
    };
    // Late or not, what came is what there is.
    let _ = timeout(REFUSAL_TIME, reading).await;
    body
}
