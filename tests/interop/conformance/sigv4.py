"""Signs with botocore: reads a list of cases from standard input, prints a list of headers.

A case has url, region, id, secret, token (or null) and time (20260101T000000Z).
"""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def sign(case):
    now = datetime.datetime.strptime(case["time"], "%Y%m%dT%H%M%SZ")
    now = now.replace(tzinfo=datetime.timezone.utc)

    class Fixed(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return now.replace(tzinfo=None)

        @classmethod
        def now(cls, tz=None):
            return now

    # Whichever function this version calls for the time.
    if hasattr(botocore.auth, "get_current_datetime"):
        botocore.auth.get_current_datetime = lambda remove_tzinfo=True: (
            now.replace(tzinfo=None) if remove_tzinfo else now
        )
    elif hasattr(botocore.auth, "datetime"):
        botocore.auth.datetime.datetime = Fixed
    request = AWSRequest(method="POST", url=case["url"], data="")
    key = Credentials(case["id"], case["secret"], case["token"])
    botocore.auth.SigV4Auth(key, "sts", case["region"]).add_auth(request)
    return request.headers["Authorization"]


print(json.dumps([sign(case) for case in json.load(sys.stdin)]))
