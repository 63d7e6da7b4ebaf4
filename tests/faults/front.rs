//! A host that has troubles: a listener on loopback, with TLS under the host's own name, which hands
//! requests on to the emulator, or does to them what the trouble is.

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

/// What a host does to those who ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing: it answers.
    None,
    /// Nobody listens.
    Refused,
    /// Packets disappear: the connection is neither made nor refused.
    Unreachable,
    /// Connections are made, and nothing is read from them.
    Silent,
    /// The request is read, and never answered.
    Mute,
    /// It answers, this much later.
    Late(Duration),
    /// Connections are reset as soon as they are made.
    ResetAtOnce,
    /// The request is read, and the connection reset before any byte of an answer.
    ResetAfterRequest,
    /// The body is sent as far as into the token in it, or else half of it, and then the
    /// connection is reset.
    ResetInBody,
    /// The same, and then the connection is closed as if that were all.
    CutInBody,
    /// The TLS handshake breaks off within the first record.
    CutHandshake,
    /// A TLS record of the answer breaks off.
    CutRecord,
    /// The answer is as long as the connection lasts, and that ends without a word of TLS's.
    CutWithoutWord,
}

/// One host.
pub(crate) struct Front {
    address: SocketAddr,
    orders: watch::Sender<(u64, Trouble)>,
    obeyed: watch::Receiver<u64>,
    shared: Arc<Shared>,
}

struct Shared {
    host: &'static str,
    emulator: SocketAddr,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
    connections: AtomicUsize,
    requests: watch::Sender<usize>,
    arrivals: Mutex<Vec<Instant>>,
}

impl Front {
    /// Listens for this host, whose place the emulator takes.
    pub(crate) async fn start(
        host: &'static str,
        emulator: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let socket = bound("127.0.0.1:0".parse().unwrap()).await;
        let address = socket.local_addr().unwrap();
        let (orders, to_obey) = watch::channel((1, Trouble::None));
        let (obey, mut obeyed) = watch::channel(0);
        let shared = Arc::new(Shared {
            host,
            emulator,
            tls: watch::Sender::new(tls),
            connections: AtomicUsize::new(0),
            requests: watch::Sender::new(0),
            arrivals: Mutex::default(),
        });
        tokio::spawn(run(shared.clone(), address, socket, to_obey, obey));
        obeyed.wait_for(|number| *number == 1).await.unwrap();
        Self {
            address,
            orders,
            obeyed,
            shared,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on. Connections that hang because of an earlier trouble end.
    pub(crate) async fn suffer(&self, trouble: Trouble) {
        self.orders.send_modify(|(number, now)| {
            *number += 1;
            *now = trouble;
        });
        let (wanted, _) = *self.orders.borrow();
        let mut obeyed = self.obeyed.clone();
        obeyed.wait_for(|number| *number == wanted).await.unwrap();
    }

    /// Shows this certificate to whoever connects from now on.
    pub(crate) fn show(&self, tls: Arc<ServerConfig>) {
        self.shared.tls.send_replace(Some(tls));
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many requests came whole, whatever became of them.
    pub(crate) fn requests(&self) -> usize {
        *self.shared.requests.borrow()
    }

    /// When they came.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.shared.arrivals.lock().unwrap().clone()
    }

    /// Waits until so many requests came in all.
    pub(crate) async fn wait_for_requests(&self, wanted: usize) {
        let mut requests = self.shared.requests.subscribe();
        let enough = requests.wait_for(|requests| *requests >= wanted);
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .expect("requests come")
            .unwrap();
    }
}

/// A socket that has the address, and does not listen yet: whoever connects is refused.
pub(crate) async fn bound(address: SocketAddr) -> TcpSocket {
    for _ in 0..100 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if socket.bind(address).is_ok() {
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} was taken by another program");
}

async fn run(
    shared: Arc<Shared>,
    address: SocketAddr,
    first: TcpSocket,
    mut orders: watch::Receiver<(u64, Trouble)>,
    obeyed: watch::Sender<u64>,
) {
    let mut first = Some(first);
    loop {
        let (number, trouble) = *orders.borrow_and_update();
        let socket = match first.take() {
            Some(socket) => socket,
            None => bound(address).await,
        };
        let gone = match trouble {
            Trouble::Refused => {
                obeyed.send_replace(number);
                orders.changed().await.is_err()
            }
            Trouble::Unreachable => {
                let _listener = socket.listen(1).unwrap();
                let _waiting = fill(address).await;
                obeyed.send_replace(number);
                orders.changed().await.is_err()
            }
            trouble => {
                let listener = socket.listen(128).unwrap();
                obeyed.send_replace(number);
                accept(&shared, &listener, trouble, &mut orders).await
            }
        };
        if gone {
            return;
        }
    }
}

/// Makes connections that nobody accepts until the kernel answers no more.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let connect = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(500), connect).await {
            Ok(connected) => waiting.push(connected.unwrap()),
            Err(_) => return waiting,
        }
    }
    panic!("a full queue takes connections all the same");
}

/// Accepts until there is another trouble; whether nobody is left who could order one.
async fn accept(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    trouble: Trouble,
    orders: &mut watch::Receiver<(u64, Trouble)>,
) -> bool {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            changed = orders.changed() => return changed.is_err(),
        };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (shared, orders) = (shared.clone(), orders.clone());
        // A client that hangs up is no concern of the server's.
        tokio::spawn(async move { shared.serve(stream, trouble, orders).await.ok() });
    }
}

impl Shared {
    async fn serve(
        &self,
        stream: TcpStream,
        trouble: Trouble,
        mut orders: watch::Receiver<(u64, Trouble)>,
    ) -> io::Result<()> {
        match trouble {
            Trouble::Silent => {
                let _ = orders.changed().await;
                return Ok(());
            }
            Trouble::ResetAtOnce => return stream.set_zero_linger(),
            Trouble::CutHandshake => return cut_handshake(stream).await,
            _ => {}
        }
        let tls = self.tls.borrow().clone();
        let mut line = Line::open(stream, tls).await?;
        let request = read_request(line.stream(), self.host).await?;
        self.arrivals.lock().unwrap().push(Instant::now());
        self.requests.send_modify(|requests| *requests += 1);
        match trouble {
            Trouble::Mute => {
                let _ = orders.changed().await;
                return Ok(());
            }
            Trouble::ResetAfterRequest => return line.tcp().set_zero_linger(),
            Trouble::Late(late) => tokio::time::sleep(late).await,
            _ => {}
        }
        let answer = self.answer(&request).await?;
        self.send(line, &answer, trouble).await
    }

    /// What the emulator says to it.
    async fn answer(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut emulator = TcpStream::connect(self.emulator).await?;
        emulator.write_all(request).await?;
        let mut answer = Vec::new();
        emulator.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    async fn send(&self, mut line: Line, answer: &[u8], trouble: Trouble) -> io::Result<()> {
        let body = end_of_head(answer).unwrap_or(answer.len());
        let token = answer.windows(5).position(|five| five == b"ya29.");
        let half = token.map_or(body + (answer.len() - body) / 2, |token| token + 20);
        match trouble {
            Trouble::ResetInBody | Trouble::CutInBody => {
                line.stream().write_all(&answer[..half]).await?;
                line.stream().flush().await?;
                if trouble == Trouble::CutInBody {
                    return line.stream().shutdown().await;
                }
                // So that it is the body that breaks off, and not the head.
                tokio::time::sleep(Duration::from_millis(200)).await;
                line.tcp().set_zero_linger()
            }
            Trouble::CutRecord => {
                line.stream().flush().await?;
                line.cut_after(100);
                line.stream().write_all(answer).await?;
                line.stream().flush().await
            }
            Trouble::CutWithoutWord => {
                let head = String::from_utf8_lossy(&answer[..body]);
                let head = head
                    .lines()
                    .filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
                let head = head.collect::<Vec<_>>().join("\r\n") + "\r\n";
                line.stream().write_all(head.as_bytes()).await?;
                line.stream().write_all(&answer[body..half]).await?;
                line.stream().flush().await
            }
            _ => {
                line.stream().write_all(answer).await?;
                line.stream().shutdown().await
            }
        }
    }
}

/// Begins a record of TLS's, which says that 122 bytes follow, and sends two of them.
async fn cut_handshake(mut stream: TcpStream) -> io::Result<()> {
    let mut hello = [0; 1024];
    let _ = stream.read(&mut hello).await?;
    stream
        .write_all(&[0x16, 0x03, 0x03, 0x00, 0x7a, 0x02, 0x00])
        .await?;
    stream.shutdown().await
}

/// Reads a request, and makes the emulator's of it: the host in the path, one for a connection.
async fn read_request(stream: &mut (dyn Stream + Send), host: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let body = loop {
        if let Some(end) = end_of_head(&bytes) {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..body]).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default();
    let line = line.replacen(" /", &format!(" /{host}/"), 1);
    let (mut length, mut kept) = (0, vec![line, "connection: close".to_owned()]);
    for line in lines {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if !lower.starts_with("connection:") {
            kept.push(line.to_owned());
        }
    }
    while bytes.len() < body + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut request = (kept.join("\r\n") + "\r\n\r\n").into_bytes();
    request.extend_from_slice(&bytes[body..body + length]);
    Ok(request)
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// A connection, with or without TLS.
enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<Wire>>),
}

impl Line {
    async fn open(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else {
            return Ok(Self::Plain(tcp));
        };
        let wire = Wire { tcp, left: None };
        let stream = TlsAcceptor::from(config).accept(wire).await?;
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

    /// Lets so many more bytes through to the network, whatever is written.
    fn cut_after(&mut self, bytes: usize) {
        if let Self::Tls(stream) = self {
            stream.get_mut().0.left = Some(bytes);
        }
    }
}

/// What carries TLS's records, until it is cut.
struct Wire {
    tcp: TcpStream,
    left: Option<usize>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
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
