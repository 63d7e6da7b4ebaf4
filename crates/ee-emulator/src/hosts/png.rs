//! PNG encoding.

use std::io::{self, Write as _};

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// Returns a black and white checkerboard as PNG (ISO/IEC 15948).
pub(super) fn checkerboard(width: u32, height: u32) -> io::Result<Vec<u8>> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    // One bit per pixel, grayscale, no filter, not interlaced.
    header.extend_from_slice(&[1, 0, 0, 0, 0]);
    chunk(&mut png, b"IHDR", &header);
    let mut lines = ZlibEncoder::new(Vec::new(), Compression::fast());
    let bytes = width.div_ceil(8) as usize;
    for row in 0..height {
        // Squares of eight pixels.
        let first = if (row / 8) % 2 == 0 { 0x00 } else { 0xff };
        let mut line = vec![0];
        line.extend((0..bytes).map(|i| if i % 2 == 0 { first } else { !first }));
        lines.write_all(&line)?;
    }
    chunk(&mut png, b"IDAT", &lines.finish()?);
    chunk(&mut png, b"IEND", &[]);
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    // All chunks are far below 4 GiB.
    png.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    png.extend_from_slice(kind);
    png.extend_from_slice(data);
    png.extend_from_slice(&crc.sum().to_be_bytes());
}
