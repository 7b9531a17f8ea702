"""Small bodies to be landed that ask for much memory, much disk or a deep stack; `killers_requests.py` sends them."""

import struct

import pyarrow as pa
import pyarrow.parquet as parquet

HEADER = b"order_id,customer_id,ordered_at,status,currency,revenue\n"


def uploads() -> dict[str, tuple[str, bytes]]:
    """Returns each body by its name, behind the table and the options of its path."""
    rows = 20_000
    names = pa.array([f"c{n}" for n in range(5 * rows)])
    long = pa.DictionaryArray.from_arrays(pa.array([0] * (5 * rows), pa.int32()), pa.array(["x" * (20 << 20)]))
    table = pa.table({"channel": names[:rows], "name": long[:rows]})
    packed = pa.BufferOutputStream()
    parquet.write_table(table, packed, compression="zstd", dictionary_pagesize_limit=1 << 30, store_schema=False)
    longer = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["x" * (200 << 20)]))
    return {
        "50,000 nested groups": ("channels?format=parquet", nested_groups(50_000)),
        "Parquet, 20 MB a row": ("channels?format=parquet", packed.getvalue().to_pybytes()),
        "Arrow, 20 MB a row": ("channels?format=arrow", arrow_stream({"channel": names, "name": long})),
        # A column that the table does not have is kept as JSON.
        "Arrow, 20 MB of JSON a row": ("channels?format=arrow", arrow_stream({"channel": names, "more": long})),
        "Arrow, 20 x 200 MB": ("channels?format=arrow", arrow_stream({"channel": names[:1], **{f"c{n}": longer for n in range(20)}})),
        "zstd, 2 GB of bad rows": ("orders?format=csv&on_error=quarantine", pack(HEADER, b"x,y\n", 2 << 30)),
        "zstd, PAR1 and 8 GB of zeros": ("orders?format=parquet", pack(b"PAR1", b"\0", 8 << 30)),
    }


def nested_groups(depth: int) -> bytes:
    """Returns a Parquet file without rows, whose only column lies in so many groups, one in the other (compact Thrift)."""
    count = depth + 2
    length = bytes([count & 0x7F | 0x80, count >> 7 & 0x7F | 0x80, count >> 14])
    root, group, leaf = b"\x48\x01r\x15\x02\0", b"\x35\x02\x18\x01a\x15\x02\0", b"\x15\x0c\x25\x02\x18\x01a\0"
    footer = b"\x15\x02\x19\xfc" + length + root + group * depth + leaf + b"\x16\0\x19\x0c\0"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def arrow_stream(columns: dict[str, pa.Array]) -> bytes:
    table, stream = pa.table(columns), pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return stream.getvalue().to_pybytes()


def pack(begin: bytes, filling: bytes, size: int) -> bytes:
    stream, part = pa.BufferOutputStream(), filling * ((16 << 20) // len(filling))
    with pa.CompressedOutputStream(stream, "zstd") as writer:
        writer.write(begin)
        for _ in range(size // len(part)):
            writer.write(part)
    return stream.getvalue().to_pybytes()
