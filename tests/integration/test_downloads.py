"""Downloads against a real server that cuts, lies and comes back."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.e2e.shell import nextup

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.files.local import LocalFiles
from nextup.adapters.sql import open_database
from nextup.domain.errors import BackendUnavailable, CorruptData
from nextup.services import downloads
from nextup.services.downloads import download
from nextup.services.ingest import Destination, ingest_movielens
from nextup.settings import Contracts

CONTENT = bytes(range(256)) * 4000
CURE = "Fetch it elsewhere."


class Publisher:
    """A web server with files, which can be told to break off or not to know ranges."""

    def __init__(self):
        self.files = {}
        self.cuts = []  # after how many bytes the next answers break off
        self.ranges = True
        self.asked = []  # (path, range) of every request
        self.shown = []  # (path, credentials)
        self.refusals = {}  # status by path
        self.elsewhere = {}  # address by path
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.answer(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        self.shown.append((request.path, request.headers.get("Authorization")))
        if (code := self.refusals.get(request.path)) is not None:
            request.send_error(code)
            return
        if (elsewhere := self.elsewhere.get(request.path)) is not None:
            request.send_response(302)
            request.send_header("Location", elsewhere)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.ranges else 0
        if start and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        is_sum = request.path.endswith(".md5")
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts and not is_sum else body)

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.0)
    publisher = Publisher()
    publisher.files["/data.zip"] = CONTENT
    yield publisher
    publisher.close()


def fetch(publisher, folder):
    steps = []
    got = download(
        f"{publisher.url}/data.zip", folder, cure=CURE, progress=lambda *step: steps.append(step)
    )
    assert got.path.read_bytes() == CONTENT
    assert not list(folder.glob("*.part"))
    return got, steps


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("form", ["{} data.zip\n", "MD5 (data.zip) = {}\n"])
def test_checked(publisher, tmp_path, form):
    """The publisher's checksum is compared, in either way of writing it; progress reaches 100 %."""
    publisher.files["/data.zip.md5"] = form.format(md5(CONTENT)).encode()
    got, steps = fetch(publisher, tmp_path)
    assert got.checked
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_without_a_checksum(publisher, tmp_path):
    """Where the publisher gives no checksum the download says that it was not checked."""
    got, _ = fetch(publisher, tmp_path)
    assert not got.checked


def test_wrong_checksum(publisher, tmp_path):
    """A file with another checksum is removed, and never gets its name."""
    publisher.files["/data.zip.md5"] = (md5(b"other") + "\n").encode()
    with pytest.raises(CorruptData, match="checksum"):
        fetch(publisher, tmp_path)
    assert not list(tmp_path.iterdir())
    publisher.files["/data.zip.md5"] = (md5(CONTENT) + "\n").encode()
    fetch(publisher, tmp_path)


def test_cut_off(publisher, tmp_path):
    """A download that breaks off goes on where it ended."""
    publisher.cuts = [1000, 5000]
    fetch(publisher, tmp_path)
    ranges = [wanted for path, wanted in publisher.asked if path == "/data.zip"]
    assert ranges == [None, "bytes=1000-", "bytes=6000-"]


def test_cut_off_again_and_again(publisher, tmp_path):
    """What keeps breaking off is an error with its cure; running it again goes on."""
    publisher.cuts = [1000, 1000, 1000]
    with pytest.raises(BackendUnavailable, match="goes on from there"):
        fetch(publisher, tmp_path)
    assert not (tmp_path / "data.zip").exists()
    publisher.asked.clear()
    fetch(publisher, tmp_path)
    assert publisher.asked[-1] == ("/data.zip", "bytes=3000-")


def test_server_without_ranges(publisher, tmp_path):
    """A server that cannot go on sends all again, and the result is whole all the same."""
    publisher.ranges = False
    publisher.cuts = [1000]
    fetch(publisher, tmp_path)


def test_killed_before_the_name(publisher, tmp_path):
    """A part that was whole when the process died is used as it is."""
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    fetch(publisher, tmp_path)


def test_longer_than_the_original(publisher, tmp_path):
    """A part that cannot be the beginning of the file is thrown away, and said so."""
    (tmp_path / "data.zip.part").write_bytes(CONTENT + b"more")
    with pytest.raises(CorruptData, match="longer"):
        fetch(publisher, tmp_path)
    fetch(publisher, tmp_path)


def test_again_asks_nobody(publisher, tmp_path):
    """A file that is here is not fetched again, even when its publisher is gone."""
    first, _ = fetch(publisher, tmp_path)
    publisher.asked.clear()
    again, _ = fetch(publisher, tmp_path)
    assert not publisher.asked
    assert abs((again.downloaded_at - first.downloaded_at).total_seconds()) < 60


def test_offline(tmp_path):
    """Without a network the error is one line with the address and what to do instead."""
    with pytest.raises(BackendUnavailable) as caught:
        download("http://127.0.0.1:9/ml-1m.zip", tmp_path, cure=CURE, progress=print)
    assert "127.0.0.1:9" in str(caught.value)
    assert str(caught.value).endswith(CURE)
    assert "\n" not in str(caught.value)


def test_edition_by_name(publisher, tmp_path):
    """The name of an edition fetches, checks and imports it; the manifest says from where."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as new:
        new.writestr("ml-1m/ratings.dat", "1::1::4::978300760\n")
        new.writestr("ml-1m/movies.dat", "1::Toy Story (1995)::Comedy\n")
    publisher.files["/ml-1m.zip"] = archive.getvalue()
    log = SqlEventLog(open_database("sqlite:///events.db", tmp_path))
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    files = LocalFiles(tmp_path / "files")
    into = Destination(log, catalog, files, Contracts(), lambda: datetime.now(UTC))
    report = ingest_movielens("1m", into, downloads=tmp_path / "downloads", publisher=publisher.url)
    assert (report.accepted, report.items) == (1, 1)
    with files.open("bronze/movielens/ml-1m/_manifest.json") as stream:
        assert f"{publisher.url}/ml-1m.zip".encode() in stream.read()
    log.close()
    catalog.close()


KAGGLE = {"KAGGLE_USERNAME": "ada", "KAGGLE_KEY": "b1ue-bicycle"}
DATASET = "/datasets/download/grouplens/movielens-20m-dataset"


def ask_kaggle(publisher, home, **variables):
    return nextup(
        *("ingest", "movielens", "kaggle:grouplens/movielens-20m-dataset", "--json"),
        cwd=home,
        NEXTUP_KAGGLE_URL=publisher.url,
        **variables,
    )


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "nextup.toml").write_text('[logs]\ncommands = "logs"\n')
    return tmp_path


def test_a_mirror_on_kaggle(publisher, shop):
    """Is fetched with the account's key, which goes to Kaggle and not to where it sends us on,
    and imported with its own names and times; again it asks nobody. The key is written nowhere."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as new:
        new.writestr("rating.csv", "userId,movieId,rating,timestamp\n1,2,3.5,2005-04-02 23:53:47\n")
        new.writestr("movie.csv", 'movieId,title,genres\n2,"Jumanji (1995)",Adventure\n')
    publisher.files["/storage/archive.zip"] = archive.getvalue()
    publisher.elsewhere[DATASET] = f"{publisher.url}/storage/archive.zip"
    done = ask_kaggle(publisher, shop, **KAGGLE)
    assert (done.document["accepted"], done.document["items"]) == (1, 1)
    pair = base64.b64encode(b"ada:b1ue-bicycle").decode()
    assert publisher.shown == [(DATASET, f"Basic {pair}"), ("/storage/archive.zip", None)]
    publisher.shown.clear()
    again = ask_kaggle(publisher, shop)
    assert again.document["duplicates"] == 1
    assert not publisher.shown
    for file in (file for file in shop.rglob("*") if file.is_file()):
        content = file.read_bytes()
        assert b"b1ue-bicycle" not in content
        assert pair.encode() not in content


def test_kaggle_without_a_key(publisher, shop):
    """One line that says what to set, before anybody is asked; half a key is none."""
    for variables in ({}, {"KAGGLE_USERNAME": "ada"}, {"KAGGLE_USERNAME": "", "KAGGLE_KEY": "x"}):
        done = ask_kaggle(publisher, shop, **{**dict.fromkeys(KAGGLE, ""), **variables})
        assert done.status == 1
        assert done.err.count("\n") == 1
        assert "KAGGLE_KEY" in done.err
        assert "kaggle.json" in done.err
    assert not publisher.shown


@pytest.mark.parametrize(
    ("code", "says"), [(401, "refuses the key"), (403, "consent"), (404, "no data set")]
)
def test_kaggle_refuses(publisher, shop, code, says):
    """One line with the cure, and no key in it; the key in the .env beside the settings counts."""
    publisher.refusals[DATASET] = code
    (shop / ".env").write_text("KAGGLE_USERNAME=ada\nKAGGLE_KEY=b1ue-bicycle\n")
    done = ask_kaggle(publisher, shop)
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert says in done.err
    assert "b1ue-bicycle" not in done.err
    assert publisher.shown[-1][1]
    assert not list((shop / "downloads").iterdir())


def test_kaggle_sends_a_page(publisher, shop):
    """What is no archive is not kept, so that the next try is a new one."""
    publisher.files[DATASET] = b"<html>sign in</html>"
    done = ask_kaggle(publisher, shop, **KAGGLE)
    assert "no zip archive" in done.err
    publisher.refusals[DATASET] = 404
    assert "no data set" in ask_kaggle(publisher, shop, **KAGGLE).err


def test_a_name_that_kaggle_cannot_have(shop):
    """Is refused before anybody is asked."""
    done = nextup("ingest", "movielens", "kaggle:../../secrets", cwd=shop, **KAGGLE)
    assert done.status == 2
    assert "kaggle:owner/name" in done.err
