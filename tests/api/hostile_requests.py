"""Hostile requests as bytes, with the accepted statuses of their responses."""

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from tests.api.hostile_images import COLOUR, GOOD, hostile_images, saved

MAX_BYTES = 1_000_000
MAX_BATCH = 16
MAX_BATCH_PIXELS = 10_000_000
"""The limits of the server in the tests."""


class HostileRequest(NamedTuple):
    """The bytes that a client sends on one connection."""

    name: str
    sent: bytes
    expected: set[int]
    """Accepted statuses. Those of a busy machine (429, 504) are always accepted."""
    json: bool = True
    """Whether the response is JSON; uvicorn responds in plain text to invalid HTTP."""
    closes_writing: bool = False
    """Whether the client closes its side of the connection after the last byte."""


def hostile_requests() -> list[HostileRequest]:
    """The whole corpus, the same on every call; names are unique."""
    families = (
        images,
        content_types,
        forms,
        json_bodies,
        analyses,
        tensors,
        many_values,
        large_batches,
        binary_tensors,
        lengths,
        addresses,
        heads,
        handshakes,
        frames,
        no_http,
        incomplete_bodies,
    )
    return [
        request._replace(name=f"{family.__name__}, {request.name}")
        for family in families
        for request in family()
    ]


def post(body: bytes, content_type: str = "image/png", path: str = "/predict") -> bytes:
    """A well-formed POST request."""
    return head(f"Content-Type: {content_type}", f"Content-Length: {len(body)}", path=path) + body


def head(*headers: str, method: str = "POST", path: str = "/predict") -> bytes:
    """The head of a request with `Connection: close`."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def images() -> Iterator[HostileRequest]:
    """Each hostile file: alternately as the body, in a form and in JSON."""
    for number, (name, data, expected) in enumerate(hostile_images()):
        if number % 3 == 0:
            sent = post(data, "application/octet-stream")
        elif number % 3 == 1:
            sent = post(form(part(data)), FORM)
        else:
            sent = post(in_json(data), "application/json")
        yield HostileRequest(name, sent, expected)


def content_types() -> Iterator[HostileRequest]:
    """A missing content type, or one that does not match the body."""
    for content_type in ("image/gif", "image/svg+xml", "IMAGE/*", "image/", "image/x; a=b; c"):
        yield HostileRequest(f"a PNG as {content_type}", post(GOOD["PNG"], content_type), {200})
    for content_type in ("text/html", "*/*", "", " ", ";", "image", "imag/png", "a" * 8000, "é"):
        sent = post(GOOD["PNG"], content_type)
        yield HostileRequest(f"a PNG as {content_type[:20]!r}", sent, {200, 400, 415, 422})
    for content_type in (FORM, "multipart/form-data", "multipart/mixed", "multipart/"):
        yield HostileRequest(
            f"a PNG as {content_type}", post(GOOD["PNG"], content_type), {400, 415}
        )
    yield HostileRequest("a PNG as JSON", post(GOOD["PNG"], "application/json"), {400})
    yield HostileRequest("a form as a PNG", post(form(part(GOOD["PNG"]))), {422})
    yield HostileRequest("JSON as a PNG", post(in_json(GOOD["PNG"])), {422})
    yield HostileRequest("a URL instead of an image", post(b"file:///x", "text/uri-list"), {415})
    body = "Content-Encoding: gzip", f"Content-Length: {len(GOOD['PNG'])}"
    yield HostileRequest("gzip declared but not used", head(*body) + GOOD["PNG"], {200, 415, 422})


# ---------------------------------------------------------------- forms

FORM = "multipart/form-data; boundary=boundary"


def form(*parts: bytes, end: bytes = b"--boundary--\r\n") -> bytes:
    return b"".join(b"--boundary\r\n" + one + b"\r\n" for one in parts) + end


def part(data: bytes, disposition: str = 'form-data; name="file"; filename="a.png"') -> bytes:
    return f"Content-Disposition: {disposition}\r\n\r\n".encode("latin-1") + data


def forms() -> Iterator[HostileRequest]:
    """Damaged forms, too many parts, hostile names."""
    png = GOOD["PNG"]
    whole = form(part(png))
    broken = {
        "no end": form(part(png), end=b""),
        "no second line break": form(part(png))[:-2],
        "cut in the header": whole[:30],
        "cut in the file": whole[:300],
        "cut in the boundary": whole[:-8],
        "line feeds only": whole.replace(b"\r\n", b"\n"),
        "another boundary": whole.replace(b"boundary", b"border"),
        "no header": form(png),
        "header without end": b"--boundary\r\n" + b"A" * 500_000,
        "header of 100 KB": form(b"A: " + b"b" * 100_000 + b"\r\n" + part(png)),
        "ten thousand headers": form(b"A: b\r\n" * 10_000 + part(png)),
        "header with null": form(b"A\0: b\r\n" + part(png)),
        "no name": form(part(png, "form-data")),
        "no disposition": form(b"Content-Type: image/png\r\n\r\n" + png),
        "another field": form(part(png, 'form-data; name="image"; filename="a"')),
        "no file name": form(part(png, 'form-data; name="file"')),
        "two files": form(part(png), part(png)),
        "a hundred fields": form(*[part(b"x", f'form-data; name="f{k}"') for k in range(100)]),
        "a form in a form": form(part(whole, 'form-data; name="file"; filename="a"')),
        "nothing": b"",
        "only the end": form(),
        "boundarys": b"--boundary\r\n" * 5000,
        "a long field": form(part(b"x" * (MAX_BYTES - 1000), 'form-data; name="file"')),
    }
    for name, body in broken.items():
        yield HostileRequest(name, post(body, FORM), {200, 400, 413, 422})
    for boundary in ("", '""', '"', "a" * 5000, "\xff\xfe", "-" * 70, "boundary; boundary=x"):
        content_type = f"multipart/form-data; boundary={boundary}"
        yield HostileRequest(f"boundary {boundary[:20]!r}", post(whole, content_type), {200, 400})
    yield from file_names()
    yield from charsets()
    many = form(*[part(png, f'form-data; name="files"; filename="{k}"') for k in range(200)])
    yield HostileRequest("too many files", post(many, FORM, "/predict/batch"), {413})
    sent = post(form(part(png)), FORM, "/predict/batch")
    yield HostileRequest("no files for a batch", sent, {422})


def file_names() -> Iterator[HostileRequest]:
    for number, name in enumerate(
        (
            "../../../etc/passwd",
            "C:\\\\windows\\\\system32",
            "a\0b.png",
            "",
            "\xff\xfe\xed\xa0\x80",
            "a" * 3000,
            "${jndi:ldap://x}",
            '\\"; filename="b',
            "%00%0d%0aX: y",
            "<script>alert(1)</script>",
        )
    ):
        disposition = f'form-data; name="files"; filename="{name}"'
        sent = post(form(part(GOOD["PNG"], disposition)), FORM, "/predict/batch")
        yield HostileRequest(f"file name {number}", sent, {200, 400})
        sent = post(form(part(GOOD["PNG"], disposition.replace("files", "file"))), FORM)
        yield HostileRequest(f"file name {number}, one file", sent, {200, 400})


def charsets() -> Iterator[HostileRequest]:
    """Python codecs that are unsuitable for the text of a form."""
    disposition = 'form-data; name="files"; filename="\\ud800+2AA-\xff"'
    for charset in (
        "unicode_escape",
        "raw_unicode_escape",
        "undefined",
        "punycode",
        "idna",
        "utf-7",
        "utf-16",
        "rot13",
        "zlib",
        "no-such",
        "a" * 3000,
        "../../x",
    ):
        content_type = f"{FORM}; charset={charset}"
        sent = post(form(part(GOOD["PNG"], disposition)), content_type, "/predict/batch")
        yield HostileRequest(f"charset {charset[:20]}", sent, {200, 400, 415})


# ---------------------------------------------------------------- JSON


def in_json(data: bytes) -> bytes:
    return json.dumps({"image": b64encode(data).decode()}).encode()


def json_bodies() -> Iterator[HostileRequest]:
    """JSON that is damaged, deeply nested or of another type, and invalid base64."""
    good = b64encode(GOOD["PNG"]).decode()
    unreadable = {
        "nothing": b"",
        "cut short": in_json(GOOD["PNG"])[:-2],
        "deep lists": b"[" * 400_000,
        "deep objects": b'{"a":' * 150_000,
        "deep and closed": b"[" * 5000 + b"]" * 5000,
        "no UTF-8": b'{"image": "\xff\xfe"}',
        "UTF-16": in_json(GOOD["PNG"]).decode().encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + in_json(b""),
        "half a character": b'{"image": "\\ud800"}',
        "null byte": b'{"image": "\0"}',
        "comment": b'{"image": "" /* */}',
        "two values": b'{"image": ""}{"image": ""}',
        "not a number": b'{"image": NaN}',
        "a long number": b'{"image": 1' + b"0" * 100_000 + b"}",
        "a list": json.dumps([good]).encode(),
        "a list in it": json.dumps({"image": [good]}).encode(),
        "an object in it": json.dumps({"image": {"$ref": good}}).encode(),
        "nothing in it": b'{"image": null}',
        "another key": json.dumps({"img": good}).encode(),
        "a hundred thousand keys": json.dumps({str(k): k for k in range(60_000)}).encode(),
        "not JSON": b"image=" + good.encode(),
    }
    for name, body in unreadable.items():
        yield HostileRequest(name, post(body, "application/json"), {400, 413, 422})
    yield HostileRequest(
        "the key twice", post(b'{"image": 1, "image": ""}', "application/json"), {400, 422}
    )
    texts = {
        "no padding": good.rstrip("=") + "A",
        "padding in the middle": good[:100] + "==" + good[100:],
        "padding only": "=" * 1000,
        "foreign letters": good[:100] + "é" + good[100:],
        "the URL-safe alphabet": "_-" * 100,
        "percent signs": "%2B" * 100,
        "hexadecimal": GOOD["PNG"].hex() + "g",
        "base64 twice": b64encode(good.encode()).decode(),
        "a path": "/etc/passwd",
        "a URL": "http://127.0.0.1:1/face.jpg",
        "a file URL": "file:///etc/passwd",
        "a data URL without base64": "data:image/png," + good,
        "an endless data URL": "data:" + "a" * 100_000,
        "nested data URLs": "data:;base64," * 1000 + good,
        "a null byte": "\0" + good,
    }
    for name, text in texts.items():
        body = json.dumps({"image": text}).encode()
        yield HostileRequest(name, post(body, "application/json"), {422})


# ---------------------------------------------------------------- protocols


def analyses() -> Iterator[HostileRequest]:
    """Invalid requests of DeepFace's clients."""
    good = b64encode(GOOD["PNG"]).decode()
    wrong = {
        "a path": {"img": "/etc/passwd"},
        "a URL": {"img": "http://127.0.0.1:1/face.jpg"},
        "a file URL": {"img": "file:///etc/passwd"},
        "no image": {},
        "nothing": {"img": ""},
        "noise": {"img": b64encode(bytes(1000)).decode()},
        "another action": {"img": good, "actions": ["age"]},
        "no action": {"img": good, "actions": []},
        "an action of an object": {"img": good, "actions": {"emotion": 1}},
        "ten thousand actions": {"img": good, "actions": ["emotion", "x"] * 10_000},
        "a text of actions": {"img": good, "actions": "['" * 10_000},
        "another detector": {"img": good, "detector_backend": "retinaface"},
        "a detector's path": {"img": good, "detector_backend": "../../x"},
        "spoofing": {"img": good, "anti_spoofing": True},
        "a number": {"img": 1},
        "no face": {"img": good, "align": "no"},
    }
    for name, body in wrong.items():
        sent = post(json.dumps(body).encode(), "application/json", "/analyze")
        yield HostileRequest(name, sent, {400, 413})
    for name, body in {"no JSON": b"{", "half a character": b'{"img": "\\ud800"}'}.items():
        yield HostileRequest(name, post(body, "application/json", "/analyze"), {400})
    pairs = "&".join(f"img=a{k}" for k in range(1000))
    urlencoded = "application/x-www-form-urlencoded"
    yield HostileRequest("URL-encoded pairs", post(pairs.encode(), urlencoded, "/analyze"), {400})
    long = b"img=" + b"%41" * 300_000
    yield HostileRequest("a long URL-encoded pair", post(long, urlencoded, "/analyze"), {413})
    broken = form(part(GOOD["PNG"][:100], 'form-data; name="img"; filename="a"'))
    yield HostileRequest("a broken file", post(broken, FORM, "/analyze"), {400})
    codec = f"{FORM}; charset=undefined"
    yield HostileRequest("charset", post(broken, codec, "/analyze"), {400, 415})
    yield HostileRequest("a type", post(GOOD["PNG"], "image/png", "/analyze"), {415})


INFER = "/v2/models/emotion/infer"


def tensors() -> Iterator[HostileRequest]:
    """Tensors whose names, shapes, datatypes and values are inconsistent."""
    good = b64encode(GOOD["PNG"]).decode()

    def tensor(shape=(1,), datatype="BYTES", data=(good,), name="faces", **more):
        return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}

    inputs = {
        "a shape too large": [tensor([2**40, 48, 48], "UINT8", [1])],
        "a shape of many digits": [tensor([int("9" * 4299), 48, 48], "UINT8", [1])],
        "a negative shape": [tensor([-1, 48, 48], "UINT8", [1])],
        "a shape of ten thousand": [tensor([1] * 10_000, "UINT8", [1])],
        "a shape of none": [tensor([], "UINT8", [1])],
        "a shape of fractions": [tensor([1.5, 48, 48], "UINT8", [1])],
        "more values": [tensor([1, 48, 48], "UINT8", [0] * 100_000)],
        "fewer values": [tensor([1, 48, 48], "UINT8", [0])],
        "values too large": [tensor([1, 48, 48], "UINT8", [256] * 2304)],
        "values of text": [tensor([1, 48, 48], "UINT8", ["a"] * 2304)],
        "values in values": [tensor([1, 48, 48], "UINT8", [[[[[0]]]]] * 2304)],
        "values mixed": [tensor([1, 48, 48], "UINT8", [[0], 1])],
        "another type": [tensor(datatype="FP64")],
        "another name": [tensor(name="a" * 100_000)],
        "a path for a file": [tensor(data=["/etc/passwd"])],
        "a number for a file": [tensor(data=[1])],
        "a bad file": [tensor(data=[b64encode(b"hello").decode()])],
        "more files": [tensor(data=[good, good])],
        "no inputs": [],
        "two inputs": [tensor(), tensor()],
        "a size in text": [tensor(parameters={"binary_data_size": "1"})],
        "a size of infinity": [tensor(parameters={"binary_data_size": float("inf")})],
    }
    for name, value in inputs.items():
        sent = post(json.dumps({"inputs": value}).encode(), "application/json", INFER)
        yield HostileRequest(name, sent, {400})
    many = json.dumps({"inputs": [tensor([100], data=[""] * 100)]}).encode()
    yield HostileRequest("too many files", post(many, "application/json", INFER), {400, 413})
    faces = json.dumps({"inputs": [tensor([0, 48, 48], "UINT8", [])]}).encode()
    yield HostileRequest("no faces", post(faces, "application/json", INFER), {200, 400})
    for path in ("other/infer", "emotion/versions/0/infer", "emotion/versions/..%2f/infer"):
        sent = post(faces, "application/json", f"/v2/models/{path}")
        yield HostileRequest(path, sent, {404, 422})
    for name, body in {"nothing": b"", "deep": b"[" * 100_000, "no JSON": GOOD["PNG"]}.items():
        yield HostileRequest(name, post(body, "application/json", INFER), {400, 413})


def many_values() -> Iterator[HostileRequest]:
    """Bodies that need far more memory than their bytes when they are parsed."""
    start = b'{"inputs": [{"name": "faces", "shape": [1, 48, 48], "datatype": "UINT8", "data": ['
    for name, value in {"lists": b"[]", "objects": b"{}", "numbers": b"0", "null": b"null"}.items():
        count = 900_000 // (len(value) + 1)
        body = start + b",".join([value] * count) + b"]}]}"
        yield HostileRequest(name, post(body, "application/json", INFER), {400, 413})
    words = b"A " * 450_000
    for field, path in (("image", "/predict"), ("img", "/analyze")):
        body = b'{"%s": "%s"}' % (field.encode(), words)
        sent = post(body, "application/json", path)
        yield HostileRequest(f"words for {path}", sent, {400, 422})
    body = b'{"image": "", "more": [' + b"[]," * 300_000 + b"0]}"
    yield HostileRequest("lists beside an image", post(body, "application/json"), {413})
    urlencoded = "application/x-www-form-urlencoded"
    for name, body in {
        "escapes": b"img=" + b"%41" * 300_000,
        "pairs": b"a=b&" * 225_000,
        "ampersands": b"&" * 900_000,
        "escapes within the limit": b"img=" + b"%41" * 80_000,
        "pairs within the limit": b"a=b&" * 60_000,
    }.items():
        sent = post(body, urlencoded, "/analyze")
        yield HostileRequest(f"URL-encoded {name}", sent, {400} if "within" in name else {413})
    empty = form(*[part(b"", f'form-data; name="f{k}"') for k in range(15_000)])
    yield HostileRequest("fields", post(empty, FORM), {400})


def large_batches() -> Iterator[HostileRequest]:
    """Small files with more pixels together than one request may have."""
    size = 1000, 1900
    webp = saved(Image.new("RGB", size, (90, 80, 70)), "WEBP", lossless=True)
    jpeg = saved(Image.new("RGB", size), "JPEG", progressive=True)
    for name, data in {"WebP": webp, "progressive JPEG": jpeg}.items():
        parts = [part(data, f'form-data; name="files"; filename="{k}"') for k in range(MAX_BATCH)]
        yield HostileRequest(name, post(form(*parts), FORM, "/predict/batch"), {413})
        files = [b64encode(data).decode()] * MAX_BATCH
        tensor = {"name": "faces", "shape": [MAX_BATCH], "datatype": "BYTES", "data": files}
        body = json.dumps({"inputs": [tensor]}).encode()
        yield HostileRequest(f"{name}, tensor", post(body, "application/json", INFER), {413})


def binary_tensors() -> Iterator[HostileRequest]:
    """Binary data after the JSON whose length contradicts the header or the JSON."""
    length = struct.pack("<I", len(GOOD["PNG"]))
    tails = {
        "half a file": length + GOOD["PNG"][:100],
        "half a length": b"\1\0",
        "a length of 4 GiB": b"\xff" * 4 + GOOD["PNG"],
        "a hundred thousand empty files": bytes(400_000),
        "nothing": b"",
    }
    for name, tail in tails.items():
        tensor = {"name": "faces", "shape": [1], "datatype": "BYTES"}
        tensor["parameters"] = {"binary_data_size": len(tail)}
        text = json.dumps({"inputs": [tensor]}).encode()
        for declared in (len(text), 0, len(text) + 10**6, -1, "9" * 5000, "٣"):
            header = f"Inference-Header-Content-Length: {declared}".encode().decode("latin-1")
            body = text + tail
            sent = head(header, f"Content-Length: {len(body)}", path=INFER) + body
            yield HostileRequest(f"{name}, {str(declared)[:10]}", sent, {400, 413})


# ---------------------------------------------------------------- lengths


def lengths() -> Iterator[HostileRequest]:
    """Bodies with a wrong length, or longer than the limit."""
    png = GOOD["PNG"]

    def declared(length: int | str) -> bytes:
        return head("Content-Type: image/png", f"Content-Length: {length}")

    yield HostileRequest("shorter than the body", declared(len(png) - 30) + png, {422})
    yield HostileRequest("none of the body", declared(0) + png, {422})
    for length in (MAX_BYTES + 1, 10**12, 2**63 - 1):
        yield HostileRequest(f"{length} declared", declared(length), {413})
    yield HostileRequest("too long", post(bytes(MAX_BYTES + 1)), {413})
    yield HostileRequest("as long as allowed", post(bytes(MAX_BYTES)), {422})
    waiting = head("Expect: 100-continue", f"Content-Length: {10**9}")
    yield HostileRequest("expects 100-continue", waiting, {413})

    chunked = head("Content-Type: image/png", "Transfer-Encoding: chunked")
    blocks = b"".join(
        b"%x\r\n%s\r\n" % (len(png[k : k + 7]), png[k : k + 7]) for k in range(0, 700, 7)
    )
    yield HostileRequest("chunks of seven bytes, cut short", chunked + blocks + b"0\r\n\r\n", {422})
    block = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    yield HostileRequest("endless chunks", chunked + block * 16, {413})
    trailer = b"0\r\n" + b"X: y\r\n" * 1000 + b"\r\n"
    yield HostileRequest("a thousand trailers", chunked + trailer, {422})
    extension = b"1;" + b"a" * 10_000 + b"\r\nx\r\n0\r\n\r\n"
    yield HostileRequest("a long chunk extension", chunked + extension, {400, 422})


# ---------------------------------------------------------------- heads


def addresses() -> Iterator[HostileRequest]:
    """Unknown paths, and invalid query strings."""
    for path in (
        "/../../etc/passwd",
        "/static/../settings.py",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/%00",
        "/static/" + "a" * 5000,
        "/static/..%5c..%5capp.py",
        "/static//etc/passwd",
        "//",
        "/%ff",
        "/%00",
        "/" + "a" * 60_000,
        "/predict/batch/x",
        "/predict%00",
        "/.git/config",
        "/.env",
        "*",
        "http://other/predict/x",
    ):
        yield HostileRequest(f"GET {path[:40]}", head(method="GET", path=path), {404, 405})
    for query in (
        "faces=yolo",
        "faces=",
        "faces=yunet&faces=whole&faces=x",
        "faces=%00",
        "faces=%ff%fe",
        "faces=" + "a" * 30_000,
        "faces=../../etc/passwd",
        "faces[]=yunet",
        "min_confidence=nan",
        "min_confidence=inf",
        "min_confidence=-1",
        "min_confidence=1e999",
        "min_confidence=" + "9" * 5000,
        "min_confidence=0x1",
        "min_confidence=%ed%a0%80",
        "min_confidence=true",
        "image=http://127.0.0.1:1/face.jpg",
        "&".join(f"a{k}=b" for k in range(2000)),
        "%",
        "&&&;;;===",
    ):
        sent = post(GOOD["PNG"], path=f"/predict?{query}")
        yield HostileRequest(f"?{query[:40]}", sent, {200, 422})


def heads() -> Iterator[HostileRequest]:
    """Unsupported methods, and headers that are long, many or not ASCII."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "QUERY"):
        yield HostileRequest(method, head(method=method), {405})
    headers = {
        "many": [f"X-{k}: {k}" for k in range(2000)],
        "long": ["X-Long: " + "a" * 60_000],
        "foreign": ["X-Foreign: \xff\xfe\xe9"],
        "request id": ["X-Request-ID: " + "{evil}" * 1000],
        "request id that ends the line": ["X-Request-ID: a\tb%0d%0aX-Other: c"],
        "key": ["X-API-Key: \xff\xfe"],
        "hosts": ["Host: other", "X-Forwarded-Host: evil", "X-Forwarded-For: " + "1," * 5000],
        "cookies": ["Cookie: " + "a=b; " * 5000],
        "accepts nothing": ["Accept: nothing/at-all", "Accept-Encoding: *;q=0"],
        "origin": ["Origin: null"],
        "ranges": ["Range: bytes=" + ",".join(f"{k}-{k}" for k in range(5000))],
        "another protocol": ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    }
    length = f"Content-Length: {len(GOOD['PNG'])}"
    for name, lines in headers.items():
        sent = head("Content-Type: image/png", length, *lines) + GOOD["PNG"]
        yield HostileRequest(f"headers: {name}", sent, {421} if name == "hosts" else {200})
    old = f"POST /predict HTTP/1.0\r\n{length}\r\n\r\n".encode() + GOOD["PNG"]
    yield HostileRequest("HTTP/1.0 without a host", old, {200})
    yield HostileRequest("empty lines first", b"\r\n" * 1000 + post(GOOD["PNG"]), {200})
    follower = post(b"x") * 50
    yield HostileRequest("fifty pipelined requests", post(GOOD["PNG"]) + follower, {200})


# ---------------------------------------------------------------- the stream


def handshake(*headers: str) -> bytes:
    """The opening handshake of a WebSocket."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    lines = "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key, *headers
    return "\r\n".join(("GET /stream HTTP/1.1", "Host: localhost", *lines, "", "")).encode(
        "latin-1"
    )


def handshakes() -> Iterator[HostileRequest]:
    """Invalid handshakes; the WebSocket library responds in plain text."""
    good = handshake()
    for name, sent in {
        "another version": good.replace(b"Version: 13", b"Version: 12"),
        "no version": good.replace(b"Sec-WebSocket-Version: 13\r\n", b""),
        "no key": good.replace(b"Sec-WebSocket-Key", b"X-Key"),
        "a short key": good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"YQ=="),
        "two keys": handshake("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        "another address": good.replace(b"/stream", b"/predict"),
    }.items():
        yield HostileRequest(name, sent, {400, 403, 426}, json=False)


def frame(payload: bytes, opcode: int = 2, *, first: int = 0x80, mask: bool = True) -> bytes:
    """One frame (RFC 6455, section 5.2). The mask is zero, so the payload is unchanged."""
    length = len(payload)
    if length < 126:
        size = bytes([length | mask << 7])
    else:
        size = bytes([127 | mask << 7]) + struct.pack(">Q", length)
    return bytes([first | opcode]) + size + bytes(4 * mask) + payload


def frames() -> Iterator[HostileRequest]:
    """Streams that violate the protocol, or that misuse it."""
    end = frame(struct.pack(">H", 1000), 8)
    bomb = zlib.compressobj(9, wbits=-15)
    packed = bomb.compress(bytes(40_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    deflated = handshake("Sec-WebSocket-Extensions: permessage-deflate")
    for name, sent in {
        "not masked": frame(GOOD["PNG"], mask=False),
        "unknown kind": frame(b"x", 3),
        "unknown control": frame(b"x", 11),
        "reserved bits": frame(b"x", first=0xF0),
        "a long ping": frame(bytes(200), 9),
        "a ping in parts": frame(b"x", 9, first=0),
        "the rest of nothing": frame(b"x", 0),
        "no UTF-8": frame(b"\xff\xfe", 1),
        "a length of 2⁶³": b"\x82\xff" + struct.pack(">Q", 2**63) + bytes(4),
        "a length of 20 MB": b"\x82\xff" + struct.pack(">Q", 20 * 2**20) + bytes(4),
        "half a close code": frame(b"\3", 8),
        "no such close code": frame(struct.pack(">H", 999), 8),
        "endless parts": frame(b"x", first=0) + frame(bytes(2**20), 0, first=0) * 17,
        "a thousand pings": frame(b"x", 9) * 1000 + end,
        "text": frame(b"hello", 1) + end,
        "a frame of nothing": frame(b"") + end,
        "a thousand frames": frame(GOOD["PNG"]) * 1000 + end,
        "a frame too large": frame(bytes(MAX_BYTES + 1)) + end,
        "closed twice": end + end,
    }.items():
        yield HostileRequest(name, handshake() + sent, {101}, json=False, closes_writing=True)
    packed_frame = frame(packed[:-4], first=0xC0)
    yield HostileRequest("packed", deflated + packed_frame, {101}, json=False, closes_writing=True)


def no_http() -> Iterator[HostileRequest]:
    """Bytes that are no valid HTTP; uvicorn refuses them and closes the connection."""
    start = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    for name, sent in {
        "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500),
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
        "noise": saved(COLOUR, "PNG"),
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "unknown method": b"EVIL / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "tunnel": b"CONNECT other:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "no path": b"GET HTTP/1.1\r\n\r\n",
        "a path of raw bytes": b"GET /\xff\xfe\0 HTTP/1.1\r\n\r\n",
        "negative length": start + b"Content-Length: -1\r\n\r\n",
        "length in words": start + b"Content-Length: many\r\n\r\n",
        "length of a hundred digits": start + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n",
        "two lengths": start + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "length and chunks": start
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "an invalid chunk size": start + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
        "negative chunk": start + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nabc",
        "another transfer": start + b"Transfer-Encoding: gzip\r\n\r\nabc",
        "null in a header": start + b"A: b\0c\r\n\r\n",
        "header without a colon": start + b"evil\r\n\r\n",
        "a folded header": start + b" folded: yes\r\n\r\n",
        "space before the colon": start + b"Content-Length : 3\r\n\r\nabc",
    }.items():
        yield HostileRequest(name, sent, {400}, json=False)


def incomplete_bodies() -> Iterator[HostileRequest]:
    """Incomplete bodies; the deadline ends the wait."""
    png = GOOD["PNG"]
    begun = head("Content-Type: image/png", f"Content-Length: {len(png)}")
    form_head = head(f"Content-Type: {FORM}", "Content-Length: 5000")
    chunked = head("Transfer-Encoding: chunked")
    for name, sent in {
        "no body": begun,
        "half of the body": begun + png[: len(png) // 2],
        "all but one byte": begun + png[:-1],
        "half a form": form_head + form(part(png))[:500],
        "half a JSON": head("Content-Type: application/json", "Content-Length: 99") + b'{"image":',
        "no chunk": chunked,
        "half a chunk": chunked + b"ff\r\nabc",
        "no last chunk": chunked + struct.pack("3s1s2s", b"1\r\n", b"x", b"\r\n"),
        "expects 100-continue": head("Expect: 100-continue", "Content-Length: 100"),
        "a batch": head(f"Content-Type: {FORM}", "Content-Length: 99", path="/predict/batch"),
    }.items():
        yield HostileRequest(name, sent, {408})
