"""The driver's readers and writers as Python's raw streams, with our errors."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from nextup.adapters.files.hdfs_errors import hdfs_errors

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from hdfs_native import FileReader, FileWriter


class ReadStream(io.RawIOBase):
    """Reads a file in order, or from where `seek` went."""

    def __init__(self, reader: FileReader, place: str) -> None:
        self._reader = reader
        self._place = place

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def seekable(self) -> bool:
        """Any place can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        self._reader.seek(offset, whence)
        return self._reader.tell()

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._reader.tell()

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill as much of the buffer as there is; 0 at the end."""
        view = memoryview(buffer).cast("B")
        with hdfs_errors("a file", self._place):
            data = self._reader.read(len(view))
        view[: len(data)] = data
        return len(data)


class WriteStream(io.RawIOBase):
    """Writes a new file; it is complete when closed."""

    def __init__(self, writer: FileWriter, place: str) -> None:
        self._writer = writer
        self._place = place

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Takes every byte."""
        with hdfs_errors("a file", self._place):
            return self._writer.write(bytes(data))

    def sync(self) -> None:
        """Return when the bytes are on the DataNodes' disks."""
        with hdfs_errors("a file", self._place):
            self._writer.hsync()

    def close(self) -> None:
        """Closing twice does nothing."""
        if not self.closed:
            super().close()
            with hdfs_errors("a file", self._place):
                self._writer.close()
