"""Asks the doors of a server that encrypts.

    python encrypted.py HTTPS_URL FLIGHT POSTGRES KEY AUTHORITY TRIBUTARY

AUTHORITY is the certificate that signed the server's.
"""

import asyncio
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import adbc_driver_flightsql.dbapi as flight_sql
import asyncpg
import psycopg
import pyarrow.flight
from adbc_driver_flightsql import DatabaseOptions

ORDERS = "select count(*) from orders"
checks = 0


def check(what: str, holds: bool, seen: object = "") -> None:
    global checks
    checks += 1
    if not holds:
        sys.exit(f"{what}: {seen}")


def refused(what: str, ask) -> None:
    try:
        seen = ask()
    except Exception:
        check(what, True)
    else:
        check(what, False, seen)


def http(url: str, key: str, context: ssl.SSLContext | None) -> int:
    request = urllib.request.Request(f"{url}/v1/sql?format=csv", data=ORDERS.encode(), headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        return int(answer.read().split()[-1])


def adbc(address: str, key: str, **options: str) -> int:
    login = {"username": "any", "password": key, **options}
    with flight_sql.connect(address, db_kwargs=login, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(ORDERS)
        return cursor.fetchone()[0]


def main(url: str, flight: str, postgres: str, key: str, authority: str, program: str) -> None:
    trusting = ssl.create_default_context(cafile=authority)
    orders = http(url, key, trusting)
    check("HTTPS", orders > 0, orders)
    refused("HTTPS from an unknown authority", lambda: http(url, key, ssl.create_default_context()))
    refused("HTTP in the clear", lambda: http(url.replace("https:", "http:"), key, None))

    with open(authority) as file:
        roots = file.read()
    count = adbc(flight, key, **{DatabaseOptions.TLS_ROOT_CERTS.value: roots})
    check("Flight SQL by ADBC", count == orders, count)
    refused("ADBC, an unknown authority", lambda: adbc(flight, key))
    refused("ADBC in the clear", lambda: adbc(flight.replace("grpc+tls", "grpc"), key))
    client = pyarrow.flight.FlightClient(flight, tls_root_certs=roots)
    check("Flight by pyarrow: the handshake", client.authenticate_basic_token("any", key)[1].startswith(b"Bearer "))

    host, port = postgres.split(":")
    login = {"host": host, "port": port, "user": "any", "dbname": "tributary", "password": key}
    refused("psycopg in the clear", lambda: psycopg.connect(**login, sslmode="disable"))
    for mode in ("require", "verify-full"):
        with psycopg.connect(**login, sslmode=mode, sslrootcert=authority if mode == "verify-full" else "") as connection:
            check(f"psycopg, sslmode={mode}", connection.pgconn.ssl_in_use)
            count = connection.execute(ORDERS).fetchone()[0]
            check(f"rows, sslmode={mode}", count == orders, count)
    with psycopg.connect(**login, sslmode="require", sslnegotiation="direct") as connection:
        check("encrypted from the first byte", connection.pgconn.ssl_in_use)

    async def by_asyncpg() -> int:
        connection = await asyncpg.connect(host=host, port=int(port), user="any", database="tributary", password=key, ssl=trusting)
        try:
            return await connection.fetchval(ORDERS)
        finally:
            await connection.close()

    count = asyncio.run(by_asyncpg())
    check("asyncpg", count == orders, count)

    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIBUTARY_")}

    def shell(server: str, **more: str) -> subprocess.CompletedProcess:
        command = [program, "sql", "--server", server, "--key", key, "--format", "csv", "-c", ORDERS]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True)

    answer = shell(url, SSL_CERT_FILE=authority)
    check("tributary sql --server", answer.stdout.split()[-1:] == [str(orders)], answer)
    answer = shell(url)
    check("the same, an unknown authority", answer.returncode == 6 and "SSL_CERT_FILE" in answer.stderr, answer)
    answer = shell(url.replace("https:", "http:"))
    check("the same, in the clear", answer.returncode == 6 and "https://" in answer.stderr, answer)
    print(f"{checks} checks of encrypted doors hold")


if __name__ == "__main__":
    main(*sys.argv[1:])
