//! The values that setters accept are those of the API.

use earthengine::Export;
use earthengine::rest::{Client, Error, ErrorKind};
use ee_emulator::Description;
use serde_json::Value;

use crate::{EARTHENGINE, connected, constant};

/// Returns the values of an enum, without the unspecified one.
fn values(name: &str) -> Vec<&'static str> {
    let values = Description::get().values(name).unwrap();
    let values = values.iter().map(String::as_str);
    values
        .filter(|value| !value.ends_with("_UNSPECIFIED"))
        .collect()
}

/// Uses a value in the setter for an enum.
async fn set(client: &Client, name: &str, value: &str) -> Result<(), Error> {
    let one = constant(1);
    let asset = "users/me/a";
    match name {
        "ImageFileFormat" => {
            let export = Export::image(&one).to_drive("f", "p").file_format(value);
            client.export(export).await.map(drop)
        }
        "VideoFileFormat" => {
            let export = Export::video(&one).to_drive("f", "p").file_format(value);
            client.export(export).await.map(drop)
        }
        "TableFileFormat" => {
            let export = Export::table(&one).to_drive("f", "p").file_format(value);
            client.export(export).await?;
            let features = constant(Value::Array(Vec::new()));
            client
                .table(&features)
                .format(value)
                .create()
                .await
                .map(drop)
        }
        "PyramidingPolicy" => {
            let export = Export::image(&one).to_asset(asset).pyramiding_policy(value);
            client.export(export).await.map(drop)
        }
        _ => panic!("{name} has no setter"),
    }
}

#[tokio::test]
async fn setters_accept_the_values_of_the_api_and_no_others() {
    let (emulator, ee) = connected().await;
    let client = ee.client();
    for name in [
        "ImageFileFormat",
        "VideoFileFormat",
        "TableFileFormat",
        "PyramidingPolicy",
    ] {
        for value in values(name) {
            match set(client, name, value).await {
                Ok(()) => {}
                // The emulator cannot write all formats.
                Err(error) => assert!(error.api().is_some(), "{name} {value}: {error}"),
            }
            emulator.clear_requests();
            let error = set(client, name, &value.to_lowercase()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name}: {error}");
            assert!(error.remedy().text.contains(value), "{name}: {error}");
            assert!(emulator.requests_to(EARTHENGINE).is_empty());
        }
    }
}
