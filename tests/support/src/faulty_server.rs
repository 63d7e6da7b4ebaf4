//! The faulty server: a listener on loopback, with or without TLS, that forwards requests to the
//! emulator, responds from a function, or tunnels; and injects network faults.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::{Request, end_of_head};

/// A fault of the network or of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// None: the server responds.
    None,
    /// Connections are refused.
    ConnectionRefused,
    /// Packets are dropped: a connection is neither established nor refused.
    Unreachable,
    /// Connections are accepted, and nothing is read from them.
    NeverReads,
    /// The request is read, and there is no response.
    NeverResponds,
    /// The response is sent after this time.
    Delayed(Duration),
    /// Connections are reset when they are established.
    ResetOnConnect,
    /// The connection is reset after the request and before the response.
    ResetAfterRequest,
    /// The body is sent up to a part of the token in it, or else half of it; then the connection is
    /// reset.
    ResetInBody,
    /// The body ends at the same place, and the connection is closed properly.
    CloseInBody,
    /// The TLS handshake ends within the first record.
    TruncatedHandshake,
    /// The response ends within a TLS record.
    TruncatedRecord,
    /// The response has no length, ends early, and TLS is not closed with `close_notify`.
    MissingCloseNotify,
    /// This is the response to every request.
    Responds(&'static str),
}

/// Returns the response to a request.
pub type Respond = dyn Fn(&Request) -> Option<Vec<u8>> + Send + Sync;

/// The source of the responses.
#[derive(Clone)]
pub enum Upstream {
    /// The emulator at this address, as the host of this name.
    Emulator(&'static str, SocketAddr),
    /// A function. A request for which it returns `None` gets no response.
    Function(Arc<Respond>),
    /// The server is a proxy: it connects `CONNECT` requests to their port on this machine.
    Tunnel,
}

/// A server on loopback that injects faults.
pub struct FaultyServer {
    address: SocketAddr,
    faults: watch::Sender<(u64, NetworkFault)>,
    applied: watch::Receiver<u64>,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Upstream,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    connections: AtomicUsize,
    requests: watch::Sender<usize>,
    request_times: Mutex<Vec<Instant>>,
}

impl FaultyServer {
    /// Starts a server on the current runtime. It stops when it is dropped.
    pub async fn start(upstream: Upstream, tls: Option<Arc<ServerConfig>>) -> Self {
        let socket = bind(([127, 0, 0, 1], 0).into()).await;
        let address = socket.local_addr().unwrap();
        let (faults, to_apply) = watch::channel((1, NetworkFault::None));
        let (apply, mut applied) = watch::channel(0);
        let shared = Arc::new(Shared {
            upstream,
            tls: watch::Sender::new(tls),
            connections: AtomicUsize::new(0),
            requests: watch::Sender::new(0),
            request_times: Mutex::default(),
        });
        tokio::spawn(run(shared.clone(), address, socket, to_apply, apply));
        applied.wait_for(|number| *number == 1).await.unwrap();
        Self {
            address,
            faults,
            applied,
            shared,
        }
    }

    /// Starts a server whose responses come from a function.
    pub async fn responding(
        respond: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Upstream::Function(Arc::new(respond)), None).await
    }

    /// Starts a server on a thread of its own that runs as long as the process.
    pub fn responding_on_thread(
        respond: impl Fn(&Request) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> SocketAddr {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = Self::responding(respond).await;
                send.send(server.address).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receive.recv().unwrap()
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Applies this fault from now on. Connections that an earlier fault holds open are closed.
    pub async fn set_fault(&self, fault: NetworkFault) {
        self.faults.send_modify(|(number, now)| {
            *number += 1;
            *now = fault;
        });
        let (wanted, _) = *self.faults.borrow();
        let mut applied = self.applied.clone();
        applied.wait_for(|number| *number == wanted).await.unwrap();
    }

    /// Uses this certificate for connections from now on.
    pub fn set_certificate(&self, tls: Arc<ServerConfig>) {
        self.shared.tls.send_replace(Some(tls));
    }

    /// Returns how many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns how many complete requests were received.
    pub fn requests(&self) -> usize {
        *self.shared.requests.borrow()
    }

    /// Returns when the requests were received.
    pub fn request_times(&self) -> Vec<Instant> {
        self.shared.request_times.lock().unwrap().clone()
    }

    /// Waits until this many requests were received in total.
    pub async fn wait_for_requests(&self, wanted: usize) {
        let mut requests = self.shared.requests.subscribe();
        let enough = requests.wait_for(|requests| *requests >= wanted);
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .expect("a request is sent")
            .unwrap();
    }
}

/// Returns a socket with this address that does not listen yet, so that connections are refused.
async fn bind(address: SocketAddr) -> TcpSocket {
    for _ in 0..100 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(address).is_ok() {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("another program uses {address}");
}

async fn run(
    shared: Arc<Shared>,
    address: SocketAddr,
    first: TcpSocket,
    mut faults: watch::Receiver<(u64, NetworkFault)>,
    applied: watch::Sender<u64>,
) {
    let mut first = Some(first);
    loop {
        let (number, fault) = *faults.borrow_and_update();
        let socket = match first.take() {
            Some(socket) => socket,
            None => bind(address).await,
        };
        let is_dropped = match fault {
            NetworkFault::ConnectionRefused => {
                applied.send_replace(number);
                faults.changed().await.is_err()
            }
            NetworkFault::Unreachable => {
                let _listener = socket.listen(1).unwrap();
                let _waiting = fill_backlog(address).await;
                applied.send_replace(number);
                faults.changed().await.is_err()
            }
            fault => {
                let listener = socket.listen(128).unwrap();
                applied.send_replace(number);
                accept(&shared, &listener, fault, &mut faults).await
            }
        };
        if is_dropped {
            return;
        }
    }
}

/// Opens connections that are not accepted until the kernel drops new ones.
async fn fill_backlog(address: SocketAddr) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let connect = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(500), connect).await {
            Ok(connected) => waiting.push(connected.unwrap()),
            Err(_) => return waiting,
        }
    }
    panic!("a full backlog still accepts connections");
}

/// Accepts connections until the fault changes. Returns whether the server was dropped.
async fn accept(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    fault: NetworkFault,
    faults: &mut watch::Receiver<(u64, NetworkFault)>,
) -> bool {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            changed = faults.changed() => return changed.is_err(),
        };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (shared, faults) = (shared.clone(), faults.clone());
        // A client may hang up at any time.
        tokio::spawn(async move { shared.serve(stream, fault, faults).await.ok() });
    }
}

impl Shared {
    async fn serve(
        &self,
        stream: TcpStream,
        fault: NetworkFault,
        mut faults: watch::Receiver<(u64, NetworkFault)>,
    ) -> io::Result<()> {
        match fault {
            NetworkFault::NeverReads => {
                let _ = faults.changed().await;
                return Ok(());
            }
            NetworkFault::ResetOnConnect => return stream.set_zero_linger(),
            NetworkFault::TruncatedHandshake => return truncate_handshake(stream).await,
            _ => {}
        }
        let tls = self.tls.borrow().clone();
        let mut connection = Connection::open(stream, tls).await?;
        let request = Request::read(connection.stream()).await?;
        self.request_times.lock().unwrap().push(Instant::now());
        self.requests.send_modify(|requests| *requests += 1);
        match fault {
            NetworkFault::NeverResponds => {
                let _ = faults.changed().await;
                return Ok(());
            }
            NetworkFault::ResetAfterRequest => return connection.tcp().set_zero_linger(),
            NetworkFault::Delayed(delay) => tokio::time::sleep(delay).await,
            NetworkFault::Responds(response) => {
                return connection.send(response.as_bytes(), fault).await;
            }
            _ => {}
        }
        let response = match &self.upstream {
            Upstream::Emulator(host, address) => forward(&request, host, *address).await?,
            Upstream::Function(respond) => match respond(&request) {
                Some(response) => response,
                None => {
                    // Until the client gives up.
                    let _ = connection.stream().read(&mut [0]).await;
                    return Ok(());
                }
            },
            Upstream::Tunnel => return tunnel(&request, connection.stream()).await,
        };
        connection.send(&response, fault).await
    }
}

/// Returns the emulator's response. The host becomes the first segment of the path.
async fn forward(request: &Request, host: &str, address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut lines = request.head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let mut head = vec![
        line.replacen(" /", &format!(" /{host}/"), 1),
        "connection: close".to_owned(),
    ];
    let is_connection = |line: &&str| line.to_ascii_lowercase().starts_with("connection:");
    head.extend(lines.filter(|line| !is_connection(line)).map(str::to_owned));
    let head = head.join("\r\n") + "\r\n\r\n";
    let mut emulator = TcpStream::connect(address).await?;
    emulator.write_all(head.as_bytes()).await?;
    emulator.write_all(&request.body).await?;
    let mut response = Vec::new();
    emulator.read_to_end(&mut response).await?;
    Ok(response)
}

async fn tunnel(request: &Request, mut client: &mut (dyn Stream + Send)) -> io::Result<()> {
    // `CONNECT oauth2.googleapis.com:41234 HTTP/1.1`: every host has a port of this machine.
    let port = request.path().rsplit(':').next().unwrap().parse().unwrap();
    let mut server = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Starts a TLS record with a length of 122 bytes, and sends two of them.
async fn truncate_handshake(mut stream: TcpStream) -> io::Result<()> {
    let mut hello = [0; 1024];
    let _ = stream.read(&mut hello).await?;
    stream
        .write_all(&[0x16, 0x03, 0x03, 0x00, 0x7a, 0x02, 0x00])
        .await?;
    stream.shutdown().await
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection, with or without TLS.
enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<LimitedStream>>),
}

impl Connection {
    async fn open(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else {
            return Ok(Self::Plain(tcp));
        };
        let limited = LimitedStream { tcp, left: None };
        let stream = TlsAcceptor::from(config).accept(limited).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    fn stream(&mut self) -> &mut (dyn Stream + Send) {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.as_mut(),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.get_ref().0.tcp,
        }
    }

    async fn send(mut self, response: &[u8], fault: NetworkFault) -> io::Result<()> {
        let body = end_of_head(response).unwrap_or(response.len());
        let token = response.windows(5).position(|five| five == b"ya29.");
        let half = token.map_or(body + (response.len() - body) / 2, |token| token + 20);
        match fault {
            NetworkFault::ResetInBody | NetworkFault::CloseInBody => {
                self.stream().write_all(&response[..half]).await?;
                self.stream().flush().await?;
                if fault == NetworkFault::CloseInBody {
                    return self.stream().shutdown().await;
                }
                // A reset at once could overtake the head.
                tokio::time::sleep(Duration::from_millis(200)).await;
                self.tcp().set_zero_linger()
            }
            NetworkFault::TruncatedRecord => {
                self.stream().flush().await?;
                if let Self::Tls(stream) = &mut self {
                    stream.get_mut().0.left = Some(100);
                }
                self.stream().write_all(response).await?;
                self.stream().flush().await
            }
            NetworkFault::MissingCloseNotify => {
                let head = String::from_utf8_lossy(&response[..body]);
                let head = head
                    .lines()
                    .filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
                let head = head.collect::<Vec<_>>().join("\r\n") + "\r\n";
                self.stream().write_all(head.as_bytes()).await?;
                self.stream().write_all(&response[body..half]).await?;
                self.stream().flush().await
            }
            _ => {
                self.stream().write_all(response).await?;
                self.stream().shutdown().await
            }
        }
    }
}

/// A TCP stream that fails once it has sent this many more bytes.
struct LimitedStream {
    tcp: TcpStream,
    left: Option<usize>,
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = self.left.map_or(bytes.len(), |left| left.min(bytes.len()));
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = Pin::new(&mut self.tcp).poll_write(cx, &bytes[..allowed]);
        if let (Poll::Ready(Ok(written)), Some(left)) = (&written, &mut self.left) {
            *left -= written;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
