//! One request, sent and read as well or as badly as was drawn.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::LONGEST;
use super::judge::Verdict;

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Well,
    /// It reads a little at a time.
    Slowly,
    /// It reads nothing, for so long.
    Stalls(Duration),
    /// It goes that long after its request.
    LeavesAfter(Duration),
    /// It goes when it has read so many bytes.
    LeavesAt(usize),
    /// It goes when it has sent so much of a hundred parts.
    SendsPart(usize),
    /// Something lies behind its request.
    SendsMore(&'static str),
}

/// An answer, as it came.
pub(crate) struct Got {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

/// What came of a request.
pub(crate) enum Came {
    Answer(Got),
    /// The client went first.
    Left,
    /// There was no whole answer.
    Nothing(String),
}

/// The request as it is counted.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
    /// What `x-claude-process` said.
    pub(crate) process: Option<String>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    /// What a person looks at first.
    pub(crate) fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let (start, end) = (body.chars().take(300).collect::<String>(), body.chars().count());
        format!("{} {start:?} ({end} characters)", self.status)
    }
}

/// Sends a request and reads what comes, within the time that any may take.
pub(crate) async fn send(server: SocketAddr, request: &[u8], manner: Manner) -> (Came, Duration) {
    let began = Instant::now();
    let came = match tokio::time::timeout(LONGEST, exchange(server, request, manner)).await {
        Ok(Ok(came)) => came,
        Ok(Err(error)) => Came::Nothing(error.to_string()),
        Err(_) => Came::Nothing(format!("nothing in {LONGEST:?}")),
    };
    (came, began.elapsed())
}

async fn exchange(server: SocketAddr, request: &[u8], manner: Manner) -> std::io::Result<Came> {
    let socket = TcpSocket::new_v4()?;
    if matches!(manner, Manner::Stalls(_) | Manner::Slowly) {
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(server).await?;
    match manner {
        Manner::SendsPart(percent) => {
            stream.write_all(&request[..request.len() * percent / 100]).await?;
            return Ok(Came::Left);
        }
        Manner::SendsMore(more) => {
            let both = [request, more.as_bytes()].concat();
            stream.write_all(&both).await?;
        }
        _ => stream.write_all(request).await?,
    }
    let mut read = Vec::new();
    match manner {
        Manner::LeavesAfter(pause) => {
            tokio::time::sleep(pause).await;
            return Ok(Came::Left);
        }
        Manner::LeavesAt(bytes) => {
            while read.len() < bytes && stream.read_buf(&mut read).await? > 0 {}
            return Ok(Came::Left);
        }
        Manner::Stalls(pause) => {
            tokio::time::sleep(pause).await;
            // That it was cut is what is wanted, in whichever way.
            while matches!(read_some(&mut stream, &mut read, 1 << 20).await, Ok(count) if count > 0) {}
            return Ok(Came::Left);
        }
        Manner::Slowly => {
            while read_some(&mut stream, &mut read, 4096).await? > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Manner::Well | Manner::SendsPart(_) | Manner::SendsMore(_) => while stream.read_buf(&mut read).await? > 0 {},
    }
    Ok(parse(&read)
        .map_or_else(|| Came::Nothing(format!("no whole answer: {}", String::from_utf8_lossy(&read))), Came::Answer))
}

async fn read_some(stream: &mut TcpStream, read: &mut Vec<u8>, most: u64) -> std::io::Result<usize> {
    stream.take(most).read_buf(read).await
}

/// The first answer in these bytes, if it is whole.
fn parse(read: &[u8]) -> Option<Got> {
    let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8(read[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut got = Got { status, head, body: Vec::new() };
    let mut rest = &read[end + 4..];
    if let Some(length) = got.header("content-length") {
        got.body = rest.get(..length.parse().ok()?)?.to_vec();
        return Some(got);
    }
    got.header("transfer-encoding")?;
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(got);
        }
        got.body.extend_from_slice(rest.get(end + 2..end + 2 + length)?);
        rest = rest.get(end + 2 + length + 2..)?;
    }
}
