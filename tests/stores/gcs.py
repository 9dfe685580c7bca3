"""Google Cloud Storage on loopback: the emulator, and what it lacks of the XML API, by which rerate asks: listing a
bucket, heads, entity tags and times of objects (cloud.google.com/storage/docs/xml-api). Usage: gcs.py PORT BUCKET"""

import hashlib
import sys
from email.utils import formatdate
from http import HTTPStatus
from xml.sax.saxutils import escape

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

emulated_download, emulated_close = objects.download, server.Response.close


def e_tag(storage, bucket, name):
    return hashlib.md5(storage.get_file(bucket, name)).hexdigest()


def download(request, response, storage, *args, **kwargs):
    emulated_download(request, response, storage, *args, **kwargs)
    if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    response["ETag"] = '"%s"' % e_tag(storage, request.params["bucket_name"], request.params["object_id"])
    response["Last-Modified"] = formatdate(0, usegmt=True)


def listing(request, response, storage, *args, **kwargs):
    bucket = request.params["bucket_name"]
    try:
        found, _ = storage.get_file_list(bucket, request.query.get("prefix", [None])[0], None)
    except NotFound:
        response.status = HTTPStatus.NOT_FOUND
        return
    contents = "".join(
        f"<Contents><Key>{escape(one['name'])}</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>\"{e_tag(storage, bucket, one['name'])}\"</ETag><Size>{one['size']}</Size></Contents>"
        for one in found
    )
    response.write_file(
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode(), "application/xml"
    )


def close(response):
    """The answer to a head has no body."""
    if response._handler.command != "HEAD":
        return emulated_close(response)
    response._handler.send_response(response.status.value)
    for name, value in response._headers.items():
        response._handler.send_header(name, value)
    response._handler.send_header("Content-Length", str(len(response._content)))
    response._handler.end_headers()


server.Response.close = close
server.RequestHandler.do_HEAD = server.RequestHandler.do_GET
server.HANDLERS = tuple(
    (path, {method: download if handler is emulated_download else handler for method, handler in handlers.items()})
    for path, handlers in server.HANDLERS
) + ((r"^/(?P<bucket_name>[-.\w]+)/?$", {server.GET: listing}),)

if __name__ == "__main__":
    port, bucket = int(sys.argv[1]), sys.argv[2]
    server.create_server("127.0.0.1", port, True, bucket).run()
