//! Splits the CLI's stdout into lines, with a bound on a line's length.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// Yields each line without its line feed. What follows the last line feed is not a line: the process was cut off.
#[derive(Debug)]
pub(crate) struct LineDecoder {
    max_length: usize,
    /// How much of the buffer is known to hold no line feed.
    searched: usize,
}

impl LineDecoder {
    pub(crate) fn new(max_length: usize) -> Self {
        LineDecoder { max_length, searched: 0 }
    }
}

impl Decoder for LineDecoder {
    type Item = Bytes;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Self::Error> {
        match memchr::memchr(b'\n', &buffer[self.searched..]) {
            Some(found) => {
                let end = self.searched + found;
                self.searched = 0;
                if end > self.max_length {
                    return Err(too_long(self.max_length));
                }
                let mut line = buffer.split_to(end + 1);
                line.truncate(end);
                Ok(Some(line.freeze()))
            }
            None if buffer.len() > self.max_length => Err(too_long(self.max_length)),
            None => {
                self.searched = buffer.len();
                Ok(None)
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Self::Error> {
        let line = self.decode(buffer)?;
        if line.is_none() {
            buffer.clear();
        }
        Ok(line)
    }
}

fn too_long(max_length: usize) -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        format!("the CLI wrote a line of over {max_length} bytes; raise max_line_length if it was meant to"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use proptest::prelude::*;
    use tokio_util::codec::FramedRead;

    fn lines(chunks: Vec<Vec<u8>>, max_length: usize) -> Vec<Result<Bytes, String>> {
        let reader = tokio_test_reader(chunks);
        let stream = FramedRead::new(reader, LineDecoder::new(max_length));
        futures_util::FutureExt::now_or_never(stream.map(|line| line.map_err(|e| e.to_string())).collect()).unwrap()
    }

    /// Each chunk comes out of a read of its own.
    fn tokio_test_reader(chunks: Vec<Vec<u8>>) -> impl tokio::io::AsyncRead + Unpin {
        tokio_util::io::StreamReader::new(futures_util::stream::iter(
            chunks.into_iter().filter(|c| !c.is_empty()).map(|c| Ok::<_, std::io::Error>(Bytes::from(c))),
        ))
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
