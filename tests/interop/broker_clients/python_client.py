"""Runs a Python client with the credentials of a broker; prints one line of JSON.

    python_client.py earthengine
    python_client.py google-auth
    python_client.py gdal COLLECTION
    python_client.py dask WORKERS

No client gets a credential or a project: all of it comes from the variables of `eectl exec`. The
requests to Google are redirected to the emulator by python_preload on PYTHONPATH; those of GDAL,
which are not Python's, by its own variable EEDA_URL.
"""

import json
import os
import sys


def compute():
    import ee

    ee.Initialize()
    return ee.Number(1).add(2).getInfo()


def earthengine():
    import ee

    return {"client": "earthengine-api", "version": ee.__version__, "result": compute()}


def google_auth():
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, project = google.auth.default(
        scopes=["https://www.googleapis.com/auth/earthengine"]
    )
    call = f"https://earthengine.googleapis.com/v1/projects/{project}/value:compute"
    three = {"result": "0", "values": {"0": {"constantValue": 3}}}
    response = AuthorizedSession(credentials).post(call, json={"expression": three})
    return {
        "client": "google-auth",
        "kind": type(credentials).__module__,
        "project": project,
        "quota_project": credentials.quota_project_id,
        "universe": credentials.universe_domain,
        "result": response.json().get("result", response.text),
    }


def gdal(collection):
    import pyogrio
    import rasterio

    found, _, _, fields = pyogrio.raw.read(f"EEDA:{collection}")
    scenes = dict(zip(found["fields"], fields))
    with rasterio.open(str(scenes["gdal_dataset"][0])) as image:
        pixels = image.read()
    return {
        "client": "GDAL",
        "versions": [rasterio.__gdal_version__, pyogrio.__gdal_version_string__],
        "images": [str(name) for name in scenes["id"]],
        "shape": pixels.shape,
        "corners": [int(pixels[0, 0, 0]), int(pixels[0, 0, 8])],
    }


def in_worker():
    return os.getpid(), compute()


def dask(workers):
    from distributed import Client, LocalCluster

    # Addresses instead of the host's name: only loopback may be reached.
    with LocalCluster(
        n_workers=int(workers),
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster, Client(cluster) as client:
        results = client.run(in_worker)
    return {
        "client": "dask",
        "processes": len({pid for pid, _ in results.values()}),
        "results": [value for _, value in results.values()],
    }


CLIENTS = {"earthengine": earthengine, "google-auth": google_auth, "gdal": gdal, "dask": dask}

# The workers import this module.
if __name__ == "__main__":
    print(json.dumps(CLIENTS[sys.argv[1]](*sys.argv[2:])))
