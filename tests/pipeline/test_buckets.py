"""Sources in object stores, read from servers that speak the stores' own protocols on loopback."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import boto3
import pytest
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.modules
TABLE = b"age,spend\n" + b"".join(b"%d,%d.5\n" % (20 + row % 50, row % 17) for row in range(200))
CONF = "[data]\nsource = {source}\ntarget = spend\n[model]\ntask = regression\n"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a bucket with one table by S3's protocol, and return the table's URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="tables")
    client.put_object(Bucket="tables", Key="2024/spend.csv", Body=TABLE)
    yield "s3://tables/2024/spend.csv"
    server.stop()


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a bucket with one table by Google's protocol, and return the table's URL."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="tables")
    server.start()
    address = f"http://127.0.0.1:{server._api._httpd.socket.getsockname()[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    upload = f"{address}/upload/storage/v1/b/tables/o?uploadType=media&name=spend.csv"
    request = urllib.request.Request(  # noqa: S310  # http on loopback
        upload, data=TABLE, headers={"Content-Type": "text/csv"}, method="POST"
    )
    with urllib.request.urlopen(request):  # noqa: S310
        pass
    yield "gs://tables/spend.csv"
    server.stop()


@pytest.mark.parametrize("store", ["s3", "gs"])
def test_a_table_in_a_bucket_is_brought_in(
    store: str, tmp_path: Path, package: ModuleType, request: pytest.FixtureRequest
) -> None:
    """The original arrives byte for byte, without the credentials; a wrong name is said."""
    from mlproj.core.config import load_settings
    from mlproj.core.errors import UserError
    from mlproj.core.pipeline import run
    from mlproj.core.project import Project

    source = request.getfixturevalue(store)
    (tmp_path / "conf.cfg").write_text(CONF.format(source=source), encoding="utf-8")
    project = Project(tmp_path)
    run(project, load_settings(project), until="preprocess", say=lambda line: None)
    assert (project.original / "spend.csv").read_bytes() == TABLE
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"test-secret" in path.read_bytes()]
    with pytest.raises(UserError, match=f"{source}.old does not exist"):
        run(project, load_settings(project, [f"data.source={source}.old"]))
