//! The wire between the program and Google: a relay that resets its connections, is down, or
//! swallows what is sent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A port in front of the emulator's.
pub(crate) struct Wire {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
}

#[derive(Clone, Copy)]
struct Condition {
    up: bool,
    /// Connections are made, and nothing comes through.
    swallows: bool,
    /// How often all connections were cut.
    cuts: u64,
}

impl Wire {
    /// Relays to this address, on the current runtime.
    pub(crate) async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (condition, seen) = watch::channel(Condition {
            up: true,
            swallows: false,
            cuts: 0,
        });
        tokio::spawn(serve(listener, address, server, seen));
        Ok(Self { address, condition })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection.
    pub(crate) fn cut(&self) {
        self.condition.send_modify(|now| now.cuts += 1);
    }

    /// Resets every connection and refuses new ones.
    pub(crate) fn take_down(&self) {
        self.condition.send_modify(|now| {
            now.up = false;
            now.cuts += 1;
        });
    }

    /// Lets nothing through, of old connections and new ones, until it is mended.
    pub(crate) fn swallow(&self) {
        self.condition.send_modify(|now| now.swallows = true);
    }

    /// It is as good as new. Connections that were swallowed are reset.
    pub(crate) fn mend(&self) {
        self.condition.send_modify(|now| {
            now.up = true;
            now.swallows = false;
        });
    }
}

async fn serve(
    mut listener: TcpListener,
    address: SocketAddr,
    server: SocketAddr,
    mut seen: watch::Receiver<Condition>,
) {
    let mut relays = JoinSet::new();
    loop {
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            Some(_) = relays.join_next() => {}
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                relays.spawn(relay(client, server, seen.clone()));
            },
        }
        if !seen.borrow().up {
            drop(listener);
            if seen.wait_for(|now| now.up).await.is_err() {
                return;
            }
            listener = match TcpListener::bind(address).await {
                Ok(listener) => listener,
                // Somebody else took the port: every further request fails, which shows.
                Err(_) => return,
            };
        }
    }
}

async fn relay(mut client: TcpStream, server: SocketAddr, mut seen: watch::Receiver<Condition>) {
    let cuts = seen.borrow().cuts;
    let Ok(mut upstream) = TcpStream::connect(server).await else {
        return;
    };
    // Small messages should not wait for acknowledgements.
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    // Ends when all connections are cut, or nothing comes through any more.
    let disturbed = async {
        seen.wait_for(|now| now.swallows || now.cuts != cuts)
            .await
            .is_ok()
    };
    let disturbed = tokio::select! {
        biased;
        disturbed = disturbed => disturbed,
        _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => false,
    };
    if disturbed {
        drop(upstream);
        let mut lost = [0; 1024];
        tokio::select! {
            _ = seen.wait_for(|now| !now.swallows) => {}
            // Until whoever sends gives up.
            () = async { while client.read(&mut lost).await.is_ok_and(|read| read > 0) {} } => {}
        }
        // A reset instead of an orderly end. It is orderly where that cannot be set.
        let _ = client.set_zero_linger();
    }
}
