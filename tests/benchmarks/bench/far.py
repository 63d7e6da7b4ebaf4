"""Google's client over a network: what `far.rs` measures of it.

    far.py initialize PROJECT                       prints nothing
    far.py pixels PROJECT COUNT AT_ONCE BYTES       prints seconds
    far.py compute PROJECT COUNT AT_ONCE            prints seconds
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import ee

work, project, *numbers = sys.argv[1:]
ee.Initialize(project=project)
if work == "initialize":
    sys.exit()
count, at_once, *size = map(int, numbers)


def pixels(size):
    data = ee.data.getPixels({"assetId": f"projects/{project}/assets/{size}", "fileFormat": "GEO_TIFF"})
    assert len(data) == size


def compute(_=None):
    assert ee.data.computeValue(ee.Number(7)) == 7


compute()
pixels(1)
call, argument = (compute, None) if work == "compute" else (pixels, size[0])
started = time.monotonic()
with ThreadPoolExecutor(at_once) as pool:
    list(pool.map(call, [argument] * count))
print(time.monotonic() - started)
