//! Pixels, maps and thumbnails, in memory and as files.

use earthengine::rest::ErrorKind;
use earthengine::{ImageFormat, PixelGrid};
use ee_emulator::Fault;

use crate::{EARTHENGINE, connected, constant, quick};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Returns the width and height of a PNG.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(PNG));
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

fn files(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn pixels_are_returned_as_bytes_and_saved_as_files() {
    let (_emulator, ee) = connected().await;
    let grid = PixelGrid::degrees(8.0, 47.5, 0.01, 30, 20);
    let bytes = ee
        .compute_pixels(&constant(1))
        .grid(&grid)
        .bytes()
        .await
        .unwrap();
    assert_eq!(size(&bytes), (30, 20));
    let array = ee
        .compute_pixels(&constant(1))
        .format(ImageFormat::Npy)
        .grid(&grid);
    assert!(array.bytes().await.unwrap().starts_with(b"\x93NUMPY"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pixels.png");
    let image = ee
        .client()
        .get_pixels("CGIAR/SRTM90_V4")
        .bands(&["elevation"])
        .grid(&grid);
    let length = image.save(&path).await.unwrap();
    let saved = std::fs::read(&path).unwrap();
    assert_eq!((saved.len() as u64, size(&saved)), (length, (30, 20)));
    assert_eq!(files(dir.path()), ["pixels.png"]);
}

#[tokio::test]
async fn saved_file_is_complete_or_unchanged() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pixels.png");
    std::fs::write(&path, "before").unwrap();
    let pixels = || client.compute_pixels(&constant(1));
    for fault in [Fault::status(400), Fault::truncate_body(50).times(3)] {
        emulator.fault(EARTHENGINE, fault);
        pixels().save(&path).await.unwrap_err();
        assert_eq!(emulator.faults_left(EARTHENGINE), 0);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(files(dir.path()), ["pixels.png"]);
    }
    // A truncated response is fetched again.
    emulator.fault(EARTHENGINE, Fault::truncate_body(50).times(2));
    pixels().save(&path).await.unwrap();
    assert_eq!(size(&std::fs::read(&path).unwrap()), (256, 256));
    assert_eq!(files(dir.path()), ["pixels.png"]);
}

#[tokio::test]
async fn write_error_names_the_file() {
    let (_emulator, ee) = connected().await;
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("no/such/dir.png"), dir.path().join("..")] {
        let error = ee
            .compute_pixels(&constant(1))
            .save(&path)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File, "{error}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
        assert!(!error.remedy().text.is_empty());
    }
}

#[tokio::test]
async fn map_has_tile_urls_and_tiles() {
    let (emulator, ee) = connected().await;
    let map = ee
        .client()
        .map(&constant(1))
        .bands(&["a"])
        .create()
        .await
        .unwrap();
    assert!(
        map.url_template()
            .ends_with(&format!("/v1/{}/tiles/{{z}}/{{x}}/{{y}}", map.name()))
    );
    assert!(map.tile_url(2, -1, 3).unwrap().ends_with("/tiles/2/3/3"));
    // Their host is that of the client.
    let host = emulator.url(EARTHENGINE);
    assert!(
        map.url_template().starts_with(&host),
        "{}",
        map.url_template()
    );
    let tile = map.tile(2, 5, 3).unwrap().bytes().await.unwrap();
    assert_eq!(size(&tile), (256, 256));
    assert!(!map.url_template().contains("key="));
}

#[tokio::test]
async fn thumbnails_have_three_kinds() {
    let (emulator, ee) = connected().await;
    let client = ee.client();
    let one = constant(1);
    for thumbnail in [
        client.thumbnail(&one).create().await,
        client.filmstrip(&one).create().await,
        client.video_thumbnail(&one).create().await,
    ] {
        let thumbnail = thumbnail.unwrap();
        let url = thumbnail.url();
        assert!(
            url.starts_with(&emulator.url(EARTHENGINE)) && url.ends_with(":getPixels"),
            "{url}"
        );
        assert_eq!(size(&thumbnail.download().bytes().await.unwrap()), (64, 64));
    }
}

#[tokio::test]
async fn only_video_thumbnails_are_gifs() {
    let (_emulator, ee) = connected().await;
    let client = ee.client();
    let one = constant(1);
    let gif = ImageFormat::Other("GIF".to_owned());
    for thumbnail in [
        client.thumbnail(&one).format(gif.clone()).create().await,
        client.filmstrip(&one).format(gif).create().await,
        client
            .video_thumbnail(&one)
            .option("fileFormat", "PNG")
            .create()
            .await,
        client
            .video_thumbnail(&one)
            .option("fileFormat", "MP4")
            .create()
            .await,
    ] {
        let error = thumbnail.unwrap_err();
        assert_eq!(error.api().unwrap().status, 400);
    }
}

#[tokio::test]
async fn response_with_another_name_is_not_a_map() {
    let (emulator, ee) = connected().await;
    for name in [
        "",
        "https://evil.example/x",
        "projects/p/assets/x",
        "projects/p/maps/../x",
        "projects/p/maps/a?b",
    ] {
        let body = serde_json::json!({"name": name}).to_string();
        emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", body));
        let error = ee.client().map(&constant(1)).create().await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::InvalidResponse,
            "{name:?}: {error}"
        );
    }
}

/// Returns the IDs of catalog assets in a text.
fn catalog_ids(text: &str) -> impl Iterator<Item = &str> {
    const PROVIDERS: [&str; 5] = ["CGIAR/", "COPERNICUS/", "LANDSAT/", "MODIS/", "USGS/"];
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"/_-".contains(c))
        .filter(|word| PROVIDERS.iter().any(|start| word.starts_with(start)))
}

#[tokio::test]
async fn emulator_has_the_assets_of_the_documentation() {
    let (_emulator, ee) = connected().await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = vec![std::fs::read_to_string(root.join("README.md")).unwrap()];
    for dir in [
        "docs/src",
        "crates/earthengine/examples",
        "crates/ee-cli/tests/help",
    ] {
        for name in files(&root.join(dir)) {
            texts.extend(std::fs::read_to_string(root.join(dir).join(name)));
        }
    }
    let ids: std::collections::BTreeSet<_> =
        texts.iter().flat_map(|text| catalog_ids(text)).collect();
    assert!(ids.len() > 3, "{ids:?}");
    for id in ids {
        ee.assets().get(id).await.unwrap();
    }
}
