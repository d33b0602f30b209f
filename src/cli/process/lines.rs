//! Reads the CLI's stdout line by line, with a bound on a line's length.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// What is read at once while little comes.
const SMALL: usize = 4 * 1024;

/// What is read at once while as much comes: a Linux pipe holds no more.
const LARGE: usize = 64 * 1024;

/// Yields each line without its line feed. What follows the last line feed is not a line: the process was cut off.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    max_length: usize,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line feed.
    searched: usize,
    /// Whether much came with the last read.
    is_fast: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, max_length: usize) -> Self {
        Lines { reader, max_length, buffer: BytesMut::new(), searched: 0, is_fast: false }
    }

    /// The next line, or `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.buffered()? {
                return Ok(Some(line));
            }
            if std::future::poll_fn(|cx| self.poll_read(cx)).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads once, and returns how many bytes came. There may be a thousand processes that say nothing for minutes, so there
    /// is no buffer while nothing comes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        if self.is_fast {
            self.buffer.reserve(LARGE);
            let polled = pin!(self.reader.read_buf(&mut self.buffer)).poll(cx);
            self.is_fast = matches!(polled, Poll::Ready(Ok(SMALL..)));
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            return polled;
        }
        let mut space = [MaybeUninit::uninit(); SMALL];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.reader).poll_read(cx, &mut read))?;
        self.is_fast = read.remaining() == 0;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// The next line, if it has been read already.
    fn buffered(&mut self) -> io::Result<Option<Bytes>> {
        match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            Some(found) => {
                let end = self.searched + found;
                self.searched = 0;
                if end > self.max_length {
                    return Err(too_long(self.max_length));
                }
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                Ok(Some(line.freeze()))
            }
            None if self.buffer.len() > self.max_length => Err(too_long(self.max_length)),
            None => {
                self.searched = self.buffer.len();
                Ok(None)
            }
        }
    }

    /// Gives the buffer back, if there is nothing in it.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

fn too_long(max_length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the CLI wrote a line of over {max_length} bytes; raise max_line_length if it was meant to"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each chunk comes out of a read of its own.
    fn lines(chunks: Vec<Vec<u8>>, max_length: usize) -> Vec<Result<Bytes, String>> {
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty());
        let mut lines = Lines::new(ChunkReader(chunks.collect()), max_length);
        futures_util::FutureExt::now_or_never(async {
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.map_err(|error| error.to_string()).transpose() {
                let failed = line.is_err();
                found.push(line);
                if failed {
                    break;
                }
            }
            found
        })
        .unwrap()
    }

    struct ChunkReader(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for ChunkReader {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            if let Some(mut chunk) = self.0.pop_front() {
                let length = chunk.len().min(buffer.remaining());
                buffer.put_slice(&chunk[..length]);
                if length < chunk.len() {
                    self.0.push_front(chunk.split_off(length));
                }
            }
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_character_split_across_reads_stays_whole() {
        let bytes = "{\"é\":1}\n".as_bytes();
        let chunks = bytes.iter().map(|b| vec![*b]).collect();
        assert_eq!(lines(chunks, 100), [Ok(Bytes::from("{\"é\":1}"))]);
    }

    #[test]
    fn a_line_over_the_limit_is_an_error_and_not_a_growing_buffer() {
        let found = lines(vec![b"ok\n".to_vec(), vec![b'x'; 11], b"\n".to_vec()], 10);
        assert_eq!(found[0], Ok(Bytes::from("ok")));
        assert!(found[1].as_ref().is_err_and(|e| e.contains("over 10 bytes")), "{found:?}");
    }

    #[test]
    fn after_a_long_line_the_buffer_is_small_again() {
        let (long, short) = (vec![b'x'; 1_000_000], b"\nshort\n".to_vec());
        let mut lines = Lines::new(ChunkReader([long, short].into()), 10_000_000);
        let mut next = || futures_util::FutureExt::now_or_never(lines.next()).unwrap().unwrap();
        assert_eq!(next().map(|line| line.len()), Some(1_000_000));
        assert_eq!(next(), Some(Bytes::from("short")));
        assert_eq!(next(), None);
        assert!(lines.buffer.capacity() <= LARGE, "{}", lines.buffer.capacity());
    }

    #[test]
    fn there_is_no_buffer_while_nothing_comes() {
        let (mut writer, reader) = tokio::io::duplex(1024 * 1024);
        let mut lines = Lines::new(reader, 1000);
        for burst in [1, 10_000, 1] {
            let burst_of_lines = b"a line\n".repeat(burst);
            let written = tokio::io::AsyncWriteExt::write_all(&mut writer, &burst_of_lines);
            futures_util::FutureExt::now_or_never(written).unwrap().unwrap();
            let mut next = || futures_util::FutureExt::now_or_never(lines.next());
            for _ in 0..burst {
                assert_eq!(next().unwrap().unwrap(), Some(Bytes::from("a line")));
            }
            assert!(next().is_none());
            assert_eq!(lines.buffer.capacity(), 0);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_give_the_same_lines(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..10),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let chunks = cuts.windows(2).map(|w| bytes[w[0]..w[1]].to_vec()).collect();
            let mut expected: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
            expected.pop();
            let found: Vec<Bytes> = lines(chunks, 1000).into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
