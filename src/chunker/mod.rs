//! Pure: bytes in, boundaries of chunks out. Knows no keys beyond a gear table and does no I/O of its own.
