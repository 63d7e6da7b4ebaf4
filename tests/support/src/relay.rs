//! A relay in front of the emulator that closes, resets or stalls connections.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A port that forwards connections to a server.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: watch::Sender<State>,
    active: watch::Receiver<usize>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    is_up: bool,
    /// Connections are accepted, and nothing is forwarded.
    is_stalled: bool,
    /// How often all connections were ended.
    ends: u64,
    /// How they are ended.
    end: End,
}

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As a server closes idle connections.
    Closed,
    /// As a restarted server, or a firewall that has dropped its state, does.
    Reset,
    /// As a VPN or a proxy that has lost its state does: what the client sends is discarded.
    Silent,
}

impl Relay {
    /// Starts a relay to this server on the current runtime.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn start(server: SocketAddr) -> std::io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), server).await
    }

    /// Starts a relay at this address.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start_at(address: SocketAddr, server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State {
            is_up: true,
            is_stalled: false,
            ends: 0,
            end: End::Reset,
        });
        let (count, active) = watch::channel(0);
        tokio::spawn(serve(listener, address, server, watched, count));
        Ok(Self {
            address,
            state,
            active,
        })
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection.
    pub fn reset(&self) {
        self.state.send_modify(|now| now.ends += 1);
    }

    /// Ends every connection, and waits until they have ended.
    pub async fn end(&self, end: End) {
        let mut active = self.active.clone();
        self.state.send_modify(|now| {
            now.ends += 1;
            now.end = end;
        });
        // The relay lives as long as `self`.
        let _ = active.wait_for(|active| *active == 0).await;
    }

    /// Resets every connection and refuses new ones.
    pub fn take_down(&self) {
        self.state.send_modify(|now| {
            now.is_up = false;
            now.ends += 1;
        });
    }

    /// Forwards nothing, on old and new connections.
    pub fn stall(&self) {
        self.state.send_modify(|now| now.is_stalled = true);
    }

    /// Ends every fault. Stalled connections are reset.
    pub fn restore(&self) {
        self.state.send_modify(|now| {
            now.is_up = true;
            now.is_stalled = false;
        });
    }
}

async fn serve(
    mut listener: TcpListener,
    address: SocketAddr,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
    active: watch::Sender<usize>,
) {
    let mut relays = JoinSet::new();
    loop {
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            Some(_) = relays.join_next() => {}
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                relays.spawn(relay(client, server, state.clone(), active.clone()));
            },
        }
        if !state.borrow().is_up {
            drop(listener);
            if state.wait_for(|now| now.is_up).await.is_err() {
                return;
            }
            listener = match TcpListener::bind(address).await {
                Ok(listener) => listener,
                // Another program took the port: every further request fails, which shows.
                Err(_) => return,
            };
        }
    }
}

async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
    active: watch::Sender<usize>,
) {
    let ends = state.borrow().ends;
    active.send_modify(|active| *active += 1);
    let ended = || active.send_modify(|active| *active -= 1);
    let Ok(mut upstream) = TcpStream::connect(server).await else {
        return ended();
    };
    // Small messages should not wait for acknowledgements.
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let interrupted = async {
        state
            .wait_for(|now| now.is_stalled || now.ends != ends)
            .await
            .is_ok()
    };
    let interrupted = tokio::select! {
        biased;
        interrupted = interrupted => interrupted,
        _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => false,
    };
    if interrupted {
        drop(upstream);
        let end = state.borrow().end;
        if end == End::Silent {
            ended();
        }
        let mut discarded = [0; 1024];
        let until_client_closes =
            async { while client.read(&mut discarded).await.is_ok_and(|read| read > 0) {} };
        tokio::select! {
            _ = state.wait_for(|now| !now.is_stalled), if end != End::Silent => {}
            () = until_client_closes => {}
        }
        if end == End::Reset {
            // Where this cannot be set, the connection is closed in order.
            let _ = client.set_zero_linger();
        }
        drop(client);
        if end == End::Silent {
            return;
        }
    }
    ended();
}
