//! A relay that counts round trips: it holds all bytes until no side has sent any for a while, and
//! then delivers both directions at once, which is half a round trip of a distant server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How long both sides compute at most before they send something.
const QUIET: Duration = Duration::from_millis(250);
/// TCP's handshake and the way of the first bytes, in half round trips. The kernel of the relay
/// accepts immediately.
const FIRST_BYTES: u32 = 3;

/// What a distant server costs a client.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// The round trips until the last bytes arrived.
    pub round_trips: f32,
    /// The connections.
    pub connections: usize,
}

/// A relay from one address to another.
pub struct RoundTripRelay(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    half_trips: u32,
    last_delivery: u32,
    /// Whether bytes arrived since the last look.
    is_active: bool,
    held: Vec<Held>,
    connections: usize,
}

struct Held {
    bytes: Vec<u8>,
    /// Counted down by each half trip.
    half_trips: u32,
    to: mpsc::UnboundedSender<Vec<u8>>,
}

impl RoundTripRelay {
    /// Starts a relay on the current runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start(listen: SocketAddr, server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let state = Arc::<Mutex<State>>::default();
        tokio::spawn(deliver(state.clone()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                relay(client, server, &shared);
            }
        });
        Ok(Self(state))
    }

    /// Returns the counts, and starts again from zero.
    pub fn take(&self) -> Counts {
        let mut state = self.0.lock().unwrap();
        let counts = Counts {
            round_trips: state.last_delivery as f32 / 2.0,
            connections: state.connections,
        };
        *state = State::default();
        counts
    }
}

/// Delivers what is held whenever both sides wait.
async fn deliver(state: Arc<Mutex<State>>) {
    loop {
        sleep(QUIET).await;
        let mut state = state.lock().unwrap();
        if std::mem::take(&mut state.is_active) || state.held.is_empty() {
            continue;
        }
        state.half_trips += 1;
        let now = state.half_trips;
        let mut delivered = false;
        state.held.retain_mut(|held| {
            held.half_trips -= 1;
            if held.half_trips > 0 {
                return true;
            }
            delivered = true;
            let _ = held.to.send(std::mem::take(&mut held.bytes));
            false
        });
        if delivered {
            state.last_delivery = now;
        }
    }
}

fn relay(client: TcpStream, server: TcpStream, state: &Arc<Mutex<State>>) {
    state.lock().unwrap().connections += 1;
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::spawn(hold(
        from_client,
        write(to_server),
        state.clone(),
        FIRST_BYTES,
    ));
    tokio::spawn(hold(from_server, write(to_client), state.clone(), 1));
}

/// Holds what one side sends.
async fn hold(
    mut from: OwnedReadHalf,
    to: mpsc::UnboundedSender<Vec<u8>>,
    state: Arc<Mutex<State>>,
    mut half_trips: u32,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut state = state.lock().unwrap();
        state.is_active = true;
        state.held.push(Held {
            bytes: buffer[..length].to_vec(),
            half_trips,
            to: to.clone(),
        });
        half_trips = 1;
    }
}

/// Writes what is delivered to one side.
fn write(mut to: OwnedWriteHalf) -> mpsc::UnboundedSender<Vec<u8>> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(bytes) = receiver.recv().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    sender
}
