//! HTTP/1.1 as the test servers read and write it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line and the header fields, without the empty line.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads one request.
    ///
    /// # Errors
    ///
    /// If the connection ends before the request does.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let body = loop {
            if let Some(end) = end_of_head(&bytes) {
                break end;
            }
            read_more(stream, &mut bytes).await?;
        };
        let mut request = Self {
            head: String::from_utf8_lossy(&bytes[..body])
                .trim_end()
                .to_owned(),
            body: Vec::new(),
        };
        let length = request.header("content-length");
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while bytes.len() < body + length {
            read_more(stream, &mut bytes).await?;
        }
        request.body = bytes[body..body + length].to_vec();
        Ok(request)
    }

    /// Returns the request target.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Returns the header fields, names as they were sent.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.split("\r\n").skip(1);
        lines.filter_map(|line| line.split_once(": "))
    }

    /// Returns the value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers();
        headers.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn read_more(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    match stream.read_buf(bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Returns the index of the first byte of the body.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

/// Returns a response that ends the connection. `headers` are complete lines.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
