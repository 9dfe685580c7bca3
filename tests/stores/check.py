"""The same logs in a folder and in each store must be published as the same bytes.
Usage: check.py RERATE STORES WORK, where STORES has the emulators and WORK is an empty folder."""

import base64
import hashlib
import hmac
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from email.utils import formatdate

import boto3

RERATE, STORES, WORK = (pathlib.Path(word).absolute() for word in sys.argv[1:4])
BUCKET = "logs"
# Of Azurite: documented, and of nobody.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
MAP = """[columns]
request_id = "request_id"
timestamp = "timestamp"
project_id = "project_id"
model = "model"
method = "method"
status = "status"
promptTokenCount = "input_tokens"
candidatesTokenCount = "output_tokens"
"""


def rerate(*args, env=None, expect=0):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RERATE_", "AWS_", "AZURE_", "GOOGLE_"))}
    done = subprocess.run([RERATE, *args], cwd=WORK, env=clean | (env or {}), capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == expect, f"rerate {' '.join(args)}: {done.returncode}\n{said}"
    assert ACCOUNT_KEY not in said and "a-secret" not in said, said
    return said


def published(out, *logs, env=None):
    """What is published, by path; what names the run and its inputs is left out."""
    allowed = ["--allow-unpriced", "100%", "--allow-suspense", "100%"]
    rerate("replay", *logs, "--out", out, "--usage-tier", "tier1", *allowed, env=env)
    named = ("run.json", "suspense.csv", "suspense.parquet")
    files = [path for path in (WORK / out).rglob("*") if path.is_file() and path.name not in named]
    assert len(files) > 10, files
    return {path.relative_to(WORK / out): path.read_bytes() for path in files}


def make_logs():
    for seed, pack in enumerate(([], ["--pack", "gz"], ["--pack", "zst"]), 1):
        rerate("gen", "--seed", str(seed), "--records", "3000", "--days", "2", "--out", f"in/{seed}", *pack)
    rerate("replay", "in", "--out", "first", "--detail", "--usage-tier", "tier1", "--allow-unpriced", "100%")
    table = sorted((WORK / "first").glob("*/requests.parquet"))[0]
    (WORK / "table").mkdir()
    table.rename(WORK / "table/requests.parquet")
    (WORK / "map.toml").write_text(MAP)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server of our own on a port of its own; `put` takes a key and bytes."""

    def __init__(self, command):
        self.port = free_port()
        words = [word.format(port=self.port) for word in command]
        self.log = open(WORK / "server.log", "ab")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log, cwd=WORK)
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.process.args} doesn't answer:\n{(WORK / 'server.log').read_text()}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class S3(Server):
    scheme = "s3"

    def __init__(self):
        super().__init__([str(STORES / "bin/moto_server"), "-H", "127.0.0.1", "-p", "{port}"])
        self.env = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_REGION": "us-east-1",
        }

    def fill(self, objects):
        client = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id="test", aws_secret_access_key="a-secret", region_name="us-east-1"
        )
        client.create_bucket(Bucket=BUCKET)
        for key, body in objects.items():
            client.put_object(Bucket=BUCKET, Key=key, Body=body)


class Gs(Server):
    scheme = "gs"

    def __init__(self):
        script = str(pathlib.Path(__file__).with_name("gcs.py").absolute())
        super().__init__([sys.executable, script, "{port}", BUCKET])
        self.env = {"STORAGE_EMULATOR_HOST": self.url}

    def fill(self, objects):
        for key, body in objects.items():
            request = urllib.request.Request(f"{self.url}/{BUCKET}/{key}", data=body, method="PUT")
            request.add_header("Content-Type", "application/octet-stream")
            urllib.request.urlopen(request).read()


class Az(Server):
    scheme = "az"

    def __init__(self):
        script = str(STORES / "node_modules/azurite/dist/src/blob/main.js")
        options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        super().__init__(["node", script, "--blobHost", "127.0.0.1", "--blobPort", "{port}", *options])
        self.env = {
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};"
            f"AccountKey={ACCOUNT_KEY};BlobEndpoint={self.url}/{ACCOUNT};"
        }

    def put(self, path, query, body, headers):
        """A request signed by the account's key (learn.microsoft.com, "Authorize with Shared Key")."""
        headers = headers | {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        resource = f"/{ACCOUNT}/{ACCOUNT}/{path}" + "".join(f"\n{name}:{value}" for name, value in query.items())
        length = str(len(body)) if body else ""
        text = f"PUT\n\n\n{length}\n\napplication/octet-stream\n\n\n\n\n\n\n{named}{resource}"
        signature = base64.b64encode(hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest())
        url = f"{self.url}/{ACCOUNT}/{path}?" + "&".join(f"{name}={value}" for name, value in query.items())
        request = urllib.request.Request(url, data=body, method="PUT")
        for name, value in (headers | {"Authorization": f"SharedKey {ACCOUNT}:{signature.decode()}"}).items():
            request.add_header(name, value)
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Content-Length", str(len(body)))
        urllib.request.urlopen(request).read()

    def fill(self, objects):
        self.put(BUCKET, {"restype": "container"}, b"", {})
        for key, body in objects.items():
            self.put(f"{BUCKET}/{key}", {}, body, {"x-ms-blob-type": "BlockBlob"})


def check(store, objects, expected, expected_table):
    url = f"{store.scheme}://{BUCKET}"
    store.fill(objects)
    for place, logs in enumerate(([f"{url}/in/"], [f"{url}/in/1/", f"{url}/in/*/*.gz", f"{url}/in/3/*"])):
        assert published(f"{store.scheme}-{place}", *logs, env=store.env) == expected, f"{logs}: other bytes"
    one = f"{url}/table/requests.parquet"
    found = published(f"{store.scheme}-table", one, "--map", "map.toml", env=store.env)
    assert found == expected_table, f"{one}: other bytes"
    for named, told in [
        (f"{url}/in/1/none.jsonl", "there is no such object"),
        (f"{store.scheme}://none/in/", "there is no such bucket"),
        (f"{url}/none/", "there is no file to read"),
    ]:
        said = rerate("check", named, env=store.env, expect=1)
        assert told in said, said
    print(f"{store.scheme}: {len(objects)} objects give the bytes of the folder")


def main():
    make_logs()
    expected = published("from-folder", "in")
    expected_table = published("from-table", "table", "--map", "map.toml")
    files = [path for folder in ("in", "table") for path in (WORK / folder).rglob("*") if path.is_file()]
    objects = {str(path.relative_to(WORK)): path.read_bytes() for path in files}
    for kind in (S3, Gs, Az):
        with kind() as store:
            check(store, objects, expected, expected_table)
    wrong = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"a-secret").decode()}
    with Az() as store:
        wrong["AZURE_STORAGE_ENDPOINT"] = f"{store.url}/{ACCOUNT}"
        said = rerate("check", f"az://{BUCKET}/in/", env=wrong, expect=1)
        assert "the store refuses access" in said or "doesn't know who asks" in said, said


if __name__ == "__main__":
    main()
