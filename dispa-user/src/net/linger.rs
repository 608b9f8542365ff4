//! Closing a connection whose peer may still be sending.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longest time that is given to the peer to take our last words and stop sending.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest silence in that time.
const SILENCE: Duration = Duration::from_secs(1);

/// Read at once, to be thrown away.
const CHUNK: usize = 16 * 1024;

/// Closes in the way of RFC 9112 section 9.6: first our side, then, when the peer has heard it, the
/// rest. A close with bytes unread would reset the connection, and the peer might lose what we sent.
pub async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut nobody = vec![0; CHUNK];
        while let Ok(Ok(1..)) = timeout(SILENCE, stream.read(&mut nobody)).await {}
    };
    // Who goes on sending for longer does not listen.
    let _ = timeout(PATIENCE, drain).await;
}
