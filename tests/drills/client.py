"""Requests to a server: landings whole or piece by piece, and SQL."""

import http.client
import json
import urllib.parse
from typing import NamedTuple

from processes import Failed, Lost, Server

STORE = "shop"
ANSWER_TIMEOUT_S = 120


class Answer(NamedTuple):
    """The answer to one request."""

    status: int
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.body[:600].decode(errors='replace')}"


def request(server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Sends one request on a connection of its own. Raises `Lost` if no whole answer comes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Lost(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()


def land_path(table: str, store: str = STORE, quarantine: bool = False) -> str:
    parameters = {"store": store} | ({"on_error": "quarantine"} if quarantine else {})
    return f"/v1/land/{table}?{urllib.parse.urlencode(parameters)}"


def land_headers(key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/x-ndjson"}
    return headers | {"Idempotency-Key": key} if key else headers


def ndjson(rows: list[dict]) -> bytes:
    """Encodes rows, one a line. Characters beyond ASCII are escaped, as many clients do."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def land(server: Server, table: str, rows: list[dict], key: str | None = None, store: str = STORE, quarantine: bool = False) -> Answer:
    """Lands rows in one request."""
    return request(server, "POST", land_path(table, store, quarantine), ndjson(rows), land_headers(key))


def sql(server: Server, text: str, store: str = STORE) -> list[dict]:
    """Answers a statement as rows. Raises `Failed` if the server refuses it or cuts the answer."""
    path = "/v1/sql?" + urllib.parse.urlencode({"store": store, "format": "json"})
    answer = request(server, "POST", path, text.encode(), {"Content-Type": "text/plain"})
    if answer.status != 200:
        raise Failed(f"`{text}` was answered by {answer}")
    return answer.json()["data"]


class SlowLanding:
    """A landing whose body is sent in pieces, so that other things can happen before it ends."""

    def __init__(self, server: Server, table: str, key: str | None = None, store: str = STORE):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_TIMEOUT_S)
        try:
            self.connection.putrequest("POST", land_path(table, store))
            for name, value in land_headers(key).items():
                self.connection.putheader(name, value)
            self.connection.putheader("Transfer-Encoding", "chunked")
            self.connection.endheaders()
        except OSError as error:
            raise Lost(repr(error)) from error

    def send(self, rows: list[dict]) -> None:
        """Sends rows as one chunk of the body."""
        body = ndjson(rows)
        try:
            self.connection.send(f"{len(body):x}\r\n".encode() + body + b"\r\n")
        except OSError as error:
            raise Lost(repr(error)) from error

    def finish(self) -> Answer:
        """Ends the body and returns the answer."""
        try:
            self.connection.send(b"0\r\n\r\n")
            answer = self.connection.getresponse()
            return Answer(answer.status, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise Lost(repr(error)) from error
        finally:
            self.connection.close()
