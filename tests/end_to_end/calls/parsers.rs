//! The typed call of each method whose response is JSON.

use std::fmt::Debug;
use std::time::Duration;

use earthengine::rest::{Client, Error, IamPolicy};
use earthengine::{AssetUpdate, Export};
use serde_json::{Value, json};

use crate::constant;

/// Performs the typed call of a method, by its ID without `projects.`, and formats its result.
pub(crate) async fn call(client: &Client, id: &str) -> Result<String, Error> {
    fn text(value: impl Debug) -> Result<String, Error> {
        Ok(format!("{value:?}"))
    }
    let asset = "users/me/a";
    let one = constant(1);
    let assets = client.assets();
    let operations = client.operations();
    let manifest = json!({"name": asset});
    let folder = json!({"type": "FOLDER"});
    match id {
        "getConfig" => text(client.config().await?),
        "updateConfig" => text(client.update_config(&["registration"], &json!({})).await?),
        "v1alpha.getConfig" => text(client.export_limit().await?),
        "v1alpha.updateConfig" => text(client.set_export_limit(1).await?),
        "algorithms.list" => text(client.algorithms().await?),
        "value.compute" => text(client.compute::<Option<Value>>(&one).await?),
        "listAssets" => text(assets.list("projects/p").items().all().await?),
        "assets.listAssets" => text(assets.list(asset).items().all().await?),
        "assets.listFeatures" => text(assets.list_features::<Value>(asset).items().all().await?),
        "assets.get" => text(assets.get(asset).await?),
        "assets.create" => text(assets.create(asset, "FOLDER").await?),
        "locations.assets.create" => text(assets.create_in_location("us", asset, &folder).await?),
        "assets.patch" => {
            let update = AssetUpdate::new().property("a", 1);
            text(assets.update(asset, &update).await?)
        }
        "assets.copy" => text(assets.copy(asset, "users/me/b", true).await?),
        "assets.move" => text(assets.rename(asset, "users/me/b").await?),
        "assets.delete" => text(assets.delete(asset).await?),
        "assets.getIamPolicy" => text(assets.get_iam_policy(asset).await?),
        "assets.setIamPolicy" => {
            let policy = IamPolicy::default();
            text(assets.set_iam_policy(asset, &policy).await?)
        }
        "assets.testIamPermissions" => text(assets.test_iam_permissions(asset, &[]).await?),
        "table.computeFeatures" => {
            let features = client.compute_features::<Value>(&one)?;
            text(features.items().all().await?)
        }
        "imageCollection.computeImages" => text(client.compute_images(&one)?.items().all().await?),
        "image.export" => text(client.export(Export::image(&one).to_asset(asset)).await?),
        "table.export" => text(client.export(Export::table(&one).to_asset(asset)).await?),
        "video.export" => {
            let video = Export::video(&one).to_drive("f", "p");
            text(client.export(video).await?)
        }
        "map.export" => text(client.export(Export::map(&one).to_drive("f", "p")).await?),
        "classifier.export" => {
            let classifier = Export::classifier(&one).to_asset(asset);
            text(client.export(classifier).await?)
        }
        "image.import" => text(client.import_image(&manifest).start().await?),
        "table.import" => text(client.import_table(&manifest).start().await?),
        "image.importExternal" => text(client.import_external_image(&manifest, true).await?),
        "operations.get" => text(operations.get("A").await?),
        "operations.wait" => text(operations.wait_once("A", Duration::MAX).await?),
        "operations.list" => text(operations.list().items().all().await?),
        "operations.cancel" => text(operations.cancel("A").await?),
        "operations.delete" => text(operations.delete("A").await?),
        "maps.create" => text(client.map(&one).create().await?.name()),
        "locations.maps.create" => text(client.map(&one).location("us").create().await?.name()),
        "thumbnails.create" => text(client.thumbnail(&one).create().await?.name()),
        "locations.thumbnails.create" => {
            text(client.thumbnail(&one).location("us").create().await?.name())
        }
        "filmstripThumbnails.create" => text(client.filmstrip(&one).create().await?.name()),
        "locations.filmstripThumbnails.create" => {
            text(client.filmstrip(&one).location("us").create().await?.name())
        }
        "videoThumbnails.create" => text(client.video_thumbnail(&one).create().await?.name()),
        "locations.videoThumbnails.create" => {
            let video = client.video_thumbnail(&one).location("us");
            text(video.create().await?.name())
        }
        "tables.create" => text(client.table(&one).create().await?.name()),
        "locations.tables.create" => text(client.table(&one).location("us").create().await?.name()),
        "featureView.create" => text(client.feature_view(asset).create().await?.name()),
        "featureViews.create" => {
            let view = client.feature_view(asset);
            text(view.create_in_feature_views().await?.name())
        }
        _ => panic!("{id} has no typed call"),
    }
}
