//! The lifecycle of assets, and the project's configuration.

use earthengine::AssetUpdate;
use earthengine::rest::ErrorKind;
use serde_json::json;

use crate::{EARTHENGINE, PROJECT, connected, quick};

fn named(path: &str) -> String {
    format!("projects/ee-demo-project/assets/{path}")
}

#[tokio::test]
async fn assets_are_created_listed_updated_moved_and_deleted() {
    let (emulator, ee) = connected().await;
    let assets = ee.assets();
    assets.create(&named("a"), "FOLDER").await.unwrap();
    for n in 0..5 {
        assets
            .create(&named(&format!("a/{n}")), "IMAGE_COLLECTION")
            .await
            .unwrap();
    }
    let listed = assets
        .list(&named("a"))
        .page_size(2)
        .items()
        .all()
        .await
        .unwrap();
    let names: Vec<&str> = listed.iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(
        names,
        (0..5).map(|n| named(&format!("a/{n}"))).collect::<Vec<_>>()
    );
    let root = assets
        .list("projects/ee-demo-project")
        .items()
        .all()
        .await
        .unwrap();
    assert_eq!(root.len(), 1);

    let update = AssetUpdate::new()
        .property("x.y", 1)
        .property("kept", "yes");
    assets.update(&named("a/0"), &update).await.unwrap();
    let update = AssetUpdate::new()
        .property("x.y", ())
        .start_time("2024-01-01T00:00:00Z");
    let changed = assets.update(&named("a/0"), &update).await.unwrap();
    assert_eq!(
        changed.properties,
        json!({"kept": "yes"}).as_object().unwrap().clone()
    );
    assert_eq!(changed.start_time.as_deref(), Some("2024-01-01T00:00:00Z"));

    emulator.put_asset(&named("image"), "IMAGE");
    assets
        .copy(&named("image"), &named("a/copy"), false)
        .await
        .unwrap();
    let error = assets
        .copy(&named("image"), &named("a/copy"), false)
        .await
        .unwrap_err();
    assert_eq!(error.api().unwrap().status, 400);
    assets
        .copy(&named("image"), &named("a/copy"), true)
        .await
        .unwrap();
    assets.rename(&named("a"), &named("b")).await.unwrap();
    assert!(assets.exists(&named("b/copy")).await.unwrap());
    assert!(!assets.exists(&named("a/copy")).await.unwrap());

    let error = assets.delete(&named("b")).await.unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    assets.delete(&named("b/copy")).await.unwrap();
    let error = assets.get(&named("b/copy")).await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 404);
}

#[tokio::test]
async fn legacy_ids_name_the_same_assets() {
    let (_emulator, ee) = connected().await;
    let asset = ee.assets().get("CGIAR/SRTM90_V4").await.unwrap();
    assert_eq!(
        (asset.kind.as_str(), asset.id.as_str()),
        ("IMAGE", "CGIAR/SRTM90_V4")
    );
    ee.assets().create("users/me", "FOLDER").await.unwrap();
    let home = ee
        .assets()
        .get("projects/earthengine-legacy/assets/users/me")
        .await
        .unwrap();
    assert_eq!(home.id, "users/me");
    let error = ee.assets().delete("CGIAR/SRTM90_V4").await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 403);
}

#[tokio::test]
async fn invalid_asset_name_fails_before_any_request() {
    let (emulator, ee) = connected().await;
    emulator.clear_requests();
    let assets = ee.assets();
    for id in [
        "",
        "..",
        "users/me/../you",
        "a?b",
        "a:getPixels",
        "projects/ee-demo-project/assets",
    ] {
        if !id.ends_with("/assets") {
            let error = assets.get(id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{id:?}: {error}");
        }
        for error in [
            assets.delete(id).await.unwrap_err(),
            assets.copy("users/me/a", id, false).await.unwrap_err(),
            assets.get_iam_policy(id).await.unwrap_err(),
            ee.client().get_pixels(id).bytes().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{id:?}: {error}");
        }
    }
    let listed = assets.list("a:b").items().next().await.unwrap();
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let nothing = assets
        .update("users/me/a", &AssetUpdate::new())
        .await
        .unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::InvalidRequest);
    // Null would remove the property.
    let update = AssetUpdate::new().property("a", f64::NAN);
    for error in [
        assets.update("users/me/a", &update).await.unwrap_err(),
        assets.create("users/me/a", "Folder").await.unwrap_err(),
        assets
            .list("users/me")
            .option("x", f64::NAN)
            .items()
            .all()
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        assert!(!error.remedy().text.is_empty());
    }
    assert!(emulator.requests_to(EARTHENGINE).is_empty());
}

#[tokio::test]
async fn iam_policy_is_read_set_and_tested() {
    let (_emulator, ee) = connected().await;
    let assets = ee.assets();
    let name = named("shared");
    assets.create(&name, "FOLDER").await.unwrap();
    let mut policy = assets.get_iam_policy(&name).await.unwrap();
    let old = policy.clone();
    policy.grant("roles/viewer", "allUsers");
    let set = assets.set_iam_policy(&name, &policy).await.unwrap();
    assert_eq!(set.bindings, policy.bindings);
    // Another client created it first.
    let error = assets.set_iam_policy(&name, &old).await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 409);
    // A condition and other fields are still there after a change.
    let mut conditional = set.clone();
    conditional.version = Some(3);
    conditional.bindings[0].condition = Some(json!({"title": "until May", "expression": "true"}));
    assets.set_iam_policy(&name, &conditional).await.unwrap();
    let mut read = assets.get_iam_policy(&name).await.unwrap();
    read.grant("roles/viewer", "user:jane@example.com");
    let changed = assets.set_iam_policy(&name, &read).await.unwrap();
    assert_eq!(changed.version, Some(3));
    assert_eq!(changed.bindings[0], conditional.bindings[0]);
    assert_eq!(changed.bindings[1].members, ["user:jane@example.com"]);
    let permissions = ["earthengine.assets.get", "resourcemanager.projects.delete"];
    let held = assets
        .test_iam_permissions(&name, &permissions)
        .await
        .unwrap();
    assert_eq!(held, ["earthengine.assets.get"]);
}

#[tokio::test]
async fn root_of_the_assets_shows_the_quota() {
    let (_emulator, ee) = connected().await;
    for id in ["assets", "assets/"] {
        let root = ee.assets().get(&format!("projects/{PROJECT}/{id}")).await;
        let root = root.unwrap();
        assert_eq!(root.kind, "FOLDER");
        assert_eq!(root.rest["quota"]["maxAssets"], "10000");
    }
}

#[tokio::test]
async fn project_config_is_read_and_updated() {
    let (_emulator, ee) = connected().await;
    let limit = ee.client().export_limit().await.unwrap();
    assert_eq!(limit.max_concurrent_exports, None);
    let limit = ee.client().set_export_limit(3).await.unwrap();
    assert_eq!(limit.max_concurrent_exports, Some(3));
    assert_eq!(ee.client().export_limit().await.unwrap(), limit);
    let config = quick(&ee).config().await.unwrap();
    assert!(config.rest.is_empty(), "{config:?}");
    let client = quick(&ee);
    let registration = json!({"registration": {"freeQuota": "FREE_QUOTA_STANDARD"}});
    let paths = ["registration.freeQuota", "registration.billing_consent"];
    let updated = client.update_config(&paths, &registration).await.unwrap();
    assert_eq!(updated.tier().as_deref(), Some("standard"));
    assert_eq!(client.config().await.unwrap(), updated);
    for (paths, status) in [
        (&["registrationState"][..], Some(400)),
        (&["max_concurrent_exports"][..], Some(400)),
        (&[][..], None),
        (&["registration,name"][..], None),
    ] {
        let error = client.update_config(paths, &registration).await;
        let error = error.unwrap_err();
        let found = error.api().map(|api| api.status.as_u16());
        assert_eq!(found, status, "{paths:?}");
    }
    assert_eq!(
        config.registration_state.as_str(),
        "REGISTERED_NOT_COMMERCIALLY"
    );
    let algorithms = ee.client().algorithms().await.unwrap();
    assert!(
        algorithms
            .iter()
            .all(|a| !a.function_name().starts_with("algorithms/"))
    );
    assert!(!algorithms.is_empty());
}
