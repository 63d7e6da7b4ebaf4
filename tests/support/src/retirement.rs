//! An HTTP/2 server that shuts a connection down gracefully (RFC 9113 §6.8).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const HEADERS: u8 = 1;
const SETTINGS_FRAME: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// No error; no stream was processed.
const GO_AWAY_FRAME: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Retires a connection when the first request arrives, which is not processed.
pub async fn retire(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    socket.write_all(&SETTINGS_FRAME).await.unwrap();
    socket.flush().await.unwrap();
    // The preface of a client.
    socket.read_exact(&mut [0; 24]).await.unwrap();
    let mut head = [0; 9];
    while head[3] != HEADERS {
        socket.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        socket.read_exact(&mut vec![0; length]).await.unwrap();
    }
    socket.write_all(&GO_AWAY_FRAME).await.unwrap();
    socket.flush().await.unwrap();
    // Until the client hangs up.
    let _ = socket.read_to_end(&mut Vec::new()).await;
}
