"""Compresses and decompresses the chunks of WOF files with libwim (wimlib).

    libwim.py pack ALGORITHM CONTENT PACKED      makes the stream WofCompressedData of a content
    libwim.py unpack ALGORITHM SIZE PACKED OUT   of each chunk: a byte, 1 if it decodes, and its content (or zeros)

ALGORITHM is the number that a reparse point of WOF gives: 0 XPRESS 4K, 1 LZX, 2 XPRESS 8K, 3 XPRESS 16K.
"""

import ctypes
import sys

XPRESS, LZX = 1, 2
ALGORITHMS = {0: (XPRESS, 4096), 1: (LZX, 32768), 2: (XPRESS, 8192), 3: (XPRESS, 16384)}

libwim = ctypes.CDLL("libwim.so.15")
for function in (libwim.wimlib_compress, libwim.wimlib_decompress):
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
libwim.wimlib_compress.restype = ctypes.c_size_t


def compressed(chunks: list[bytes], kind: int, size: int) -> list[bytes]:
    """Each chunk compressed, or as it is where that is not shorter."""
    compressor = ctypes.c_void_p()
    if libwim.wimlib_create_compressor(kind, ctypes.c_size_t(size), 0, ctypes.byref(compressor)):
        sys.exit("wimlib_create_compressor failed")
    room = ctypes.create_string_buffer(size)
    packed = []
    for chunk in chunks:
        length = libwim.wimlib_compress(chunk, len(chunk), room, len(chunk) - 1, compressor)
        packed.append(room.raw[:length] if length else chunk)
    return packed


def entry_size(size: int) -> int:
    """Bytes of an entry of the chunk table."""
    return 4 if size < 1 << 32 else 8


def pack(algorithm: int, content: bytes) -> bytes:
    """The chunk table and the chunks."""
    kind, size = ALGORITHMS[algorithm]
    packed = compressed([content[at : at + size] for at in range(0, len(content), size)], kind, size)
    table, at = b"", 0
    for chunk in packed[:-1]:
        at += len(chunk)
        table += at.to_bytes(entry_size(len(content)), "little")
    return table + b"".join(packed)


def unpack(algorithm: int, size: int, packed: bytes) -> bytes:
    """What each chunk decodes to, by wimlib."""
    kind, chunk_size = ALGORITHMS[algorithm]
    decompressor = ctypes.c_void_p()
    if libwim.wimlib_create_decompressor(kind, ctypes.c_size_t(chunk_size), ctypes.byref(decompressor)):
        sys.exit("wimlib_create_decompressor failed")
    entry, chunks = entry_size(size), -(-size // chunk_size)
    table = entry * (chunks - 1)
    starts = [0] + [int.from_bytes(packed[at : at + entry], "little") for at in range(0, table, entry)]
    starts.append(len(packed) - table)
    out = []
    for number in range(chunks):
        length = min(chunk_size, size - number * chunk_size)
        chunk = packed[table + starts[number] : table + starts[number + 1]]
        room = ctypes.create_string_buffer(chunk, length)
        if len(chunk) < length:
            failed = libwim.wimlib_decompress(chunk, len(chunk), room, length, decompressor)
            out.append(b"\0" + bytes(length) if failed else b"\1" + room.raw)
        else:
            out.append(b"\1" + chunk)
    return b"".join(out)


def main() -> None:
    """Does what the command line says."""
    match sys.argv[1:]:
        case ["pack", algorithm, content, packed]:
            with open(content, "rb") as source, open(packed, "wb") as target:
                target.write(pack(int(algorithm), source.read()))
        case ["unpack", algorithm, size, packed, out]:
            with open(packed, "rb") as source, open(out, "wb") as target:
                target.write(unpack(int(algorithm), int(size), source.read()))
        case _:
            sys.exit(__doc__)


main()
