"""Runs Google's Python client against the emulator; prints one line of JSON.

    python_client.py service-account KEY_FILE PROJECT
    python_client.py user PROJECT
    python_client.py calls KEY_FILE PROJECT

The first and the last read a key file and set the client's own `url` to the emulator.
The second reads ~/.config/earthengine/credentials and uses Google's URLs. Both need EARTHENGINE_EMULATOR_HOST and python_preload on PYTHONPATH
(see there): neither the token endpoint of a user's login nor google-auth's
lookup of allowed locations can be configured.
"""

import json
import os
import sys

import ee
import google.auth


def initialize(mode, arguments):
    if mode in ("service-account", "calls") and len(arguments) == 2:
        key_file, project = arguments
        emulator = os.environ["EARTHENGINE_EMULATOR_HOST"]
        ee.Initialize(
            # The email address is ignored when the key is a JSON file.
            ee.ServiceAccountCredentials(None, key_file),
            project=project,
            url=f"http://{emulator}/earthengine.googleapis.com",
        )
    elif mode == "user" and len(arguments) == 1:
        ee.Initialize(project=arguments[0])
    else:
        sys.exit(__doc__)


def calls(project):
    """Sends a request of each kind. Prints the listed features."""
    name = f"projects/{project}/assets/{{}}".format
    tilesets = [{"sources": [{"uris": ["gs://b/a.tif"]}]}]
    image = {"name": name("image"), "tilesets": tilesets}
    table = {"name": name("table"), "sources": [{"uris": ["gs://b/a.csv"]}]}
    one = ee.Image(1)
    features = ee.FeatureCollection(name("wells"))
    bucket = {"bucket": "b", "filenamePrefix": "p"}
    to = lambda format: {"fileFormat": format, "cloudStorageDestination": bucket}
    data = ee.data
    results = [
        data.startIngestion(data.newTaskId()[0], image),
        data.startTableIngestion(data.newTaskId()[0], table),
        data.startExternalImageIngestion({"name": name("remote"), "tilesets": tilesets}),
        data.exportImage("a", {"expression": one, "fileExportOptions": to("GEO_TIFF")}),
        data.exportTable("b", {"expression": features, "fileExportOptions": to("CSV")}),
        data.exportVideo("c", {"expression": one, "fileExportOptions": to("MP4")}),
        data.exportMap("d", {"expression": one, "tileExportOptions": to("PNG")}),
        data.listOperations(),
        data.listFeatures({"assetId": name("wells"), "pageSize": 1}),
        data.getMapId({"image": one}),
        data.getThumbId({"image": one}),
        data.getFeatureViewTilesKey({"assetId": name("wells")}),
        data.createFolder(name("folder")),
        data.getAsset(name("folder")),
        data.updateAsset(name("folder"), {"properties": {"a": 1}}, ["properties.a"]),
        data.listAssets({"parent": f"projects/{project}/assets"}),
        data.getIamPolicy(name("folder")),
        data.renameAsset(name("folder"), name("renamed")),
        data.deleteAsset(name("renamed")),
        data.getProjectConfig(),
    ]
    more_calls(project, name, one, results)
    print(json.dumps({"features": results[8]}))


def more_calls(project, name, one, results):
    """Sends the requests that `calls` does not."""
    data = ee.data
    operation = results[0]["name"]
    image = name("remote")
    grid = {
        "crsCode": "EPSG:4326",
        "dimensions": {"width": 8, "height": 8},
        "affineTransform": {"scaleX": 0.1, "translateX": 8, "scaleY": -0.1, "translateY": 47},
    }
    point = ee.Geometry.Point(8.5, 47.4)
    features = ee.FeatureCollection(name("wells"))
    data.setDefaultWorkloadTag("reference")
    data.getInfo(image)
    data.getList({"id": f"projects/{project}/assets"})
    data.listImages({"parent": f"projects/{project}/assets"})
    data.listBuckets(f"projects/{project}")
    data.getAssetRoots()
    data.getAssetRootQuota(f"projects/{project}/assets")
    data.createAsset({"type": "IMAGE_COLLECTION", "properties": {"a": 1}}, name("made"))
    data.setAssetProperties(name("made"), {"b": 2})
    data.updateAsset(name("made"), {"startTime": "2026-01-01T00:00:00Z"}, ["start_time"])
    data.copyAsset(image, name("copy"), True)
    policy = data.getIamPolicy(name("made"))
    policy["bindings"] = [{"role": "roles/viewer", "members": ["user:a@example.com"]}]
    data.setIamPolicy(name("made"), policy)
    data.getAssetAcl(name("made"))
    data.setAssetAcl(name("made"), {"readers": ["user:a@example.com"], "all_users_can_read": True})
    data.getPixels({"assetId": image, "fileFormat": "NPY", "bandIds": ["a"], "grid": grid})
    visualization = {"bands": "a", "min": "0", "max": "1", "palette": "000000,ffffff"}
    styled = {"expression": one, "fileFormat": "PNG", "grid": grid}
    data.computePixels({**styled, "visualizationOptions": {"ranges": [{"min": 0, "max": 1}]}})
    data.computeValue(ee.Number(1))
    made = ee.FeatureCollection([ee.Feature(ee.Geometry.Point(8, 47), {"n": 1}), ee.Feature(None)])
    data.computeFeatures({"expression": made, "pageSize": 1, "workloadTag": "table"})
    data.computeImages({"expression": ee.ImageCollection([one, ee.Image(image)])})
    download = {"table": made, "format": "csv", "selectors": "n", "filename": "made"}
    data.makeTableDownloadUrl(data.getTableDownloadId(download))
    data.getThumbnail({"image": one})
    data.getThumbId({"image": one, "format": "jpg", **visualization})
    images = ee.ImageCollection([one])
    data.getThumbId({"image": images, "framesPerSecond": 2, "format": "gif"}, "video")
    strip = {"image": images, "framesPerSecond": None, "format": "png"}
    data.getThumbId(strip, "filmstrip")
    data.makeThumbUrl(data.getThumbId({"image": one}))
    data.makeDownloadUrl(data.getDownloadId({"image": one, "name": "a", "filePerBand": False}))
    data.getTileUrl(data.getMapId({"image": one, **visualization}), 0, 0, 0)
    batch = ee.batch.Export
    to_asset = {"assetId": name("exported"), "pyramidingPolicy": {".default": "mode"}}
    crs = {"crs": "EPSG:4326", "crsTransform": [0.1, 0, 8, 0, -0.1, 47], "dimensions": "8x8"}
    tasks = [
        batch.image.toAsset(one, "a", **to_asset, maxPixels=1e9, priority=50, overwrite=True),
        batch.image.toDrive(one, "b", "folder", "b", fileFormat="GeoTIFF", skipEmptyTiles=True),
        batch.image.toCloudStorage(
            one, "c", "bucket", "c", fileFormat="TFRecord", formatOptions={"patchDimensions": [8, 8]}
        ),
        batch.map.toCloudStorage(one, "d", "bucket", "png", "d", maxZoom=3, minZoom=0),
        batch.table.toAsset(features, "e", name("exported-table")),
        batch.table.toDrive(features, "f", "folder", "f", "SHP", selectors=["depth"]),
        batch.table.toCloudStorage(features, "g", "bucket", "g", "CSV", maxVertices=100),
        batch.table.toBigQuery(features, "h", "p.d.t", overwrite=True),
        batch.table.toFeatureView(
            features,
            "i",
            name("view"),
            ingestionTimeParameters={
                "maxFeaturesPerTile": 100,
                "thinningStrategy": "HIGHER_DENSITY",
                "thinningRanking": ["depth DESC"],
                "zOrderRanking": [".geometryType ASC"],
            },
        ),
        batch.video.toCloudStorage(images, "j", "bucket", "j", framesPerSecond=2),
        batch.video.toDrive(images, "k", "folder", "k", framesPerSecond=2),
        batch.classifier.toAsset(ee.Classifier(one), "l", name("trees")),
    ]
    for task in tasks:
        task.start()
    data.getTaskList()
    data.getTaskStatus(operation.rsplit("/", 1)[1])
    data.getOperation(operation)
    data.cancelOperation(operation)
    tasks[0].status()
    tasks[1].cancel()
    data.cancelTask(tasks[2].id)


def main(mode="", *arguments):
    initialize(mode, arguments)
    if mode == "calls":
        return calls(arguments[1])
    print(
        json.dumps(
            {
                "client": "earthengine-api",
                "version": ee.__version__,
                "google-auth": google.auth.__version__,
                "result": ee.Number(1).add(2).getInfo(),
                "text": ee.String("a").cat("b").getInfo(),
                "length": ee.List([1, 2]).length().getInfo(),
            }
        )
    )


main(*sys.argv[1:])
