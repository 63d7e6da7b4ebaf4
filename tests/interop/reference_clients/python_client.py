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
    print(json.dumps({"features": results[8]}))


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
