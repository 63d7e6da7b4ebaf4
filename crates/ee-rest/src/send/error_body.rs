//! The body of an error response.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

/// The number of bytes read of an error response; the rest adds no information.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;

/// The initial capacity for a body without `Content-Length`. Most bodies are under 2 KiB.
const INITIAL_CAPACITY: usize = 4 * 1024;

/// How long to wait for the rest of an error response, whose status is already known.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the start of an error response's body, ignoring a lost connection or timeout. The body
/// may echo secrets, so all memory that held it is zeroized.
pub(crate) async fn read_error_body(mut response: reqwest::Response) -> Zeroizing<Vec<u8>> {
    let length = response.content_length();
    let capacity = length.map_or(INITIAL_CAPACITY, |n| n.min(MAX_ERROR_BODY as u64) as usize);
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    let reading = async {
        while body.len() < MAX_ERROR_BODY
            && let Ok(Some(chunk)) = response.chunk().await
        {
            append(&mut body, &chunk);
        }
    };
    // After a timeout, the part that arrived is used.
    let _ = timeout(READ_TIMEOUT, reading).await;
    body
}

/// Appends a chunk, up to the maximum. Grows the buffer by hand, because `Vec` would leave an
/// unzeroized copy behind.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let length = MAX_ERROR_BODY.min(body.len() + chunk.len());
    if length > body.capacity() {
        let capacity = length.max(2 * body.capacity()).min(MAX_ERROR_BODY);
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(body);
        // Zeroizes the previous buffer.
        *body = larger;
    }
    let rest = length - body.len();
    body.extend_from_slice(&chunk[..rest]);
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_body_in_many_chunks_is_read_up_to_64_kib() {
        for (capacity, size, count) in [
            (0, 1, 9000),
            (INITIAL_CAPACITY, 1000, 70),
            (INITIAL_CAPACITY, INITIAL_CAPACITY, 2),
            (INITIAL_CAPACITY, 30_000, 3),
            (300, 70_000, 1),
        ] {
            let chunks: Vec<_> = (0..count).map(|n| vec![n as u8; size]).collect();
            let mut body = Zeroizing::new(Vec::with_capacity(capacity));
            for chunk in &chunks {
                append(&mut body, chunk);
            }
            let mut expected = chunks.concat();
            expected.truncate(MAX_ERROR_BODY);
            assert!(*body == expected, "{count} chunks of {size}");
            assert!(body.capacity() <= MAX_ERROR_BODY, "{}", body.capacity());
        }
    }

    #[tokio::test]
    async fn error_body_buffer_has_content_length_up_to_64_kib() {
        for (length, capacity) in [(0, 0), (300, 300), (70_000, MAX_ERROR_BODY)] {
            let response = http::Response::new(vec![b'x'; length]);
            let body = read_error_body(response.into()).await;
            assert_eq!((body.len(), body.capacity()), (capacity, capacity));
        }
    }
}
