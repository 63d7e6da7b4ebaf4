//! Connections that were kept for the next request, and end before it.

use std::net::SocketAddr;

use earthengine::{EarthEngine, Endpoints};
use ee_emulator::Emulator;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::town::{PROJECT, constant};

/// How kept connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As a server ends those that are idle for long.
    Closed,
    /// As a firewall does that has forgotten them, or a server that was started anew.
    Reset,
}

/// Hands connections on to the emulator until they are ended.
struct Relay {
    address: SocketAddr,
    ends: watch::Sender<End>,
    ended: watch::Receiver<usize>,
}

impl Relay {
    async fn start(emulator: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ends, to_end) = watch::channel(End::Closed);
        let (count, ended) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut to_end = to_end.clone();
                to_end.mark_unchanged();
                tokio::spawn(hand_on(client, emulator, to_end, count.clone()));
            }
        });
        Self {
            address,
            ends,
            ended,
        }
    }

    /// Ends the one connection that there is.
    async fn end(&mut self, end: End) {
        let before = *self.ended.borrow();
        self.ends.send_replace(end);
        self.ended.wait_for(|ended| *ended > before).await.unwrap();
    }
}

async fn hand_on(
    mut client: TcpStream,
    emulator: SocketAddr,
    mut to_end: watch::Receiver<End>,
    count: watch::Sender<usize>,
) {
    let mut server = TcpStream::connect(emulator).await.unwrap();
    tokio::select! {
        // A client that hangs up is no concern of the server's.
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = to_end.changed() => {}
    }
    if *to_end.borrow() == End::Reset {
        client.set_zero_linger().unwrap();
    }
    drop(client);
    count.send_modify(|count| *count += 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_ends_costs_no_request() {
    let builder = Emulator::builder().project(ee_emulator::Project::new(PROJECT));
    let emulator = builder.start().await.unwrap();
    let mut relay = Relay::start(emulator.address()).await;
    let robot = emulator.create_service_account(crate::town::ROBOT, PROJECT);
    let ee = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(relay.address).unwrap())
        .credentials_json(robot.json_key())
        .project(PROJECT)
        .connect()
        .await
        .unwrap();
    assert_eq!(emulator.connections(), 1, "the connection is kept");
    for (number, end) in (1..=20_i64).zip([End::Reset, End::Closed].into_iter().cycle()) {
        relay.end(end).await;
        emulator.clear_requests();
        let value: i64 = ee.compute(&constant(number)).await.unwrap();
        assert_eq!(value, number, "{end:?}");
        assert_eq!(emulator.requests().len(), 1, "{end:?}");
    }
    assert_eq!(emulator.connections(), 21);
}
