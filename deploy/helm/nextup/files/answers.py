"""`helm test`: does the API answer through its Service, with its servers, to whom it should?"""

import json
import os
import urllib.error
import urllib.request

API = os.environ["API"]


def ask(path: str, body: object = None, **headers: str) -> dict:
    """What the API answers; an error of its own is raised with its document."""
    data = None if body is None else json.dumps(body).encode()
    headers |= {"content-type": "application/json"}
    request = urllib.request.Request(f"{API}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from error


ready = ask("/readyz")
print(f"{API} is {ready['status']}:", *(name for name in ready["backends"]))
assert ready["status"] == "ready", ready
if password := os.environ.get("NEXTUP_ACCESS__ADMIN_PASSWORD"):
    token = ask("/v1/token", {"client_id": "admin", "password": password})["access_token"]
    popular = ask("/v1/popular?limit=3", authorization=f"Bearer {token}")
    print("signed in; popular:", *(item["item_id"] for item in popular["items"]))
