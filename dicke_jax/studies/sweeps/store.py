"""The store of a sweep: Zarr, one Zarr chunk for one chunk of rows, and a mark for what is whole.

A chunk's arrays are written one by one, each file under its name when it is whole, with a checksum in it. Its mark is
written after them: a digest of the numbers of all its arrays and of its place. What has no mark, or another digest than
its mark says, is not there.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..._checks import refuse
from ..results import whole_file
from .axes import Layout
from .identity import differences, digest
from .labels import MEANINGS, Labels, dataset

FORMAT = 1
ROW, MARK = "row", "mark"  # arrays beside those of the variables; these names are no variable's
Numbers = dict[str, np.ndarray]


def zarr_here() -> Any:
    """The package zarr, or how to get it."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError('zarr must be installed to keep sweeps: pip install "dicke-jax[studies]".') from error
    return zarr


def fill_of(dtype: np.dtype) -> Any:
    """What stands where there is no row."""
    if dtype.kind in "fc":
        return np.nan
    return False if dtype.kind == "b" else np.iinfo(dtype).max if dtype.kind == "u" else -1


@dataclass
class InMemory:
    """What a sweep without a store keeps."""

    layout: Layout
    arrays: Numbers
    whole: np.ndarray
    path = None

    def write(self, number: int, chunk: Numbers) -> None:
        place = slice(number * self.layout.chunk, (number + 1) * self.layout.chunk)
        for name, values in chunk.items():
            self.arrays[name][place] = values
        self.whole[number] = True

    def read(self) -> tuple[np.ndarray, Numbers]:
        return np.repeat(self.whole, self.layout.chunk), self.arrays


def in_memory(layout: Layout, variables: Mapping[str, Any]) -> InMemory:
    size = layout.num_chunks * layout.chunk
    arrays = {n: np.full((size, *shape), fill_of(dtype), dtype) for n, (shape, dtype) in variables.items()}
    return InMemory(layout, arrays, np.zeros(layout.num_chunks, bool))


@dataclass(frozen=True)
class Summary:
    """How far a store is."""

    rows: int
    of_rows: int
    chunks: int
    of_chunks: int
    damaged: int
    ends: dict[str, int]

    @property
    def complete(self) -> bool:
        return self.chunks == self.of_chunks

    def __str__(self) -> str:
        ends = ", ".join(f"{number:,} {name}" for name, number in sorted(self.ends.items(), key=lambda end: -end[1]))
        damaged = f", {self.damaged} damaged" if self.damaged else ""
        what = f"{self.rows:,} of {self.of_rows:,} rows, {self.chunks} of {self.of_chunks} chunks whole{damaged}"
        return f"{what}; {ends}" if ends else what


class Store:
    """A folder with the chunks of a sweep."""

    def __init__(self, path: str | os.PathLike[str], mode: str) -> None:
        zarr, self.path = zarr_here(), Path(path)
        if not (self.path / "zarr.json").is_file():
            refuse("store", "the folder of a sweep's store", f"{self.path}")
        try:
            self.group = zarr.open_group(self.path, mode=mode, zarr_format=3)
            attributes = dict(self.group.attrs)
            about, known = attributes["dicke_jax_sweep"], attributes["digest"] == _digest_of(attributes)
            self.identity, self.chunk, self.specs = about["identity"], about["chunk"], about["variables"]
            self.num_chunks, self.descriptions, self._rows = (about[n] for n in ("num_chunks", "descriptions", "rows"))
            self.labels, form = Labels.from_table(about["labels"]), about["format"]
        except OSError:
            raise
        except Exception:  # whatever a damaged file makes of a reader
            was = f"{self.path}, whose zarr.json is damaged or another's"
            refuse("store", "a sweep's store whose description is whole", was)
        if not known:
            refuse("store", "a sweep's store whose description is whole", f"{self.path}, whose zarr.json is damaged")
        if form != FORMAT:
            refuse("store", f"of format {FORMAT}", f"{self.path}, of format {form}")

    @classmethod
    def created(
        cls,
        path: str | os.PathLike[str],
        layout: Layout,
        variables: Mapping[str, Any],
        identity: Mapping[str, Any],
        labels: Labels,
    ) -> "Store":
        """A new store, which is there with its description or not at all."""
        zarr, path = zarr_here(), Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            there = (
                "a sweep's store; to go on with it: --resume, or resume=True"
                if (path / "zarr.json").exists()
                else "something else"
            )
            refuse("store", "a new or an empty folder", f"{path}, {there}")
        for name in (ROW, MARK):
            if name in variables:
                refuse("compute", "a function whose results have other names", name)
        specs = {name: [list(shape), str(dtype)] for name, (shape, dtype) in variables.items()}
        about = dict(format=FORMAT, identity=dict(identity), chunk=layout.chunk, variables=specs)
        about |= dict(labels=labels.to_table(), num_chunks=layout.num_chunks, rows=digest(layout.slots.tobytes()))
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.absolute().parent))
        try:
            group, slots = zarr.create_group(unfinished, zarr_format=3), layout.slots
            _array(unfinished, ROW, (slots.size,), "int64", (slots.size,), ("row",))[:] = slots
            _array(unfinished, MARK, (layout.num_chunks,), "uint64", (1,), ("chunk",))
            for name, (shape, dtype) in variables.items():
                dims = ("row", *(f"{name}_{i}" for i in range(len(shape))))
                chunk = (layout.chunk, *(max(size, 1) for size in shape))
                _array(unfinished, name, (slots.size, *shape), str(dtype), chunk, dims, fill_of(dtype))
            about["descriptions"] = {n: (unfinished / n / "zarr.json").read_text() for n in (ROW, MARK, *specs)}
            told = {"dicke_jax_sweep": json.loads(json.dumps(about))}
            group.update_attributes(told | {"digest": _digest_of(told)})
            unfinished.chmod(0o777 & ~_umask())
            unfinished.replace(path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return cls(path, "r+")

    @classmethod
    def resumed(cls, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> "Store":
        """The store of this very study, ready to go on."""
        store = cls(path, "r+")
        if different := list(differences(store.identity, identity)):
            more = f", and {len(different) - 3} more" if len(different) > 3 else ""
            refuse("store", "of the same study", f"{store.path}, in which {'; '.join(different[:3])}{more}")
        for left in store.path.rglob("*.partial"):
            left.unlink(missing_ok=True)
        for name, text in store.descriptions.items():  # how an array is laid out; its chunks stay
            description = store.path / name / "zarr.json"
            if not description.is_file() or description.read_bytes() != text.encode():
                description.parent.mkdir(exist_ok=True)
                with whole_file(description) as file:
                    file.write(text.encode())
        return store

    def mend_rows(self, slots: np.ndarray) -> None:
        """Write again which row is where, if that is damaged."""
        try:
            whole = np.array_equal(self.slots, slots)
        except ValueError:
            whole = False
        if not whole:
            self.group[ROW][:] = slots

    @property
    def slots(self) -> np.ndarray:
        """The row of every place."""
        slots = np.zeros(0, np.int64)
        try:
            slots = np.asarray(self.group[ROW][:])
        except PermissionError:
            raise
        except Exception:  # refused below: no file would read as zeros
            pass
        if digest(slots.tobytes()) != self._rows:
            refuse("store", "one whose order of rows is whole", f"{self.path}, with a damaged {ROW} that resume mends")
        return slots

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """What is written to; to open an array takes as long as to write to it."""
        return {name: self.group[name] for name in (*self.specs, MARK)}

    def write(self, number: int, chunk: Numbers) -> None:
        """The numbers first, then the mark."""
        place = slice(number * self.chunk, (number + 1) * self.chunk)
        for name, values in chunk.items():
            self._arrays[name][place] = values
        self._arrays[MARK][number] = mark_of(number, chunk)

    def _chunk(self, number: int) -> Numbers | None:
        """The numbers of a chunk, None where it is not whole."""
        if not self._is_marked(number):
            return None
        place = slice(number * self.chunk, (number + 1) * self.chunk)
        try:
            mark = int(self.group[MARK][number])
            chunk = {name: np.asarray(self.group[name][place]) for name in self.specs} if mark else {}
        except PermissionError:
            raise
        except Exception:  # a checksum that does not fit, a file that is cut or no file at all
            return None
        return chunk if mark and mark == mark_of(number, chunk) else None

    def _is_marked(self, number: int) -> bool:
        return (self.path / MARK / "c" / str(number)).exists()

    @property
    def whole(self) -> np.ndarray:
        """For every chunk whether it is there and undamaged; all of it is read for that."""
        return np.array([self._chunk(number) is not None for number in range(self.num_chunks)])

    def summary(self) -> "Summary":
        """What is there, read chunk by chunk."""
        slots, damaged, chunks, rows, ends = self.slots, 0, 0, 0, Counter[str]()
        meanings = next(((n, MEANINGS[n]) for n in ("outcome", "status") if n in self.specs), None)
        for number in range(self.num_chunks):
            there = slots[number * self.chunk : (number + 1) * self.chunk] >= 0
            chunk = self._chunk(number)
            damaged += chunk is None and self._is_marked(number)
            if chunk is None:
                continue
            chunks, rows = chunks + 1, rows + int(there.sum())
            if meanings is not None and chunk[meanings[0]].dtype == np.int8:
                ends.update(meanings[1][code] for code in chunk[meanings[0]][there].tolist())
        return Summary(rows, int((slots >= 0).sum()), chunks, self.num_chunks, damaged, dict(ends))

    def read(self) -> tuple[np.ndarray, Numbers]:
        """What is whole, by place."""
        slots, complete = self.slots.size, np.zeros(self.num_chunks, bool)
        arrays = {n: np.full((slots, *shape), fill_of(np.dtype(d)), d) for n, (shape, d) in self.specs.items()}
        for number in range(self.num_chunks):
            if (chunk := self._chunk(number)) is not None:
                complete[number] = True
                for name, values in chunk.items():
                    arrays[name][number * self.chunk : (number + 1) * self.chunk] = values
        return np.repeat(complete, self.chunk), arrays

    def dataset(self) -> Any:
        """What the sweep has found so far."""
        return dataset(self.labels, self.slots, *self.read())


def mark_of(number: int, chunk: Numbers) -> int:
    """A digest, not zero, of a chunk's numbers and place."""
    whole = hashlib.blake2b(str(number).encode(), digest_size=8)
    for name in sorted(chunk):
        numbers = np.ascontiguousarray(chunk[name])
        whole.update(f"{name} {numbers.dtype} {numbers.shape}".encode() + numbers.tobytes())
    return int.from_bytes(whole.digest(), "little") | 1


def _digest_of(attributes: Mapping[str, Any]) -> str:
    return digest(json.dumps(attributes["dicke_jax_sweep"], sort_keys=True).encode())


def _array(path: Path, name: str, shape: Any, dtype: str, chunks: Any, dims: tuple[str, ...], fill: Any = 0) -> Any:
    """An array with a checksum in every chunk, each chunk written whatever its numbers are."""
    zarr = zarr_here()
    codecs = [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()]
    return zarr.create_array(
        path,
        name=name,
        shape=tuple(shape),
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        compressors=codecs,
        dimension_names=dims,
        zarr_format=3,
        config={"write_empty_chunks": True},
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
