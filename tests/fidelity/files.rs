//! The files that clients send: pictures that are ones, and the least that is a PDF.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::LazyLock;

use super::conversation::Picture;

pub(crate) const PDF: &[u8] =
    b"%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n\
    trailer<</Root 1 0 R>>\n%%EOF";

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A picture as PNG, in base64.
pub(crate) fn png(picture: Picture) -> &'static str {
    static PNGS: LazyLock<[String; 3]> =
        LazyLock::new(|| [encode(1, 1), encode(2100, 3), encode(450, 450)].map(|png| base64(&png)));
    &PNGS[picture as usize]
}

/// Noise of this size, in RGB and without compression.
fn encode(width: u32, height: u32) -> Vec<u8> {
    let mut noise = 1_u32;
    let mut raw = Vec::new();
    for _ in 0..height {
        raw.push(0);
        raw.extend((0..width * 3).map(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            noise as u8
        }));
    }
    // zlib: stored blocks, and Adler's checksum.
    let mut data = vec![0x78, 0x01];
    let blocks = raw.chunks(65_535);
    let last = blocks.len() - 1;
    for (at, block) in blocks.enumerate() {
        data.push(u8::from(at == last));
        let length = block.len() as u16;
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(block);
    }
    let (a, b) = raw.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    data.extend((b << 16 | a).to_be_bytes());
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", data), (b"IEND", Vec::new())] {
        png.extend((data.len() as u32).to_be_bytes());
        let start = png.len();
        png.extend(kind);
        png.extend(data);
        let checksum = !png[start..].iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        });
        png.extend(checksum.to_be_bytes());
    }
    png
}
