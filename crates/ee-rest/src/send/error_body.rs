//! What is read of a refusal.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

/// What is read of a refusal at most; the rest says nothing more.
pub(crate) const MAX_REFUSAL: usize = 64 * 1024;

/// The room for a refusal that does not say how long it is. Most are no longer than half of it.
const FIRST_ROOM: usize = 4 * 1024;

/// How long the rest of a refusal is waited for; its status says the most of it.
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// The beginning of a refusal's body. One that breaks off or halts is a refusal all the same.
/// What it says may be what it was sent: all memory that it was in is overwritten.
pub(crate) async fn read_beginning(mut reply: reqwest::Response) -> Zeroizing<Vec<u8>> {
    let told = reply.content_length();
    let room = told.map_or(FIRST_ROOM, |n| n.min(MAX_REFUSAL as u64) as usize);
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    let reading = async {
        while body.len() < MAX_REFUSAL
            && let Ok(Some(chunk)) = reply.chunk().await
        {
            append(&mut body, &chunk);
        }
    };
    // Late or not, what came is what there is.
    let _ = timeout(REFUSAL_TIME, reading).await;
    body
}

/// Appends as much as is read of a refusal. Where there is no more room it moves by itself: a
/// vector that grows leaves a copy behind.
fn append(body: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    let length = MAX_REFUSAL.min(body.len() + piece.len());
    if length > body.capacity() {
        let room = length.max(2 * body.capacity()).min(MAX_REFUSAL);
        let mut larger = Zeroizing::new(Vec::with_capacity(room));
        larger.extend_from_slice(body);
        // The one before is overwritten here.
        *body = larger;
    }
    let rest = length - body.len();
    body.extend_from_slice(&piece[..rest]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_comes_in_many_pieces_is_whole_up_to_64_kib() {
        for (room, size, count) in [
            (0, 1, 9000),
            (FIRST_ROOM, 1000, 70),
            (FIRST_ROOM, FIRST_ROOM, 2),
            (FIRST_ROOM, 30_000, 3),
            (300, 70_000, 1),
        ] {
            let pieces: Vec<_> = (0..count).map(|n| vec![n as u8; size]).collect();
            let mut body = Zeroizing::new(Vec::with_capacity(room));
            for piece in &pieces {
                append(&mut body, piece);
            }
            let mut whole = pieces.concat();
            whole.truncate(MAX_REFUSAL);
            assert!(*body == whole, "{count} pieces of {size}");
            assert!(body.capacity() <= MAX_REFUSAL, "{}", body.capacity());
        }
    }

    #[tokio::test]
    async fn a_refusal_has_the_room_that_it_says_and_64_kib_at_most() {
        for (length, room) in [(0, 0), (300, 300), (70_000, MAX_REFUSAL)] {
            let reply = http::Response::new(vec![b'x'; length]);
            let read = read_beginning(reply.into()).await;
            assert_eq!((read.len(), read.capacity()), (room, room));
        }
    }
}
