//! A proxy between the program and Google that does not do its work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use earthengine::ErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::front::bound;
use crate::town::{Host, Told, Town, answered_with_one_request};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Tunnels,
    Answers(&'static str),
    Resets,
    Silent,
    Down,
}

struct Proxy {
    address: SocketAddr,
    moods: watch::Sender<Mood>,
    obeyed: watch::Receiver<Mood>,
    asked: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start() -> Self {
        let first = bound("127.0.0.1:0".parse().unwrap()).await;
        let address = first.local_addr().unwrap();
        let (moods, mut orders) = watch::channel(Mood::Tunnels);
        let (obey, obeyed) = watch::channel(Mood::Down);
        let asked = Arc::new(AtomicUsize::new(0));
        let log = asked.clone();
        tokio::spawn(async move {
            let mut first = Some(first);
            loop {
                let mood = *orders.borrow_and_update();
                let socket = match first.take() {
                    Some(socket) => socket,
                    None => bound(address).await,
                };
                if mood == Mood::Down {
                    obey.send_replace(mood);
                    if orders.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                let listener = socket.listen(64).unwrap();
                obey.send_replace(mood);
                loop {
                    let client = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap().0,
                        changed = orders.changed() => match changed {
                            Ok(()) => break,
                            Err(_) => return,
                        },
                    };
                    log.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(client, mood, orders.clone()));
                }
            }
        });
        let proxy = Self {
            address,
            moods,
            obeyed,
            asked,
        };
        proxy.is(Mood::Tunnels).await;
        proxy
    }

    async fn is(&self, mood: Mood) {
        self.moods.send_replace(mood);
        let mut obeyed = self.obeyed.clone();
        obeyed.wait_for(|now| *now == mood).await.unwrap();
    }
}

async fn serve(mut client: TcpStream, mood: Mood, mut orders: watch::Receiver<Mood>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    match mood {
        Mood::Tunnels => {
            // `CONNECT oauth2.googleapis.com:41234 HTTP/1.1`: every host is at its port here.
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap();
            let port = target.rsplit(':').next().unwrap().parse().unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
        Mood::Answers(answer) => {
            let _ = client.write_all(answer.as_bytes()).await;
            let _ = client.shutdown().await;
        }
        Mood::Resets => client.set_zero_linger().unwrap(),
        Mood::Silent => drop(orders.changed().await),
        Mood::Down => {}
    }
}

const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\ncanary!";
const WANTS_LOGIN: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"canary\"\r\ncontent-length: 0\r\n\r\n";
const OVERLOADED: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";

/// It wants a password, refuses, is overloaded, resets, swallows, or is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_let_through_is_named_and_nothing_goes_past_it() {
    let mut meeting = JoinSet::new();
    for host in [Host::Token, Host::EarthEngine, Host::ResourceManager] {
        for mood in [
            Mood::Answers(WANTS_LOGIN),
            Mood::Answers(DENIED),
            Mood::Answers(OVERLOADED),
            Mood::Resets,
            Mood::Silent,
            Mood::Down,
        ] {
            meeting.spawn(meets(host, mood));
        }
    }
    for (host, mood, told) in meeting.join_all().await {
        let kind = match mood {
            Mood::Silent => ErrorKind::Timeout,
            _ => ErrorKind::Network,
        };
        assert_eq!(told.kind, Some(kind), "{mood:?} {told:?}");
        assert!(told.message.contains(host.name()), "{told:?}");
        assert!(told.remedy.unwrap().contains("HTTPS_PROXY"), "{mood:?}");
        assert!(!told.message.contains("canary"), "{}", told.message);
        if kind == ErrorKind::Network {
            assert!(told.message.contains("proxy"), "{mood:?}: {}", told.message);
        }
    }
}

async fn meets(host: Host, mood: Mood) -> (Host, Mood, Told) {
    let town = Town::new().await;
    let proxy = Proxy::start().await;
    let url = format!("http://{}", proxy.address);
    let client = town.own_client().proxy(reqwest::Proxy::https(url).unwrap());
    let program = town.program_with(host, client).await;
    let tunnels = proxy.asked.load(Ordering::SeqCst);
    assert_eq!(tunnels, town.connections(), "all of them through the proxy");

    proxy.is(mood).await;
    let told = program.ask().await.unwrap_err();
    assert_eq!(tunnels, town.connections(), "nothing goes past it");
    proxy.is(Mood::Tunnels).await;
    answered_with_one_request(&town, host, &program).await;
    (host, mood, told)
}
