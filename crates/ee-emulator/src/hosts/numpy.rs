//! NumPy's array format, version 1.0.

use serde_json::Value;

/// A band of an image: its name, and NumPy's type of its pixels.
pub(super) struct Band {
    name: String,
    kind: &'static str,
}

impl Band {
    /// Returns the band with this description in the API.
    pub(super) fn of(description: &Value) -> Option<Self> {
        let name = description.get("id")?.as_str()?.to_owned();
        let kind = description.get("dataType").map_or("|u1", kind);
        Some(Self { name, kind })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Encodes the value of a pixel.
    fn encode(&self, value: u8, file: &mut Vec<u8>) {
        match self.kind {
            "<f8" => file.extend(f64::from(value).to_le_bytes()),
            "<f4" => file.extend(f32::from(value).to_le_bytes()),
            "<i4" | "<u4" => file.extend(u32::from(value).to_le_bytes()),
            "<i2" | "<u2" => file.extend(u16::from(value).to_le_bytes()),
            _ => file.push(value),
        }
    }
}

/// Returns the smallest type for the values of a `PixelDataType`.
fn kind(data_type: &Value) -> &'static str {
    let limit = |name: &str| data_type["range"][name].as_f64().unwrap_or(0.0);
    match data_type["precision"].as_str() {
        Some("DOUBLE") => "<f8",
        Some("FLOAT") => "<f4",
        _ => match (limit("min"), limit("max")) {
            (min, max) if min < -32_768.0 || min < 0.0 && max > 32_767.0 => "<i4",
            (min, _) if min < -128.0 => "<i2",
            (min, max) if min < 0.0 && max > 127.0 => "<i2",
            (min, _) if min < 0.0 => "|i1",
            (_, max) if max > 65_535.0 => "<u4",
            (_, max) if max > 255.0 => "<u2",
            _ => "|u1",
        },
    }
}

/// Returns an array of zeros.
pub(super) fn zeros(width: u32, height: u32) -> Vec<u8> {
    let mut file = header("'|u1'", width, height);
    file.resize(file.len() + width as usize * height as usize, 0);
    file
}

/// Returns a structured array with a checkerboard in each band.
pub(super) fn checkerboard(width: u32, height: u32, bands: &[Band]) -> Vec<u8> {
    let fields: Vec<String> = bands
        .iter()
        .map(|band| format!("('{}', '{}')", band.name, band.kind))
        .collect();
    let mut file = header(&format!("[{}]", fields.join(", ")), width, height);
    for row in 0..height {
        for column in 0..width {
            let is_light = (row / 8 + column / 8) % 2 == 1;
            for band in bands {
                band.encode(if is_light { 200 } else { 50 }, &mut file);
            }
        }
    }
    file
}

fn header(kind: &str, width: u32, height: u32) -> Vec<u8> {
    let mut header =
        format!("{{'descr': {kind}, 'fortran_order': False, 'shape': ({height}, {width}), }}");
    // Magic, version, length, header and newline must add up to a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_the_smallest_for_their_range() {
        let integer = |min: i64, max: i64| {
            kind(&json!({"precision": "INT", "range": {"min": min, "max": max}}))
        };
        assert_eq!(integer(0, 255), "|u1");
        assert_eq!(integer(0, 65_535), "<u2");
        assert_eq!(integer(0, 65_536), "<u4");
        assert_eq!(integer(-128, 127), "|i1");
        assert_eq!(integer(-1, 255), "<i2");
        assert_eq!(integer(-32_768, 32_767), "<i2");
        assert_eq!(integer(-1, 40_000), "<i4");
        assert_eq!(kind(&json!({"precision": "FLOAT"})), "<f4");
        assert_eq!(kind(&json!({"precision": "DOUBLE"})), "<f8");
    }

    #[test]
    fn bands_are_interleaved_by_pixel() {
        let band = |name: &str, max: u32| {
            let range = json!({"precision": "INT", "range": {"max": max}});
            Band::of(&json!({"id": name, "dataType": range})).unwrap()
        };
        let file = checkerboard(9, 1, &[band("a", 255), band("b", 256)]);
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("[('a', '|u1'), ('b', '<u2')]"), "{text}");
        assert_eq!(file.len() % 64, 9 * 3);
        assert_eq!(file[file.len() - 6..], [50, 50, 0, 200, 200, 0]);
    }
}
