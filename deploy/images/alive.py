"""An image's health check: does the server in this container answer, and well?"""

import os
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

SECONDS = 4.0


def main() -> int:
    """0 where the URL (an argument, or the API's `/healthz`) is answered with success."""
    port = os.environ.get("NEXTUP_SERVER__PORT", "8000")
    url = sys.argv[1] if len(sys.argv) > 1 else f"http://127.0.0.1:{port}/healthz"
    try:
        with urlopen(url, timeout=SECONDS) as answer:
            print(answer.status)
            return 0
    except HTTPError as error:
        print(f"{url} answers {error.code}.")
    except OSError as error:
        print(f"{url} does not answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
