//! GeoTIFF encoding.

use serde_json::Value;

const SHORT: u16 = 3;
const LONG: u16 = 4;
const DOUBLE: u16 = 12;

/// A field of the image's directory: its tag, type, number of values, and values.
struct Field(u16, u16, u32, Vec<u8>);

/// Returns a gray checkerboard as GeoTIFF (TIFF 6.0, OGC 19-008): one band of bytes, not compressed.
/// Without a grid, it covers the world in degrees.
pub(super) fn checkerboard(width: u32, height: u32, grid: Option<&Value>) -> Vec<u8> {
    let image: Vec<u8> = (0..height)
        .flat_map(|row| (0..width).map(move |column| (row / 8 + column / 8) % 2))
        .map(|is_light| if is_light == 1 { 200 } else { 50 })
        .collect();
    let length = u32::try_from(image.len()).unwrap_or(u32::MAX);
    let mut fields = [
        long(256, width),
        long(257, height),
        short(258, &[8]), // bits per sample
        short(259, &[1]), // no compression
        short(262, &[1]), // 0 is black
        long(273, 0),     // the position of the image, set below
        short(277, &[1]), // samples per pixel
        long(278, height),
        long(279, length),
        double(34264, &transform(width, height, grid)),
        short(34735, &projection(grid)),
    ];
    // The file has a header, the directory, the values that do not fit into it, and the image.
    let directory = 8 + 2 + 12 * fields.len() + 4;
    let values: usize = fields.iter().map(|field| outside(&field.3).len()).sum();
    let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes();
    fields[5].3 = position(directory + values).to_vec();

    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((fields.len() as u16).to_le_bytes());
    let mut at = directory;
    for Field(tag, kind, count, value) in &fields {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        if outside(value).is_empty() {
            let mut inline = value.clone();
            inline.resize(4, 0);
            file.extend(inline);
        } else {
            file.extend(position(at));
            at += value.len();
        }
    }
    file.extend([0; 4]); // no other image
    fields
        .iter()
        .for_each(|field| file.extend(outside(&field.3)));
    file.extend(image);
    file
}

/// Returns a value if it does not fit into the directory.
fn outside(value: &[u8]) -> &[u8] {
    if value.len() > 4 { value } else { &[] }
}

fn short(tag: u16, values: &[u16]) -> Field {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Field(tag, SHORT, values.len() as u32, bytes)
}

fn long(tag: u16, value: u32) -> Field {
    Field(tag, LONG, 1, value.to_le_bytes().to_vec())
}

fn double(tag: u16, values: &[f64]) -> Field {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    Field(tag, DOUBLE, values.len() as u32, bytes)
}

/// Returns the matrix from columns and rows to coordinates.
fn transform(width: u32, height: u32, grid: Option<&Value>) -> [f64; 16] {
    let [sx, hx, tx, hy, sy, ty] = match grid.and_then(|grid| grid.get("affineTransform")) {
        // The API omits zeros.
        Some(transform) => [
            "scaleX",
            "shearX",
            "translateX",
            "shearY",
            "scaleY",
            "translateY",
        ]
        .map(|name| transform[name].as_f64().unwrap_or(0.0)),
        None => {
            let (width, height) = (f64::from(width), f64::from(height));
            [360.0 / width, 0.0, -180.0, 0.0, -180.0 / height, 90.0]
        }
    };
    #[rustfmt::skip]
    let matrix = [
        sx, hx, 0.0, tx,
        hy, sy, 0.0, ty,
        0.0, 0.0, 0.0, 0.0,
        0.0, 0.0, 0.0, 1.0,
    ];
    matrix
}

/// Returns the directory of geographic keys. EPSG codes from 4000 to 4999 are in degrees.
fn projection(grid: Option<&Value>) -> [u16; 16] {
    let code = grid.and_then(|grid| {
        grid["crsCode"]
            .as_str()?
            .strip_prefix("EPSG:")?
            .parse()
            .ok()
    });
    let code: u16 = code.unwrap_or(4326);
    let (model, key) = if (4000..5000).contains(&code) {
        (2, 2048)
    } else {
        (1, 3072)
    };
    // Version 1.1.0 with 3 keys; then each with its place (0: here), number and value. The value of
    // a pixel is that of its area (1).
    [
        1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 1, key, 0, 1, code,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the four bytes of a field's value or position.
    fn field(file: &[u8], tag: u16) -> u32 {
        let entries = file[10..].chunks_exact(12);
        let mut found = entries.filter(|entry| entry[..2] == tag.to_le_bytes());
        u32::from_le_bytes(found.next().unwrap()[8..].try_into().unwrap())
    }

    #[test]
    fn fields_describe_the_grid_and_the_image() {
        let grid = json!({
            "crsCode": "EPSG:32632",
            "affineTransform": {"scaleX": 10, "translateX": 5e5, "scaleY": -10, "translateY": 5.2e6},
        });
        let file = checkerboard(41, 30, Some(&grid));
        assert_eq!((field(&file, 256), field(&file, 257)), (41, 30));
        let (position, length) = (field(&file, 273), field(&file, 279));
        assert_eq!(
            (length, (position + length) as usize),
            (41 * 30, file.len())
        );
        let numbers = file[field(&file, 34264) as usize..].chunks_exact(8);
        let numbers: Vec<_> = numbers
            .take(8)
            .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!(numbers, [10.0, 0.0, 0.0, 5e5, 0.0, -10.0, 0.0, 5.2e6]);
        let keys = field(&file, 34735) as usize + 24;
        assert_eq!(file[keys..keys + 2], 3072_u16.to_le_bytes());
        assert_eq!(file[keys + 6..keys + 8], 32632_u16.to_le_bytes());
    }
}
